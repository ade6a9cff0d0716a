"""Makes snapshots: counts what is new since the last one, and rates it.

A snapshot is made in two steps, as the database belongs to one thread and must not wait for
ratings: `read` takes what is new from the store, `count` does the rest without it. Nothing is
counted by halves: `count` makes a new state of what is counted, which takes the old one's place
only when the snapshot is there; what fails is read and counted anew from the old one.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from electorate.base.scale import Floats, Ints
from electorate.base.votes import OUTCOMES
from electorate.online import rounds, spread
from electorate.online.base import Base
from electorate.online.counts import Caps, Counts, Shape
from electorate.online.sent import NO_MODEL, NO_SEGMENT, Erased, Users, battles
from electorate.online.snapshot import ONLINE, Snapshot, UserIndex
from electorate.online.spread import Spread
from electorate.online.store import VoteStore
from electorate.population.logged_votes import COLUMNS, LoggedVotes
from electorate.population.tally import Tally
from electorate.population.voters import BLOCK
from electorate.ratings import bradley_terry, clustering, fixed_point
from electorate.ratings import prior as priors
from electorate.ratings.bradley_terry import Fit
from electorate.ratings.clustering import ScoreSums
from electorate.ratings.prior import Prior
from electorate.ratings.user_votes import UserVotes
from electorate.storage.vote_columns import column, votes_of
from electorate.storage.vote_log import VoteLog

LOG = logging.getLogger("electorate.online")
FOLD_AT = 50_000  # votes: above, sorting them for each snapshot takes longer than rating them
PRIOR_USERS = 2048  # who show how far users are apart where no run has shown it
GROWN = 1.5  # times as many votes, and that is asked again
NONE: Ints = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class State:
    """What is counted.

    place : of the last vote. recent : those not in the log, with the columns of a round. log : the
    rounds that hold all others. users : by name. segment : (n,) of users by number, from the first
    user's on. first_users : numbers of the first PRIOR_USERS. of_run : (K, M, M, 3) the run's
    votes, in units (fixed_point.py); K = 0 without a run.
    """

    counts: Counts
    erasures: int
    of_run: Ints
    place: int = 0
    recent: pa.Table = field(default_factory=rounds.SCHEMA.empty_table)
    log: Mapping[int, pa.Table] = field(default_factory=dict)
    users: UserIndex = field(default_factory=UserIndex)
    last_user: int = -1
    segment: Ints = field(default_factory=lambda: NONE)
    first_users: Ints = field(default_factory=lambda: NONE)


@dataclass(frozen=True)
class Reading:
    """What is new in a store since a state. log: its rounds by number, as they are on disk."""

    version: int
    erasures: int
    models: tuple[str, ...]
    retired: frozenset[str]
    log: Mapping[int, pa.Table]
    erased: Sequence[Erased]
    users: Users
    place: int
    votes: pa.Table


class Counter:
    """Of a base and its online votes."""

    def __init__(self, base: Base, store: VoteStore, caps: Caps | None = None) -> None:
        self.base = base
        self.store = store
        self._caps = caps or Caps()
        self._first = -(-base.personas // BLOCK) * BLOCK
        self._state: State | None = None
        self._last: Snapshot | None = None
        self._spread = Spread()

    def begin_again(self) -> None:
        """Count everything anew with the next reading, as votes were taken out of the store."""
        self._state = None
        self._spread = Spread()

    def snapshot(self) -> Snapshot:
        """As of now, by one thread."""
        found = self.count(self.read())
        if self.is_due():
            self.refresh()
            found = self.count(self.read())
        return found

    def read(self) -> Reading:
        """What is new, in the thread of the store. Folds what is counted once it is much."""
        store = self.store
        state = self._state
        if state is not None and len(state.recent) > FOLD_AT and not store.erased:
            store.fold(state.place)
            recent = rounds.SCHEMA.empty_table()
            self._state = state = replace(state, recent=recent, log=self._opened(state.log))
        place, votes = store.unfolded(0 if state is None else state.place)
        return Reading(
            version=store.fact("version"),
            erasures=store.fact("erasures"),
            models=store.models.names,
            retired=store.models.retired,
            log=self._opened({} if state is None else state.log),
            erased=tuple(store.erased),
            users=store.users.above(-1 if state is None else state.last_user),
            place=place,
            votes=votes,
        )

    def _opened(self, known: Mapping[int, pa.Table]) -> Mapping[int, pa.Table]:
        """The log's rounds as they are now."""
        numbers = self.store.rounds
        return {n: known[n] if n in known else self.store.round(n) for n in numbers}

    def count(self, new: Reading) -> Snapshot:
        """The snapshot of all that was counted and what is new."""
        state = self._state or self._begun(new)
        shape = Shape(len(self.base.segments) + 1, len(new.models))
        if self._state is not None:
            before = replace(shape, models=max(shape.models, state.counts.models))
            for gone in new.erased:
                state = self._without(state, gone, before)
        state = replace(self._with_users(state, new.users), erasures=new.erasures, log=new.log)
        state = self._with_votes(state, new, shape)
        if new.erased or self._has_another_model(new):
            # What the first users said is asked again, without whoever is gone.
            self._spread = replace(self._spread, votes=0, both=None, alone=None)
        found = self._rated(state, new, shape)
        self._state = state
        self._last = found
        del self.store.erased[: len(new.erased)]
        return found

    def _has_another_model(self, new: Reading) -> bool:
        """Whether a place among the models was given to another one."""
        before = () if self._last is None else self._last.models
        return any(name and name != now for name, now in zip(before, new.models, strict=False))

    def _begun(self, new: Reading) -> State:
        """The run's votes and the log's."""
        of_run = np.zeros((0, 0, 0, OUTCOMES), dtype=np.int64)
        run = self.base.run
        if run is not None:
            tally = Tally.from_log(run.voters, run.folder.votes)
            kinds = range(len(self.base.segments))
            of_run = np.stack([tally.units(run.rounds - 1, k) for k in kinds])
        state = self._with_users(State(Counts(self._caps), new.erasures, of_run), new.users)
        if new.log:
            shape = Shape(len(self.base.segments) + 1, len(new.models))
            votes = battles(rounds.joined([*new.log.values()]))
            segment = self._segments(votes, state)
            counts = state.counts.add(shape, votes, segment, None)
            state = replace(state, counts=counts)
        return state

    def _without(self, state: State, gone: Erased, shape: Shape) -> State:
        recent = column(state.recent, "user_id") == gone.number
        votes = battles(rounds.joined([gone.folded, state.recent.filter(pa.array(recent))]))
        segment = self._segments(votes, state)
        counts = state.counts
        if len(votes):
            counts = counts.without(shape, votes, segment)
        of_run = state.of_run.copy()
        for part in gone.of_run:
            of_run -= self._units_of_run(part, of_run)
        return replace(
            state,
            counts=counts,
            of_run=of_run,
            recent=state.recent.filter(pa.array(~recent)),
            users=state.users.without(gone.number),
            first_users=state.first_users[state.first_users != gone.number],
        )

    def _units_of_run(self, votes: pa.Table, like: Ints) -> Ints:
        """(K, M, M, 3) of some of the run's votes."""
        assert self.base.run is not None  # noqa: S101 they are its votes
        models = like.shape[1]
        read = votes_of(votes)
        place = read.battle(models, self.base.run.segments(read.user))
        return fixed_point.sums(place, read.weight, like.size).reshape(like.shape)

    def _with_users(self, state: State, users: Users) -> State:
        if not len(users.number):
            return state
        last = int(users.number[-1])
        segment = np.full(last + 1 - self._first, NO_SEGMENT)
        segment[: len(state.segment)] = state.segment
        segment[users.number - self._first] = users.segment
        first = np.concatenate([state.first_users, users.number[:PRIOR_USERS]])[:PRIOR_USERS]
        index = state.users.with_users(users)
        return replace(state, users=index, last_user=last, segment=segment, first_users=first)

    def _with_votes(self, state: State, new: Reading, shape: Shape) -> State:
        if not len(new.votes):
            return replace(state, place=new.place)
        cells = battles(new.votes)
        above = state.counts.above(cells)
        before = None
        if len(above):
            votes = battles(self._votes_of(above, state))
            before = (votes, self._segments(votes, state))
        counts = state.counts.add(shape, cells, self._segments(cells, state), before)
        recent = rounds.joined([state.recent, new.votes])
        return replace(state, counts=counts, place=new.place, recent=recent)

    def _segments(self, votes: pa.Table, state: State) -> Ints:
        """(votes,) the segment that each counts in: its own, or else its user's."""
        of_user = self._segments_of_users(column(votes, "user_id"), state)
        if "segment" not in votes.column_names:
            return of_user
        own = column(votes, "segment")
        return np.where(own == NO_SEGMENT, of_user, own)

    def _segments_of_users(self, number: Ints, state: State) -> Ints:
        """(n,) segments of users by number; the last one for those without."""
        segment = np.full(len(number), len(self.base.segments))
        persona = number < self.base.personas
        if self.base.run is not None and persona.any():
            segment[persona] = self.base.run.segments(number[persona])
        own = state.segment[number[~persona] - self._first]
        segment[~persona] = np.where(own == NO_SEGMENT, len(self.base.segments), own)
        return segment

    def _votes_of(self, numbers: Ints, state: State) -> pa.Table:
        """The counted online votes of these users, ascending, user by user."""
        recent = state.recent.filter(pa.array(np.isin(column(state.recent, "user_id"), numbers)))
        parts = [rounds.of_users(votes, numbers) for votes in state.log.values()]
        return rounds.sorted_by_user(rounds.joined([*parts, recent]))

    def _rated(self, state: State, new: Reading, shape: Shape) -> Snapshot:
        counts = state.counts.total(shape)
        run = fixed_point.real(state.of_run)
        if len(run):
            there = run.shape[1]
            counts[:-1, :there, :there] += run
        each = (counts.sum(axis=0), *counts[:-1]) if shape.models else ()
        ties = self.base.ties
        sd = self.base.prior_sd
        plain = tuple(bradley_terry.fit(own, ties, sd) for own in each)
        fits = plain
        sums = self._spread.sums
        if fits and len(sums) == len(fits) and self._spread.models == shape.models:
            fits = tuple(
                own.clustered(fit, fit.votes.sum() / 2) for own, fit in zip(sums, fits, strict=True)
            )
        with_thumbs = self._spread.with_thumbs(fits[0]) if fits else None
        prior, unlabelled = self._priors(plain, with_thumbs)
        order = np.argsort(column(state.recent, "user_id"), kind="stable")
        recent = LoggedVotes.of_block(state.recent.take(order), 0, ONLINE)
        return Snapshot(
            version=new.version,
            rounds=tuple(new.log),
            erasures=new.erasures,
            models=new.models,
            retired=new.retired,
            counts=counts,
            fits=fits,
            prior=prior,
            unlabelled=unlabelled,
            users=state.users,
            recent=recent,
            caps=self._caps,
            online=state.counts.votes,
            made=time.time(),
            with_thumbs=with_thumbs,
        )

    def _priors(
        self, fits: Sequence[Fit], with_thumbs: Fit | None
    ) -> tuple[Prior | None, Prior | None]:
        """System A's by segment, and of users without one."""
        if not fits:
            return None, None
        run = self.base.run
        if run is not None:
            more = fits[0].strength[run.prior.models :]
            level = float(fits[0].strength[: run.prior.models].mean())
            prior = priors.with_models(run.prior, more - level)
            return prior, priors.without_label(prior, run.shares)
        return self._priors_of_spread(with_thumbs or fits[0])

    def _priors_of_spread(self, everyone: Fit) -> tuple[Prior | None, Prior | None]:
        """Of who was asked how users differ, about everybody's ratings as they are now."""
        known = self._spread
        if known.prior is None:
            return None, None
        centre = np.append(everyone.strength, everyone.eta)
        covariance = np.tile(everyone.covariance, (len(known.shares), 1, 1))
        mean = np.tile(centre, (len(known.shares), 1))
        found = replace(known.prior, mean=mean, mean_covariance=covariance)
        if len(known.shares) == 1:
            return None, found
        if len(centre) == len(known.centre):
            mean = centre + known.prior.mean - known.centre
            found = replace(known.prior, mean=mean)
        within = found.mean_covariance
        by_segment = replace(
            found,
            mean=found.mean[:-1],
            mean_covariance=None if within is None else within[:-1],
        )
        return by_segment, priors.without_label(found, known.shares)

    def is_due(self) -> bool:
        """Whether votes have grown so much that how users differ should be asked again."""
        if self._last is None or not self._last.fits:
            return False
        votes = self._votes_rated()
        return votes > GROWN * self._spread.votes or self._spread.models != len(self._last.models)

    def _votes_rated(self) -> int:
        """Thumbs among them."""
        if self._last is None or self._state is None:
            return 0
        online = len(self._state.recent) + sum(map(len, self._state.log.values()))
        return int(self._last.counts.sum()) + online - self._state.counts.votes

    def refresh(self) -> None:
        """Ask again how users differ, by the first of them; the next snapshot knows it.

        Takes longer than a snapshot. Where it does not converge what was found before stays, and
        the log says why.
        """
        last = self._last
        state = self._state
        if last is None or state is None or not last.fits:
            return
        own, number, board = self._first_votes(state)
        found = self._spread
        if self.base.run is None and len(number):
            segment = self._segments_of_users(number, state)
            groups = len(self.base.segments) + 1
            known = self.base.ties, self.base.prior_sd, self._caps
            found = spread.learned(found, own, segment, last.fits[0], groups, *known)
        is_battle = np.flatnonzero(own.b != NO_MODEL)
        sums = self._score_sums(own.take(is_battle), number, board[is_battle], last.fits)
        if self._state is None or self._state.erasures != state.erasures:
            return  # somebody was erased meanwhile
        self._spread = replace(found, votes=self._votes_rated(), models=len(last.models), sums=sums)

    def _first_votes(self, state: State) -> tuple[LoggedVotes, Ints, Ints]:
        """Votes and thumbs of the first users, who become 0, 1, ..., their numbers, and the segment
        that each vote counts in.
        """
        run = self.base.run
        if run is None:
            number = state.first_users
            votes = self._votes_of(number, state)
            own = LoggedVotes.of_block(votes, 0, ONLINE).of_users(number)
            return own, number, self._segments(votes, state)
        number = np.arange(min(BLOCK, self.base.personas))
        log = VoteLog(run.folder.votes, run.voters.config.contestant_names)
        parts = [
            LoggedVotes.of_block(log.read(r, 0, COLUMNS), 0, r)
            for r in range(run.rounds)
            if log.has(r, 0)
        ]
        own = LoggedVotes.by_user(parts)
        return own, number, self._segments_of_users(number, state)[own.user]

    def _score_sums(
        self, own: LoggedVotes, number: Ints, board: Ints, fits: Sequence[Fit]
    ) -> list[ScoreSums]:
        """What these users' votes, weighed as in the boards, add to each fit's intervals."""
        weight: Floats | None = None
        run = self.base.run
        if run is None:
            weight = own.weights * self._caps.of_user(self.counts.many(number))[own.user]
        prompts = self.base.prompts
        nobody = np.zeros(len(number), dtype=np.int64)
        votes = UserVotes.of(own, archetype=nobody, weight=weight)
        rows = [np.arange(len(own.user))]
        rows += [np.flatnonzero(board == k) for k in range(len(fits) - 1)]
        return [
            clustering.score_sums(votes.take(of), fit, self.base.ties, prompts)
            for of, fit in zip(rows, fits, strict=True)
        ]

    @property
    def counts(self) -> Counts:
        """What is counted of online votes."""
        return Counts(self._caps) if self._state is None else self._state.counts

    def votes_of(self, number: int) -> pa.Table:
        """A user's counted online votes."""
        if self._state is None:
            return rounds.SCHEMA.empty_table()
        return self._votes_of(np.array([number]), self._state)
