"""One coefficient a user, beside everybody's ratings: how much some measure of a vote moves it.

    logit of user u at a vote = offset + c_u x,   c_u ~ N(mean, sd^2)

With everybody's rating difference as x and no offset, c_u is the user's decisiveness: one of c = 0
votes at random, one of c > 1 sees differences more sharply than most. With which answer was shown
first, or how much longer A's answer is, as x and the rating difference as offset, c_u is the
user's position bias or taste for length. None of them knows a user's taste in models, and they are
easily taken for it. c is on a grid, so that posteriors are exact but for its steps; mean and sd
are found by EM (Dempster, Laird and Rubin, 1977) on the users' marginal likelihood.
"""

from typing import NamedTuple

import numpy as np

from electorate.base.scale import Floats, Ints
from electorate.ratings.ties import TieModel

GRID = np.linspace(-3.0, 5.0, 81)
PASSES = 200
LEAST_SD = 0.05  # half a step of the grid
ENOUGH = 1e-4  # between passes


class Line(NamedTuple):
    """The logits of n votes at each coefficient c: offset + c x, (n,) each, in nats."""

    offset: Floats
    x: Floats


class Prior(NamedTuple):
    """The distribution of the coefficient c_u over users."""

    mean: float
    sd: float


def log_likelihoods(
    user: Ints, users: int, line: Line, outcome: Ints, weight: Floats, eta: float, ties: TieModel
) -> Floats:
    """(users, len(GRID)) log-likelihood of each user's votes at each c.

    Args:
        user: (n,) of each vote.
        outcome: (n,) 0 A, 1 B, 2 tie.
        weight: (n,) how many votes each counts as.
        eta: everybody's tie parameter.
    """
    rows = np.arange(len(user))
    found = np.empty((users, len(GRID)))
    for i, c in enumerate(GRID):
        odds = ties.probabilities(line.offset + c * line.x, np.array(eta))
        by_vote = np.log(np.maximum(odds[rows, outcome], 1e-300))
        found[:, i] = np.bincount(user, weight * by_vote, users)
    return found


def fit(log_likelihood: Floats, start: float = 1.0) -> Prior:
    """The most likely prior of users with these likelihoods (users, len(GRID)).

    start: a sensible first mean.
    """
    prior = Prior(start, 0.5)
    for _ in range(PASSES):
        share = posterior(log_likelihood, prior)
        mean = float((share @ GRID).mean())
        sd = float(np.sqrt((share @ (GRID - mean) ** 2).mean()))
        new = Prior(mean, max(sd, LEAST_SD))
        moved = max(abs(new.mean - prior.mean), abs(new.sd - prior.sd))
        prior = new
        if moved < ENOUGH:
            break
    return prior


def posterior(log_likelihood: Floats, prior: Prior) -> Floats:
    """(users, len(GRID)) probabilities of each c; rows sum to 1."""
    log_share = log_likelihood - ((GRID - prior.mean) / prior.sd) ** 2 / 2
    share = np.exp(log_share - log_share.max(axis=1, keepdims=True))
    normal: Floats = share / share.sum(axis=1, keepdims=True)
    return normal


def odds(share: Floats, user: Ints, line: Line, eta: float, ties: TieModel) -> Floats:
    """(n, 3) probabilities of A, B and tie of votes by these users, averaged over their c.

    Args:
        share: (users, len(GRID)) as `posterior` returns it.
        user: (n,) of each vote.
    """
    total = np.zeros((len(user), 3))
    for i, c in enumerate(GRID):
        at = ties.probabilities(line.offset + c * line.x, np.array(eta))
        total += share[user, i][:, None] * at
    return total
