"""Pairs of contestants, and what a vote on one says as numbers."""

import numpy as np

from electorate.base.scale import Floats, Ints


def pair_indices(models: int) -> tuple[Ints, Ints]:
    """The M(M-1)/2 pairs of models, a < b, in the one order in which all arrays have them."""
    a, b = np.triu_indices(models, 1)
    return a, b


def sides(first_shown: Ints) -> Floats:
    """+1 where A was shown first (0), -1 where B was (1), 0 where it is not known."""
    return np.select([first_shown == 0, first_shown == 1], [1.0, -1.0], 0.0)


def scores(outcome: Ints) -> Floats:
    """What A has of each vote: 1 where it won (0), 0 where B did (1), 1/2 in ties."""
    return np.select([outcome == 0, outcome == 1], [1.0, 0.0], 0.5)
