"""Votes of many users as System A takes them, and the models that each user voted on.

A user's algebra is over its own models. With 2,000 models and 50 votes that is at most 100 of them,
so memory and time follow the votes, not the models.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np

from electorate.base.scale import Ints
from electorate.base.votes import Votes
from electorate.ratings import kernels

CHUNK_VOTES = 12_800  # as many as stay in the processor's cache through all steps
CHUNK_ENTRIES = 2**21  # of the users' matrices, 16 MB


@dataclass(frozen=True, kw_only=True)
class UserVotes(Votes):
    """Votes of `users` users, who are rows 0, 1, ..., and whose outcomes are 0 A, 1 B, 2 tie.

    Attributes:
        archetype: (users,) the archetype each user is said to have.
    """

    WHOLE = frozenset({"archetype"})

    archetype: Ints

    @property
    def users(self) -> int:
        """How many, with votes or without."""
        return len(self.archetype)

    def by_user(self) -> Self:
        """The same votes, user by user, each user's in the order they had."""
        if np.all(self.user[1:] >= self.user[:-1]):
            return self
        return self.take(np.argsort(self.user, kind="stable"))

    def of_users(self, first: int, last: int) -> Self:
        """The votes of users first..last-1, who are counted from 0. Votes must be by user."""
        rows = slice(int(self.starts[first]), int(self.starts[last]))
        some = self.take(rows)
        archetype = self.archetype[first:last]
        found = replace(some, archetype=archetype, user=some.user - first)
        if "own" in self.__dict__:
            # A cached property's place, so that what is known is not looked up anew.
            found.__dict__["own"] = self.own.of_users(first, last, rows)
        return found

    @cached_property
    def starts(self) -> Ints:
        """(n+1,) where each user's votes begin. Votes must be by user."""
        return np.searchsorted(self.user, np.arange(self.users + 1))

    @cached_property
    def own(self) -> "OwnModels":
        """The models of each user. Votes must be by user."""
        return OwnModels.of(self)

    def chunks(self) -> Iterator[tuple[int, Self]]:
        """The first user and the votes of a few users at a time. Votes must be by user."""
        first = 0
        while first < self.users:
            last = self.users
            for ends, most in ((self.starts, CHUNK_VOTES), (self.own.square, CHUNK_ENTRIES)):
                full = int(np.searchsorted(ends, ends[first] + most, side="right")) - 1
                last = min(last, max(full, first + 1))
            yield first, self.of_users(first, last)
            first = last


@dataclass(frozen=True)
class OwnModels:
    """Each user's own parameters, all users' one after the other: P in all.

    start: (n+1,) where each user's parameters begin; the last of them is its tie parameter.
    parameter: (P,) the model of each, ascending; -1 for the tie parameter.
    user: (P,) whose it is. square: (n+1,) where each user's matrix of parameters begins.
    a, b: (votes,) the place of each vote's models among its user's parameters.
    """

    start: Ints
    parameter: Ints
    user: Ints
    square: Ints
    a: Ints
    b: Ints

    def of_users(self, first: int, last: int, votes: slice) -> "OwnModels":
        """Of users first..last-1, who are counted from 0, and of their votes."""
        span = slice(int(self.start[first]), int(self.start[last]))
        return OwnModels(
            self.start[first : last + 1] - span.start,
            self.parameter[span],
            self.user[span] - first,
            self.square[first : last + 1] - self.square[first],
            self.a[votes],
            self.b[votes],
        )

    @classmethod
    def of(cls, votes: UserVotes) -> "OwnModels":
        """Of votes ordered by user."""
        models = int(max(votes.a.max(initial=-1), votes.b.max(initial=-1))) + 1
        start, parameter, a, b = kernels.own_models(votes.starts, votes.a, votes.b, models)
        size = np.diff(start)
        user = np.repeat(np.arange(votes.users), size)
        square = np.concatenate([[0], np.cumsum(size**2)])
        return cls(start, parameter, user, square, a, b)
