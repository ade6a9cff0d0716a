"""The models that online votes are on: who may name one, and what becomes of it."""

import sqlite3
from collections.abc import Sequence, Set

import numpy as np

from electorate.base.errors import ConflictError, LimitError, RequestError, UnknownNameError
from electorate.base.scale import Ints

MAX_MODELS = 500


class ModelList:
    """The table of models.

    A closed list takes only what is added to it. Else votes name new models, a key so many, until
    there are MAX_MODELS. A model that votes named and that no vote is on any more gives its place
    back.
    """

    def __init__(self, db: sqlite3.Connection, per_key: int, closed: bool) -> None:
        self._db = db
        self._per_key = per_key
        self._closed = closed
        self._run = 0
        self._known: dict[str, int] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """(M,) in the order that votes count them in; empty for a place given back."""
        rows = dict(self._db.execute("SELECT model, name FROM models").fetchall())
        return tuple(rows.get(model, "") for model in range(max(rows, default=-1) + 1))

    @property
    def retired(self) -> frozenset[str]:
        """Those that take no more votes and are not ranked."""
        rows = self._db.execute("SELECT name FROM models WHERE retired").fetchall()
        return frozenset(name for (name,) in rows)

    def named(self, names: Set[str], key: int) -> dict[str, int]:
        """Their places, where votes of this key may name them all; new ones are taken in.

        Raises RequestError for a model that they may not name.
        """
        known = self._places()
        new = sorted(names - set(known))
        if new and self._closed:
            there = ", ".join(list(known)[:5])
            raise RequestError(
                f"{new[0]!r} is not a contestant; there are {there}{', ...' * (len(known) > 5)}"
            )
        if retired := sorted(names & self.retired):
            raise RequestError(f"{retired[0]!r} is retired; it takes no more votes")
        if new:
            self._take_in(new, key)
        return self._places()

    def _take_in(self, new: Sequence[str], key: int) -> None:
        query = "SELECT count(*) FROM models WHERE named_by = ?"
        (own,) = self._db.execute(query, (key,)).fetchone()
        if own + len(new) > self._per_key:
            raise LimitError(
                f"{new[0]!r} would be a model too many of this key: its votes may name "
                f"{self._per_key:,} new ones, and named {own:,}"
            )
        for name in new:
            self._insert(name, key)
        self._known = None

    def _insert(self, name: str, named_by: int | None) -> None:
        there = {model for (model,) in self._db.execute("SELECT model FROM models")}
        if len(there) >= MAX_MODELS:
            raise LimitError(
                f"{name!r} would be a model too many; at most {MAX_MODELS:,} can be rated"
            )
        place = next(model for model in range(MAX_MODELS) if model not in there)
        row = (place, name, named_by)
        self._db.execute("INSERT INTO models (model, name, named_by) VALUES (?, ?, ?)", row)

    def _places(self) -> dict[str, int]:
        if self._known is None:
            rows = self._db.execute("SELECT name, model FROM models ORDER BY model").fetchall()
            self._known = dict(rows)
        return self._known

    def forget_new(self) -> None:
        """Read the table again: what was added has been taken back."""
        self._known = None

    def begin_with(self, names: Sequence[str]) -> Ints | None:
        """Make these names the first places.

        Models that are not among them keep their votes, behind these, and are retired.
        Returns the new place of every old one, or None where nothing moved.
        """
        before = self.names
        self._run = len(names)
        self._known = None
        if before[: len(names)] == tuple(names):
            return None
        order = [*names, *(name for name in before if name and name not in names)]
        place = {name: i for i, name in enumerate(order)}
        retired = self.retired | (set(before) - set(names) - {""})
        named_by = dict(self._db.execute("SELECT name, named_by FROM models").fetchall())
        self._db.execute("DELETE FROM models")
        for name, i in place.items():
            row = (i, name, int(name in retired - set(names)), named_by.get(name))
            self._db.execute("INSERT INTO models VALUES (?, ?, ?, ?)", row)
        return np.array([place.get(name, 0) for name in before], dtype=np.int64)

    def add(self, name: str) -> None:
        """Let votes name another model. Raises RequestError if it is there already, or too many."""
        if name in self._places():
            raise ConflictError(f"{name!r} is a contestant already")
        self._insert(name, None)
        self._known = None

    def change(self, name: str, to: str | None, retired: bool | None) -> None:
        """Rename a model, retire it or take it back. Raises RequestError if that cannot be."""
        places = self._places()
        if name not in places:
            raise UnknownNameError(f"{name!r} is not a contestant")
        if to is not None and to != name:
            if places[name] < self._run:
                raise ConflictError(f"{name!r} is named by the run; it cannot be renamed here")
            if to in places:
                raise ConflictError(f"{to!r} is a contestant already")
            self._db.execute("UPDATE models SET name = ? WHERE name = ?", (to, name))
        if retired is not None:
            values = (int(retired), to or name)
            self._db.execute("UPDATE models SET retired = ? WHERE name = ?", values)
        self._known = None

    def give_back(self, models: Set[int]) -> None:
        """Free the places of these models, where votes named them."""
        for model in models:
            query = "DELETE FROM models WHERE model = ? AND named_by IS NOT NULL"
            self._db.execute(query, (model,))
        self._known = None
