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
    """Whether the poll in the folder, which is of this config, was gone through.

    Args:
        resume: whether one that was not is to be gone on with.

    Raises:
        ElectorateError: it is a poll of another config, or is not to be gone on with.
    """
    complete = bool(folder.read_manifest()["status"] == "complete")
    # Without its config a stopped one was about to make way.
    if complete or folder.config.exists():
        held = config_file.load_as(Poll, folder.config).digest()
        if held != poll.digest():
            raise ElectorateError(
                f"--out {folder.path}: holds a poll of another config (hash {held[:12]}, this one "
                f"{poll.digest()[:12]}); choose another folder"
            )
    if not complete and not resume:
        raise ElectorateError(
            f"--out {folder.path}: holds an unfinished poll of this config; add --resume to go on "
            "with it"
        )
    return complete


def make_way(folder: RunFolder) -> None:
    """Remove what a stopped poll wrote, and nothing else, so that a run can begin in its folder.

    Nothing is lost: what models answered and judged lies in the cache of responses.

    Raises:
        ElectorateError: somebody else works in the folder.
    """
    tables = (folder.personas, folder.prompts, folder.responses, folder.votes_file)
    of_judges = (folder.judgements, folder.rankings, folder.tastes, folder.population)
    made = (folder.path / "ratings", folder.path / "validity.parquet", folder.summary)
    with lock.held(folder.path):
        for place in (*tables, *of_judges, *made, folder.report, folder.log, folder.config):
            files.remove(place)
        # Last: until then the folder is known as a poll's.
        files.remove(folder.manifest)
