"""The users of a store: each has a number, by which its votes are kept, and an id."""

import json
import sqlite3
from collections.abc import Sequence

import numpy as np

from electorate.base.errors import ElectorateError
from electorate.base.scale import Ints
from electorate.online.pseudonyms import Pseudonyms
from electorate.online.sent import Users, Vote, as_persona
from electorate.population.voters import BLOCK


class UserNumbers:
    """Users in the database of a store.

    Args:
        personas: how many users a run has; they are called by their numbers. Others get numbers
            from the first block after them on.
        pseudonyms: as users' ids are kept.
    """

    def __init__(self, db: sqlite3.Connection, personas: int, pseudonyms: Pseudonyms) -> None:
        self._db = db
        self._personas = personas
        self._pseudonyms = pseudonyms
        known = db.execute("SELECT 1 FROM sqlite_sequence WHERE name = 'users'").fetchone()
        if not known:
            last = -(-personas // BLOCK) * BLOCK - 1
            db.execute("INSERT INTO sqlite_sequence VALUES ('users', ?)", (last,))

    def check_hashing(self, known: int, where: object) -> None:
        """Whether users' ids are hashed is so from the first user on.

        Args:
            known: whether they are so far.
            where: the folder, for the message.

        Raises:
            ElectorateError: it is wanted otherwise.
        """
        hashed = self._pseudonyms.key is not None
        there = self._db.execute("SELECT 1 FROM users LIMIT 1").fetchone() is not None
        if there and bool(known) != hashed:
            kept, wanted = ("hashed", "as they are") if known else ("as they are", "hashed")
            raise ElectorateError(
                f"{where}: users' ids are kept {kept} there, and cannot be {wanted}; "
                f"{'give' if known else 'leave out'} hash_ids, or serve another folder"
            )
        self._db.execute("INSERT OR REPLACE INTO facts VALUES ('hashed_ids', ?)", (int(hashed),))

    def kept_as(self, user: str) -> str:
        """The id as it is kept. A persona's number stays what it is."""
        is_persona = as_persona(user, self._personas) is not None
        return user if is_persona else self._pseudonyms.of(user)

    def known(self, user: str) -> tuple[int, int] | None:
        """A user's number and segment, who is no persona; None if it is not known."""
        query = "SELECT number, segment FROM users WHERE name = ?"
        found: tuple[int, int] | None = self._db.execute(query, (self.kept_as(user),)).fetchone()
        return found

    def of_votes(self, votes: Sequence[Vote]) -> dict[str, int]:
        """The users' numbers by id; new users are taken in, in the order of their votes."""
        found = dict[str, int]()
        segment = dict[str, int]()
        kept_as = {user: self.kept_as(user) for user in {vote.user for vote in votes}}
        for vote in votes:
            name = kept_as[vote.user]
            persona = as_persona(name, self._personas)
            if persona is not None:
                found[name] = persona
            else:
                segment.setdefault(name, vote.segment)
        known = self._db.execute(
            "SELECT name, number FROM json_each(?) JOIN users ON name = value",
            (json.dumps(list(segment)),),
        )
        found.update(known.fetchall())
        new = [name for name in segment if name not in found]
        if new:
            query = "SELECT seq FROM sqlite_sequence WHERE name = 'users'"
            last = max(0, self._db.execute(query).fetchone()[0])
            found.update(zip(new, range(last + 1, last + 1 + len(new)), strict=True))
            rows = [(found[name], name, segment[name]) for name in new]
            self._db.executemany("INSERT INTO users VALUES (?, ?, ?)", rows)
        return {user: found[name] for user, name in kept_as.items()}

    def above(self, number: int = -1) -> Users:
        """Users with a number above this one, by number."""
        rows = self._db.execute(
            "SELECT name, number, segment FROM users WHERE number > ? ORDER BY number", (number,)
        ).fetchall()
        names, numbers, segment = zip(*rows, strict=True) if rows else ((), (), ())
        return Users(names, np.array(numbers, dtype=np.int64), np.array(segment, dtype=np.int64))

    def names(self, numbers: Ints) -> dict[int, str]:
        """What users with these numbers are called."""
        found = {int(number): str(number) for number in numbers if number < self._personas}
        for number in set(numbers.tolist()) - set(found):
            row = self._db.execute("SELECT name FROM users WHERE number = ?", (number,)).fetchone()
            if row is not None:
                found[number] = row[0]
        return found

    def forget_but(self, numbers: set[int]) -> None:
        """Ids, and ids of votes, of users who have no vote but of these numbers."""
        unfolded = {user for (user,) in self._db.execute("SELECT DISTINCT user_id FROM votes")}
        self._db.execute("CREATE TEMP TABLE staying (number INTEGER PRIMARY KEY)")
        rows = ((number,) for number in sorted(numbers | unfolded))
        self._db.executemany("INSERT INTO staying VALUES (?)", rows)
        self._db.execute("DELETE FROM taken WHERE user NOT IN (SELECT number FROM staying)")
        self._db.execute("DELETE FROM users WHERE number NOT IN (SELECT number FROM staying)")
        self._db.execute("DROP TABLE staying")
