"""What a gateway chose, and what its answers cost, by key: kept, so that budgets hold over restarts
and later rankings know with which probability an answer was shown.
"""

import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from electorate.online.sent import Vote

DAY_S = 86_400
COLUMNS = ("at", "key", "user", "model", "probability", "tokens", "usd")
THUMBS = ("at", "answer", "user", "model", "probability", "by_user", "by_all", "up")


@dataclass(frozen=True)
class Answered:
    """An answer of a contestant.

    Attributes:
        key: the name of the key that asked.
        user: who asked, as its id is kept; empty for nobody.
        model: the contestant.
        probability: with which it was chosen.
        tokens: read and written.
        usd: what they cost.
    """

    key: str
    user: str
    model: str
    probability: float
    tokens: int
    usd: float


@dataclass(frozen=True)
class Spent:
    """By a key: tokens in the last minute, and USD since the day began (UTC)."""

    tokens_a_minute: int
    usd_today: float


class Ledger:
    """In a store's database, within its transactions."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def add(self, answered: Sequence[Answered]) -> None:
        """Write down these responses of contestants."""
        now = time.time()
        rows = [(now, a.key, a.user, a.model, a.probability, a.tokens, a.usd) for a in answered]
        self._db.executemany("INSERT INTO choices VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        for one in answered:
            self._db.execute(
                "INSERT INTO spent VALUES (?, ?, ?, ?) ON CONFLICT (key, day) "
                "DO UPDATE SET tokens = tokens + excluded.tokens, usd = usd + excluded.usd",
                (one.key, int(now // DAY_S), one.tokens, one.usd),
            )

    def add_thumbs(self, votes: Sequence[Vote]) -> None:
        """Write down which answers that were routed got thumbs."""
        now = time.time()
        rows = []
        for vote in votes:
            by = vote.routed
            # Whoever asked for a contestant by its name was not routed.
            if by is not None and by.by_user:
                chosen = (by.probability, by.by_user, by.by_all)
                rows.append((now, by.answer, vote.user, vote.model_a, *chosen, vote.outcome == 0))
        self._db.executemany("INSERT OR REPLACE INTO thumbs VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def spent(self) -> dict[str, Spent]:
        """By every key that spent anything today or in the last minute."""
        now = time.time()
        today = "SELECT key, usd FROM spent WHERE day = ?"
        usd = dict(self._db.execute(today, (int(now // DAY_S),)).fetchall())
        minute = "SELECT key, sum(tokens) FROM choices WHERE at > ? GROUP BY key"
        tokens = dict(self._db.execute(minute, (now - 60,)).fetchall())
        return {
            key: Spent(int(tokens.get(key, 0)), float(usd.get(key, 0.0))) for key in {*usd, *tokens}
        }

    def of_user(self, user: str) -> list[Mapping[str, Any]]:
        """The responses that a user was given, oldest first."""
        return self._of_user("choices", COLUMNS, user)

    def thumbs_of_user(self, user: str) -> list[Mapping[str, Any]]:
        """The thumbs that it gave to responses, oldest first."""
        return self._of_user("thumbs", THUMBS, user)

    def _of_user(self, table: str, columns: Sequence[str], user: str) -> list[Mapping[str, Any]]:
        query = f"SELECT {', '.join(columns)} FROM {table} WHERE user = ? ORDER BY at"  # noqa: S608
        return [dict(zip(columns, row, strict=True)) for row in self._db.execute(query, (user,))]

    def forget_user(self, user: str) -> None:
        """What it cost stays with the key."""
        for table in ("choices", "thumbs"):
            self._db.execute(f"DELETE FROM {table} WHERE user = ?", (user,))  # noqa: S608

    def forget_before(self, at: float) -> None:
        """Choices and thumbs from before a time."""
        for table in ("choices", "thumbs"):
            self._db.execute(f"DELETE FROM {table} WHERE at < ?", (at,))  # noqa: S608
