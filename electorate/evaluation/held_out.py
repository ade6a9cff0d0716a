"""Real people's votes predicted before they are seen: every system on folds that share no prompt.

Several people vote on one battle, so folds by vote would leak; a prompt's votes are all in one
fold.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from electorate.base.draws import Stream, generator
from electorate.base.pairs import scores
from electorate.base.scale import Floats, Ints
from electorate.data.features import STYLE
from electorate.data.votes import Votes
from electorate.population.voters import BLOCK
from electorate.ratings import (
    bradley_terry,
    elo_online,
    neighbours,
    offsets,
    personal_coefficient,
    posteriors,
)
from electorate.ratings.bradley_terry import OUTCOMES, Fit
from electorate.ratings.offsets import NotConvergedError
from electorate.ratings.personal_coefficient import Line
from electorate.ratings.prior import Prior
from electorate.ratings.ties import TieModel
from electorate.ratings.user_votes import UserVotes

PRIOR_SD_ELO = 1000.0
NO_OFFSETS = 1e6  # a pull toward the global ratings that leaves a user nothing but its own tie rate
K_FACTOR = 16.0
FACTORS = 4
LENGTH = list(STYLE).index("length")
LOG = logging.getLogger("electorate.held_out")
LineOf = Callable[[Votes, Fit], Line]  # what a personal coefficient moves
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(9)


@dataclass(frozen=True)
class Split:
    """Votes to learn from and votes to predict; what several systems need of the first is fitted
    once.

    label: (users,) the users' archetypes; None: one for all.
    """

    train: Votes
    test: Votes
    ties: TieModel
    label: Ints | None = None

    @cached_property
    def start(self) -> Fit:
        """The global ratings."""
        train = self.train
        return bradley_terry.fit(train.by_battle(train.weight), self.ties, PRIOR_SD_ELO)

    @cached_property
    def archetypes(self) -> Ints:
        """(users,) of everybody who votes in either."""
        users = int(max(self.train.users.max(initial=0), self.test.users.max(initial=0))) + 1
        return np.zeros(users, dtype=np.int64) if self.label is None else self.label

    @cached_property
    def users(self) -> offsets.InMemory:
        """The votes to learn from as System A takes them, in blocks of users."""
        label = self.archetypes
        firsts = range(0, len(label), BLOCK)
        return offsets.InMemory(
            [_block(self.train, first, label[first : first + BLOCK]) for first in firsts], self.ties
        )

    @cached_property
    def prior(self) -> Prior:
        """System A's, with users' decisiveness. Raises NotConvergedError."""
        return offsets.with_decisiveness(self.users, self.start, self.plain_prior)

    @cached_property
    def plain_prior(self) -> Prior:
        """System A's with offsets alike in every direction. Raises NotConvergedError."""
        return offsets.fit(self.users, self.start, int(self.archetypes.max()) + 1)

    @cached_property
    def low_rank_prior(self) -> Prior:
        """System A's with the directions in which users vary together. Raises NotConvergedError."""
        return offsets.with_factors(self.users, self.start, self.plain_prior, FACTORS)

    @cached_property
    def ties_prior(self) -> Prior:
        """One that leaves a user nothing but its own tie rate. Raises NotConvergedError."""
        return offsets.fit(self.users, self.start, 1, NO_OFFSETS)

    def by_coefficient(self, line_of: LineOf) -> Floats:
        """(users, len(GRID)) log-likelihood of what is known of each user at each coefficient."""
        train = self.train
        weight = train.weight * _votes_a_weight(train.weight)
        return personal_coefficient.log_likelihoods(
            train.users,
            len(self.archetypes),
            line_of(train, self.start),
            train.outcome_of_3,
            weight,
            self.start.eta,
            self.ties,
        )

    def coefficient_prior(self, line_of: LineOf, first: float) -> personal_coefficient.Prior:
        """Of the users who voted. first: a sensible mean."""
        voted = np.bincount(self.train.users, minlength=len(self.archetypes)) > 0
        return personal_coefficient.fit(self.by_coefficient(line_of)[voted], first)

    @cached_property
    def scores(self) -> Floats:
        """(M,) the share of its battles that each model won, a tie being half a win."""
        points, battles = _points(self.train, np.zeros(len(self.train), dtype=np.int64), 1)
        return (points[0] + 1) / (battles[0] + 2)


@dataclass(frozen=True)
class Newcomers(Split):
    """Users to whose votes nothing was fitted: what is known of them are some votes of their own.

    train: their own votes. others: fitted to everybody else's.
    """

    others: Split = field(kw_only=True)

    @property
    def start(self) -> Fit:
        """The others' global ratings."""
        return self.others.start

    @property
    def prior(self) -> Prior:
        """System A's, with users' decisiveness. Raises NotConvergedError."""
        return self.others.prior

    @property
    def low_rank_prior(self) -> Prior:
        """System A's with the directions in which users vary together. Raises NotConvergedError."""
        return self.others.low_rank_prior

    @property
    def ties_prior(self) -> Prior:
        """One that leaves a user nothing but its own tie rate. Raises NotConvergedError."""
        return self.others.ties_prior

    def coefficient_prior(self, line_of: LineOf, first: float) -> personal_coefficient.Prior:
        """The others'."""
        return self.others.coefficient_prior(line_of, first)

    @property
    def scores(self) -> Floats:
        """(M,) the share of its battles that each model won, a tie being half a win."""
        return self.others.scores


System = Callable[[Split], Floats]  # to (n, 3) odds of the test votes; may raise NotConvergedError


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
    votes: Votes,
    fold: Ints,
    systems: Mapping[str, System],
    ties: TieModel,
    label: Ints | None = None,
) -> dict[str, Predicted]:
    """Each vote by each system learned from the other folds; where that does not converge, by
    the global ranking.
    """
    odds = {name: np.empty((len(votes), OUTCOMES)) for name in systems}
    failed = {name: list[str]() for name in systems}
    for held_out in np.unique(fold):
        rows = fold == held_out
        split = Split(
            votes.take(np.flatnonzero(~rows)), votes.take(np.flatnonzero(rows)), ties, label
        )
        for name, system in systems.items():
            odds[name][rows] = _or_global(name, system, split, failed[name])
    return {name: Predicted(odds[name], tuple(failed[name])) for name in systems}


def predict_newcomers(
    votes: Votes,
    prompt: Ints,
    known: Sequence[int],
    pairs: Sequence[tuple[int, int]],
    systems: Mapping[str, System],
    ties: TieModel,
    advance: Callable[[], None] = lambda: None,
) -> dict[int, dict[str, Predicted]]:
    """Each vote by each system learned from other users' votes on other prompts, and from so many
    of the user's own votes on other prompts, the first ones.

    Args:
        votes: which must name their users.
        prompt: (n,) of each vote.
        known: how many own votes are known, for each prediction.
        pairs: the folds of users and of prompts, counted from 0, whose votes are predicted.
        advance: called after each of them.

    Returns:
        predictions by how many own votes are known, and system; NaN for votes in no such fold.
    """
    count = 1 + max(max(pair) for pair in pairs)
    user_fold = folds(votes.users, count, 0)
    prompt_fold = folds(prompt, count, 0)
    odds = {k: {name: np.full((len(votes), OUTCOMES), np.nan) for name in systems} for k in known}
    failed = {k: {name: list[str]() for name in systems} for k in known}
    for users, prompts in pairs:
        elsewhere = prompt_fold != prompts
        rows = np.flatnonzero((user_fold == users) & ~elsewhere)
        own = votes.take(np.flatnonzero((user_fold == users) & elsewhere))
        others_votes = votes.take(np.flatnonzero((user_fold != users) & elsewhere))
        advance()
        if not (len(rows) and len(others_votes)):
            continue
        test = votes.take(rows)
        others = Split(others_votes, test, ties)
        place = place_of_user(own.users)
        for name, system in systems.items():
            for k in known:
                split = Newcomers(own.take(place < k), test, ties, others=others)
                odds[k][name][rows] = _or_global(name, system, split, failed[k][name])
    return {
        k: {name: Predicted(odds[k][name], tuple(failed[k][name])) for name in systems}
        for k in known
    }


def place_of_user(users: Ints) -> Ints:
    """(n,) how many votes of the same user stand before each."""
    order = np.argsort(users, kind="stable")
    by_user = users[order]
    first = np.searchsorted(by_user, by_user)
    place = np.empty(len(users), dtype=np.int64)
    place[order] = np.arange(len(users)) - first
    return place


def _or_global(name: str, system: System, split: Split, failed: list[str]) -> Floats:
    """The system's odds, or the global ranking's where it did not converge, which is noted."""
    try:
        return system(split)
    except NotConvergedError as error:
        LOG.warning("%s has the global ranking in a fold: %s", name, error)
        failed.append(str(error))
        return global_bt(split)


def class_prior(split: Split) -> Floats:
    """How often each outcome was seen."""
    share = np.bincount(split.train.outcome_of_3, split.train.weight, OUTCOMES)
    return np.tile(share / share.sum(), (len(split.test), 1))


def global_bt(split: Split) -> Floats:
    """One Bradley-Terry ranking for all."""
    fit = split.start
    test = split.test
    return split.ties.probabilities(fit.strength[test.a] - fit.strength[test.b], np.array(fit.eta))


def elo_online_(split: Split) -> Floats:
    """Global ratings, moved by plain Elo updates at each user's votes in the order of the file."""
    fit = split.start
    train = split.train
    test = split.test
    own = elo_online.rate(
        fit.strength,
        len(split.archetypes),
        train.users,
        train.a,
        train.b,
        train.outcome_of_3,
        K_FACTOR,
    )
    return split.ties.probabilities(
        own[test.users, test.a] - own[test.users, test.b], np.array(fit.eta)
    )


def personal_ties(split: Split) -> Floats:
    """Global ratings, and each user's own tie rate."""
    return _by_posteriors(split, split.ties_prior)


def personal_decisiveness(split: Split) -> Floats:
    """Global ratings, which each user follows more or less closely: a control that changes nobody's
    ranking.
    """
    return _by_coefficient(split, _along_the_ratings, first=1.0)


def personal_position(split: Split) -> Floats:
    """Global ratings, and each user's own bias for the answer shown first: a control that changes
    nobody's ranking.
    """
    return _by_coefficient(split, _along_the_place, first=0.0)


def personal_length(split: Split) -> Floats:
    """Global ratings, and each user's own taste for longer answers: a control that knows nothing
    else of what a user likes.
    """
    return _by_coefficient(split, _along_the_length, first=0.0)


def _along_the_ratings(votes: Votes, fit: Fit) -> Line:
    return Line(np.zeros(len(votes)), _global_difference(votes, fit))


def _along_the_place(votes: Votes, fit: Fit) -> Line:
    return Line(_global_difference(votes, fit), votes.side)


def _along_the_length(votes: Votes, fit: Fit) -> Line:
    if votes.style is None:
        raise ValueError("votes whose answers were not measured")
    return Line(_global_difference(votes, fit), votes.style[:, LENGTH])


def _global_difference(votes: Votes, fit: Fit) -> Floats:
    difference: Floats = fit.strength[votes.a] - fit.strength[votes.b]
    return difference


def _by_coefficient(split: Split, line_of: LineOf, first: float) -> Floats:
    """The odds by one coefficient a user. first: a sensible mean of them."""
    prior = split.coefficient_prior(line_of, first)
    share = personal_coefficient.posterior(split.by_coefficient(line_of), prior)
    line = line_of(split.test, split.start)
    return personal_coefficient.odds(share, split.test.users, line, split.start.eta, split.ties)


def nearest_neighbours(split: Split) -> Floats:
    """Global ratings, moved toward the votes of the users most alike: a control that fits nothing.
    See electorate/ratings/neighbours.py.
    """
    fit = split.start
    train = split.train
    test = split.test
    weight = train.weight * _votes_a_weight(train.weight)
    columns = (train.users, train.a, train.b, train.outcome_of_3, weight)
    own = neighbours.rate(fit, len(split.archetypes), *columns, split.ties)
    difference = own[test.users, test.a] - own[test.users, test.b]
    return split.ties.probabilities(difference, np.array(fit.eta))


def personal_score(split: Split) -> Floats:
    """The score of ComparIA's personal boards, (points + 2 m) / (battles + 2) of a user and model
    with m everybody's, as logits: a control that forgets whom a model met.
    """
    users = len(split.archetypes)
    points, battles = _points(split.train, split.train.users, users)
    score = (points + 2 * split.scores) / (battles + 2)
    own = np.log(score / (1 - score))
    test = split.test
    d = own[test.users, test.a] - own[test.users, test.b]
    return split.ties.probabilities(d, np.array(split.start.eta))


def _points(votes: Votes, user: Ints, users: int) -> tuple[Floats, Floats]:
    """(users, M) won by each model in each user's battles, a tie being half, and battles."""
    models = len(votes.models)
    weight = votes.weight * _votes_a_weight(votes.weight)
    won = scores(votes.outcome_of_3)
    size = users * models
    place_a = user * models + votes.a
    place_b = user * models + votes.b
    points = np.bincount(place_a, weight * won, size)
    points += np.bincount(place_b, weight * (1 - won), size)
    battles = np.bincount(place_a, weight, size) + np.bincount(place_b, weight, size)
    shape = (users, models)
    return points.astype(float).reshape(shape), battles.astype(float).reshape(shape)


def elo_offset(split: Split) -> Floats:
    """System A: each user's own ratings and tie rate, drawn toward everyone's as strongly as the
    votes ask for.
    """
    return _by_posteriors(split, split.prior)


def low_rank(split: Split) -> Floats:
    """System A with the directions in which these users' offsets vary together."""
    return _by_posteriors(split, split.low_rank_prior)


SYSTEMS: dict[str, System] = {
    "class_prior": class_prior,
    "global_bt": global_bt,
    "elo_online": elo_online_,
    "personal_ties": personal_ties,
    "personal_decisiveness": personal_decisiveness,
    "personal_position": personal_position,
    "personal_length": personal_length,
    "personal_score": personal_score,
    "nearest_neighbours": nearest_neighbours,
    "elo_offset": elo_offset,
    "elo_offset_low_rank": low_rank,
}


def systems_for(votes: Votes) -> dict[str, System]:
    """Those that these votes say enough for: which answer stood first, and how long both are, not
    every file knows.
    """
    known = dict(SYSTEMS)
    if not votes.side.any():
        del known["personal_position"]
    if votes.style is None or not votes.style[:, LENGTH].any():
        del known["personal_length"]
    return known


def _by_posteriors(split: Split, prior: Prior) -> Floats:
    test = split.test
    return posterior_odds(split.users.blocks, prior, split.ties, test.users, test.a, test.b)


def posterior_odds(
    blocks: Sequence[UserVotes], prior: Prior, ties: TieModel, user: Ints, a: Ints, b: Ints
) -> Floats:
    """(n, 3) odds of these votes, averaged over each user's posterior. blocks: what is known, by
    BLOCK users.
    """
    odds = np.empty((len(user), OUTCOMES))
    by_user = np.argsort(user, kind="stable")
    of_user = user[by_user]
    for i, block in enumerate(blocks):
        for first, at in posteriors.by_chunk(block, prior, ties):
            low = i * BLOCK + first
            rows = by_user[slice(*np.searchsorted(of_user, (low, low + at.votes.users)))]
            differences = at.differences(user[rows] - low, a[rows], b[rows])
            odds[rows] = predictive(*differences, ties)
    return odds


def _block(train: Votes, first: int, label: Ints) -> UserVotes:
    """The votes of the users of a block, the first of whom is this one; they are counted from 0
    in it. label: (users,) archetypes.
    """
    own = train.take(np.flatnonzero(train.users // BLOCK == first // BLOCK))
    columns = (
        own.users - first,
        own.a,
        own.b,
        own.outcome_of_3,
        own.weight * _votes_a_weight(train.weight),
        own.prompt,
    )
    return UserVotes(label, *columns).by_user()


def _votes_a_weight(weight: Floats) -> float:
    """How many independent votes a unit of weight is worth: together as many as their effective
    sample size (Kish, 1965).
    """
    return float(weight.sum() / (weight**2).sum()) if len(weight) else 1.0


def predictive(
    d: Floats, eta: Floats, variance: Floats, across: Floats, eta_variance: Floats, ties: TieModel
) -> Floats:
    """(n, 3) odds averaged over the joint normal of difference and tie parameter, by a product
    of Gauss-Hermite rules.
    """
    sd = np.sqrt(np.maximum(variance, 1e-12))
    slope = across / sd
    rest = np.sqrt(np.maximum(eta_variance - slope**2, 0.0))
    weights = _WEIGHTS / _WEIGHTS.sum()
    total = np.zeros((len(d), OUTCOMES))
    for x, weight_x in zip(_NODES, weights, strict=True):
        for y, weight_y in zip(_NODES, weights, strict=True):
            total += (
                weight_x * weight_y * ties.probabilities(d + x * sd, eta + x * slope + y * rest)
            )
    return total
