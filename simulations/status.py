"""`status`: how far a run has come, from its folder alone; or a cluster's jobs."""

import fcntl
import os
import time
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from electorate import config_file
from electorate.config import Config
from electorate.errors import ElectorateError
from electorate.personas import BLOCK
from electorate.rewards import store
from electorate.storage.run_folder import LOCK, RunFolder
from electorate.storage.vote_log import VoteLog

JOBS = 20  # the last ones


def of_folder(path: Path, console: Console) -> None:
    """What is done, what is under way, and whether anybody works on it. Raises ElectorateError if this is no run's folder."""
    folder = RunFolder(path)
    manifest = folder.read_manifest()
    state, working = manifest["status"], _is_held(path)
    if state == "running" and not working:
        state = "running on another machine, or killed: --resume says which"
    console.print(f"{path}: {manifest.get('kind', 'comparison')}, {state}", highlight=False)
    console.print(f"  started {manifest.get('started', '-')}, finished {manifest.get('finished', '-')}", highlight=False)
    for stage, counts in manifest.get("stages", {}).items():
        said = ", ".join(f"{name} {value}" for name, value in counts.items() if isinstance(value, int | float) and name != "seconds")
        console.print(f"  {stage:<10} {counts['seconds']:>9.1f} s  {said}", highlight=False)
    if manifest.get("kind", "run") == "run" and folder.config.exists():
        _votes(folder, config_file.load(folder.config), console)


def _votes(folder: RunFolder, config: Config, console: Console) -> None:
    """Blocks of each round on disk, how fast they came lately, and System B's epochs."""
    log, blocks = VoteLog(folder.votes, config.contestant_names), -(-config.population.size // BLOCK)
    for round_, votes in enumerate(config.votes.checkpoints):
        there = [log.path(round_, block) for block in range(blocks) if log.has(round_, block)]
        if there:
            age = time.time() - max(path.stat().st_mtime for path in there)
            console.print(
                f"  to {votes} votes a persona: {len(there):,} of {blocks:,} blocks, the last {max(0.0, age):.0f} s ago", highlight=False
            )
        if history := store.read_history(store.of_round(folder, round_)):
            told = ", ".join(f"{form} {value:.4f}" for form, value in history[-1]["held_out"].items())
            console.print(
                f"  System B: epoch {len(history)} of {config.reward.epochs if config.reward else '-'}; held-out log loss {told}",
                highlight=False,
            )


def _is_held(path: Path) -> bool:
    """Whether a process on this machine works on the folder."""
    try:
        handle = os.open(path / LOCK, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def of_cluster(address: str, console: Console) -> None:
    """A cluster's last jobs, each with the last line it said. Raises ElectorateError if nothing answers there."""
    from simulations.submit import connect

    client = connect(address)
    jobs = sorted((job for job in client.list_jobs() if job.submission_id), key=lambda job: job.start_time or 0)[-JOBS:]
    if not jobs:
        console.print(f"{address}: no jobs yet", highlight=False)
    for job in jobs:
        started = datetime.fromtimestamp((job.start_time or 0) / 1000, UTC).isoformat(timespec="seconds")
        console.print(f"{job.submission_id}  {job.status.value.lower()}  {started}  {job.entrypoint}", highlight=False)
        said = [line for line in client.get_job_logs(job.submission_id).splitlines() if line.strip()]
        if said:
            console.print(f"    {said[-1][:160]}", highlight=False)


def show(what: str, console: Console) -> None:
    """Of a cluster where it is a URL, else of a folder."""
    if "://" in what:
        of_cluster(what, console)
        return
    path = Path(what).absolute()
    if not path.is_dir():
        raise ElectorateError(f"{what}: neither a run's folder nor a cluster's address, such as http://127.0.0.1:8265")
    of_folder(path, console)
