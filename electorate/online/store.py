"""Votes as they come in, each on disk before it is acknowledged, and the log they are folded into.

votes.sqlite   votes not folded yet; users, models, keys, the ids of all votes; an audit
votes/         the log: rounds.py
snapshots/     what replicas read: handover.py

A fold writes its file first and counts it in the database after, so that a crash between the two
leaves a file that nobody reads.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from electorate.base.errors import ConflictError, ElectorateError, RequestError
from electorate.online import database, folder_lock, rounds
from electorate.online.ledger import Answered, Ledger, Spent
from electorate.online.models import ModelList
from electorate.online.pseudonyms import PLAIN, Pseudonyms
from electorate.online.sent import (
    NO_MODEL,
    NO_SEGMENT,
    NOBODY,
    Batch,
    Erased,
    Known,
    Taken,
    Vote,
    as_persona,
)
from electorate.online.user_numbers import UserNumbers
from electorate.ratings import fixed_point
from electorate.storage.vote_columns import column

COLUMNS = (*rounds.SCHEMA.names, *(field.name for field in rounds.OPTIONAL))  # of a vote
MODELS_PER_KEY = 100
MERGED = 2  # a fold takes the round before it in while that has at most so many times its votes


class VoteStore:
    """The votes under one folder, for one process at a time.

    Args:
        models: those of a run, in its order, or none.
        declared: further models. Where there are models of either kind votes name no others, but
            more can be added; where there are none votes name them.
        personas: how many users a run has; they are called by their numbers.
        erase_elsewhere: what else is done where a number and name are erased, returning the votes
            that it took out; doing it again changes nothing.
        models_per_key: new models that the votes of one key may name.
        pseudonyms: as users' ids are kept.

    Attributes:
        users: who sent votes.
        erased: users erased since the folder was opened, until somebody has taken them out of what
            was counted.

    Raises ElectorateError if the folder cannot be opened.
    """

    def __init__(
        self,
        folder: Path,
        models: Sequence[str] = (),
        personas: int = 0,
        erase_elsewhere: Callable[[int, str], list[pa.Table]] | None = None,
        declared: Sequence[str] = (),
        models_per_key: int = MODELS_PER_KEY,
        pseudonyms: Pseudonyms = PLAIN,
    ) -> None:
        self.folder = folder
        self.erased: list[Erased] = []
        self._personas = personas
        self._erase_elsewhere = erase_elsewhere
        self._log = folder / "votes"
        try:
            self._log.mkdir(parents=True, exist_ok=True)
            # The writer before may still be on its way out.
            self._lock = folder_lock.acquire(folder, wait=True)
        except OSError as error:
            raise ElectorateError(f"{folder}: cannot be written: {error.strerror}") from None
        try:
            self._db = database.opened(folder / "votes.sqlite")
            self.models = ModelList(self._db, models_per_key, bool(models or declared))
            self.ledger = Ledger(self._db)
            self._has_unknown_keys = bool(self.fact("unknown_keys"))
            self.users = UserNumbers(self._db, personas, pseudonyms)
            self._check_rounds()
            self.users.check_hashing(self.fact("hashed_ids"), folder)
            with self.transaction():
                self._renumber(models)
                for name in sorted(set(declared) - set(self.models.names)):
                    self.models.add(name)
            for (number,) in self._db.execute("SELECT number FROM erasing").fetchall():
                self._finish_erasing(number)
        except sqlite3.Error as error:
            self.close()
            raise ElectorateError(
                f"{folder / 'votes.sqlite'}: cannot be read: {error}; restore it from a backup, or "
                "give another folder"
            ) from None
        except ElectorateError:
            self.close()
            raise

    def _check_rounds(self) -> None:
        for round_, checksum in self._db.execute("SELECT round, checksum FROM rounds").fetchall():
            place = rounds.path(self._log, round_)
            if not place.exists() or rounds.checksum(place) != checksum:
                raise ElectorateError(
                    f"{place}: is missing or damaged; restore it from a backup of the folder"
                )
        database.remove_leftovers(self._log, set(self.rounds))

    def close(self) -> None:
        """Let another process have it."""
        if hasattr(self, "_db"):
            self._db.close()
        os.close(self._lock)

    def fact(self, name: str) -> int:
        """version: of the last write; erasures: how often votes were taken out; unknown_keys:
        whether ids are there from before keys were kept; hashed_ids: whether users' ids are hashed.
        """
        found = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return 0 if found is None else int(found[0])

    @property
    def rounds(self) -> tuple[int, ...]:
        """The numbers of the log's rounds, oldest first."""
        found = self._db.execute("SELECT round FROM rounds ORDER BY round")
        return tuple(round_ for (round_,) in found)

    def add(self, batches: Sequence[Batch]) -> list[Taken | RequestError]:
        """Take the votes of all batches in one write; they are on disk when this returns.

        A vote whose id its key and user have sent before is not counted again; with other content
        its batch is refused whole, as is one that names models it may not.
        Raises ElectorateError if the disk takes nothing more; none of the votes is counted then.
        """
        with self.transaction():
            version = self.fact("version") + 1
            found = [self._take(batch, version) for batch in batches]
            if any(isinstance(one, Taken) and one.new for one in found):
                self._db.execute("UPDATE facts SET value = ? WHERE name = 'version'", (version,))
        return found

    def _take(self, batch: Batch, version: int) -> Taken | RequestError:
        self._db.execute("SAVEPOINT batch")
        try:
            taken = self._insert(batch, version)
        except RequestError as error:
            self._db.execute("ROLLBACK TO batch")
            self._db.execute("RELEASE batch")
            self.models.forget_new()
            return error
        self._db.execute("RELEASE batch")
        return taken

    def _insert(self, batch: Batch, version: int) -> Taken:
        key = self._key(batch.key)
        now = int(time.time())
        named = {name for vote in batch.votes for name in (vote.model_a, vote.model_b)}
        model = self.models.named(named - {NOBODY}, key) | {NOBODY: NO_MODEL}
        number = self.users.of_votes(batch.votes)
        before = self._take_ids(batch.votes, number, key, version)
        units = fixed_point.fixed(np.array([vote.weight for vote in batch.votes])).tolist()
        rows = []
        routed = list[Vote]()
        for vote, taken, weight in zip(batch.votes, before, units, strict=True):
            if taken is None:
                a = model[vote.model_a]
                b = model[vote.model_b]
                battle = (number[vote.user], vote.prompt, a, b, vote.first_shown, vote.outcome)
                rows.append((*battle, key, now, weight, vote.board))
                if vote.routed is not None:
                    routed.append(replace(vote, user=self.users.kept_as(vote.user)))
        names = ", ".join(COLUMNS)
        marks = ", ".join("?" * len(COLUMNS))
        self._db.executemany(f"INSERT INTO votes ({names}) VALUES ({marks})", rows)  # noqa: S608
        self.ledger.add_thumbs(routed)
        self._audit(batch.key, "votes", None, len(rows), version)
        last = max((taken for taken in before if taken is not None), default=0)
        return Taken(version if rows else last, len(rows))

    def _take_ids(
        self, votes: Sequence[Vote], number: Mapping[str, int], key: int, version: int
    ) -> Sequence[int | None]:
        """(votes,) the version that took each before; None for those that are taken now.

        Raises RequestError if one was taken before with another vote.
        """
        rows = [(number[vote.user], vote.id, key, vote.content, version) for vote in votes]
        if not self._has_unknown_keys:
            # Nearly always all are new, and then one statement takes them.
            self._db.execute("SAVEPOINT ids")
            changes = self._db.total_changes
            self._db.executemany("INSERT OR IGNORE INTO taken VALUES (?, ?, ?, ?, ?)", rows)
            if self._db.total_changes - changes == len(rows):
                self._db.execute("RELEASE ids")
                return [None] * len(rows)
            self._db.execute("ROLLBACK TO ids")
            self._db.execute("RELEASE ids")
        found = []
        for vote, row in zip(votes, rows, strict=True):
            before = self._version_taken(vote, row[0], key)
            if before is None:
                self._db.execute("INSERT INTO taken VALUES (?, ?, ?, ?, ?)", row)
            found.append(before)
        return found

    def _version_taken(self, vote: Vote, user: int, key: int) -> int | None:
        """The version that took the vote before, if one did. Raises RequestError if it differed."""
        found = self._db.execute(
            "SELECT content, version FROM taken WHERE user = ? AND id = ? AND key IN (?, ?)",
            (user, vote.id, key, database.UNKNOWN_KEY),
        ).fetchone()
        if found is None:
            return None
        content, version = found
        if content is not None and content != vote.content:
            raise ConflictError(
                f"votes: {vote.user!r} has sent id {vote.id!r} before with another vote; an id is "
                "of one vote"
            )
        return int(version)

    def answered(self, answers: Sequence[Answered]) -> dict[str, Spent]:
        """Keep what a gateway answered; what each key spent by now.

        Raises ElectorateError if the disk takes nothing more.
        """
        kept = [
            replace(one, user=self.users.kept_as(one.user) if one.user else "") for one in answers
        ]
        with self.transaction():
            self.ledger.add(kept)
        return self.ledger.spent()

    def _key(self, name: str) -> int:
        found = self._db.execute("SELECT key FROM keys WHERE name = ?", (name,)).fetchone()
        if found is None:
            return int(
                self._db.execute("INSERT INTO keys (name) VALUES (?)", (name,)).lastrowid or 0
            )
        return int(found[0])

    @property
    def votes(self) -> int:
        """How many are kept, in the log or not."""
        query = "SELECT (SELECT count(*) FROM votes) + (SELECT total(votes) FROM rounds)"
        return int(self._db.execute(query).fetchone()[0])

    @property
    def keys(self) -> dict[int, str]:
        """The names of keys that sent votes; none for those from before keys were kept."""
        return dict(self._db.execute("SELECT key, name FROM keys").fetchall())

    def unfolded(self, after: int = 0, last: int = 2**62) -> tuple[int, pa.Table]:
        """The votes not in the log yet, in the order they came, from behind a place to another.

        Returns the place of the last one, and the votes with the columns of a round.
        """
        rows = self._db.execute(
            f"SELECT {', '.join(COLUMNS)}, place FROM votes "  # noqa: S608
            "WHERE place > ? AND place <= ? ORDER BY place",
            (after, last),
        )
        values = np.array(rows.fetchall(), dtype=np.int64).reshape(-1, len(COLUMNS) + 1)
        *columns, place = values.T
        found = dict(zip(COLUMNS, columns, strict=True))
        if np.all(found["weight"] == fixed_point.UNIT):
            del found["weight"]
        else:
            found["weight"] = fixed_point.real(found["weight"])
        if np.all(found["segment"] == NO_SEGMENT):
            del found["segment"]
        votes = pa.table(found)
        return int(place[-1]) if len(place) else after, votes.cast(rounds.schema_of(votes))

    def round(self, round_: int) -> pa.Table:
        """A round of the log."""
        return rounds.read(self._log, round_)

    def fold(self, last: int) -> int:
        """Move the votes up to this place into a new round of the log; returns how many.

        The rounds before it that are not much larger are merged into it, so that there are few.
        """
        _, votes = self.unfolded(0, last)
        merged = list[int]()
        parts = [votes]
        size = len(votes)
        for round_ in reversed(self.rounds):
            before = self.round(round_)
            if len(before) > MERGED * size:
                break
            merged.append(round_)
            parts.insert(0, before)
            size += len(before)
        with self._replacing_rounds() as replace:
            replace(merged, rounds.sorted_by_user(rounds.joined(parts)))
            self._db.execute("DELETE FROM votes WHERE place <= ?", (last,))
        return len(votes)

    @contextmanager
    def _replacing_rounds(self) -> Iterator[Callable[[Sequence[int], pa.Table], None]]:
        """In one transaction: rounds that make place for another one, and whatever else it does."""
        with self.transaction():

            def replace(old: Sequence[int], votes: pa.Table) -> None:
                for round_ in old:
                    self._db.execute("DELETE FROM rounds WHERE round = ?", (round_,))
                if len(votes):
                    self._add_round(votes)

            yield replace
        database.remove_leftovers(self._log, set(self.rounds))

    def _add_round(self, votes: pa.Table) -> None:
        insert = "INSERT INTO rounds (votes, checksum) VALUES (?, 0)"
        new = int(self._db.execute(insert, (len(votes),)).lastrowid or 0)
        checksum = rounds.write(self._log, new, votes)
        self._db.execute("UPDATE rounds SET checksum = ? WHERE round = ?", (checksum, new))

    def _renumber(self, models: Sequence[str]) -> None:
        """Give a run's models the places that the run counts them in, wherever they are known."""
        moved = self.models.begin_with(models)
        if moved is None:
            return
        for name in ("model_a", "model_b"):
            there = f"SELECT DISTINCT {name} FROM votes WHERE {name} >= 0"  # noqa: S608
            for (value,) in self._db.execute(there).fetchall():
                # Through numbers below NO_MODEL, so that none is moved twice.
                self._db.execute(
                    f"UPDATE votes SET {name} = ? WHERE {name} = ?",  # noqa: S608
                    (-2 - int(moved[value]), value),
                )
            self._db.execute(f"UPDATE votes SET {name} = -2 - {name} WHERE {name} < -1")  # noqa: S608
        for round_ in self.rounds:
            votes = self.round(round_)
            for name in ("model_a", "model_b"):
                place = votes.column_names.index(name)
                values = pa.array(np.append(moved, NO_MODEL)[column(votes, name)], pa.int16())
                votes = votes.set_column(place, name, values)
            self._db.execute("DELETE FROM rounds WHERE round = ?", (round_,))
            self._add_round(votes)

    def erase(self, user: str, key: str) -> int | None:
        """Forget a user: its votes, their ids and its name, here and in the log.

        A persona stays one, without votes. Returns the version without the user; None if it is not
        known. What was begun is finished when the store is next opened, should the process die.
        """
        persona = as_persona(user, self._personas)
        row = self.users.known(user)
        number = persona if persona is not None else (row[0] if row else None)
        if number is None:
            return self._erase_choices(user, key)
        with self.transaction():
            self.ledger.forget_user(self.users.kept_as(user))
            self._db.execute("INSERT OR IGNORE INTO erasing VALUES (?)", (number,))
            self._db.execute(
                "UPDATE facts SET value = value + 1 WHERE name IN ('version', 'erasures')"
            )
            version = self.fact("version")
            self._audit(key, "erased", number, None, version)
        self._finish_erasing(number)
        return version

    def _erase_choices(self, user: str, key: str) -> int | None:
        """Forget what a user who never voted was answered; None if it was answered nothing."""
        kept_as = self.users.kept_as(user)
        if not self.ledger.of_user(kept_as):
            return None
        with self.transaction():
            self.ledger.forget_user(kept_as)
            return self._next_version(key, "a user's answers forgotten")

    def _finish_erasing(self, number: int) -> None:
        of_run = list[pa.Table]()
        if self._erase_elsewhere is not None:
            name = self.users.names(np.array([number])).get(number, "")
            of_run = self._erase_elsewhere(number, name)
        folded = [rounds.SCHEMA.empty_table()]
        with self._replacing_rounds() as replace:
            for round_ in self.rounds:
                votes = self.round(round_)
                own = rounds.of_users(votes, np.array([number]))
                if len(own):
                    folded.append(own)
                    replace([round_], rounds.without_user(votes, number))
            named = self._models_of(number, folded)
            for table, name in (
                ("votes", "user_id"),
                ("taken", "user"),
                ("users", "number"),
                ("erasing", "number"),
            ):
                self._db.execute(f"DELETE FROM {table} WHERE {name} = ?", (number,))  # noqa: S608
            self.models.give_back(named - self._models_voted_on(named))
        # Deleted rows' bytes stay in the file otherwise.
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.erased.append(Erased(number, rounds.joined(folded), of_run))

    def export(self, user: str) -> Known | None:
        """What is kept of a user; None if it is not known."""
        persona = as_persona(user, self._personas)
        row = self.users.known(user)
        answered = self.ledger.of_user(self.users.kept_as(user))
        number = persona if persona is not None else (row[0] if row else None)
        if number is None:
            if not answered:
                return None
            return Known(NO_SEGMENT, rounds.SCHEMA.empty_table(), [], answered, [])
        own = [rounds.of_users(self.round(round_), np.array([number])) for round_ in self.rounds]
        _, unfolded = self.unfolded()
        own.append(unfolded.filter(pa.array(column(unfolded, "user_id") == number)))
        written = [row for row in self.audit() if row["user"] == number]
        segment = NO_SEGMENT if row is None else row[1]
        thumbs = self.ledger.thumbs_of_user(self.users.kept_as(user))
        return Known(segment, rounds.joined(own), written, answered, thumbs)

    def forget_before(self, at: float) -> int:
        """Forget the votes from before a time (seconds since 1970), and users who have no others;
        returns how many votes. Those from before times were kept stay.
        """
        with self.transaction():
            self.ledger.forget_before(at)
        if not self._is_any_before(at):
            return 0
        kept_users = set[int]()
        forgotten = 0
        with self._replacing_rounds() as replace:
            for round_ in self.rounds:
                votes = self.round(round_)
                when = column(votes, "at")
                stays = (when == 0) | (when >= at)
                forgotten += int(np.count_nonzero(~stays))
                kept = votes.filter(pa.array(stays))
                kept_users |= set(np.unique(column(kept, "user_id")).tolist())
                if not stays.all():
                    replace([round_], kept)
            deleted = self._db.execute("DELETE FROM votes WHERE at > 0 AND at < ?", (at,))
            forgotten += deleted.rowcount
            self.users.forget_but(kept_users)
            places = set(range(len(self.models.names)))
            self.models.give_back(places - self._models_voted_on(places))
            self._db.execute("UPDATE facts SET value = value + 1 WHERE name = 'erasures'")
            what = f"votes from before {time.strftime('%Y-%m-%d', time.gmtime(at))} forgotten"
            self._next_version("retention", what, forgotten)
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return forgotten

    def _is_any_before(self, at: float) -> bool:
        query = "SELECT 1 FROM votes WHERE at > 0 AND at < ? LIMIT 1"
        if self._db.execute(query, (at,)).fetchone():
            return True
        whens = (column(self.round(round_), "at") for round_ in self.rounds)
        return any(bool(np.any((when > 0) & (when < at))) for when in whens)

    def _models_of(self, number: int, folded: Sequence[pa.Table]) -> set[int]:
        query = "SELECT model_a, model_b FROM votes WHERE user_id = ?"
        found = {model for pair in self._db.execute(query, (number,)) for model in pair}
        for votes in folded:
            for name in ("model_a", "model_b"):
                found |= set(np.unique(column(votes, name)).tolist())
        return found

    def _models_voted_on(self, among: set[int]) -> set[int]:
        """Those of these models that any vote is on."""
        found = set[int]()
        for name in ("model_a", "model_b"):
            query = f"SELECT DISTINCT {name} FROM votes"  # noqa: S608
            found |= {model for (model,) in self._db.execute(query)}
            for round_ in self.rounds:
                found |= set(np.unique(self.round(round_)[name].to_numpy()).tolist())
        return found & among

    def change_model(self, name: str, key: str, to: str | None, retired: bool | None) -> int:
        """Rename a model, retire it or take it back; returns the version that knows.

        Raises RequestError if that cannot be.
        """
        with self.transaction():
            self.models.change(name, to, retired)
            return self._next_version(key, f"model {name!r}: name {to!r}, retired {retired}")

    def add_model(self, name: str, key: str) -> int:
        """Let votes name another model; returns the version that knows it. Raises RequestError."""
        with self.transaction():
            self.models.add(name)
            return self._next_version(key, f"model {name!r} added")

    def _next_version(self, key: str, what: str, votes: int | None = None) -> int:
        self._db.execute("UPDATE facts SET value = value + 1 WHERE name = 'version'")
        version = self.fact("version")
        self._audit(key, what, None, votes, version)
        return version

    def _audit(
        self, key: str, what: str, user: int | None, votes: int | None, version: int
    ) -> None:
        row = (time.time(), key, what, user, votes, version)
        self._db.execute("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?)", row)

    def audit(self) -> list[Mapping[str, object]]:
        """Everything that was written, by whom and when (seconds since 1970), oldest first."""
        names = ("at", "key", "what", "user", "votes", "version")
        rows = self._db.execute("SELECT * FROM audit ORDER BY rowid")
        return [dict(zip(names, row, strict=True)) for row in rows]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that the block does, or none of it.

        Raises ElectorateError if it cannot be written.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except BaseException as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            self.models.forget_new()
            if isinstance(error, sqlite3.Error):
                raise ElectorateError(
                    f"{self.folder / 'votes.sqlite'}: cannot be written: {error}; nothing of it "
                    "was counted"
                ) from None
            raise
