"""Odds of votes by System A, averaged over each user's posterior."""

from collections.abc import Sequence

import numpy as np

from electorate.base.scale import Floats, Ints
from electorate.base.votes import OUTCOMES
from electorate.population.voters import BLOCK
from electorate.ratings import posteriors
from electorate.ratings.prior import Prior
from electorate.ratings.ties import TieModel
from electorate.ratings.user_votes import UserVotes

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(9)


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
