"""The command line: run a config and draw its report, rate votes, predict people's, import data sets."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from electorate.errors import ElectorateError
from electorate.storage.places import Place
from simulations.arguments import CLASSIC, parser

INTERRUPTED = 130
WRONG = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, 2 for what the user can put right, 130 for Ctrl-C."""
    # A job's log has no width of its own; a table cut to 80 columns would lose its numbers.
    # A line is never broken (a path in two halves is no path); names of models and files are no markup.
    console = Console(width=None if sys.stdout.isatty() else 120, soft_wrap=True, markup=False)
    chosen = argparse.Namespace(command="")
    try:
        chosen = parser().parse_args(arguments)
        COMMANDS[chosen.command](chosen, console)
    except ElectorateError as error:
        print(f"electorate: {error}", file=sys.stderr)
        return WRONG
    except KeyboardInterrupt:
        hint = (
            "; what is done is kept, run again" + (" with --resume" if chosen.command != "sweep" else "") + " to go on"
            if chosen.command in ("run", "poll", "sweep")
            else ""
        )
        print(f"electorate: interrupted{hint}", file=sys.stderr)
        return INTERRUPTED
    return 0


def _run(chosen: argparse.Namespace, console: Console) -> None:
    from electorate import config_file, recorded

    short = {"seed": chosen.seed, "cluster.cohorts": chosen.cohorts, "cluster.address": chosen.address}
    short |= {key: getattr(chosen, key) for _, key, _, _ in CLASSIC}
    settings = [*chosen.settings, *(f"{key}={value}" for key, value in short.items() if value is not None)]
    config = config_file.load(chosen.config, settings)
    incremental = getattr(chosen, "evaluation.incremental")
    if config.reward is not None and incremental is not None:
        # Learning curves of System B ask for a training at each checkpoint.
        config = config_file.load(chosen.config, [*settings, f"reward.incremental={incremental}"])
    config = recorded.with_contestants(config)
    # Ray takes seconds to import; a wrong config should not.
    from simulations import run
    from simulations.report import summary

    summary.show(run.run(config, _out(chosen), chosen.resume, console), console)


def _poll(chosen: argparse.Namespace, console: Console) -> None:
    from electorate import config_file, recorded
    from electorate.polls.config import Poll

    config = recorded.with_contestants(config_file.load_as(Poll, chosen.config, chosen.settings))
    # Ray takes seconds to import; a wrong config should not.
    from simulations import poll
    from simulations.report import poll_page

    poll_page.show(poll.poll(config, _out(chosen), chosen.resume, console), console)


def _out(chosen: argparse.Namespace) -> Place:
    """Where the results go; a Ray job's own folder is no place for them."""
    from cluster.session import in_job

    if in_job() and not (chosen.out and chosen.out.is_absolute()):
        raise ElectorateError(f"--out {chosen.out or '(none)'}: a Ray job's working directory is temporary; give an absolute folder")
    out: Place = chosen.out or Path("runs") / chosen.config.stem
    return out.absolute()


def _sweep(chosen: argparse.Namespace, console: Console) -> None:
    if chosen.seeds < 1:
        raise ElectorateError(f"--seeds {chosen.seeds}: at least 1")
    from simulations.sweep import sweep

    sweep(chosen.config, chosen.settings, chosen.over, chosen.seeds, _out(chosen), console)


def _report(chosen: argparse.Namespace, console: Console) -> None:
    from electorate.storage.run_folder import RunFolder
    from simulations.report import page, poll_page, summary

    folder = RunFolder(chosen.folder.absolute())
    manifest = folder.read_manifest()
    status = manifest["status"]
    if status != "complete":
        raise ElectorateError(f"{chosen.folder}: the run is {status}; finish it with `run CONFIG --out {chosen.folder} --resume` first")
    if not folder.config.exists():
        raise ElectorateError(f"{chosen.folder}: holds no run's config; only a run has a report, other comparisons have their tables")
    if manifest.get("kind") == "poll":
        poll_page.write(folder)
        poll_page.show(folder, console)
        return
    page.write(folder)
    summary.show(folder, console)


def _rate(chosen: argparse.Namespace, console: Console) -> None:
    from simulations.rate import Options, rate

    options = Options(chosen.ties, chosen.cluster, chosen.intervals, chosen.weigh, chosen.style)
    rate(chosen.votes, options, chosen.anchor, chosen.out, console)


def _import(chosen: argparse.Namespace, console: Console) -> None:
    from simulations.importing import import_data

    import_data(chosen.format, chosen.path, chosen.out, console)


def _human(chosen: argparse.Namespace, console: Console) -> None:
    from simulations.human import human

    human(chosen.votes, chosen.out, chosen.ties, chosen.reward, console)


def _predict(chosen: argparse.Namespace, console: Console) -> None:
    from simulations.predict import predict

    predict(chosen.train, chosen.test, chosen.out, chosen.config, console)


def _serve(chosen: argparse.Namespace, console: Console) -> None:
    from serve.settings import Settings
    from simulations import serving

    serving.serve(Settings(folder=chosen.folder, keys=chosen.keys, live=chosen.live), chosen.host, chosen.port, chosen.address, console)


def _submit(chosen: argparse.Namespace, console: Console) -> None:
    from simulations.submit import submit

    submit(chosen.config, chosen.settings, chosen.address, chosen.out, chosen.resume, to=chosen.to, detach=chosen.detach, console=console)


def _fetch(chosen: argparse.Namespace, _: Console) -> None:
    from simulations.submit import fetch

    fetch(chosen.folder.absolute(), chosen.to)


def _status(chosen: argparse.Namespace, console: Console) -> None:
    from simulations import status

    status.show(chosen.what, console)


def _keys(chosen: argparse.Namespace, console: Console) -> None:
    from simulations import serving

    serving.keys(chosen.file, chosen.name, chosen.may, console)


COMMANDS = {
    "run": _run,
    "poll": _poll,
    "predict": _predict,
    "sweep": _sweep,
    "rate": _rate,
    "human": _human,
    "import": _import,
    "report": _report,
    "serve": _serve,
    "keys": _keys,
    "submit": _submit,
    "fetch": _fetch,
    "status": _status,
}
