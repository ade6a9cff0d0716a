"""What the commands that need no cluster take: their options and `--help`."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from electorate.commands.parser import Parser
from electorate.importers.registry import IMPORTERS
from electorate.ratings import ties
from electorate.storage.places import place

RATE = """Rate models by Bradley-Terry: ratings, 95% intervals, rank ranges, votes and win rates.

Intervals are sandwich intervals, clustered by prompt and by user where VOTES names them.

columns of VOTES: model_a, model_b, winner (model_a, model_b, tie or tie (bothbad)); optionally
user_id (or judge), prompt_id (or question_id), weight; for --style response_a, response_b. Invalid
rows are skipped and counted by reason. A row without model_b whose winner is up or down is a thumb
on one answer, against its user's own threshold.
columns of --out: model, rating, ci_low, ci_high, rank_low, rank_high, votes"""
RATE_EXAMPLES = """examples:
  electorate rate votes.csv
  electorate rate votes.parquet --ties half --cluster none --anchor gpt-4-0613=1163 --out board.csv
  electorate rate battles.parquet --style --weigh pairs
  electorate rate votes.parquet --by language --matrix --out board.html
  electorate rate people.parquet --judged judge.parquet
"""
HUMAN = """Do personal rankings beat the global one for these people? A verdict, by how much, from
how many votes of a new user on, and for whom.

Each vote is predicted from the votes on other prompts, by cross-validation: 5 folds over prompts,
repeated with 4 seeds. A new user's are predicted from other users' votes and the first few of their
own.

columns of VOTES: model_a, model_b, winner, user_id (or judge), prompt_id (or question_id); with
--reward also prompt, response_a, response_b; optionally weight. A system whose fit does not
converge is marked * and uses the global ranking.
DIR gets report.html, metrics.parquet, gains.parquet (differences to global_bt), summary.json,
predictions.parquet, ratings/leaderboard.parquet and ratings/people.parquet (everybody's own
ratings); `serve DIR` ranks for these people by name."""
DOCTOR = """Check this machine's requirements, one per line: Python and packages, GPU and driver,
memory, shared memory, disk, ports, Ray's token, the model hub and the clock.

With a run's CONFIG also what that run needs: its packages and GPUs, its models on the hub and their
licences, and whether its endpoints answer. Nothing is started and no model is asked. Lines begin
with ok, note (some uses need it) or missing (then the exit code is 2)."""
DOCTOR_EXAMPLES = """examples:
  electorate doctor
  electorate doctor configs/reward_gpu.yaml
"""
CALIBRATE = """Fit simulated voters to people's votes, so that they agree, tie and repeat as those
people do: how strong their tastes are, for models and for style, how closely they follow the
ranking, how good single responses are, and where ties begin.

Statistics of people's votes stand beside those of simulated voters on the same battles. The file
that is written is a run's config, with the people's prompts and responses: `run` then says what
personal rankings would give such users, however many.

columns of VOTES: model_a, model_b, winner, user_id (or judge), prompt, response_a, response_b;
optionally first_shown."""
CALIBRATE_EXAMPLES = """examples:
  electorate calibrate votes.parquet --out population.yaml
  electorate run population.yaml --cohorts 0
"""
IMPORT = """Convert a public data set to votes.parquet (for `rate`) and responses.parquet (for
`engine: recorded`). Rows that cannot be used go to set_aside.jsonl with the reason."""
INSTALLED = """examples:
  electorate rate votes.csv
  electorate import jsonl votes.jsonl --out imported
  electorate human imported/votes.parquet --out comparison

Simulations, polls and the ranking endpoint run from a checkout of the project.
"""
Commands = argparse._SubParsersAction  # which argparse gives no public name


def parser() -> argparse.ArgumentParser:
    """Of the commands that need no cluster."""
    whole: argparse.ArgumentParser = Parser(
        prog="electorate",
        description="Do personal rankings of language models beat the global one?",
        epilog=INSTALLED,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = whole.add_subparsers(dest="command", required=True)
    add_rate(commands)
    add_human(commands)
    add_calibrate(commands)
    add_import(commands)
    add_doctor(commands)
    return whole


def takes_settings(parser: argparse.ArgumentParser, meaning: str) -> None:
    """Add `--set`. meaning: what its help says."""
    parser.add_argument(
        "--set", dest="settings", action="append", default=[], metavar="A.B=C", help=meaning
    )


def listed(title: str, things: Mapping[str, Any]) -> str:
    """A registry for `--help`: a line for each thing."""
    width = max(map(len, things))
    lines = [f"  {name:<{width}}  {thing.label}" for name, thing in things.items()]
    return "\n".join([f"{title}:", *lines]) + "\n"


def here(text: str) -> Path:
    """A path on this machine."""
    if "://" in text:
        raise argparse.ArgumentTypeError(
            f"{text}: a path on this machine is needed; `fetch URI --to DIR` copies a run here"
        )
    return Path(text)


def add_rate(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Add `rate`."""
    rate = commands.add_parser(
        "rate",
        help="a leaderboard from any file of votes",
        description=RATE,
        epilog=RATE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    rate.add_argument(
        "votes", type=here, metavar="VOTES", help="a .csv, .jsonl, .json or .parquet file"
    )
    _add_fitting(rate)
    rate.add_argument(
        "--judged",
        type=here,
        metavar="FILE",
        help=(
            "a model's votes on many battles, corrected by people's where both judged the same one "
            "(both files need prompt_id)"
        ),
    )
    rate.add_argument(
        "--anchor",
        metavar="MODEL=RATING",
        help="shift all ratings so that this model has this one (default: their mean is 1000)",
    )
    rate.add_argument(
        "--out",
        type=here,
        metavar="FILE",
        help="write the leaderboard to a .csv, .jsonl or .parquet file, or a .html page",
    )
    _add_boards(rate)


def _add_boards(rate: argparse.ArgumentParser) -> None:
    """What is shown beside the board."""
    rate.add_argument(
        "--by", metavar="COLUMN", help="a board for each value of a column too, such as language"
    )
    rate.add_argument("--matrix", action="store_true", help="print who beats whom")
    rate.add_argument(
        "--winner",
        default="winner",
        metavar="COLUMNS",
        help=(
            "comma-separated columns that say who won (default winner); with n columns each is a "
            "vote of weight 1/n"
        ),
    )
    rate.add_argument(
        "--simultaneous",
        action="store_true",
        help="rank ranges that hold for all models at once, rather than for each",
    )


def _add_fitting(rate: argparse.ArgumentParser) -> None:
    """How the board is fitted."""
    rate.add_argument(
        "--ties",
        choices=tuple(ties.MODELS),
        default=ties.DEFAULT,
        help="tie model (default %(default)s); half counts a tie as half a win",
    )
    rate.add_argument(
        "--cluster",
        choices=("prompt", "user", "both", "none"),
        help=(
            "cluster the intervals by prompt, by user or by both (default: by what the file names "
            "at least ten of)"
        ),
    )
    rate.add_argument(
        "--intervals",
        choices=("sandwich", "bootstrap"),
        default="sandwich",
        help="from scores (default), or by drawing votes anew",
    )
    rate.add_argument(
        "--weigh",
        choices=("votes", "pairs"),
        default="votes",
        help="every vote alike (default), or every pair of models, however often it met",
    )
    rate.add_argument(
        "--style",
        action="store_true",
        help="hold length, headers, lists, bold, code and emoji equal; needs both responses",
    )


def add_human(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Add `human`."""
    human = commands.add_parser(
        "human",
        help="how well each system predicts real people's votes",
        description=HUMAN,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    human.add_argument(
        "votes", type=here, metavar="VOTES", help="a .csv, .jsonl, .json or .parquet file"
    )
    human.add_argument(
        "--out",
        type=place,
        required=True,
        metavar="DIR",
        help="an empty or new folder for the comparison",
    )
    human.add_argument(
        "--reward",
        type=here,
        metavar="CONFIG",
        help="a config whose reward section names a model: adds System B",
    )
    human.add_argument(
        "--by",
        metavar="COLUMN",
        help="a column of VOTES, such as a language or a topic: System A's gain by its values too",
    )
    human.add_argument(
        "--ties",
        choices=tuple(ties.MODELS),
        default=ties.DEFAULT,
        help="tie model (default %(default)s)",
    )


def add_calibrate(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Add `calibrate`."""
    calibrate = commands.add_parser(
        "calibrate",
        help="simulated voters that vote as the people of a file do",
        description=CALIBRATE,
        epilog=CALIBRATE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    calibrate.add_argument(
        "votes", type=here, metavar="VOTES", help="a .csv, .jsonl, .json or .parquet file"
    )
    calibrate.add_argument(
        "--out",
        type=here,
        default=Path("population.yaml"),
        metavar="FILE",
        help="the config to write (default %(default)s); the responses go beside it",
    )
    calibrate.add_argument(
        "--by",
        metavar="COLUMN",
        help="a column of VOTES whose values are the archetypes (default: one for all)",
    )


def add_doctor(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Add `doctor`."""
    checking = commands.add_parser(
        "doctor",
        help="what this machine has of what is needed, a line a thing",
        description=DOCTOR,
        epilog=DOCTOR_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    checking.add_argument(
        "config",
        nargs="?",
        type=here,
        metavar="CONFIG",
        help="a run's, whose needs are checked too",
    )


def add_import(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Add `import`."""
    importing = commands.add_parser(
        "import",
        help="a public data set as votes.parquet and responses.parquet",
        description=f"{IMPORT}\n\n{listed('data sets', IMPORTERS)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    importing.add_argument(
        "format", choices=tuple(IMPORTERS), metavar="FORMAT", help=", ".join(IMPORTERS)
    )
    importing.add_argument(
        "path",
        type=here,
        metavar="PATH",
        help="the data set's file, or for alpaca-eval and prism its folder",
    )
    importing.add_argument(
        "--out", type=here, required=True, metavar="DIR", help="where the tables go"
    )
