"""The arguments of `serve`, `keys` and `route-eval`."""

import argparse

from electorate.commands.arguments import here

ROUTE_EVAL = """Measure what routing each user's requests by personal rankings gains, and its cost.

On a finished run of personas: true utility of each router's choices for the compared users on
prompts that nothing was fitted to. On people's votes: how often a router, let choose between the
two contestants of a held-out vote, takes the winner. A router takes the highest rating less a rate
times the cost; over all rates its choices draw a curve of quality over cost. Costs are the config's
prices (models.NAME.price) by the tokens of prompts and answers, or --costs.

On a folder that is served with --contestants and --holdout: what users' own rankings are worth, by
their thumbs on the gateway's answers.

Adds routing.parquet and routing.json to the run's folder, and the plot to its report."""
ROUTE_EVAL_EXAMPLES = """examples:
  electorate route-eval runs/quickstart
  electorate route-eval runs/votes --costs costs.csv
  electorate route-eval runs/served/votes
"""
SERVE = """Serve personal rankings over HTTP, take votes, and show both on a page at /.

FROM is the folder of a finished run, a file of votes (as `rate` takes it, with columns user_id and
prompt_id where it has them), the folder of an import, or a new folder to begin with nothing. People
are ranked for by the ids that their votes have.

A vote is acknowledged once it is on disk, in the folder's online/, or of a file in
runs/served/NAME; after a restart the endpoint goes on from there. /openapi.json describes the API.
On a cluster use `serve run serve.app:app folder=FROM` or `serve deploy configs/serve.yaml`."""
SERVE_EXAMPLES = """examples:
  electorate serve runs/quickstart
  electorate serve votes.parquet --by country
  electorate serve runs/reward --live
  electorate serve runs/people --contestants configs/endpoints.yaml
  electorate keys keys.json my-app --may read,vote
  electorate serve runs/quickstart --host 0.0.0.0 --keys keys.json
"""


def add_route_eval(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `route-eval`."""
    evaluating = commands.add_parser(
        "route-eval",
        help="what routing by a run's rankings is worth, and what it costs",
        description=ROUTE_EVAL,
        epilog=ROUTE_EVAL_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    evaluating.add_argument(
        "folder", type=here, metavar="DIR", help="of a finished run, or one that is served"
    )
    evaluating.add_argument(
        "--costs",
        type=here,
        metavar="FILE",
        help=(
            "a table of contestants' costs: columns model and usd_per_1000 (requests), or model, "
            "input and output (USD a million tokens)"
        ),
    )


def add_serve(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `serve`."""
    serving = commands.add_parser(
        "serve",
        help="the ranking endpoint and its page, over a run, a file of votes or nothing yet",
        description=SERVE,
        epilog=SERVE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    serving.add_argument(
        "folder",
        type=here,
        metavar="FROM",
        help="a finished run's folder, a file of votes, an import's folder, or a new folder",
    )
    _add_file(serving)
    serving.add_argument(
        "--host",
        default="127.0.0.1",
        help="where it listens (default: this machine alone); any other needs --keys",
    )
    serving.add_argument("--port", type=int, default=8000, help="default %(default)s")
    _add_limits(serving)
    serving.add_argument(
        "--live",
        action="store_true",
        help="ask the run's contestants for rankings with `live: true`; starts its vLLM models too",
    )
    serving.add_argument(
        "--reward-gpus",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="share of a GPU that the reward model reads texts on (default 0: the CPU)",
    )
    _add_gateway(serving)
    serving.add_argument(
        "--address",
        metavar="ADDRESS",
        help="a Ray cluster's; default: a Ray of its own on this machine",
    )


def _add_file(serving: argparse.ArgumentParser) -> None:
    """What is asked of a file of votes."""
    serving.add_argument(
        "--out",
        type=here,
        metavar="DIR",
        help="for a file of votes: where online votes are kept (default runs/served/NAME)",
    )
    serving.add_argument(
        "--by",
        metavar="COLUMN",
        help="for a file of votes: a column, such as topic or country, whose values have boards of "
        "their own; a user without votes is assumed to be like the others of its value",
    )


def _add_gateway(serving: argparse.ArgumentParser) -> None:
    """Who answers chat completions."""
    serving.add_argument(
        "--contestants",
        type=here,
        metavar="FILE",
        help=(
            "a config, such as configs/endpoints.yaml, whose contestants answer "
            "/v1/chat/completions, each user by the best for it"
        ),
    )
    serving.add_argument(
        "--explore",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="share of chat completions that try another contestant (default 0)",
    )
    serving.add_argument(
        "--holdout",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="share of chat completions that go by everyone's ranking, so that `route-eval` tells "
        "what the users' own rankings are worth (default 0)",
    )


def _add_limits(serving: argparse.ArgumentParser) -> None:
    """Who may ask, and about what."""
    serving.add_argument(
        "--keys",
        type=here,
        metavar="FILE",
        help="who may read, vote, erase and manage, as `keys` writes it",
    )
    serving.add_argument(
        "--models",
        type=here,
        metavar="FILE",
        help="a model's name a line: votes may be on these alone, and on those added while it runs",
    )
    serving.add_argument(
        "--costs",
        type=here,
        metavar="FILE",
        help="a table of models' costs, model and usd_per_1000 (requests), shown beside ratings",
    )
    serving.add_argument(
        "--retain-days",
        type=float,
        metavar="DAYS",
        help="forget votes that came online after so many days (default: never)",
    )
    serving.add_argument(
        "--hash-ids",
        type=here,
        metavar="FILE",
        help="keep users' ids hashed with the key in this file, which is made if it is not there",
    )


def add_keys(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `keys`."""
    keys = commands.add_parser("keys", help="make a key for the ranking endpoint")
    keys.add_argument(
        "file", type=here, metavar="FILE", help="where its hash is kept, made if it is not there"
    )
    keys.add_argument("name", metavar="NAME", help="whose it is; the audit log names it")
    keys.add_argument(
        "--may",
        default="read,vote",
        metavar="LIST",
        help="of read, vote, chat, erase, manage (default read,vote)",
    )
    keys.add_argument(
        "--tokens-a-minute",
        type=int,
        metavar="N",
        help="that chats under it may read and write (default: any number)",
    )
    keys.add_argument(
        "--usd-a-day",
        type=float,
        metavar="USD",
        help="that chats under it may cost, by contestants' prices (default: any amount)",
    )
