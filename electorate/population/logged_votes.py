"""Votes that were cast, read back from the log as flat columns."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from electorate.base.columns import Columns
from electorate.base.scale import Floats, Ints
from electorate.data.votes import votes_a_unit
from electorate.population.tally import as_outcome
from electorate.ratings.user_votes import UserVotes
from electorate.storage.vote_log import WEIGHT, column, weights

NUMBERS = ("user_id", "prompt_id", "model_a", "model_b", "first_shown", "outcome")
COLUMNS = [*NUMBERS, WEIGHT.name]


@dataclass(frozen=True)
class LoggedVotes(Columns):
    """n votes, ordered by user.

    Attributes:
        user: (n,) a row of whoever they are about.
        prompt, a, b: (n,) ids of the prompt and of two models.
        first_shown: (n,) 0 where A was shown first, 1 where B was, -1 where it is not known.
        outcome: (n,) 0 A, 1 B, 2 tie.
        round_: (n,) in which each was cast.
        weight: (n,) as how many votes each counts; None: 1.
    """

    user: Ints
    prompt: Ints
    a: Ints
    b: Ints
    first_shown: Ints
    outcome: Ints
    round_: Ints
    weight: Floats | None = None

    @classmethod
    def of(cls, votes: pa.Table, first_user: int, round_: int) -> "LoggedVotes":
        """A block's votes of a round, from the log's COLUMNS."""
        user, prompt, a, b, first_shown, outcome = (column(votes, name) for name in NUMBERS)
        return cls(
            user - first_user,
            prompt,
            a,
            b,
            first_shown,
            as_outcome(outcome),
            np.full(len(user), round_),
            weights(votes),
        )

    @classmethod
    def by_user(cls, parts: Sequence["LoggedVotes"]) -> "LoggedVotes":
        """Several rounds' votes, user by user in the order they were cast."""
        if any(part.weight is not None for part in parts):
            parts = [replace(part, weight=part.weights) for part in parts]
        whole = cls.joined(parts)
        return whole.take(np.argsort(whole.user, kind="stable")) if len(parts) > 1 else whole

    @property
    def weights(self) -> Floats:
        """(n,) The weight of each vote."""
        return np.ones(len(self)) if self.weight is None else self.weight

    def of_users(self, rows: Ints, first: int = 0) -> "LoggedVotes":
        """The votes of these users, ascending, who become first, first + 1, ..."""
        place = np.searchsorted(rows, self.user)
        own = (
            (place < len(rows)) & (rows[np.minimum(place, max(0, len(rows) - 1))] == self.user)
            if len(rows)
            else np.zeros(len(self.user), dtype=bool)
        )
        return replace(self.take(own), user=first + place[own])

    def user_votes(self, label: Ints, forgetting: float) -> UserVotes:
        """As System A takes them, of users of these archetypes: a vote's weight falls by
        `forgetting` a round of its age.

        These weights are scaled to sum to their effective number (sum w)^2 / sum w^2 (Kish, 1965):
        scores of weighted votes vary with w^2, and counted as sum w votes they would look noisier
        than they are, and users closer together.
        """
        weight = self.weight
        if forgetting != 1 and len(self.user):
            age = forgetting ** (self.round_.max() - self.round_).astype(float)
            weight = self.weights * age * votes_a_unit(age)
        return UserVotes(
            label,
            self.user,
            self.a,
            self.b,
            self.outcome,
            weight,
            self.prompt,
            self.first_shown,
        )
