"""One run at a time in a folder.

On a disk the operating system keeps the lock, which goes with the process however it ends. In an
object store it is an object that its holder writes anew every BEAT_S seconds: whoever finds one
watches it for a while, and takes it over if it stands still. That asks nothing of anybody's clock.
Two that begin within the same second may both go on there; they write the same votes.
"""

import fcntl
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from electorate.base.errors import ElectorateError
from electorate.storage.places import ObjectPath, Place

LOCK = ".lock"
BEAT_S = 5.0
WATCHED_S = 4 * BEAT_S


@contextmanager
def held(folder: Place) -> Iterator[None]:
    """Hold the folder for this process.

    Raises ElectorateError if another one does, or the folder cannot be written.
    """
    with (
        _held_object(folder / LOCK) if isinstance(folder, ObjectPath) else _held_file(folder / LOCK)
    ):
        yield


def is_held(folder: Place) -> bool:
    """Whether a process works on the folder: on a disk, one of this machine; in a store, which
    is watched for that, any.
    """
    lock = folder / LOCK
    if isinstance(lock, ObjectPath):
        return _changes(lock, _content(lock))
    try:
        handle = os.open(lock, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


@contextmanager
def _held_file(lock: Path) -> Iterator[None]:
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(lock, os.O_CREAT | os.O_RDWR)
    except OSError as error:
        raise ElectorateError(
            f"--out {lock.parent}: cannot be written: {error.strerror}; choose a folder you may "
            "write"
        ) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise _taken(lock) from None
    finally:
        os.close(handle)


@contextmanager
def _held_object(lock: ObjectPath) -> Iterator[None]:
    if _changes(lock, _content(lock)):
        raise _taken(lock)
    name = f"{socket.gethostname()} {os.getpid()} {secrets.token_hex(8)}"
    over = threading.Event()

    def beat() -> None:
        for number in count(1):
            if over.wait(BEAT_S):
                return
            with suppress(ElectorateError):  # the run itself finds that out
                lock.write_buffer(f"{name} {number}".encode())

    lock.write_buffer(f"{name} 0".encode())
    time.sleep(1.0)
    if not (_content(lock) or "").startswith(name):
        raise _taken(lock)
    beating = threading.Thread(target=beat, daemon=True)
    beating.start()
    try:
        yield
    finally:
        over.set()
        beating.join()
        with suppress(ElectorateError):
            lock.unlink(missing_ok=True)


def _changes(lock: ObjectPath, before: str | None) -> bool:
    """Whether somebody writes it anew while it is watched; not where there is none."""
    end = time.monotonic() + WATCHED_S
    while before is not None and time.monotonic() < end:
        time.sleep(1.0)
        now = _content(lock)
        if now is None:
            return False  # its holder is done
        if now != before:
            return True
    return False


def _content(lock: ObjectPath) -> str | None:
    try:
        return lock.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _taken(lock: Place) -> ElectorateError:
    return ElectorateError(
        f"--out {lock.parent}: another run is writing here; wait for it or choose another folder"
    )
