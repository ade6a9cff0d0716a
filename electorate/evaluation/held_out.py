"""Real people's votes predicted before they are seen: every system on folds that share no prompt.

Several people vote on one battle, so folds by vote would leak; a prompt's votes are all in one fold.
"""

from collections.abc import Callable

import numpy as np

from electorate.draws import Stream, generator
from electorate.personas import BLOCK
from electorate.ratings import bradley_terry, elo_online, offsets, posteriors
from electorate.ratings.bradley_terry import OUTCOMES, Fit
from electorate.ratings.posteriors import Posterior, UserVotes
from electorate.ratings.ties import TieModel
from electorate.scale import Floats, Ints
from electorate.votes import Votes

PRIOR_SD_ELO = 1000.0
NO_OFFSETS = 1e6  # a pull toward the global ratings that leaves a user nothing but its own tie rate
K_FACTOR = 16.0
FACTORS = 4
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(9)

Predict = Callable[[Votes, Votes, TieModel], Floats]


def folds(prompt: Ints, count: int, seed: int) -> Ints:
    """(n,) the fold of each vote: prompts shuffled by the seed and dealt out, so that folds differ by at most one prompt."""
    prompts, of = np.unique(prompt, return_inverse=True)
    dealt = np.arange(len(prompts)) % count
    fold: Ints = generator(seed, Stream.FOLDS).permutation(dealt)[of]
    return fold


def predict(votes: Votes, fold: Ints, system: Predict, ties: TieModel) -> Floats:
    """(n, 3) probabilities of A, B and tie of each vote, by the system fitted to the votes of the other folds."""
    said = np.empty((len(votes), OUTCOMES))
    for held_out in np.unique(fold):
        rows = fold == held_out
        said[rows] = system(votes.take(np.flatnonzero(~rows)), votes.take(np.flatnonzero(rows)), ties)
    return said


def class_prior(train: Votes, test: Votes, ties: TieModel) -> Floats:  # noqa: ARG001 of no use to it
    """How often each outcome was seen."""
    share = np.bincount(train.outcome_of_3, train.weight, OUTCOMES)
    return np.tile(share / share.sum(), (len(test), 1))


def global_bt(train: Votes, test: Votes, ties: TieModel) -> Floats:
    """One Bradley-Terry ranking for all."""
    fit = _global(train, ties)
    return ties.probabilities(fit.strength[test.a] - fit.strength[test.b], np.array(fit.eta))


def elo_online_(train: Votes, test: Votes, ties: TieModel) -> Floats:
    """Global ratings, moved by plain Elo updates at each user's votes in the order of the file."""
    fit, users = _global(train, ties), _users(train, test)
    own = elo_online.rate(fit.strength, users, train.users, train.a, train.b, train.outcome_of_3, K_FACTOR)
    return ties.probabilities(own[test.users, test.a] - own[test.users, test.b], np.array(fit.eta))


def personal_ties(train: Votes, test: Votes, ties: TieModel) -> Floats:
    """Global ratings, and each user's own tie rate."""
    return _offsets(train, test, ties, NO_OFFSETS)


def low_rank(train: Votes, test: Votes, ties: TieModel) -> Floats:
    """System A with the directions in which these users' offsets vary together."""
    return _offsets(train, test, ties, None, FACTORS)


def elo_offset(train: Votes, test: Votes, ties: TieModel) -> Floats:
    """System A: each user's own ratings and tie rate, drawn toward everyone's as strongly as the votes ask for."""
    return _offsets(train, test, ties, None)


SYSTEMS: dict[str, Predict] = {
    "class_prior": class_prior,
    "global_bt": global_bt,
    "elo_online": elo_online_,
    "personal_ties": personal_ties,
    "elo_offset": elo_offset,
    "elo_offset_low_rank": low_rank,
}


def _global(train: Votes, ties: TieModel) -> Fit:
    return bradley_terry.fit(train.by_battle(train.weight), ties, PRIOR_SD_ELO)


def _users(train: Votes, test: Votes) -> int:
    return int(max(train.users.max(initial=0), test.users.max(initial=0))) + 1


def _offsets(train: Votes, test: Votes, ties: TieModel, lambda_reg: float | None, factors: int = 0) -> Floats:
    blocks = [_block(train, first, min(BLOCK, _users(train, test) - first)) for first in range(0, _users(train, test), BLOCK)]
    prior = offsets.fit_blocks(blocks, _global(train, ties), ties, lambda_reg, factors)
    said = np.empty((len(test), OUTCOMES))
    for i, block in enumerate(blocks):
        rows = np.flatnonzero(test.users // BLOCK == i)
        at = posteriors.posterior(block, prior, ties)
        said[rows] = _predicted(at, test.users[rows] % BLOCK, test.a[rows], test.b[rows], ties)
    return said


def _block(train: Votes, first: int, users: int) -> UserVotes:
    """The votes of so many users from the first of a block on, who are counted from 0 in it."""
    own = train.take(np.flatnonzero(train.users // BLOCK == first // BLOCK))
    return UserVotes(users, np.zeros(users, dtype=np.int64), own.users - first, own.a, own.b, own.outcome_of_3, None, own.prompt)


def _predicted(at: Posterior, user: Ints, a: Ints, b: Ints, ties: TieModel) -> Floats:
    """(n, 3) odds of these battles, averaged over each user's posterior."""
    covariance, tie = at.covariance, at.mode.shape[1] - 1
    variance = covariance[user, a, a] + covariance[user, b, b] - 2 * covariance[user, a, b]
    across = covariance[user, a, tie] - covariance[user, b, tie]
    d, eta = at.mode[user, a] - at.mode[user, b], at.mode[user, tie]
    return predictive(d, eta, variance, across, covariance[user, tie, tie], ties)


def predictive(d: Floats, eta: Floats, variance: Floats, across: Floats, eta_variance: Floats, ties: TieModel) -> Floats:
    """(n, 3) odds averaged over the joint normal of difference and tie parameter, by a product of Gauss-Hermite rules."""
    sd = np.sqrt(np.maximum(variance, 1e-12))
    slope = across / sd
    rest = np.sqrt(np.maximum(eta_variance - slope**2, 0.0))
    weights = _WEIGHTS / _WEIGHTS.sum()
    total = np.zeros((len(d), OUTCOMES))
    for x, weight_x in zip(_NODES, weights, strict=True):
        for y, weight_y in zip(_NODES, weights, strict=True):
            total += weight_x * weight_y * ties.probabilities(d + x * sd, eta + x * slope + y * rest)
    return total
