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
    takes_settings,
)
from electorate.commands.parser import Parser
from electorate.config.engines import ENGINES
from electorate.config.metrics import METRICS
from electorate.config.modes import MODES
from electorate.config.systems import SYSTEMS
from electorate.config.voters import VOTERS
from electorate.ratings import ties
from electorate.storage.places import place
from simulations import cluster_arguments, serving_arguments
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
POLL = """Let language models vote as personas: a run whose config is shorter.

A judge model reads a persona's card and judges battles for it, always in both orders. `poll` is
`run` with the fields of `voters` (kind: model) at the top of the config, and `battles` for the
votes a persona; System A (and B, with a `reward` section), the comparison, the report and `serve`
follow as after any run. Beside them the report shows how valid the judges are: consistency under
swapped orders and repeats, agreement with other judges and with people, and robustness to responses
that ask for the vote, each against chance or people.

DIR also gets votes.parquet (for rate, human and predict), judgements.parquet, rankings.parquet,
validity.parquet, and population.yaml: a planted population with tastes fitted to these votes, for a
run with any number of personas. electorate/config/judging.py and poll.py describe every field of
the config."""
POLL_EXAMPLES = """examples:
  electorate poll configs/poll.yaml
  electorate poll configs/poll.yaml --set personas.source=data/personas.jsonl \\
    --set checks.people=votes.parquet --out runs/people
  electorate serve runs/poll
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
    """The parser of all commands."""
    whole: argparse.ArgumentParser = Parser(
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
    serving_arguments.add_route_eval(commands)
    serving_arguments.add_serve(commands)
    serving_arguments.add_keys(commands)
    cluster_arguments.add_submit(commands)
    cluster_arguments.add_fetch(commands)
    cluster_arguments.add_status(commands)
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
            "Do a run from its YAML config, or finish one with --resume. The files of "
            "electorate/config/ describe every field of the config."
        ),
        epilog=_run_epilog(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument(
        "config", type=here, metavar="CONFIG", help="a YAML file, such as configs/quickstart.yaml"
    )
    takes_settings(run, "set a field of the config; may be given again; A=@FILE takes a YAML file")
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
        help="continue an unfinished run in that folder; finished steps are skipped",
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
    takes_settings(sweep, "set a field of the config in all runs")
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
            "a run whose voters are language models: votes, rankings, and how far to believe them"
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
    takes_settings(poll, "set a field; A=@FILE takes a YAML file")
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
        help="go on with an unfinished one; what was answered is never asked again",
    )
    _add_dry_run(poll)
    _add_short(poll)


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
