"""Standings: what all votes say at one version, immutable, so that readers hold one whole while the next is made."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from electorate.cast import COLUMNS, Cast
from electorate.online.base import Base
from electorate.online.store import NO_SEGMENT, Users, VoteStore
from electorate.personas import BLOCK
from electorate.ratings import bradley_terry, offsets, priors
from electorate.ratings.bradley_terry import OUTCOMES, Fit
from electorate.ratings.posteriors import Prior, UserVotes
from electorate.ratings.tally import Tally
from electorate.scale import Ints
from electorate.storage.vote_log import column

FOLD_AT = 50_000  # votes: above, sorting them anew for each standings takes longer than fitting the ratings
PRIOR_USERS = 2048  # who say how far users are apart where no run has said it
GROWN = 1.5  # times as many votes, and that is asked again
Keys = npt.NDArray[np.uint64]
NONE: Ints = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class UserIndex:
    """Users who are no personas, (n,) by key, ascending. segment: NO_SEGMENT for none."""

    key: Keys
    number: Ints
    segment: Ints

    def with_users(self, users: Users) -> "UserIndex":
        """And these, by their names."""
        key = np.concatenate([self.key, np.array([key_of(name) for name in users.name], dtype=np.uint64)])
        number, segment = np.concatenate([self.number, users.number]), np.concatenate([self.segment, users.segment])
        order = np.argsort(key, kind="stable")
        return UserIndex(key[order], number[order], segment[order])

    def find(self, name: str) -> tuple[int, int] | None:
        """Number and segment of the user, if there is one."""
        key = np.uint64(key_of(name))
        place = int(np.searchsorted(self.key, key))
        if place == len(self.key) or self.key[place] != key:
            return None
        return int(self.number[place]), int(self.segment[place])


@dataclass(frozen=True)
class Standings:
    """version: of the last write they count; folds, erasures: see VoteStore. counts: (K + 1, M, M, 3) votes by segment, the last of
    users without one. fits: Bradley-Terry of everyone, then of each segment; none before the first vote. prior: System A's, by
    segment; unlabelled: for users without one. recent: votes not in the log yet, by user. online: how many votes came online; made:
    when, seconds since 1970.
    """

    version: int
    folds: int
    erasures: int
    models: tuple[str, ...]
    counts: Ints
    fits: tuple[Fit, ...]
    prior: Prior | None
    unlabelled: Prior | None
    users: UserIndex
    recent: Cast
    online: int
    made: float


NOBODY, NO_USERS = Users((), NONE, NONE), UserIndex(np.zeros(0, dtype=np.uint64), NONE, NONE)


@dataclass
class Known:
    """What was read of a store so far. users: without their names; recent: votes not in the log yet; place: of the last one."""

    users: Users = NOBODY
    index: UserIndex = NO_USERS
    recent: pa.Table = field(default_factory=lambda: pa.table({name: pa.array([], pa.int64()) for name in COLUMNS}))
    place: int = 0

    def read(self, store: VoteStore) -> None:
        """What is new since."""
        new = store.users(int(self.users.number.max(initial=-1)))
        if len(new.number):
            number, segment = np.concatenate([self.users.number, new.number]), np.concatenate([self.users.segment, new.segment])
            self.users, self.index = Users((), number, segment), self.index.with_users(new)
        self.place, votes = store.unfolded(self.place)
        self.recent = pa.concat_tables([self.recent, votes])

    def cast(self, round_: int) -> Cast:
        """The recent votes, user by user."""
        order = np.argsort(column(self.recent, "user_id"), kind="stable")
        return Cast(*(values[order] for values in Cast.of(self.recent, 0, round_)))


@dataclass
class Counter:
    """Makes the standings of a base and its online votes. Only what is new is read, and only what is not in the log yet counted again."""

    base: Base
    store: VoteStore
    _run: Ints | None = None  # (K, M, M, 3) votes of the run
    _folded: Ints = field(
        default_factory=lambda: np.zeros((1, 0, 0, OUTCOMES), dtype=np.int64)
    )  # (K + 1, M, M, 3), the last without segment
    _counted: tuple[int, int] = (-1, -1)  # folds and erasures that the counts above know of
    _known: Known = field(default_factory=Known)
    _spread: tuple[int, Prior] | None = None  # votes online when it was found, and System A's prior

    def standings(self) -> Standings:
        """As of now."""
        if self.store.fact("erasures") != self._counted[1]:
            self._count_all()
        known, models = self._known, self.store.models
        known.read(self.store)
        if len(known.recent) > FOLD_AT:
            self.store.fold()
            known.recent = known.recent.slice(0, 0)
        users = known.users
        if self.store.fact("folds") != self._counted[0]:
            self._count_folds(users)
        recent = known.cast(self.store.fact("folds"))
        own = self._padded(self._folded, len(models)) + self._counts(recent, users, len(models))
        online = int(own.sum())
        total = own if self._run is None else own + np.concatenate([self._run, np.zeros_like(self._run[:1])])
        each = (total.sum(axis=0), *total[:-1]) if len(models) else ()
        fits = tuple(bradley_terry.fit(own, self.base.ties, self.base.prior_sd) for own in each)
        prior, unlabelled = self._priors(fits, users, recent, online)
        version, folds, erasures = (self.store.fact(name) for name in ("version", "folds", "erasures"))
        return Standings(version, folds, erasures, models, total, fits, prior, unlabelled, known.index, recent, online, time.time())

    def _count_all(self) -> None:
        """Anew, run and log, as somebody was erased or nothing was counted yet."""
        run = self.base.run
        if run is not None:
            tally = Tally.from_log(run.electorate, run.folder.votes)
            self._run = np.stack([tally.counts(run.rounds - 1, k) for k in range(len(self.base.segments))])
        self._folded, self._counted, self._known = np.zeros_like(self._folded), (0, self.store.fact("erasures")), Known()
        self._known.read(self.store)
        self._count_folds(self._known.users)

    def _count_folds(self, users: Users) -> None:
        models, known = len(self.store.models), self._counted[0]
        self._folded = self._padded(self._folded, models)
        for round_, _, table in self.store.folded(known):
            self._folded += self._counts(Cast.of(table, 0, round_), users, models)
        self._counted = self.store.fact("folds"), self._counted[1]

    def _padded(self, counts: Ints, models: int) -> Ints:
        """With a place for models and segments that are new since."""
        grown = np.zeros((len(self.base.segments) + 1, models, models, OUTCOMES), dtype=np.int64)
        grown[: len(counts), : counts.shape[1], : counts.shape[2]] = counts
        return grown

    def _counts(self, votes: Cast, users: Users, models: int) -> Ints:
        """(K + 1, M, M, 3) by segment."""
        label = self._labels(votes.user, users)
        place = ((label * models + votes.a) * models + votes.b) * OUTCOMES + votes.outcome
        shape = (len(self.base.segments) + 1, models, models, OUTCOMES)
        return np.bincount(place, minlength=int(np.prod(shape))).reshape(shape)

    def _labels(self, number: Ints, users: Users) -> Ints:
        """(n,) segments of users by number; the last one for those without."""
        label, persona = np.full(len(number), len(self.base.segments)), number < self.base.personas
        if self.base.run is not None:
            label[persona] = self.base.run.segments(number[persona])
        if len(users.number):
            # Whoever is erased while their votes still lie in a file has none.
            place = np.minimum(np.searchsorted(users.number, number), len(users.number) - 1)
            known = ~persona & (users.number[place] == number) & (users.segment[place] != NO_SEGMENT)
            label[known] = users.segment[place[known]]
        return label

    def _priors(self, fits: Sequence[Fit], users: Users, recent: Cast, online: int) -> tuple[Prior | None, Prior | None]:
        if self.base.run is not None:
            return self.base.run.prior, priors.without_label(self.base.run.prior, self.base.run.shares)
        if not fits:
            return None, None
        centre = np.append(fits[0].strength, fits[0].eta)[None]
        if self._spread is None or online > GROWN * self._spread[0]:
            self._spread = online, self._fitted_prior(fits[0], users, recent)
        return None, replace(self._spread[1], mean=centre)

    def _fitted_prior(self, whole: Fit, users: Users, recent: Cast) -> Prior:
        """How far the first users are apart, as their votes say it."""
        first = users.number[:PRIOR_USERS]
        parts = [Cast.of(table, 0, round_).of_users(first) for round_, block, table in self.store.folded() if block * BLOCK <= first.max()]
        own = Cast.joined([*parts, recent.of_users(first)])
        votes = UserVotes(len(first), np.zeros(len(first), dtype=np.int64), own.user, own.a, own.b, own.outcome)
        prior = offsets.fit_blocks([votes], whole, self.base.ties, None)
        return Prior(prior.mean, prior.sd, prior.tie_sd)


def key_of(name: str) -> int:
    """A user's name as 64 bits: among a million users two meet once in 40 million times."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")
