"""votes.sqlite: its tables, and how a database of an earlier format becomes one of this.

A format is a number in the database itself (PRAGMA user_version). Whoever changes a table adds a
migration; a database is brought forward step by step when it is opened, each step whole or not at
all, and one of a later format is refused.
"""

import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from electorate.base.errors import ElectorateError
from electorate.online import rounds
from electorate.ratings import fixed_point
from electorate.storage import files

FORMAT = 5
CACHE_KB = 65_536  # of the pages that votes' ids are looked up in
NO_OWN_SEGMENT = "segment INTEGER NOT NULL DEFAULT -1"
UNKNOWN_KEY = 0  # of votes from before keys were kept with them

TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE keys (key INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE);
CREATE TABLE models (
    model INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
    retired INTEGER NOT NULL DEFAULT 0, named_by INTEGER);
CREATE TABLE users (
    number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, segment INTEGER NOT NULL);
CREATE TABLE taken (
    user INTEGER, id TEXT, key INTEGER, content INTEGER, version INTEGER NOT NULL,
    PRIMARY KEY (user, id, key)) WITHOUT ROWID;
CREATE TABLE votes (
    place INTEGER PRIMARY KEY AUTOINCREMENT, user_id INTEGER NOT NULL, prompt_id INTEGER NOT NULL,
    model_a INTEGER NOT NULL, model_b INTEGER NOT NULL, first_shown INTEGER NOT NULL,
    outcome INTEGER NOT NULL, key INTEGER NOT NULL, at INTEGER NOT NULL,
    weight INTEGER NOT NULL, segment INTEGER NOT NULL);
CREATE TABLE rounds (
    round INTEGER PRIMARY KEY AUTOINCREMENT, votes INTEGER NOT NULL, checksum INTEGER NOT NULL);
CREATE TABLE erasing (number INTEGER PRIMARY KEY);
CREATE TABLE audit (
    at REAL NOT NULL, key TEXT NOT NULL, what TEXT NOT NULL, user INTEGER, votes INTEGER,
    version INTEGER);
INSERT INTO facts VALUES ('version', 0), ('erasures', 0);
INSERT INTO keys VALUES (0, '');
"""
LEDGER = (
    "CREATE TABLE choices (at REAL NOT NULL, key TEXT NOT NULL, user TEXT NOT NULL, "
    "model TEXT NOT NULL, probability REAL NOT NULL, tokens INTEGER NOT NULL, usd REAL NOT NULL)",
    "CREATE TABLE spent (key TEXT NOT NULL, day INTEGER NOT NULL, tokens INTEGER NOT NULL, "
    "usd REAL NOT NULL, PRIMARY KEY (key, day)) WITHOUT ROWID",
    # What a minute cost is asked twice a second, and what a user was answered at its erasure.
    "CREATE INDEX choices_at ON choices (at)",
    "CREATE INDEX choices_user ON choices (user)",
)
# Thumbs on answers that a gateway chose, and whom it would have chosen by one ranking or the other.
THUMBS = (
    "CREATE TABLE thumbs (at REAL NOT NULL, answer TEXT PRIMARY KEY, user TEXT NOT NULL, "
    "model TEXT NOT NULL, probability REAL NOT NULL, by_user TEXT NOT NULL, by_all TEXT NOT NULL, "
    "up INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE INDEX thumbs_user ON thumbs (user)",
)


def opened(path: Path) -> sqlite3.Connection:
    """A connection to the database, which is made, or brought to this format, where it has to be.

    Raises ElectorateError if it is damaged or of a later format.
    """
    try:
        db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA secure_delete=ON")
        db.execute(f"PRAGMA cache_size=-{CACHE_KB}")
        _bring_forward(db, path)
    except sqlite3.Error as error:
        raise ElectorateError(
            f"{path}: cannot be opened: {error}; restore it from a backup, or give another folder"
        ) from None
    return db


def _bring_forward(db: sqlite3.Connection, path: Path) -> None:
    (format_,) = db.execute("PRAGMA user_version").fetchone()
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
    if format_ > FORMAT:
        raise ElectorateError(
            f"{path}: was written by a later version of Electorate (format {format_}, this one "
            f"reads up to {FORMAT}); install that version"
        )
    if not tables:
        ledger = "".join(f"{statement}; " for statement in (*LEDGER, *THUMBS))
        script = f"BEGIN IMMEDIATE; {TABLES} {ledger} PRAGMA user_version = {FORMAT}; COMMIT;"
        db.executescript(script)
        return
    # The first format had no number.
    for before in range(max(1, format_), FORMAT):
        db.execute("BEGIN IMMEDIATE")
        try:
            MIGRATIONS[before](db, path.parent)
            db.execute(f"PRAGMA user_version = {before + 1}")
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise


def _from_1(db: sqlite3.Connection, folder: Path) -> None:
    """Keys and times with votes, what a vote's id was sent with, and rounds in files of their
    own.
    """
    for statement in (
        "CREATE TABLE keys (key INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE)",
        "INSERT INTO keys VALUES (0, '')",
        "ALTER TABLE models ADD COLUMN retired INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE models ADD COLUMN named_by INTEGER",
        "ALTER TABLE taken RENAME TO taken_1",
        "CREATE TABLE taken (user INTEGER, id TEXT, key INTEGER, content INTEGER, "
        "version INTEGER NOT NULL, PRIMARY KEY (user, id, key)) WITHOUT ROWID",
        "INSERT INTO taken SELECT user, id, 0, NULL, version FROM taken_1",
        "DROP TABLE taken_1",
        "INSERT INTO facts VALUES ('unknown_keys', 1)",
        "ALTER TABLE votes ADD COLUMN key INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE votes ADD COLUMN at INTEGER NOT NULL DEFAULT 0",
        "CREATE TABLE rounds (round INTEGER PRIMARY KEY AUTOINCREMENT, votes INTEGER NOT NULL, "
        "checksum INTEGER NOT NULL)",
    ):
        db.execute(statement)
    (folds,) = db.execute("SELECT value FROM facts WHERE name = 'folds'").fetchone()
    db.execute("DELETE FROM facts WHERE name = 'folds'")
    parts = [_of_format_1(part) for round_ in range(folds) for part in _blocks(folder, round_)]
    if parts:
        votes = rounds.sorted_by_user(pa.concat_tables(parts))
        checksum = rounds.write(folder / "votes", 1, votes)
        db.execute("INSERT INTO rounds VALUES (1, ?, ?)", (len(votes), checksum))


def _from_2(db: sqlite3.Connection, folder: Path) -> None:  # noqa: ARG001 as migrations are called
    """What the gateway chose, and what that cost."""
    for statement in LEDGER:
        db.execute(statement)


def _from_3(db: sqlite3.Connection, folder: Path) -> None:  # noqa: ARG001 as migrations are called
    """What each vote weighs before any cap, in units (fixed_point.py), and a segment of its own."""
    for column in (f"weight INTEGER NOT NULL DEFAULT {fixed_point.UNIT}", NO_OWN_SEGMENT):
        db.execute(f"ALTER TABLE votes ADD COLUMN {column}")


def _from_4(db: sqlite3.Connection, folder: Path) -> None:  # noqa: ARG001 as migrations are called
    """Thumbs on what the gateway chose."""
    for statement in THUMBS:
        db.execute(statement)


def _blocks(folder: Path, round_: int) -> list[Path]:
    """The Parquet files of a round as the first format had them, in the order of their blocks."""
    found = (folder / "votes" / f"round={round_}").glob("block=*.parquet")
    return sorted(found, key=lambda place: int(re.sub(r"\D", "", place.stem)))


def _of_format_1(place: Path) -> pa.Table:
    there = files.read_table(place)
    nothing = pa.array([0] * len(there))
    columns = there.select([name for name in rounds.SCHEMA.names if name in there.column_names])
    whole = columns.append_column("key", nothing).append_column("at", nothing)
    return whole.select(rounds.SCHEMA.names).cast(rounds.SCHEMA)


def remove_leftovers(folder: Path, kept: set[int]) -> None:
    """Of the log's folder: everything but these rounds, which nobody reads any more."""
    names = {rounds.path(folder, round_).name for round_ in kept}
    for entry in folder.iterdir():
        if entry.name in names:
            continue
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


MIGRATIONS: dict[int, Callable[[sqlite3.Connection, Path], None]] = {
    1: _from_1,
    2: _from_2,
    3: _from_3,
    4: _from_4,
}
