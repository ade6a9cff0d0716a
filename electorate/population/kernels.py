"""The taste judge's odds over all pairs, compiled."""

import numpy as np
from numba import njit

from electorate.base.scale import Floats


@njit(cache=True, error_model="numpy")
def either_first(
    difference: Floats, threshold: Floats, shift: Floats, lapse: Floats, odds: Floats
) -> None:
    """Write to odds (n, k, 3) the probabilities of A, B and tie, averaged over which of the two
    answers is shown first.

    difference: (n, k). threshold, shift: (n, k or 1). lapse: (n,). See judges.vote_probabilities.
    """
    n, count = difference.shape
    wider = 0.0
    favour = 0.0
    for i in range(n):
        for j in range(count):
            if j == 0 or threshold.shape[1] > 1:
                wider = np.exp(threshold[i, j])
            if j == 0 or shift.shape[1] > 1:
                favour = np.exp(shift[i, j])
            # The odds against A, and against B, but for the shift.
            against_a = wider * np.exp(-difference[i, j])
            against_b = wider * np.exp(difference[i, j])
            a = (1 / (1 + against_a / favour) + 1 / (1 + against_a * favour)) / 2
            b = (1 / (1 + against_b * favour) + 1 / (1 + against_b / favour)) / 2
            odds[i, j, 0] = (1 - lapse[i]) * a + lapse[i] / 3
            odds[i, j, 1] = (1 - lapse[i]) * b + lapse[i] / 3
            odds[i, j, 2] = (1 - lapse[i]) * (1 - a - b) + lapse[i] / 3
