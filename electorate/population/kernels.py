"""The taste judge's odds over all pairs, compiled."""

import numpy as np
from numba import njit

from electorate.base.scale import Floats

MOST = 200.0  # logits: differences further out count as these, so that no square overflows


@njit(cache=True, error_model="numpy")
def either_first(
    difference: Floats, threshold: Floats, shift: Floats, lapse: Floats, odds: Floats
) -> None:
    """Write to odds (n, k, 3) the probabilities of A, B and tie, averaged over which of the two
    answers is shown first.

    difference: (n, k). threshold, shift: (n, k or 1). lapse: (n,). See judges.vote_probabilities.
    """
    n, count = difference.shape
    ahead = 0.0
    behind = 0.0
    for i in range(n):
        for j in range(count):
            if j == 0 or threshold.shape[1] > 1 or shift.shape[1] > 1:
                wider = threshold[i, j if threshold.shape[1] > 1 else 0]
                favour = shift[i, j if shift.shape[1] > 1 else 0]
                ahead = np.exp(wider - favour)
                behind = np.exp(wider + favour)
            x = np.exp(min(max(difference[i, j], -MOST), MOST))
            # The mean of x / (x + ahead), shown first, and x / (x + behind); of B, with 1 / x.
            a = x * (2 * x + ahead + behind) / (2 * (x + ahead) * (x + behind))
            b = (2 + x * (ahead + behind)) / (2 * (1 + x * ahead) * (1 + x * behind))
            odds[i, j, 0] = (1 - lapse[i]) * a + lapse[i] / 3
            odds[i, j, 1] = (1 - lapse[i]) * b + lapse[i] / 3
            odds[i, j, 2] = (1 - lapse[i]) * (1 - a - b) + lapse[i] / 3
