"""Votes that were cast, read back from the log as flat columns."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from electorate.base.scale import Ints
from electorate.base.votes import Votes
from electorate.data.votes import votes_a_unit
from electorate.ratings.user_votes import UserVotes
from electorate.storage import vote_columns
from electorate.storage.vote_columns import WEIGHT

# Of the log, what the columns of votes are read from.
COLUMNS = ["user_id", "prompt_id", "model_a", "model_b", "first_shown", "outcome", WEIGHT.name]


@dataclass(frozen=True, kw_only=True)
class LoggedVotes(Votes):
    """Votes ordered by user, a row of whoever they are about; their outcomes are 0 A, 1 B, 2 tie.

    Attributes:
        round_: (n,) in which each was cast.
    """

    prompt: Ints
    round_: Ints

    @classmethod
    def of_block(cls, votes: pa.Table, first_user: int, round_: int) -> "LoggedVotes":
        """A block's votes of a round, from the log's COLUMNS."""
        read = vote_columns.votes_of(votes)
        return cls.of(
            read,
            user=read.user - first_user,
            outcome=read.outcome_of_3,
            round_=np.full(len(read), round_),
        )

    @classmethod
    def by_user(cls, parts: Sequence["LoggedVotes"]) -> "LoggedVotes":
        """Several rounds' votes, user by user in the order they were cast."""
        if any(part.weight is not None for part in parts):
            parts = [replace(part, weight=part.weights) for part in parts]
        whole = cls.joined(parts)
        return whole.take(np.argsort(whole.user, kind="stable")) if len(parts) > 1 else whole

    def of_users(self, rows: Ints, first: int = 0) -> "LoggedVotes":
        """The votes of these users, ascending, who become first, first + 1, ..."""
        place = np.searchsorted(rows, self.user)
        own = (
            (place < len(rows)) & (rows[np.minimum(place, max(0, len(rows) - 1))] == self.user)
            if len(rows)
            else np.zeros(len(self.user), dtype=bool)
        )
        return replace(self.take(own), user=first + place[own])

    def user_votes(self, archetype: Ints, forgetting: float) -> UserVotes:
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
        return UserVotes.of(self, archetype=archetype, weight=weight)
