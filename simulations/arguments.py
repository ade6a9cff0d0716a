"""What the command line takes: every command, its options, and its `--help`."""

import argparse
from pathlib import Path

from electorate.commands.arguments import (
    add_calibrate,
    add_doctor,
    add_human,
    add_import,
    add_rate,
    here,
    listed,
)
from electorate.config.engines import ENGINES
from electorate.config.metrics import METRICS
from electorate.config.modes import MODES
from electorate.config.systems import SYSTEMS
from electorate.config.voters import VOTERS
from electorate.ratings import ties
from electorate.storage.places import place
from simulations.init import HAVE

# What --lambda-reg 1 is in a reward model's precision: 0.1 is the default, reward.lambda_reg 300.
LAMBDA_UNIT = 3000.0
# The options of the classic experiment, each an alias of a config key.
CLASSIC: tuple[tuple[str, str, type, str], ...] = (
    (
        "--persona",
        "evaluation.persona",
        str,
        "compare on personas of this archetype alone; all still vote",
    ),
    (
        "--num-prompts",
        "prompts.per_archetype",
        int,
        "prompts an archetype; where personas write them, how many in all "
        "(voters.new_prompts.most)",
    ),
    ("--eval-freq", "votes.eval_freq", int, "compare after every so many votes"),
    (
        "--lambda-reg",
        "ratings.lambda_reg",
        float,
        "how strongly System A draws a user toward its archetype; where there is a reward section, "
        "how strongly System B is pulled toward its pretrained model, 0.1 to 0.2 being usual "
        "(reward.lambda_reg, 3000 times as much)",
    ),
    (
        "--incremental",
        "evaluation.incremental",
        bool,
        "compare at every checkpoint (the default), and train System B at each too; or at the "
        "last alone",
    ),
)
DEFAULT_OVER = "population.heterogeneity=0,0.5,1,2"
EXAMPLES = """examples:
  electorate run configs/quickstart.yaml
  electorate run configs/quickstart.yaml --set population.size=50000 --out runs/larger
  electorate run configs/quickstart.yaml --set population.heterogeneity=0 --out runs/null
  electorate run configs/quickstart.yaml --persona coder --num-prompts 12 --eval-freq 10
  electorate run configs/recorded.yaml --cohorts 0    (in this process, without Ray)
  electorate report runs/quickstart
  ray job submit --working-dir . -- python -m simulations run configs/quickstart.yaml \\
    --out /absolute/folder
"""


INIT = """Ask what you have and write a config that suits it.

People's votes need no config: the command to run is named. For models behind an OpenAI-compatible
URL a config is written, with simulated personas as voters or with a language model that votes for
them. What is given as an option is not asked."""
INIT_EXAMPLES = """examples:
  electorate init
  electorate init --have endpoints --url http://127.0.0.1:11434/v1 --model llama3.2 \\
    --voters model --out study.yaml
"""
PREDICT = """Predict which of two responses people prefer.

The model learns from TRAIN, a CSV file of the LMSYS Chatbot Arena competition (id, model_a,
model_b, prompt, response_a, response_b, winner_model_a, winner_model_b, winner_tie), and predicts
TEST (id, prompt, response_a, response_b).

OUT gets id, winner_model_a, winner_model_b, winner_tie: probabilities from the texts, averaged over
both orders of the responses. One prompt in 8 of TRAIN is held out; the log loss on these is printed
beside three baselines: the shares of outcomes (class_prior), Bradley-Terry ratings of the models
(elo_only, not possible for TEST, which names no models) and response length (length_only)."""
POLL = """Let language models vote as personas.

A judge model reads a persona's card and judges battles for it, always in both orders. The report
shows the leaderboard, each persona's own rankings, and how valid the judges are: consistency under
swapped orders and repeats, agreement with other judges and with people, and robustness to responses
that ask for the vote, each against chance or people.

DIR gets votes.parquet (for rate, human and predict), judgements.parquet, rankings.parquet,
validity.parquet, report.html, and population.yaml: a planted population with tastes fitted to these
votes, for a run with any number of personas. electorate/config/judging.py describes every field of
the config."""
POLL_EXAMPLES = """examples:
  electorate poll configs/poll.yaml
  electorate poll configs/poll.yaml --set personas.source=data/personas.jsonl \\
    --set checks.people=votes.parquet --out runs/people
  electorate run configs/quickstart.yaml --set population=@runs/poll/population.yaml
"""
COMPARE = """Print finished runs beside each other, whoever voted: personas, models or people.

Ratings of the contestants; how far each two runs' rankings agree (Kendall's tau, and how probable
it is that both have the same first), for everybody and by segment; and each system's gain over the
global ranking, in what at least two runs are compared by. Intervals are of 95%: for rankings, what
the ratings' own intervals leave."""
COMPARE_EXAMPLES = """examples:
  electorate compare runs/quickstart runs/quickstart-again
  electorate compare runs/planted runs/judged runs/people
"""
ROUTE_EVAL = """What is sending each request to what suits its user worth, and what does it cost?

On a finished run of personas: true utility of each router's choices for the compared users on
prompts that nothing was fitted to. On people's votes: how often a router, let choose between the
two contestants of a held-out vote, takes the winner. A router takes the highest rating less a rate
times the cost; over all rates its choices draw a curve of quality over cost. Costs are the config's
prices (models.NAME.price) by the tokens of prompts and answers, or --costs.

Adds routing.parquet and routing.json to the run's folder, and the plot to its report."""
ROUTE_EVAL_EXAMPLES = """examples:
  electorate route-eval runs/quickstart
  electorate route-eval runs/votes --costs costs.csv
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
SUBMIT = """Submit a run as a job to a Ray cluster.

The working directory is uploaded, except what .rayignore names, and the job's log is streamed.
report.html, summary.json and metrics.parquet are downloaded when the job is done. Ctrl-C stops
streaming, not the job."""
SUBMIT_EXAMPLES = """examples:
  electorate submit configs/population.yaml --address http://127.0.0.1:8265 \\
    --out /shared/runs/million
  electorate submit configs/quickstart.yaml --address http://127.0.0.1:8265 \\
    --out /shared/runs/q --set population.size=50000
  electorate submit configs/population.yaml --address http://127.0.0.1:8265 \\
    --out s3://BUCKET/runs/million
  electorate status http://127.0.0.1:8265
  electorate fetch s3://BUCKET/runs/million --to runs/million
"""
SWEEP = """Repeat a run for several values of one config key, each with several population seeds.

For every value and number of votes the report shows which system wins, overall and on unseen
prompts, with intervals over seeds. DIR gets a folder for each run, metrics.parquet, wins.parquet,
summary.json and report.html."""
SWEEP_EXAMPLES = """examples:
  electorate sweep configs/quickstart.yaml --out runs/heterogeneity
  electorate sweep configs/quickstart.yaml --over votes.pairing=uniform,active --out runs/pairing
  electorate sweep configs/quickstart.yaml --over ratings.forgetting=1,0.8 \\
    --set population.drift=0.5 --out runs/drift
"""


def parser() -> argparse.ArgumentParser:
    """Of all commands."""
    whole = argparse.ArgumentParser(
        prog="electorate",
        description=(
            "A simulated electorate that ranks language models: do personal rankings beat the "
            "global one?"
        ),
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = whole.add_subparsers(dest="command", required=True)

    _add_init(commands)
    _add_run(commands)
    _add_sweep(commands)
    _add_poll(commands)
    add_rate(commands)
    add_human(commands)
    add_calibrate(commands)
    _add_predict(commands)
    add_import(commands)
    add_doctor(commands)
    _add_route_eval(commands)
    _add_serve(commands)
    _add_keys(commands)
    _add_submit(commands)
    _add_fetch(commands)
    _add_status(commands)
    _add_report(commands)
    _add_compare(commands)
    return whole


def _add_init(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    init = commands.add_parser(
        "init",
        help="what do you have: votes, endpoints or nothing? Writes a config, names the command",
        description=INIT,
        epilog=INIT_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    init.add_argument("--have", choices=tuple(HAVE), help="what there is to begin with")
    init.add_argument("--votes", type=here, metavar="FILE", help="the file of votes")
    init.add_argument("--url", metavar="URL", help="of the endpoint, with its version")
    init.add_argument("--model", metavar="NAME", help="as the endpoint calls it")
    init.add_argument(
        "--api-key-env", metavar="VARIABLE", help="the environment variable that holds the key"
    )
    init.add_argument("--voters", choices=tuple(VOTERS), help="who votes")
    init.add_argument(
        "--out",
        type=here,
        default=Path("study.yaml"),
        metavar="FILE",
        help="the config that is written (default %(default)s)",
    )


def _add_run(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    run = commands.add_parser(
        "run",
        help="do a run: ask contestants, vote, rate, compare, report",
        description=(
            "Do a run from its YAML config, or finish one with --resume. electorate/config/run.py "
            "describes every field of the config."
        ),
        epilog=_run_epilog(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument(
        "config", type=here, metavar="CONFIG", help="a YAML file, such as configs/quickstart.yaml"
    )
    _takes_settings(run, "set a field of the config; may be given again; A=@FILE takes a YAML file")
    run.add_argument(
        "--out",
        type=place,
        metavar="DIR",
        help=(
            "the run's folder (default: runs/ and the config's name), or s3://BUCKET/KEY, "
            "gs://BUCKET/KEY; absolute inside a Ray job"
        ),
    )
    run.add_argument(
        "--resume",
        action="store_true",
        help="go on with an unfinished run in that folder; nothing done is done again",
    )
    _add_dry_run(run)
    _add_short(run)
    _add_classic(run)


def _add_short(run: argparse.ArgumentParser) -> None:
    """What is short for a setting."""
    run.add_argument("--seed", type=int, metavar="N", help="short for --set seed=N")
    run.add_argument(
        "--cohorts",
        type=int,
        metavar="N",
        help="short for --set cluster.cohorts=N; changes speed, never a result",
    )
    run.add_argument(
        "--address",
        metavar="ADDRESS",
        help="short for --set cluster.address=ADDRESS; none starts Ray on this machine",
    )


def _add_dry_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="ask nothing; print how many requests and tokens it would take, and what they cost",
    )


def _takes_settings(parser: argparse.ArgumentParser, meaning: str) -> None:
    parser.add_argument(
        "--set", dest="settings", action="append", default=[], metavar="A.B=C", help=meaning
    )


def _run_epilog() -> str:
    lists = [
        listed("voters (voters.kind)", VOTERS),
        listed("systems (evaluation.systems)", SYSTEMS),
        listed("metrics", METRICS),
        listed("tie models (ratings.ties)", ties.MODELS),
        listed("engines (models.NAME.engine)", ENGINES),
    ]
    return "\n".join([*lists, EXAMPLES])


def _add_classic(run: argparse.ArgumentParser) -> None:
    """The options of the classic experiment."""
    for option, key, kind, meaning in CLASSIC:
        help_ = f"short for --set {key}=...; {meaning}"
        if kind is bool:
            run.add_argument(option, dest=key, action=argparse.BooleanOptionalAction, help=help_)
        else:
            run.add_argument(
                option,
                dest=key,
                type=kind,
                metavar={str: "ARCHETYPE", int: "N", float: "X"}[kind],
                help=help_,
            )


def _add_sweep(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    sweep = commands.add_parser(
        "sweep",
        help="the same run at several settings and seeds: where each system wins",
        description=SWEEP,
        epilog=SWEEP_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    sweep.add_argument(
        "config", type=here, metavar="CONFIG", help="a YAML file, such as configs/quickstart.yaml"
    )
    sweep.add_argument(
        "--over",
        default=DEFAULT_OVER,
        metavar="KEY=V,V,...",
        help=f"the config key and its values (default {DEFAULT_OVER})",
    )
    sweep.add_argument(
        "--seeds",
        type=int,
        default=5,
        metavar="N",
        help="population seeds 0 to N-1 at each value (default 5)",
    )
    _takes_settings(sweep, "set a field of the config in all runs")
    sweep.add_argument(
        "--out",
        type=place,
        required=True,
        metavar="DIR",
        help="a folder for all runs; a stopped sweep goes on there",
    )


def _add_poll(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    poll = commands.add_parser(
        "poll",
        help=(
            "language models judge for personas: votes, rankings, and how far they can be believed"
        ),
        description=POLL,
        epilog="\n".join(
            [
                listed("judging modes (modes)", MODES),
                listed("engines (models.NAME.engine)", ENGINES),
                POLL_EXAMPLES,
            ]
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    poll.add_argument(
        "config", type=here, metavar="CONFIG", help="a YAML file, such as configs/poll.yaml"
    )
    _takes_settings(poll, "set a field; A=@FILE takes a YAML file")
    poll.add_argument(
        "--out",
        type=place,
        metavar="DIR",
        help=(
            "its folder (default: runs/ and the config's name), or a URI; absolute inside a Ray job"
        ),
    )
    poll.add_argument(
        "--resume",
        action="store_true",
        help="go on with an unfinished poll; what was answered is never asked again",
    )
    _add_dry_run(poll)


def _add_predict(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    predict = commands.add_parser(
        "predict",
        help="which of two answers people prefer: a submission for a test file",
        description=PREDICT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    predict.add_argument(
        "--train", type=here, required=True, metavar="TRAIN", help="battles with winners"
    )
    predict.add_argument("--test", type=here, required=True, metavar="TEST", help="battles without")
    predict.add_argument(
        "--out", type=here, required=True, metavar="OUT", help="a .csv, .jsonl or .parquet file"
    )
    predict.add_argument(
        "--config",
        type=here,
        metavar="CONFIG",
        help=(
            "a config whose reward section says what reads the texts (default: as "
            "configs/people.yaml)"
        ),
    )


def _add_report(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    report = commands.add_parser(
        "report", help="print a finished run's table and draw its report.html again"
    )
    report.add_argument("folder", type=place, metavar="DIR", help="the run's folder, or its URI")


def _add_compare(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    compare = commands.add_parser(
        "compare",
        help="finished runs beside each other: where their rankings and gains agree",
        description=COMPARE,
        epilog=COMPARE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    compare.add_argument(
        "folders",
        type=place,
        nargs="+",
        metavar="DIR",
        help="folders of finished runs, of run or human, or their URIs; at least two",
    )


def _add_route_eval(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    evaluating = commands.add_parser(
        "route-eval",
        help="what routing by a run's rankings is worth, and what it costs",
        description=ROUTE_EVAL,
        epilog=ROUTE_EVAL_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    evaluating.add_argument("folder", type=here, metavar="RUN", help="a finished run's folder")
    evaluating.add_argument(
        "--costs",
        type=here,
        metavar="FILE",
        help=(
            "a table of contestants' costs: columns model and usd_per_1000 (requests), or model, "
            "input and output (USD a million tokens)"
        ),
    )


def _add_serve(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
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
        help="for a file of votes: the column whose values are the users' segments",
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


def _add_keys(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
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


def _add_submit(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    submit = commands.add_parser(
        "submit",
        help="a run as a job on a cluster: sent, followed, and its report fetched",
        description=SUBMIT,
        epilog=SUBMIT_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    submit.add_argument(
        "config", type=here, metavar="CONFIG", help="a YAML file inside the working directory"
    )
    submit.add_argument(
        "--address",
        required=True,
        metavar="URL",
        help="the cluster's dashboard, such as http://127.0.0.1:8265",
    )
    submit.add_argument(
        "--out",
        type=place,
        required=True,
        metavar="DIR",
        help="the run's folder there: absolute, seen by every node, or a URI",
    )
    _takes_settings(submit, "set a field of the config")
    submit.add_argument(
        "--resume", action="store_true", help="go on with an unfinished run in that folder"
    )
    submit.add_argument(
        "--to",
        type=here,
        metavar="DIR",
        help="where the report comes to here (default: runs/ and the name of --out)",
    )
    submit.add_argument(
        "--detach", action="store_true", help="return once the job is there, and fetch nothing"
    )


def _add_fetch(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    fetch = commands.add_parser(
        "fetch", help="copy a finished run to this machine, as `serve` wants it"
    )
    fetch.add_argument(
        "folder", type=place, metavar="DIR|URI", help="the run's folder, such as s3://BUCKET/KEY"
    )
    fetch.add_argument(
        "--to",
        type=here,
        metavar="DIR",
        help="a new folder; without it the report alone is printed, packed, for `submit`",
    )


def _add_status(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    status = commands.add_parser("status", help="how far a run has come, or a cluster's jobs")
    status.add_argument(
        "what",
        metavar="DIR|URI|URL",
        help="a run's folder or URI, or a cluster's dashboard, such as http://127.0.0.1:8265",
    )
