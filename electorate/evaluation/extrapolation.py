"""A learning curve beyond the votes at hand.

What k votes say of a user's ratings is weighed against what all users are like, as k to k + k0,
with k0 the votes that say as much as that. So a gain after k votes is taken to be

    gain(k) = a + b k / (k + k0)

with a what being known as a user at all is worth, and a + b what endless votes are.
"""

from collections.abc import Sequence

import numpy as np

from electorate.base.scale import Floats

HALF_WAYS = np.geomspace(2.0, 2000.0, 31)  # values of k0 that are tried
FEWEST_POINTS = 4


def extrapolate(known: Sequence[int], gains: Floats, ahead: Sequence[int]) -> Floats | None:
    """Gains in log loss after more votes than are known; None where there are fewer than
    FEWEST_POINTS points.

    Args:
        known: (K,) votes.
        gains: (1 + resamples, K), below 0 where log loss is better; the first row by all prompts,
            the others by resamples.
        ahead: (T,) votes.

    Returns:
        (1 + resamples, T). Each row has its own curve, of which more votes never make more loss.
    """
    if len(known) < FEWEST_POINTS:
        return None
    votes = np.asarray(known, dtype=float)
    weight = 1 / np.maximum(gains[1:].var(axis=0), 1e-12)
    weight /= weight.sum()
    # The shape in k is all that differs between candidates, so each is one regression of all rows.
    shape = votes / (votes + HALF_WAYS[:, None])
    centred = shape - (shape @ weight)[:, None]
    mean = gains @ weight
    slope = ((gains - mean[:, None]) * weight) @ centred.T / ((centred**2) @ weight)
    slope = np.minimum(slope, 0.0)
    fitted = mean[:, None, None] + slope[:, :, None] * centred
    misfit = ((fitted - gains[:, None]) ** 2) @ weight
    best = misfit.argmin(axis=1)
    rows = np.arange(len(gains))
    half_way = HALF_WAYS[best]
    b = slope[rows, best]
    a = mean - b * (shape @ weight)[best]
    further = np.asarray(ahead, dtype=float)
    found: Floats = a[:, None] + b[:, None] * further / (further + half_way[:, None])
    return found
