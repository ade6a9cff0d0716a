"""The bootstrap's draws and percentiles (Efron, 1979), written once."""

import numpy as np

from electorate.base.scale import Floats, Ints


def times(random: np.random.Generator, n: int, resamples: int) -> Ints:
    """(resamples, n) how often each of n things is drawn when n are drawn with replacement."""
    drawn: Ints = random.multinomial(n, np.full(n, 1 / n), resamples)
    return drawn


def intervals(replicates: Floats, confidence: float) -> Floats:
    """(2, n) the percentile intervals of n statistics' replicates (n, resamples)."""
    tails = [50 * (1 - confidence), 50 * (1 + confidence)]
    ends: Floats = np.percentile(replicates, tails, axis=1)
    return ends


def interval(replicates: Floats, confidence: float) -> tuple[float, float]:
    """The percentile interval of a statistic's replicates; NaN if one of them is."""
    tails = [50 * (1 - confidence), 50 * (1 + confidence)]
    low, high = np.percentile(replicates, tails)
    return float(low), float(high)
