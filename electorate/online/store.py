"""Votes as they come in, each on disk before it is acknowledged, and the log that they are folded into.

votes.sqlite   votes not folded yet; users, models, the ids of all votes; an audit of everything written
votes/         the log: each fold is a round of it, users in blocks as in a run

A fold's files are written first and counted in the database after, so that a crash between the two leaves files that nobody reads.
"""

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from electorate.cast import COLUMNS
from electorate.errors import ElectorateError
from electorate.personas import BLOCK
from electorate.scale import Ints
from electorate.storage.vote_log import SCHEMA, VoteLog, column

NO_SEGMENT, NO_PROMPT = -1, -1
MAX_MODELS = 500
TABLES = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS models (model INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS users (number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, segment INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS taken (user INTEGER, id TEXT, version INTEGER NOT NULL, PRIMARY KEY (user, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS votes (
    place INTEGER PRIMARY KEY AUTOINCREMENT, user_id INTEGER NOT NULL, prompt_id INTEGER NOT NULL, model_a INTEGER NOT NULL,
    model_b INTEGER NOT NULL, first_shown INTEGER NOT NULL, outcome INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS erasing (number INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS audit (at REAL NOT NULL, key TEXT NOT NULL, what TEXT NOT NULL, user INTEGER, votes INTEGER, version INTEGER);
INSERT OR IGNORE INTO facts VALUES ('version', 0), ('folds', 0), ('erasures', 0);
"""


@dataclass(frozen=True)
class Vote:
    """id: the client's, one of its user's. outcome: 0 A, 1 B, 2 tie, 3 both bad. first_shown: 0 A, 1 B. prompt: of the run, or
    NO_PROMPT. segment: counts with a user's first vote.
    """

    id: str
    user: str
    model_a: str
    model_b: str
    outcome: int
    first_shown: int = 0
    prompt: int = NO_PROMPT
    segment: int = NO_SEGMENT


@dataclass(frozen=True)
class Batch:
    """Votes of one request. key: who sent it, for the audit."""

    key: str
    votes: Sequence[Vote]


@dataclass(frozen=True)
class Taken:
    """version: standings of this version or a later one count all votes of the batch. new: how many were not known before."""

    version: int
    new: int


@dataclass(frozen=True)
class Users:
    """number, segment: (n,) of every user who voted online and is no persona, with its name."""

    name: tuple[str, ...]
    number: Ints
    segment: Ints


class VoteStore:
    """The votes under one folder, for one process at a time.

    models: those of a run, or none, and then votes name them. personas: how many users a run has; they are called by their number.
    erase_elsewhere: what else is done where a number is erased; doing it again changes nothing.
    """

    def __init__(
        self, folder: Path, models: Sequence[str] = (), personas: int = 0, erase_elsewhere: Callable[[int], None] | None = None
    ) -> None:
        self.folder, self._personas, self._open, self._erase_elsewhere = folder, personas, not models, erase_elsewhere
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR)
        # The writer before may still be on its way out.
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            self._db = self._opened(folder / "votes.sqlite", models)
        except sqlite3.Error as error:
            raise ElectorateError(f"{folder / 'votes.sqlite'}: cannot be opened: {error}; give another folder, or a backup") from None
        for (number,) in self._db.execute("SELECT number FROM erasing").fetchall():
            self._finish_erasing(number)

    def _opened(self, path: Path, models: Sequence[str]) -> sqlite3.Connection:
        db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA secure_delete=ON")
        db.executescript(TABLES)
        known = [name for (name,) in db.execute("SELECT name FROM models ORDER BY model")]
        if models and known and known != list(models):
            raise ElectorateError(f"{path}: holds votes on other contestants ({', '.join(known[:3])}, ...); serve the run they are of")
        db.executemany("INSERT OR IGNORE INTO models VALUES (?, ?)", enumerate(models))
        # Users are counted from the first block after the personas'.
        first = -(-self._personas // BLOCK) * BLOCK
        if not db.execute("SELECT 1 FROM sqlite_sequence WHERE name = 'users'").fetchone():
            db.execute("INSERT INTO sqlite_sequence VALUES ('users', ?)", (first - 1,))
        return db

    def close(self) -> None:
        """Let another process have it."""
        self._db.close()
        os.close(self._lock)

    @property
    def models(self) -> tuple[str, ...]:
        """In the order that votes count them in."""
        return tuple(name for (name,) in self._db.execute("SELECT name FROM models ORDER BY model"))

    def fact(self, name: str) -> int:
        """version: of the last write; folds: rounds of the log; erasures: users erased so far."""
        return int(self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()[0])

    @property
    def log(self) -> VoteLog:
        """What was folded. user_id: the users' numbers; prompt_id: NO_PROMPT where it was none of the run's."""
        return VoteLog(self.folder / "votes", self.models)

    def add(self, batches: Sequence[Batch]) -> list[Taken | ElectorateError]:
        """Take the votes of all batches in one write; they are on disk when this returns. A vote whose id its user has sent
        before is not counted again. A batch with more new models than may be rated is refused whole.

        Raises ElectorateError if the disk takes nothing more; none of the votes is counted then.
        """
        with self._transaction():
            version, models = self.fact("version") + 1, {name: m for m, name in enumerate(self.models)}
            found = [self._take(batch, version, models) for batch in batches]
            if any(isinstance(one, Taken) and one.new for one in found):
                self._db.execute("UPDATE facts SET value = ? WHERE name = 'version'", (version,))
        return found

    def _take(self, batch: Batch, version: int, models: dict[str, int]) -> Taken | ElectorateError:
        named = {name for vote in batch.votes for name in (vote.model_a, vote.model_b)} - set(models)
        if named and not self._open:
            return ElectorateError(f"{min(named)!r} is not a contestant; the run has {', '.join(list(models)[:5])}")
        if len(models) + len(named) > MAX_MODELS:
            return ElectorateError(f"{min(named)!r} would be a model too many; at most {MAX_MODELS:,} can be rated")
        for name in sorted(named):
            models[name] = len(models)
            self._db.execute("INSERT INTO models VALUES (?, ?)", (models[name], name))
        new, last = 0, 0
        for vote in batch.votes:
            user = self._number(vote)
            if self._db.execute("INSERT OR IGNORE INTO taken VALUES (?, ?, ?)", (user, vote.id, version)).rowcount:
                columns = (user, vote.prompt, models[vote.model_a], models[vote.model_b], vote.first_shown, vote.outcome)
                self._db.execute(
                    "INSERT INTO votes (user_id, prompt_id, model_a, model_b, first_shown, outcome) VALUES (?, ?, ?, ?, ?, ?)", columns
                )
                new, last = new + 1, version
            else:
                (before,) = self._db.execute("SELECT version FROM taken WHERE user = ? AND id = ?", (user, vote.id)).fetchone()
                last = max(last, before)
        self._db.execute("INSERT INTO audit VALUES (?, ?, 'votes', NULL, ?, ?)", (time.time(), batch.key, new, version))
        return Taken(last, new)

    def _number(self, vote: Vote) -> int:
        persona = as_persona(vote.user, self._personas)
        if persona is not None:
            return persona
        row = self._db.execute("SELECT number FROM users WHERE name = ?", (vote.user,)).fetchone()
        if row is None:
            return int(self._db.execute("INSERT INTO users (name, segment) VALUES (?, ?)", (vote.user, vote.segment)).lastrowid or 0)
        return int(row[0])

    def users(self, after: int = -1) -> Users:
        """By number, those above this one."""
        rows = self._db.execute("SELECT name, number, segment FROM users WHERE number > ? ORDER BY number", (after,)).fetchall()
        name, number, segment = zip(*rows, strict=True) if rows else ((), (), ())
        return Users(tuple(name), np.array(number, dtype=np.int64), np.array(segment, dtype=np.int64))

    def unfolded(self, after: int = 0) -> tuple[int, pa.Table]:
        """The votes not in the log yet, in the order they came, from behind a place on; and the place of the last one."""
        rows = self._db.execute(f"SELECT {', '.join(COLUMNS)}, place FROM votes WHERE place > ? ORDER BY place", (after,))  # noqa: S608
        values = np.array(rows.fetchall(), dtype=np.int64).reshape(-1, len(COLUMNS) + 1)
        return int(values[-1, -1]) if len(values) else after, pa.table(dict(zip(COLUMNS, values.T[:-1], strict=True)))

    def folded(self, first: int = 0) -> Iterator[tuple[int, int, pa.Table]]:
        """Round, block and votes of every file of the log from this round on."""
        log = self.log
        for round_ in range(first, self.fact("folds")):
            for block in sorted(log.blocks(round_)):
                yield round_, block, log.read(round_, block, COLUMNS)

    def fold(self) -> int:
        """Move the votes into a new round of the log; returns how many."""
        (_, votes), round_, log = self.unfolded(), self.fact("folds"), self.log
        votes = votes.take(np.argsort(column(votes, "user_id"), kind="stable"))
        blocks = column(votes, "user_id") // BLOCK
        for block in np.unique(blocks).tolist():
            log.write(round_, block, _as_logged(votes.filter(pa.array(blocks == block)), log.schema))
        with self._transaction():
            self._db.execute("DELETE FROM votes")
            self._db.execute("UPDATE facts SET value = value + 1 WHERE name = 'folds'")
        return len(votes)

    def erase(self, user: str, key: str) -> int | None:
        """Forget a user: its votes, their ids and its name, here and in the log; returns the version without it, None if it is
        not known. A persona stays one, without votes.

        What was begun is finished when the store is next opened, should the process die.
        """
        persona = as_persona(user, self._personas)
        row = self._db.execute("SELECT number FROM users WHERE name = ?", (user,)).fetchone()
        number = persona if persona is not None else (int(row[0]) if row else None)
        if number is None:
            return None
        with self._transaction():
            self._db.execute("INSERT OR IGNORE INTO erasing VALUES (?)", (number,))
            self._db.execute("UPDATE facts SET value = value + 1 WHERE name IN ('version', 'erasures')")
            version = self.fact("version")
            self._db.execute("INSERT INTO audit VALUES (?, ?, 'erased', ?, NULL, ?)", (time.time(), key, number, version))
        self._finish_erasing(number)
        return version

    def _finish_erasing(self, number: int) -> None:
        block = number // BLOCK
        for round_ in range(self.fact("folds")):
            without(self.log, round_, block, number)
        if self._erase_elsewhere is not None:
            self._erase_elsewhere(number)
        with self._transaction():
            for table, name in (("votes", "user_id"), ("taken", "user"), ("users", "number"), ("erasing", "number")):
                self._db.execute(f"DELETE FROM {table} WHERE {name} = ?", (number,))  # noqa: S608 names from above
        # Deleted rows' bytes stay in the file otherwise.
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def audit(self) -> list[Mapping[str, object]]:
        """Everything that was written, by whom and when (seconds since 1970), oldest first."""
        names = ("at", "key", "what", "user", "votes", "version")
        return [dict(zip(names, row, strict=True)) for row in self._db.execute("SELECT * FROM audit ORDER BY rowid")]

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except BaseException as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise ElectorateError(f"{self.folder / 'votes.sqlite'}: cannot be written: {error}; nothing of it was counted") from None
            raise


def as_persona(user: str, personas: int) -> int | None:
    """The persona that a user's name says, if it is one: its number, written plainly."""
    plain = user.isascii() and user.isdecimal() and len(user) < 12 and str(int(user)) == user
    return int(user) if plain and int(user) < personas else None


def without(log: VoteLog, round_: int, block: int, number: int) -> int:
    """Rewrite a block's file without a user's votes, if it has any; returns how many there were."""
    if not log.has(round_, block):
        return 0
    votes = log.read(round_, block)
    others = votes.filter(pa.array(column(votes, "user_id") != number))
    if len(others) < len(votes):
        log.write(round_, block, others)
    return len(votes) - len(others)


def _as_logged(votes: pa.Table, schema: pa.Schema) -> pa.Table:
    """With all columns of the log, in the order given."""
    n = len(votes)
    judge = pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int8)), ["online"])
    there = {name: votes[name].combine_chunks() for name in COLUMNS} | {"step": pa.array(np.arange(n)), "judge": judge}
    columns = [there[field.name].cast(field.type) if field.name in there else pa.nulls(n, field.type) for field in SCHEMA]
    return pa.Table.from_arrays(columns, schema=schema)
