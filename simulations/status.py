"""`status`: how far a run has come, from its folder alone; or a cluster's jobs."""

import time
from datetime import UTC, datetime

from rich.console import Console

from electorate.base.errors import ElectorateError
from electorate.config.run import Config
from electorate.data import run_files
from electorate.population.voters import BLOCK
from electorate.rewards import store
from electorate.storage import lock
from electorate.storage.places import ObjectPath, Place, place
from electorate.storage.run_folder import RunFolder
from electorate.storage.vote_log import VoteLog

JOBS = 20  # the last ones


def of_folder(path: Place, console: Console) -> None:
    """What is done, what is under way, and whether anybody works on it.

    Raises ElectorateError if this is no run's folder.
    """
    folder = RunFolder(path)
    manifest = folder.read_manifest()
    state = manifest["status"]
    if state == "running" and not lock.is_held(path):
        where = "" if isinstance(path, ObjectPath) else "running on another machine, or "
        state = f"{where}killed: --resume goes on with it"
    console.print(f"{path}: {manifest.get('kind', 'comparison')}, {state}", highlight=False)
    console.print(
        f"  started {manifest.get('started', '-')}, finished {manifest.get('finished', '-')}",
        highlight=False,
    )
    for stage, counts in manifest.get("stages", {}).items():
        counted = ", ".join(
            f"{name} {value}"
            for name, value in counts.items()
            if isinstance(value, int | float) and name != "seconds"
        )
        console.print(f"  {stage:<10} {counts['seconds']:>9.1f} s  {counted}", highlight=False)
    if manifest.get("kind", "run") == "run" and folder.config.exists():
        _votes(folder, run_files.read_config(folder), console)


def _votes(folder: RunFolder, config: Config, console: Console) -> None:
    """Blocks of each round on disk, how fast they came lately, and System B's epochs."""
    log = VoteLog(folder.votes, config.contestant_names)
    blocks = -(-config.users // BLOCK)
    for round_, votes in enumerate(config.votes.checkpoints):
        if there := log.blocks(round_):
            age = time.time() - max(there.values())
            console.print(
                f"  to {votes} votes a persona: {len(there):,} of {blocks:,} blocks, the last "
                f"{max(0.0, age):.0f} s ago",
                highlight=False,
            )
        if history := store.read_history(store.of_round(folder, round_)):
            line = ", ".join(
                f"{form} {value:.4f}" for form, value in history[-1]["held_out"].items()
            )
            console.print(
                f"  System B: epoch {len(history)} of "
                f"{config.reward.epochs if config.reward else '-'}; held-out log loss {line}",
                highlight=False,
            )


def of_cluster(address: str, console: Console) -> None:
    """A cluster's last jobs, each with the last line it said.

    Raises ElectorateError if nothing answers there.
    """
    from simulations.submit import connect

    client = connect(address)
    jobs = sorted(
        (job for job in client.list_jobs() if job.submission_id),
        key=lambda job: job.start_time or 0,
    )[-JOBS:]
    if not jobs:
        console.print(f"{address}: no jobs yet", highlight=False)
    for job in jobs:
        started = datetime.fromtimestamp((job.start_time or 0) / 1000, UTC).isoformat(
            timespec="seconds"
        )
        console.print(
            f"{job.submission_id}  {job.status.value.lower()}  {started}  {job.entrypoint}",
            highlight=False,
        )
        lines = [
            line for line in client.get_job_logs(job.submission_id).splitlines() if line.strip()
        ]
        if lines:
            console.print(f"    {lines[-1][:160]}", highlight=False)


def show(what: str, console: Console) -> None:
    """Of a cluster where it is a web address, else of a folder."""
    if what.startswith(("http://", "https://")):
        of_cluster(what, console)
        return
    path = place(what).absolute()
    if not path.is_dir():
        raise ElectorateError(
            f"{what}: neither a run's folder nor a cluster's address, such as http://127.0.0.1:8265"
        )
    of_folder(path, console)
