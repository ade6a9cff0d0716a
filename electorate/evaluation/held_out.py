"""Real people's votes predicted before they are seen: every system on folds that share no prompt.

Several people vote on one battle, so folds by vote would leak; a prompt's votes are all in one
fold.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from electorate.base.draws import Stream, generator
from electorate.base.scale import Floats, Ints
from electorate.base.votes import OUTCOMES
from electorate.config.run import RatingSettings
from electorate.data.votes import NamedVotes, votes_a_unit
from electorate.evaluation import systems as systems_module
from electorate.evaluation.predictions import Predictor
from electorate.evaluation.selection import Labels, PriorFit, Priors, Variant
from electorate.population.voters import BLOCK
from electorate.ratings import bradley_terry, offsets
from electorate.ratings.bradley_terry import Fit
from electorate.ratings.prior import Prior
from electorate.ratings.ties import MODELS, TieModel
from electorate.ratings.user_votes import UserVotes


@dataclass(frozen=True)
class Split:
    """Votes to learn from and votes to predict: a Selection whose users are those who vote in
    either.

    given: (users,) the users' archetypes; None: one for all.
    """

    train: NamedVotes
    test: NamedVotes
    settings: RatingSettings
    given: Ints | None = None
    tried: Priors = field(default_factory=Priors)

    @property
    def ties(self) -> TieModel:
        """The tie model of all systems."""
        return MODELS[self.settings.ties]

    @cached_property
    def global_fit(self) -> Fit:
        """The Bradley-Terry fit of everybody's votes."""
        return self._fit(self.train)

    @cached_property
    def segments(self) -> list[Fit]:
        """Bradley-Terry of each archetype's votes."""
        own = self.archetype[self.train.user]
        archetypes = range(int(self.archetype.max(initial=0)) + 1)
        return [self._fit(self.train.take(np.flatnonzero(own == k))) for k in archetypes]

    @cached_property
    def archetype(self) -> Ints:
        """(users,) of everybody who votes in either."""
        users = int(max(self.train.user.max(initial=0), self.test.user.max(initial=0))) + 1
        return np.zeros(users, dtype=np.int64) if self.given is None else self.given

    def known(self, labels: Labels) -> Sequence[UserVotes]:
        """The users' own votes to learn from, in blocks of users."""
        return _labelled(self._blocks, labels)

    @cached_property
    def _blocks(self) -> list[UserVotes]:
        own = self.archetype
        firsts = range(0, len(own), BLOCK)
        return [_block(self.train, first, own[first : first + BLOCK]) for first in firsts]

    def prior(self, variant: Variant) -> Prior:
        """System A's prior, fitted once. Raises NotConvergedError."""
        return self.tried.of(variant, lambda: self._prior(variant))

    @cached_property
    def plain_prior(self) -> Prior:
        """System A's with offsets alike in every direction. Raises NotConvergedError."""
        return self._prior_fit.plain("true")

    @cached_property
    def _prior_fit(self) -> PriorFit:
        def users(labels: Labels) -> offsets.InMemory:
            return offsets.InMemory(self.known(labels), self.ties)

        return PriorFit(users, self.global_fit, int(self.archetype.max()) + 1, self.settings)

    def _prior(self, variant: Variant) -> Prior:
        if variant.form == "ties_only":
            return self._prior_fit.ties_only(variant.labels)
        if variant.form == "low_rank":
            return self._prior_fit.low_rank(self.plain_prior)
        if variant.labels == "true":
            # People follow the global ranking more or less closely.
            return self._prior_fit.with_decisiveness(self.plain_prior)
        return self._prior_fit.plain(variant.labels)

    def _fit(self, votes: NamedVotes) -> Fit:
        return bradley_terry.fit(
            votes.by_battle(len(votes.models)), self.ties, self.settings.prior_sd
        )


@dataclass(frozen=True)
class Newcomers(Split):
    """Users to whose votes nothing was fitted: what is known of them are some votes of their own.

    train: their own votes. others: fitted to everybody else's.
    """

    others: Split = field(kw_only=True)

    @property
    def global_fit(self) -> Fit:
        """Bradley-Terry of the others' votes."""
        return self.others.global_fit

    @property
    def segments(self) -> list[Fit]:
        """Bradley-Terry of each archetype's votes, of the others."""
        return self.others.segments

    def prior(self, variant: Variant) -> Prior:
        """System A's prior on the others' votes. Raises NotConvergedError."""
        return self.others.prior(variant)


class Predicted(NamedTuple):
    """odds: (n, 3) probabilities of A, B and tie of each vote. failed: why folds have the global
    ranking's, a line each.
    """

    odds: Floats
    failed: tuple[str, ...]


def folds(prompt: Ints, count: int, seed: int) -> Ints:
    """(n,) the fold of each vote: prompts shuffled by the seed and dealt out, so that folds
    differ by at most one prompt.
    """
    prompts, of = np.unique(prompt, return_inverse=True)
    dealt = np.arange(len(prompts)) % count
    fold: Ints = generator(seed, Stream.FOLDS).permutation(dealt)[of]
    return fold


def predict(
    votes: NamedVotes,
    fold: Ints,
    names: Sequence[str],
    settings: RatingSettings,
    archetype: Ints | None = None,
) -> dict[str, Predicted]:
    """Each vote by each system learned from the other folds; where that does not converge, by
    the global ranking. Systems for which the votes do not say enough are left out.

    Args:
        fold: (n,) of each vote.
        names: of electorate.config.systems.SYSTEMS.
    """
    found = _Found(len(votes))
    for held_out in np.unique(fold):
        rows = fold == held_out
        train = votes.take(np.flatnonzero(~rows))
        found.add(names, Split(train, votes.take(np.flatnonzero(rows)), settings, archetype), rows)
    return found.by_system


def predict_newcomers(
    votes: NamedVotes,
    prompt: Ints,
    known: Sequence[int],
    pairs: Sequence[tuple[int, int]],
    names: Sequence[str],
    settings: RatingSettings,
    advance: Callable[[], None] = lambda: None,
) -> dict[int, dict[str, Predicted]]:
    """Each vote by each system learned from other users' votes on other prompts, and from so many
    of the user's own votes on other prompts, the first ones.

    Args:
        votes: which must name their users.
        prompt: (n,) of each vote.
        known: how many own votes are known, for each prediction.
        pairs: the folds of users and of prompts, counted from 0, whose votes are predicted.
        names: of electorate.config.systems.SYSTEMS.
        advance: called after each of them.

    Returns:
        predictions by how many own votes are known, and system; NaN for votes in no such fold.
    """
    count = 1 + max(max(pair) for pair in pairs)
    user_fold = folds(votes.user, count, 0)
    prompt_fold = folds(prompt, count, 0)
    found = {k: _Found(len(votes)) for k in known}
    for users, prompts in pairs:
        elsewhere = prompt_fold != prompts
        rows = (user_fold == users) & ~elsewhere
        own = votes.take(np.flatnonzero((user_fold == users) & elsewhere))
        others_votes = votes.take(np.flatnonzero((user_fold != users) & elsewhere))
        advance()
        if not (rows.any() and len(others_votes)):
            continue
        test = votes.take(np.flatnonzero(rows))
        others = Split(others_votes, test, settings)
        place = place_of_user(own.user)
        for k in known:
            split = Newcomers(own.take(place < k), test, settings, others=others)
            found[k].add(names, split, rows)
    return {k: one.by_system for k, one in found.items()}


class _Found:
    """The predictions of n votes, as they are found split by split."""

    def __init__(self, votes: int) -> None:
        self._votes = votes
        self._odds = dict[str, Floats]()
        self._failed = dict[str, list[str]]()
        self._left_out = set[str]()

    def add(self, names: Sequence[str], split: Split, rows: npt.NDArray[np.bool_]) -> None:
        """What systems that are built from a split say of its test votes, which are these rows."""
        systems, not_converged = systems_module.built(split, names)
        self._left_out |= {*names} - {*systems}
        for name, system in systems.items():
            predictor: Predictor = system
            unknown = np.full((self._votes, OUTCOMES), np.nan)
            self._odds.setdefault(name, unknown)[rows] = predictor.odds(split.test)
        for name, why in not_converged.items():
            self._failed.setdefault(name, []).append(why)

    @property
    def by_system(self) -> dict[str, Predicted]:
        """What was found of the systems that could be built from every split."""
        return {
            name: Predicted(odds, tuple(self._failed.get(name, ())))
            for name, odds in self._odds.items()
            if name not in self._left_out
        }


def place_of_user(users: Ints) -> Ints:
    """(n,) how many votes of the same user stand before each."""
    order = np.argsort(users, kind="stable")
    by_user = users[order]
    first = np.searchsorted(by_user, by_user)
    place = np.empty(len(users), dtype=np.int64)
    place[order] = np.arange(len(users)) - first
    return place


def _labelled(blocks: Sequence[UserVotes], labels: Labels) -> Sequence[UserVotes]:
    """The votes of users who are said to be of these archetypes."""
    if labels == "wrong":
        raise ValueError("wrong labels are planted")
    if labels == "true":
        return blocks
    return [replace(block, archetype=np.zeros_like(block.archetype)) for block in blocks]


def _block(train: NamedVotes, first: int, archetype: Ints) -> UserVotes:
    """The votes of the users of a block, the first of whom is this one; they are counted from 0
    in it.
    """
    own = train.take(np.flatnonzero(train.user // BLOCK == first // BLOCK))
    return UserVotes(
        archetype=archetype,
        user=own.user - first,
        a=own.a,
        b=own.b,
        outcome=own.outcome_of_3,
        weight=own.weight * votes_a_unit(train.weight),
        prompt=own.prompt,
    ).by_user()
