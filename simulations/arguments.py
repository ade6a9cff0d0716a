"""What the command line takes: every command, its options, and its `--help`."""

import argparse
from pathlib import Path

from electorate.storage.places import place

# The options of single-persona experiments, each an alias of a config key.
CLASSIC: tuple[tuple[str, str, type, str], ...] = (
    ("--persona", "evaluation.persona", str, "compare on one persona of this archetype, and print the two-system table"),
    ("--num-prompts", "prompts.per_archetype", int, "prompts an archetype"),
    ("--eval-freq", "votes.eval_freq", int, "compare after every so many votes"),
    ("--lambda-reg", "ratings.lambda_reg", float, "how strongly System A draws a user toward its archetype"),
    (
        "--incremental",
        "evaluation.incremental",
        bool,
        "compare at every checkpoint (the default), and train System B at each too; or at the last alone",
    ),
)
DEFAULT_OVER = "population.heterogeneity=0,0.5,1,2"
EXAMPLES = """examples:
  python -m simulations run configs/quickstart.yaml
  python -m simulations run configs/quickstart.yaml --set population.size=50000 --out runs/larger
  python -m simulations run configs/quickstart.yaml --set population.heterogeneity=0 --seed 3 --out runs/null
  python -m simulations run configs/quickstart.yaml --persona coder --num-prompts 12 --eval-freq 10
  python -m simulations report runs/quickstart
  ray job submit --working-dir . -- python -m simulations run configs/quickstart.yaml --out /absolute/folder
"""


RATE = """Bradley-Terry ratings, their 95% intervals (sandwich), rank ranges, votes and win rates.

columns of VOTES: model_a, model_b, winner (model_a, model_b, tie or tie (bothbad)); optionally user_id (or judge),
prompt_id (or question_id), weight; for --style response_a, response_b. Rows that are no votes are left out and counted by reason.
columns of --out: model, rating, ci_low, ci_high, rank_low, rank_high, votes"""
HUMAN = """Held-out log loss, accuracy, Brier score and calibration error of every system on the votes of real people.

Each vote is predicted from the votes on other prompts: 5 folds that share no prompt, 4 fold seeds.
columns of VOTES: model_a, model_b, winner, user_id (or judge), prompt_id (or question_id), with --reward also
prompt, response_a, response_b; every vote counts once.
DIR gets metrics.parquet, gains.parquet (differences to global_bt), predictions.parquet and summary.json."""
PREDICT = """Which of two answers people prefer: learned from TRAIN, a CSV of the LMSYS Chatbot Arena competition (id, model_a,
model_b, prompt, response_a, response_b, winner_model_a, winner_model_b, winner_tie), told for TEST (id, prompt, response_a, response_b).

OUT gets id, winner_model_a, winner_model_b, winner_tie: probabilities from the texts, averaged over both orders of the answers. Log loss
on one prompt in 8 of TRAIN, from which nothing is learned, is printed beside the shares of outcomes (class_prior), Bradley-Terry
ratings of the models (elo_only, which a test without names cannot have) and answers' length (length_only)."""
POLL = """Language models read personas' cards and judge battles for them, always in both orders: the votes and the leaderboard they
give, each persona's own rankings as ground truth, and beside them how far the judges can be believed (swapped orders, repeats, other
judges, people's votes, pleas for the vote), each against chance or people.

DIR gets votes.parquet (for rate, human and predict), judgements.parquet, rankings.parquet, validity.parquet, report.html, and
population.yaml: planted tastes like the judged ones, for a run with any number of personas. Every field of the config is
described in electorate/polls/config.py."""
POLL_EXAMPLES = """examples:
  python -m simulations poll configs/poll.yaml
  python -m simulations poll configs/poll.yaml --set personas.source=data/personas.jsonl --set checks.people=votes.parquet --out runs/people
  python -m simulations run configs/quickstart.yaml --set population=@runs/poll/population.yaml --out runs/calibrated
"""
SERVE = """Personal rankings over HTTP, votes taken as they come, and a page at / to look at both.

Votes are acknowledged once they are on disk, in DIR/online; started again, it goes on from there. The API is described at
/openapi.json; on a cluster use `serve run serve.app:app folder=DIR` or `serve deploy configs/serve.yaml`."""
SERVE_EXAMPLES = """examples:
  python -m simulations serve runs/quickstart
  python -m simulations serve runs/reward --live
  python -m simulations keys keys.json my-app --may read,vote
  python -m simulations serve runs/quickstart --host 0.0.0.0 --keys keys.json
"""
SUBMIT = """The same run as a job on a Ray cluster. The working directory is sent (but for what .rayignore names), the job's log is
shown as it comes, and report.html, summary.json and metrics.parquet come back when it is done. Ctrl-C stops following, not the job."""
SUBMIT_EXAMPLES = """examples:
  python -m simulations submit configs/population.yaml --address http://127.0.0.1:8265 --out /shared/runs/million
  python -m simulations submit configs/quickstart.yaml --address http://127.0.0.1:8265 --out /shared/runs/q --set population.size=50000
  python -m simulations submit configs/population.yaml --address http://127.0.0.1:8265 --out s3://BUCKET/runs/million
  python -m simulations status http://127.0.0.1:8265
  python -m simulations fetch s3://BUCKET/runs/million --to runs/million
"""
IMPORT = """Turn a public data set into votes.parquet (for `rate`) and responses.parquet (for `engine: recorded`).
Rows that cannot be used go to set_aside.jsonl with their reason.

  lmsys        the Kaggle CSV of the LMSYS Chatbot Arena competition
  mtbench      MT-bench human judgements
  alpaca-eval  model_outputs.json and annotations.json, or a folder of them
  personas     attributes of people as JSON or JSON Lines: personas.jsonl, the cards of `poll`
  prism        PRISM's utterances.jsonl: opening turns, each pair of scored answers a vote
  jsonl        any votes as JSON Lines: model_a, model_b, winner; optionally user_id, prompt_id, weight and texts"""
SWEEP = """The same run at several values of one config key, each with several population seeds; then, for every value and number of
votes, which system wins, overall and on unseen prompts, with intervals over seeds. DIR gets a run's folder each,
metrics.parquet, wins.parquet, summary.json and report.html."""
SWEEP_EXAMPLES = """examples:
  python -m simulations sweep configs/quickstart.yaml --out runs/heterogeneity
  python -m simulations sweep configs/quickstart.yaml --over votes.pairing=uniform,active --out runs/pairing
  python -m simulations sweep configs/quickstart.yaml --over ratings.forgetting=1,0.8 --set population.drift=0.5 --out runs/drift
"""
RATE_EXAMPLES = """examples:
  python -m simulations rate votes.csv
  python -m simulations rate votes.parquet --ties davidson --cluster prompt --anchor gpt-4-0613=1163 --out board.csv
  python -m simulations rate battles.parquet --style --weigh pairs
"""


def _here(text: str) -> Path:
    """A path on this machine."""
    if "://" in text:
        raise argparse.ArgumentTypeError(f"{text}: a path on this machine is needed; `fetch URI --to DIR` copies a run here")
    return Path(text)


def parser() -> argparse.ArgumentParser:
    """Of all commands."""
    whole = argparse.ArgumentParser(
        prog="electorate",
        description="A simulated electorate that ranks language models: do personal rankings beat the global one?",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = whole.add_subparsers(dest="command", required=True)

    run = commands.add_parser(
        "run",
        help="do a run: ask contestants, vote, rate, compare, report",
        description="Do a run from its YAML config, or the rest of one. Every field of the config is described in electorate/config.py.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument("config", type=_here, metavar="CONFIG", help="a YAML file, such as configs/quickstart.yaml")
    run.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="A.B=C",
        help="set a field of the config; may be given again; A=@FILE takes a YAML file",
    )
    run.add_argument(
        "--out",
        type=place,
        metavar="DIR",
        help="the run's folder (default: runs/ and the config's name), or s3://BUCKET/KEY, gs://BUCKET/KEY; absolute inside a Ray job",
    )
    run.add_argument("--resume", action="store_true", help="go on with an unfinished run in that folder; nothing done is done again")
    run.add_argument("--seed", type=int, metavar="N", help="short for --set seed=N")
    run.add_argument("--cohorts", type=int, metavar="N", help="short for --set cluster.cohorts=N; changes speed, never a result")
    for option, key, kind, meaning in CLASSIC:
        help_ = f"short for --set {key}=...; {meaning}"
        if kind is bool:
            run.add_argument(option, dest=key, action=argparse.BooleanOptionalAction, help=help_)
        else:
            run.add_argument(option, dest=key, type=kind, metavar={str: "ARCHETYPE", int: "N", float: "X"}[kind], help=help_)
    run.add_argument("--address", metavar="ADDRESS", help="short for --set cluster.address=ADDRESS; none starts Ray on this machine")

    sweep = commands.add_parser(
        "sweep",
        help="the same run at several settings and seeds: where each system wins",
        description=SWEEP,
        epilog=SWEEP_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    sweep.add_argument("config", type=_here, metavar="CONFIG", help="a YAML file, such as configs/quickstart.yaml")
    sweep.add_argument(
        "--over", default=DEFAULT_OVER, metavar="KEY=V,V,...", help=f"the config key and its values (default {DEFAULT_OVER})"
    )
    sweep.add_argument("--seeds", type=int, default=5, metavar="N", help="population seeds 0 to N-1 at each value (default 5)")
    sweep.add_argument("--set", dest="settings", action="append", default=[], metavar="A.B=C", help="set a field of the config in all runs")
    sweep.add_argument("--out", type=place, required=True, metavar="DIR", help="a folder for all runs; a stopped sweep goes on there")

    poll = commands.add_parser(
        "poll",
        help="language models judge for personas: votes, rankings, and how far they can be believed",
        description=POLL,
        epilog=POLL_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    poll.add_argument("config", type=_here, metavar="CONFIG", help="a YAML file, such as configs/poll.yaml")
    poll.add_argument("--set", dest="settings", action="append", default=[], metavar="A.B=C", help="set a field; A=@FILE takes a YAML file")
    poll.add_argument(
        "--out", type=place, metavar="DIR", help="its folder (default: runs/ and the config's name), or a URI; absolute inside a Ray job"
    )
    poll.add_argument("--resume", action="store_true", help="go on with an unfinished poll; what was answered is never asked again")

    _add_rate(commands)

    human = commands.add_parser(
        "human",
        help="how well each system predicts real people's votes",
        description=HUMAN,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    human.add_argument("votes", type=_here, metavar="VOTES", help="a .csv, .jsonl, .json or .parquet file")
    human.add_argument("--out", type=place, required=True, metavar="DIR", help="an empty or new folder for the comparison")
    human.add_argument("--reward", type=_here, metavar="CONFIG", help="a config whose reward section names a model: adds System B")
    human.add_argument("--ties", choices=("half", "davidson", "rao_kupper"), default="davidson", help="tie model (default davidson)")

    predict = commands.add_parser(
        "predict",
        help="which of two answers people prefer: a submission for a test file",
        description=PREDICT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    predict.add_argument("--train", type=_here, required=True, metavar="TRAIN", help="battles with winners")
    predict.add_argument("--test", type=_here, required=True, metavar="TEST", help="battles without")
    predict.add_argument("--out", type=_here, required=True, metavar="OUT", help="a .csv, .jsonl or .parquet file")
    predict.add_argument(
        "--config",
        type=_here,
        metavar="CONFIG",
        help="a config whose reward section says what reads the texts (default: as configs/people.yaml)",
    )

    importing = commands.add_parser(
        "import",
        help="a public data set as votes.parquet and responses.parquet",
        description=IMPORT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    importing.add_argument("format", choices=("lmsys", "mtbench", "alpaca-eval", "personas", "prism", "jsonl"))
    importing.add_argument("path", type=_here, metavar="PATH", help="the data set's file, or for alpaca-eval and prism its folder")
    importing.add_argument("--out", type=_here, required=True, metavar="DIR", help="where the tables go")

    _add_serve(commands)
    _add_cluster(commands)

    report = commands.add_parser("report", help="print a finished run's table and draw its report.html again")
    report.add_argument("folder", type=place, metavar="DIR", help="the run's folder, or its URI")
    return whole


def _add_serve(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    serving = commands.add_parser(
        "serve",
        help="the ranking endpoint and its page, over a finished run or over nothing yet",
        description=SERVE,
        epilog=SERVE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    serving.add_argument("folder", type=_here, metavar="DIR", help="a finished run's folder, or a new one to begin with no votes")
    serving.add_argument("--host", default="127.0.0.1", help="where it listens (default: this machine alone); any other needs --keys")
    serving.add_argument("--port", type=int, default=8000, help="default 8000")
    serving.add_argument("--keys", type=_here, metavar="FILE", help="who may read, vote and erase, as `keys` writes it")
    serving.add_argument(
        "--live", action="store_true", help="ask the run's contestants for rankings with `live: true`; starts its vLLM models too"
    )
    serving.add_argument("--address", metavar="ADDRESS", help="a Ray cluster's; default: a Ray of its own on this machine")

    keys = commands.add_parser("keys", help="make a key for the ranking endpoint")
    keys.add_argument("file", type=_here, metavar="FILE", help="where its hash is kept, made if it is not there")
    keys.add_argument("name", metavar="NAME", help="whose it is; the audit log names it")
    keys.add_argument("--may", default="read,vote", metavar="LIST", help="of read, vote, erase (default read,vote)")


def _add_cluster(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    submit = commands.add_parser(
        "submit",
        help="a run as a job on a cluster: sent, followed, and its report fetched",
        description=SUBMIT,
        epilog=SUBMIT_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    submit.add_argument("config", type=_here, metavar="CONFIG", help="a YAML file inside the working directory")
    submit.add_argument("--address", required=True, metavar="URL", help="the cluster's dashboard, such as http://127.0.0.1:8265")
    submit.add_argument(
        "--out", type=place, required=True, metavar="DIR", help="the run's folder there: absolute, seen by every node, or a URI"
    )
    submit.add_argument("--set", dest="settings", action="append", default=[], metavar="A.B=C", help="set a field of the config")
    submit.add_argument("--resume", action="store_true", help="go on with an unfinished run in that folder")
    submit.add_argument("--to", type=_here, metavar="DIR", help="where the report comes to here (default: runs/ and the name of --out)")
    submit.add_argument("--detach", action="store_true", help="return once the job is there, and fetch nothing")

    fetch = commands.add_parser("fetch", help="copy a finished run to this machine, as `serve` wants it")
    fetch.add_argument("folder", type=place, metavar="DIR|URI", help="the run's folder, such as s3://BUCKET/KEY")
    fetch.add_argument("--to", type=_here, metavar="DIR", help="a new folder; without it the report alone is printed, packed, for `submit`")

    status = commands.add_parser("status", help="how far a run has come, or a cluster's jobs")
    status.add_argument(
        "what", metavar="DIR|URI|URL", help="a run's folder or URI, or a cluster's dashboard, such as http://127.0.0.1:8265"
    )


def _add_rate(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    rate = commands.add_parser(
        "rate",
        help="a leaderboard from any file of votes",
        description=RATE,
        epilog=RATE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    rate.add_argument("votes", type=_here, metavar="VOTES", help="a .csv, .jsonl, .json or .parquet file")
    rate.add_argument(
        "--ties", choices=("half", "davidson", "rao_kupper"), default="half", help="tie model; half counts a tie as half a win (default)"
    )
    rate.add_argument("--cluster", choices=("prompt", "user"), help="intervals that take votes on one prompt, or of one user, as dependent")
    rate.add_argument(
        "--intervals", choices=("sandwich", "bootstrap"), default="sandwich", help="from scores (default), or by drawing votes anew"
    )
    rate.add_argument(
        "--weigh",
        choices=("votes", "pairs"),
        default="votes",
        help="every vote alike (default), or every pair of models, however often it met",
    )
    rate.add_argument(
        "--style", action="store_true", help="hold length, headers, lists, bold and code equal; needs response_a and response_b"
    )
    rate.add_argument(
        "--anchor", metavar="MODEL=RATING", help="shift all ratings so that this model has this one (default: their mean is 1000)"
    )
    rate.add_argument("--out", type=_here, metavar="FILE", help="write the leaderboard to a .csv, .jsonl or .parquet file")
