"""Votes that were cast, read back from the log as flat columns."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from electorate.ratings.posteriors import UserVotes
from electorate.ratings.tally import as_outcome
from electorate.ratings.tastes import Battles
from electorate.scale import Ints
from electorate.storage.vote_log import column

COLUMNS = ["user_id", "prompt_id", "model_a", "model_b", "first_shown", "outcome"]


class Cast(NamedTuple):
    """n votes as columns of length n, ordered by user; user: a row of whoever they are about. outcome: 0 A, 1 B, 2 tie."""

    user: Ints
    prompt: Ints
    a: Ints
    b: Ints
    first_shown: Ints
    outcome: Ints
    round_: Ints

    @classmethod
    def of(cls, votes: pa.Table, first_user: int, round_: int) -> "Cast":
        """A block's votes of a round, from the log's COLUMNS."""
        user, prompt, a, b, first_shown, outcome = (column(votes, name) for name in COLUMNS)
        return cls(user - first_user, prompt, a, b, first_shown, as_outcome(outcome), np.full(len(user), round_))

    @classmethod
    def joined(cls, parts: Sequence["Cast"]) -> "Cast":
        """Several rounds' votes, user by user in the order they were cast."""
        columns = [np.concatenate(columns) for columns in zip(*parts, strict=True)]
        order = np.argsort(columns[0], kind="stable") if len(parts) > 1 else slice(None)
        return cls(*(values[order] for values in columns))

    def of_users(self, rows: Ints, first: int = 0) -> "Cast":
        """The votes of these users, ascending, who become first, first + 1, ..."""
        place = np.searchsorted(rows, self.user)
        own = (place < len(rows)) & (rows[np.minimum(place, max(0, len(rows) - 1))] == self.user) if len(rows) else np.zeros(0, int)
        chosen = Cast(*(values[own] for values in self))
        return chosen._replace(user=first + place[own])

    def user_votes(self, users: int, label: Ints, forgetting: float) -> UserVotes:
        """As System A takes them: a vote weighs `forgetting` to the power of its age in rounds."""
        weight = None if forgetting == 1 or not len(self.user) else forgetting ** (self.round_.max() - self.round_).astype(float)
        return UserVotes(users, label, self.user, self.a, self.b, self.outcome, weight, self.prompt)

    def battles(self, archetype: Ints) -> Battles:
        """As oracle_features takes them, users in rows."""
        users = len(archetype)
        place = np.arange(len(self.user)) - np.searchsorted(self.user, np.arange(users))[self.user]
        shape = users, int(place.max(initial=-1)) + 1

        def table(values: Ints) -> Ints:
            padded = np.zeros(shape, dtype=np.int64)
            padded[self.user, place] = values
            return padded

        columns = (table(values) for values in (self.prompt, self.a, self.b, self.first_shown, self.outcome))
        return Battles(archetype, table(np.ones_like(self.user)).astype(float), *columns)
