"""Folders of polls as they were before a poll was a run: they are read, and one that was stopped
is gone on with as a run.
"""

from electorate.base.errors import ElectorateError
from electorate.config import config_file
from electorate.config.poll import Poll
from electorate.storage import files
from electorate.storage.lock import LOCK
from electorate.storage.places import listing
from electorate.storage.run_folder import RunFolder


def is_one(folder: RunFolder) -> bool:
    """Whether the folder holds such a poll."""
    return folder.manifest.exists() and folder.read_manifest().get("kind") == "poll"


def is_complete(folder: RunFolder, poll: Poll, resume: bool) -> bool:
    """Whether the poll in the folder was gone through; one that was stopped makes way for a run.

    Nothing is lost by that: what models answered and judged lies in the cache of responses.

    Raises:
        ElectorateError: it is a poll of another config, or was stopped and is not to be gone on
            with.
    """
    held = config_file.load_as(Poll, folder.config).digest()
    if held != poll.digest():
        raise ElectorateError(
            f"--out {folder.path}: holds a poll of another config (hash {held[:12]}, this one "
            f"{poll.digest()[:12]}); choose another folder"
        )
    if folder.read_manifest()["status"] == "complete":
        return True
    if not resume:
        raise ElectorateError(
            f"--out {folder.path}: holds an unfinished poll of this config; add --resume to go on "
            "with it"
        )
    for name in listing(folder.path):
        if name not in (LOCK, folder.manifest.name):
            files.remove(folder.path / name)
    # Last: until then the folder is known as a poll's.
    files.remove(folder.manifest)
    return False
