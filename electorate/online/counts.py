"""Online votes counted for the boards, where no user and no key weighs more than a cap.

Whoever sends votes chooses the user they are of, so neither one user nor one key may decide a
board by the number of its votes: each vote of a user with n online votes weighs min(1, C / n) for
the cap C of a user, and all votes of a key together at most the cap of a key.
"""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from electorate.base.scale import Floats, Ints
from electorate.base.votes import OUTCOMES
from electorate.ratings import fixed_point
from electorate.storage.vote_columns import column, votes_of, weights

USER_CAP = 100
KEY_CAP = 1_000_000


@dataclass(frozen=True)
class Caps:
    """The most that online votes weigh in boards, in votes: one user's, and one key's."""

    user: int = USER_CAP
    key: int = KEY_CAP

    def of_user(self, votes: Ints | int) -> Floats:
        """The weight of each vote of users with so many."""
        found: Floats = np.minimum(1.0, np.float64(self.user) / np.maximum(votes, 1))
        return found

    def __str__(self) -> str:
        return (
            f"the votes of a user weigh at most {self.user:,} together, those of a key at most "
            f"{self.key:,}"
        )


@dataclass(frozen=True)
class Shape:
    """Of the counts. segments: the users' K and one for users without; models: M."""

    segments: int
    models: int

    def places(self, votes: pa.Table, segment: Ints) -> tuple[Ints, int]:
        """Each vote's place in the flat counts by key, and how many keys that takes."""
        key = column(votes, "key")
        place = votes_of(votes).battle(self.models, key * self.segments + segment)
        return place, int(key.max(initial=-1)) + 1


@dataclass(frozen=True)
class Counts:
    """What is counted of online votes. Nothing here is changed: a count is whole, or not there.

    units: (keys, segments, M, M, 3) in units of weight (fixed_point.py), under the cap of a user.
    votes_of: (users,) online votes by the user's number. units_of: (users,) their weight before any
    cap, in the same units.
    """

    caps: Caps
    units: Ints = field(default_factory=lambda: np.zeros((0, 1, 0, 0, OUTCOMES), dtype=np.int64))
    votes_of: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    units_of: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @property
    def votes(self) -> int:
        """The number of votes that are counted."""
        return int(self.votes_of.sum())

    def add(
        self, shape: Shape, new: pa.Table, segment: Ints, before: tuple[pa.Table, Ints] | None
    ) -> "Counts":
        """With these votes.

        new: the votes, which count in these segments (votes,). before: all counted votes of those
        among the users whom these bring above the cap, see `above`, and their segments.
        """
        user = column(new, "user_id")
        more = max(0, int(user.max(initial=-1)) + 1 - len(self.votes_of))
        grown = np.pad(self.votes_of, (0, more))
        after = grown + np.bincount(user, minlength=len(grown))
        weight = fixed_point.sums(user, weights(new), len(grown))
        units = self._added(self._grown(shape, new), shape, new, segment, after)
        if before is not None:
            units = self._added(units, shape, *before, after)
            units = self._added(units, shape, *before, grown, sign=-1)
        return Counts(self.caps, units, after, np.pad(self.units_of, (0, more)) + weight)

    def above(self, new: pa.Table) -> Ints:
        """Users who have votes here and whom these ones bring above the cap, ascending."""
        user, many = np.unique(column(new, "user_id"), return_counts=True)
        before = self.many(user)
        found: Ints = user[(before > 0) & (before + many > self.caps.user)]
        return found

    def without(self, shape: Shape, gone: pa.Table, segment: Ints) -> "Counts":
        """Without users all of whose counted votes these are."""
        user = np.unique(column(gone, "user_id"))
        units = self._added(self._grown(shape, gone), shape, gone, segment, self.votes_of, sign=-1)
        after = self.votes_of.copy()
        after[user] = 0
        weight = self.units_of.copy()
        weight[user] = 0
        return Counts(self.caps, units, after, weight)

    def total(self, shape: Shape) -> Floats:
        """(segments, M, M, 3) votes by weight, under both caps."""
        units = self._resized(shape, len(self.units))
        found: Floats = np.einsum("k,ksabo->sabo", self.key_weights, fixed_point.real(units))
        return found

    def many(self, users: Ints) -> Ints:
        """(n,) online votes of users by number; none of those who thumbed single answers alone."""
        there = users < len(self.votes_of)
        found = np.zeros(len(users), dtype=np.int64)
        found[there] = self.votes_of[users[there]]
        return found

    @property
    def weight_of_users(self) -> Floats:
        """(users,) what the votes of each weigh together, under the cap of a user."""
        found: Floats = fixed_point.real(self.units_of) * self.caps.of_user(self.votes_of)
        return found

    @property
    def weight_of_keys(self) -> Floats:
        """(keys,) what the votes of each weigh together, before the cap of a key."""
        by_key: Floats = fixed_point.real(self.units.sum(axis=(1, 2, 3, 4)))
        return by_key

    @property
    def key_weights(self) -> Floats:
        """(keys,) what the cap of a key leaves of each vote's weight."""
        found: Floats = np.minimum(
            1.0, np.float64(self.caps.key) / np.maximum(self.weight_of_keys, 1.0)
        )
        return found

    def _grown(self, shape: Shape, votes: pa.Table) -> Ints:
        _, keys = shape.places(votes, np.zeros(len(votes), dtype=np.int64))
        return self._resized(shape, max(keys, len(self.units)))

    def _resized(self, shape: Shape, keys: int) -> Ints:
        """The units with a place for keys, segments and models that are new, and none for models
        that only erased users named.
        """
        size = (keys, shape.segments, shape.models, shape.models, OUTCOMES)
        units = np.zeros(size, dtype=np.int64)
        both = tuple(slice(min(pair)) for pair in zip(self.units.shape, size, strict=True))
        units[both] = self.units[both]
        return units

    @property
    def models(self) -> int:
        """How many have a place."""
        return int(self.units.shape[2])

    def _added(
        self,
        units: Ints,
        shape: Shape,
        votes: pa.Table,
        segment: Ints,
        votes_of: Ints,
        sign: int = 1,
    ) -> Ints:
        place, _ = shape.places(votes, segment)
        weight = self.caps.of_user(votes_of[column(votes, "user_id")])
        own = weights(votes)
        weight = weight if own is None else weight * own
        sums = fixed_point.sums(place, weight, units.size)
        found: Ints = units + sign * sums.reshape(units.shape)
        return found
