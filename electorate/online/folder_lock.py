"""The lock of a folder of online votes: one process at a time has it."""

import fcntl
import os
import socket
import time
from pathlib import Path


def acquire(folder: Path, wait: bool) -> int:
    """The folder's lock, as a descriptor that holds it until it is closed.

    Raises BlockingIOError where another process has it and this one does not wait.
    """
    handle = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(handle)
        raise
    who = f"process {os.getpid()} on {socket.gethostname()} since {time.ctime()}"
    os.ftruncate(handle, 0)
    os.pwrite(handle, who.encode(), 0)
    return handle


def holder(folder: Path) -> str | None:
    """Who has the folder open, in words; None if nobody has."""
    if not folder.is_dir():
        return None
    try:
        os.close(acquire(folder, wait=False))
    except BlockingIOError:
        return (folder / ".lock").read_text(encoding="utf-8") or "another process"
    return None
