"""A run's log for machines: log.jsonl in its folder, a JSON object a line, with the run, and the round and block where there are such."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

ROOT = "electorate"
FIELDS = ("stage", "round", "block", "seconds", "votes", "attempt", "counts", "error")


@contextmanager
def kept(path: Path, run: str) -> Iterator[None]:
    """Add what is logged under `electorate` to this file. A log that cannot be written stops no run."""
    logger = logging.getLogger(ROOT)
    try:
        handler = _Quiet(path, encoding="utf-8")
    except OSError:
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
        """A full disk stops the run where it writes results; it is no traceback for every line here."""


class _Lines(logging.Formatter):
    def __init__(self, run: str) -> None:
        super().__init__()
        self._run = run

    def format(self, record: logging.LogRecord) -> str:
        """One object: time (UTC), level, run, event, and what of FIELDS it has."""
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fixed = {"time": when, "level": record.levelname.lower(), "run": self._run, "event": record.getMessage()}
        return json.dumps(fixed | {name: vars(record)[name] for name in FIELDS if name in vars(record)}, default=str)
