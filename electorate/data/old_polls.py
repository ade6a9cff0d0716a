"""Folders of polls as they were before a poll was a run: they are read, and one that was stopped
is gone on with as a run.
"""

from electorate.base.errors import ElectorateError
from electorate.config import config_file
from electorate.config.poll import Poll
from electorate.storage import files, lock
from electorate.storage.run_folder import RunFolder


def is_one(folder: RunFolder) -> bool:
    """Whether the folder holds such a poll."""
    return folder.manifest.exists() and folder.read_manifest().get("kind") == "poll"


def is_complete(folder: RunFolder, poll: Poll, resume: bool) -> bool:
    """Whether the poll in the folder was gone through; one that was stopped makes way for a run.

    Nothing is lost by that: what models answered and judged lies in the cache of responses.

    Raises:
        ElectorateError: it is a poll of another config, or was stopped and is not to be gone on
            with, or somebody else works in the folder.
    """
    complete = folder.read_manifest()["status"] == "complete"
    # Without its config a stopped one was about to make way.
    if complete or folder.config.exists():
        held = config_file.load_as(Poll, folder.config).digest()
        if held != poll.digest():
            raise ElectorateError(
                f"--out {folder.path}: holds a poll of another config (hash {held[:12]}, this one "
                f"{poll.digest()[:12]}); choose another folder"
            )
    if complete:
        return True
    if not resume:
        raise ElectorateError(
            f"--out {folder.path}: holds an unfinished poll of this config; add --resume to go on "
            "with it"
        )
    with lock.held(folder.path):
        _make_way(folder)
    return False


def _make_way(folder: RunFolder) -> None:
    """Remove what a poll wrote, and nothing else."""
    tables = (folder.personas, folder.prompts, folder.responses, folder.votes_file)
    of_judges = (folder.judgements, folder.rankings, folder.tastes, folder.population)
    made = (folder.path / "ratings", folder.path / "validity.parquet", folder.summary)
    for place in (*tables, *of_judges, *made, folder.report, folder.log, folder.config):
        files.remove(place)
    # Last: until then the folder is known as a poll's.
    files.remove(folder.manifest)
