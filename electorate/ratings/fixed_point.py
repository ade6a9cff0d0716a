"""Weights of votes as whole numbers, so that their sums are exact.

Added in any order they come to the same, and what is taken out again leaves no trace. A unit is
2^-20: sums hold 8.8 million million votes of weight 1.
"""

import numpy as np

from electorate.base.scale import Floats, Ints

UNIT = 2**20


def fixed(weight: Floats) -> Ints:
    """Weights to whole numbers of units."""
    found: Ints = np.rint(np.asarray(weight) * UNIT).astype(np.int64)
    return found


def real(total: Ints) -> Floats:
    """Sums of units back to weights."""
    return np.asarray(total) / UNIT


def sums(place: Ints, weight: Floats | None, size: int) -> Ints:
    """(size,) the weights summed by place, in units; weight None: 1 each."""
    if weight is None:
        counted: Ints = np.bincount(place, minlength=size) * UNIT
        return counted
    # Below 2^53 units a float's sum is exact.
    return np.bincount(place, fixed(weight), size).astype(np.int64)
