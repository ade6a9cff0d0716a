"""Loops of the comparison, compiled: where NumPy would need several passes over all pairs."""

import numpy as np
from numba import njit

from electorate.base.scale import Floats, Ints


@njit(cache=True, error_model="numpy")
def calibration_sums(predicted: Floats, true: Floats, prompts: int, bins: int) -> Floats:
    """(n, bins, 3) sums of prediction, truth and count.

    predicted: (n or 1, k), the same on each of so many prompts. true: (n, k), summed over them.
    """
    n, count = true.shape
    sums = np.zeros((n, bins, 3))
    for i in range(n):
        row = i if len(predicted) > 1 else 0
        for j in range(count):
            odds = predicted[row, j]
            place = min(int(odds * bins), bins - 1)
            sums[i, place, 0] += prompts * odds
            sums[i, place, 1] += true[i, j]
            sums[i, place, 2] += prompts
    return sums


@njit(cache=True, error_model="numpy")
def mean_ranks(values: Floats) -> Floats:
    """(n, M) ranks of values from the lowest; equal ones share the mean of theirs."""
    n, models = values.shape
    ranks = np.empty((n, models))
    for i in range(n):
        for a in range(models):
            below = 0
            equal = 0
            for b in range(models):
                below += values[i, b] < values[i, a]
                equal += values[i, b] == values[i, a]
            ranks[i, a] = below + (equal + 1) / 2
    return ranks


@njit(cache=True, error_model="numpy")
def untied(values: Floats) -> Floats:
    """(n,) how many pairs of values (n, M) are not equal."""
    n, models = values.shape
    found = np.zeros(n)
    for i in range(n):
        for a in range(models):
            for b in range(a):
                found[i] += values[i, a] != values[i, b]
    return found


@njit(cache=True, error_model="numpy")
def concordance(one: Floats, other: Floats) -> Floats:
    """(n,) pairs of models that both order alike less those they order the other way.

    one: (n or 1, M). other: (n, M).
    """
    n, models = other.shape
    found = np.zeros(n)
    for i in range(n):
        row = i if len(one) > 1 else 0
        total = 0
        for a in range(models):
            for b in range(a):
                up = (one[row, a] > one[row, b]) - (one[row, a] < one[row, b])
                also = (other[i, a] > other[i, b]) - (other[i, a] < other[i, b])
                total += up * also
        found[i] = total
    return found


@njit(cache=True, error_model="numpy")
def best_of(values: Floats, subsets: Ints) -> Ints:
    """(n, S) the model of each subset (S, m) with the highest of values (n, M); of equal ones the
    first in the subset.
    """
    best = np.empty((len(values), len(subsets)), dtype=np.int64)
    for i in range(len(values)):
        for s in range(len(subsets)):
            best[i, s] = _first_of(values[i], subsets[s])
    return best


@njit(cache=True, error_model="numpy")
def _first_of(values: Floats, subset: Ints) -> int:
    first = subset[0]
    for model in subset:
        if values[model] > values[first]:
            first = model
    return first
