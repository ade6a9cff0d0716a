"""What all votes say at one version, immutable, so that readers hold one while the next is made."""

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from electorate.base.scale import Floats, Ints
from electorate.online.counts import Caps
from electorate.online.sent import Users
from electorate.population.logged_votes import LoggedVotes
from electorate.ratings.bradley_terry import Fit
from electorate.ratings.prior import Prior

ONLINE = -1  # the round of votes that came online, beside a run's from 0 on
Keys = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Part:
    """Some of the users who are no personas, (n,) by key, ascending.

    segment: NO_SEGMENT for none.
    """

    key: Keys
    number: Ints
    segment: Ints

    @classmethod
    def of(cls, users: Users) -> "Part":
        """These users, found by their names."""
        key = np.array([key_of(name) for name in users.name], dtype=np.uint64)
        return cls(key, users.number, users.segment).sorted()

    def sorted(self) -> "Part":
        """The same users, sorted by key."""
        order = np.argsort(self.key, kind="stable")
        return Part(self.key[order], self.number[order], self.segment[order])

    def joined(self, other: "Part") -> "Part":
        """The users of both parts."""
        return Part(
            np.concatenate([self.key, other.key]),
            np.concatenate([self.number, other.number]),
            np.concatenate([self.segment, other.segment]),
        ).sorted()


@dataclass(frozen=True)
class UserIndex:
    """Users by name.

    Parts halve in size, so that new users change small parts and few large ones.
    """

    parts: tuple[Part, ...] = ()

    def with_users(self, users: Users) -> "UserIndex":
        """The index with these users added."""
        if not len(users.number):
            return self
        last = Part.of(users)
        parts = list(self.parts)
        while parts and len(parts[-1].key) < 2 * len(last.key):
            last = parts.pop().joined(last)
        return UserIndex((*parts, last))

    def without(self, number: int) -> "UserIndex":
        """But the user of this number."""
        parts = []
        for part in self.parts:
            kept = part.number != number
            if kept.all():
                parts.append(part)
            elif kept.any():
                parts.append(Part(part.key[kept], part.number[kept], part.segment[kept]))
        return UserIndex(tuple(parts))

    def find(self, name: str) -> tuple[int, int] | None:
        """Number and segment of the user, if there is one."""
        key = np.uint64(key_of(name))
        for part in self.parts:
            place = int(np.searchsorted(part.key, key))
            if place < len(part.key) and part.key[place] == key:
                return int(part.number[place]), int(part.segment[place])
        return None


def key_of(name: str) -> int:
    """A user's name as 64 bits: among a million users two meet once in 40 million times."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")


@dataclass(frozen=True)
class Snapshot:
    """What the endpoint answers from; never changed once it is made.

    Attributes:
        version: of the last write it counts.
        rounds: of the log that hold its votes, beside `recent`.
        erasures: users erased before it.
        models: (M,) names, empty for a place that no model has.
        retired: models not ranked any more.
        counts: (K + 1, M, M, 3) votes by segment, the last of users without one, each vote by its
            weight under the caps.
        fits: Bradley-Terry of everyone, then of each segment; none before the first vote.
        prior: System A's, by segment.
        unlabelled: System A's for users without a segment.
        users: by name.
        recent: votes not in the log yet, by user.
        caps: on what votes weigh.
        online: how many votes came online.
        made: when, seconds since 1970.
        with_thumbs: Bradley-Terry of everyone by votes and thumbs; None where there are no thumbs,
            and with a run.
    """

    version: int
    rounds: tuple[int, ...]
    erasures: int
    models: tuple[str, ...]
    retired: frozenset[str]
    counts: Floats
    fits: tuple[Fit, ...]
    prior: Prior | None
    unlabelled: Prior | None
    users: UserIndex
    recent: LoggedVotes
    caps: Caps
    online: int
    made: float
    with_thumbs: Fit | None = None

    @property
    def ranked(self) -> tuple[str, ...]:
        """The models that are ranked."""
        return tuple(name for name in self.models if name and name not in self.retired)
