"""Ratings from a user's nearest neighbours, as collaborative filtering has it.

Two users are alike as far as their votes depart from everybody's ratings in the same direction:
the cosine of their scores, which are (M,) sums of what the ratings did not foretell (the adjusted
cosine of Sarwar et al., 2001), times min(n, 50) / 50 of the fewer votes (Herlocker et al., 1999).
A user's ratings are everybody's moved by one Newton step toward the votes of the NEIGHBOURS most
alike users, each by its likeness, and its own.
"""

import numpy as np

from electorate.base.scale import Floats, Ints
from electorate.ratings.bradley_terry import Fit
from electorate.ratings.ties import TieModel

NEIGHBOURS = 20
ENOUGH_VOTES = 50
MOST_CANDIDATES = 5000  # the users with the most votes, among whom neighbours are looked for
AT_ONCE = 1024  # users
PRECISION = 1.0  # of ratings about everybody's, 1 / nats^2


def rate(
    start: Fit,
    users: int,
    user: Ints,
    a: Ints,
    b: Ints,
    outcome: Ints,
    weight: Floats,
    ties: TieModel,
) -> Floats:
    """(users, M) ratings in nats.

    Args:
        start: everybody's ratings.
        user, a, b, outcome, weight: (n,) the votes; outcome: 0 A, 1 B, 2 tie.
    """
    models = len(start.strength)
    difference = start.strength[a] - start.strength[b]
    of = ties.derivatives(difference, np.array(start.eta), outcome)
    cells = np.concatenate([user * models + a, user * models + b])
    slope = weight * of.d
    size = users * models
    score = np.bincount(cells, np.concatenate([slope, -slope]), size).reshape(users, models)
    curvature = np.maximum(weight * of.info_dd, 0.0)
    information = np.bincount(cells, np.concatenate([curvature, curvature]), size).reshape(
        users, models
    )
    votes = np.bincount(user, minlength=users)
    length = np.linalg.norm(score, axis=1, keepdims=True)
    unit = np.divide(score, length, out=np.zeros_like(score), where=length > 0)
    candidates = np.sort(np.argsort(-votes, kind="stable")[:MOST_CANDIDATES])
    own = np.empty((users, models))
    for first in range(0, users, AT_ONCE):
        here = np.arange(first, min(first + AT_ONCE, users))
        fewer = np.minimum(votes[here][:, None], votes[candidates])
        alike = unit[here] @ unit[candidates].T * np.minimum(fewer / ENOUGH_VOTES, 1.0)
        alike[here[:, None] == candidates] = 0.0
        alike = _nearest(np.maximum(alike, 0.0))
        total = score[here] + alike @ score[candidates]
        known = information[here] + alike @ information[candidates]
        own[here] = start.strength + total / (known + PRECISION)
    return own


def _nearest(alike: Floats) -> Floats:
    """The same with zero for all but each row's NEIGHBOURS highest."""
    if alike.shape[1] <= NEIGHBOURS:
        return alike
    least = np.partition(alike, -NEIGHBOURS, axis=1)[:, -NEIGHBOURS][:, None]
    return np.where(alike >= least, alike, 0.0)
