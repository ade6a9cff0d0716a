"""Answers kept by content across runs: what was asked once is never asked again."""

import json
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from electorate.base.errors import ElectorateError

Answer = Mapping[str, Any]


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
        found = {}
        for key in keys:
            row = self._database.execute(
                "SELECT answer FROM answers WHERE key = ?", (key,)
            ).fetchone()
            if row:
                found[key] = json.loads(row[0])
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
        """Close the file."""
        self._database.close()
