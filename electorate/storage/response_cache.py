"""Answers kept by content across runs: what was asked once is never asked again."""

import json
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from electorate.base.errors import ElectorateError

Answer = Mapping[str, Any]
LOOKED_UP_TOGETHER = 500  # keys a query; older SQLite takes 999


class ResponseCache:
    """Answers by key (a SHA-256 of model, settings and prompt) in an SQLite file; one writer,
    the driver.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, timeout=60)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL) "
                "WITHOUT ROWID"
            )
        except (OSError, sqlite3.Error) as error:
            raise ElectorateError(
                f"{path}: the answers' cache cannot be opened: {error}; set cluster.cache_dir to a "
                "folder you may write"
            ) from None

    def get(self, keys: Iterable[str]) -> dict[str, Answer]:
        """The answers that are there, by key."""
        found: dict[str, Answer] = {}
        wanted = list(keys)
        for first in range(0, len(wanted), LOOKED_UP_TOGETHER):
            some = wanted[first : first + LOOKED_UP_TOGETHER]
            marks = ",".join("?" * len(some))
            rows = self._database.execute(
                f"SELECT key, answer FROM answers WHERE key IN ({marks})",  # noqa: S608
                some,
            )
            found.update((key, json.loads(answer)) for key, answer in rows)
        return found

    def put(self, key: str, answer: Answer) -> None:
        """Keep an answer; it is on disk when this returns. The first answer to a key stays."""
        self.put_all({key: answer})

    def put_all(self, answers: Mapping[str, Answer]) -> None:
        """The same of many at once."""
        rows = [(key, json.dumps(answer)) for key, answer in answers.items()]
        with self._database:
            self._database.executemany("INSERT OR IGNORE INTO answers VALUES (?, ?)", rows)

    def close(self) -> None:
        """Close the cache's file."""
        self._database.close()
