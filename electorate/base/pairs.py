"""Pairs of contestants, in the one order in which all arrays have them."""

import numpy as np

from electorate.base.scale import Ints


def pair_indices(models: int) -> tuple[Ints, Ints]:
    """The M(M-1)/2 pairs of models, a < b."""
    a, b = np.triu_indices(models, 1)
    return a, b
