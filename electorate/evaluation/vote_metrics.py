"""Metrics of predictions of people's votes.

Each takes the probabilities of A, B and tie of n votes (seeds, n, 3), by every seed of the folds,
and how each vote was cast (n,): 0 A, 1 B, 2 tie. It returns one value a vote (n,), the mean over
the seeds; NaN for a vote that it says nothing of.
"""

import numpy as np

from electorate.base.scale import Floats, Ints

LEAST = 1e-12  # of a probability


def log_loss(odds: Floats, outcome: Ints) -> Floats:
    """The negative logarithm of the probability of what happened."""
    at_true = np.take_along_axis(odds, outcome[None, :, None], axis=2)[..., 0]
    found: Floats = -np.log(np.maximum(at_true, LEAST)).mean(axis=0)
    return found


def brier(odds: Floats, outcome: Ints) -> Floats:
    """The squared distance of the probabilities from what happened (Brier, 1950)."""
    found: Floats = ((odds - np.eye(3)[outcome]) ** 2).sum(axis=2).mean(axis=0)
    return found


def accuracy(odds: Floats, outcome: Ints) -> Floats:
    """Whether the likeliest outcome happened."""
    found: Floats = (odds.argmax(axis=2) == outcome).mean(axis=0)
    return found


def pair_accuracy(odds: Floats, outcome: Ints) -> Floats:
    """Whether the winner of a decisive vote was ranked higher, half where both were level: how
    often a router that follows the ranking serves what the user would have chosen.
    """
    ahead = np.where(outcome == 0, 1.0, -1.0) * (odds[..., 0] - odds[..., 1])
    right = ((np.sign(ahead) + 1) / 2).mean(axis=0)
    return np.where(outcome < 2, right, np.nan)
