"""A run's log for machines: log.jsonl in its folder, a JSON object a line, with the run, and the
round and block where there are such.
"""

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from electorate.base.errors import ElectorateError
from electorate.storage import files
from electorate.storage.places import ObjectPath, Place

ROOT = "electorate"
PUT_EVERY_S = 30.0  # into an object store
FIELDS = ("stage", "round", "block", "seconds", "votes", "attempt", "counts", "error")


@contextmanager
def kept(place: Place, run: str) -> Iterator[None]:
    """Add what is logged under `electorate` to this file.

    A log that cannot be written stops no run.
    """
    logger = logging.getLogger(ROOT)
    try:
        handler = (
            _InStore(place) if isinstance(place, ObjectPath) else _Quiet(place, encoding="utf-8")
        )
    except (OSError, ElectorateError):
        yield
        return
    handler.setFormatter(_Lines(run))
    # The console says what a person needs.
    before = logger.level, logger.propagate
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        with suppress(OSError):
            handler.close()
        logger.level, logger.propagate = before


class _Quiet(logging.FileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 logging's name
        """A full disk stops the run where it writes results; it is no traceback for every line
        here.
        """


class _InStore(_Quiet):
    """An object cannot be added to: the log is kept here, and put there whole every now and
    then, and at the end.
    """

    def __init__(self, place: ObjectPath) -> None:
        self._place = place
        self._folder = TemporaryDirectory(prefix="electorate-")
        self._next = time.monotonic() + PUT_EVERY_S
        path = Path(self._folder.name) / place.name
        if place.exists():
            files.copy(place, path)
        super().__init__(path, encoding="utf-8")

    def emit(self, record: logging.LogRecord) -> None:
        super().emit(record)
        if time.monotonic() > self._next:
            self._put()

    def close(self) -> None:
        super().close()
        self._put()
        self._folder.cleanup()

    def _put(self) -> None:
        self._next = time.monotonic() + PUT_EVERY_S
        with suppress(ElectorateError, OSError):
            files.copy(Path(self.baseFilename), self._place)


class _Lines(logging.Formatter):
    def __init__(self, run: str) -> None:
        super().__init__()
        self._run = run

    def format(self, record: logging.LogRecord) -> str:
        """One object: time (UTC), level, run, event, and what of FIELDS it has."""
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fixed = {
            "time": when,
            "level": record.levelname.lower(),
            "run": self._run,
            "event": record.getMessage(),
        }
        return json.dumps(
            fixed | {name: vars(record)[name] for name in FIELDS if name in vars(record)},
            default=str,
        )
