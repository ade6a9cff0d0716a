"""A personal decisiveness: how closely a user's votes follow everybody's ratings.

    logit of user u between models a and b = s_u (R_a - R_b),   s_u ~ N(mean, sd^2)

A user of s = 0 votes at random, of s > 1 sees differences more sharply than most, and of s < 0
votes against everybody's ranking. It changes nobody's ranking, and is easily taken for taste. s is
on a grid, so that posteriors are exact but for its steps; mean and sd are found by EM (Dempster,
Laird and Rubin, 1977) on the users' marginal likelihood.
"""

from typing import NamedTuple

import numpy as np

from electorate.base.scale import Floats, Ints
from electorate.ratings.ties import TieModel

GRID = np.linspace(-2.0, 5.0, 71)
PASSES = 200
LEAST_SD = 0.05  # half a step of the grid
ENOUGH = 1e-4  # between passes


class Prior(NamedTuple):
    """Of s_u over users."""

    mean: float
    sd: float


def log_likelihoods(
    user: Ints, users: int, d: Floats, outcome: Ints, weight: Floats, eta: float, ties: TieModel
) -> Floats:
    """(users, len(GRID)) log-likelihood of each user's votes at each s.

    Args:
        user: (n,) of each vote.
        d: (n,) everybody's rating difference, nats.
        outcome: (n,) 0 A, 1 B, 2 tie.
        weight: (n,) how many votes each counts as.
        eta: everybody's tie parameter.
    """
    rows = np.arange(len(d))
    found = np.empty((users, len(GRID)))
    for i, s in enumerate(GRID):
        odds = ties.probabilities(s * d, np.array(eta))
        said = np.log(np.maximum(odds[rows, outcome], 1e-300))
        found[:, i] = np.bincount(user, weight * said, users)
    return found


def fit(log_likelihood: Floats) -> Prior:
    """The most likely prior of users with these likelihoods (users, len(GRID))."""
    prior = Prior(1.0, 0.5)
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
    """(users, len(GRID)) probabilities of each s; rows sum to 1."""
    log_share = log_likelihood - ((GRID - prior.mean) / prior.sd) ** 2 / 2
    share = np.exp(log_share - log_share.max(axis=1, keepdims=True))
    normal: Floats = share / share.sum(axis=1, keepdims=True)
    return normal


def odds(share: Floats, user: Ints, d: Floats, eta: float, ties: TieModel) -> Floats:
    """(n, 3) probabilities of A, B and tie of votes by these users, averaged over their s.

    Args:
        share: (users, len(GRID)) as `posterior` returns it.
        user, d: (n,) as in `log_likelihoods`.
    """
    total = np.zeros((len(d), 3))
    for i, s in enumerate(GRID):
        total += share[user, i][:, None] * ties.probabilities(s * d, np.array(eta))
    return total
