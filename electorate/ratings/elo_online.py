"""The plain online form of a personal rating: Elo updates on a user's own offsets, vote by vote (Elo, 1978)."""

import numpy as np
from scipy.special import expit

from electorate.scale import Floats, Ints, to_nats

WIN = np.array([1.0, 0.0, 0.5])  # of A, by outcome


def rate(strength: Floats, a: Ints, b: Ints, outcome: Ints, k_factor: float) -> Floats:
    """(n, M) each user's strengths in nats after its votes, from the global ones (M,).

    a, b, outcome: (n, v), a user's votes in the order they were cast; a tie is half a win. A vote
    moves its two models by k_factor Elo points times (result - expected result), one up, one down.
    """
    n, rounds = a.shape
    own, rows = np.tile(strength, (n, 1)), np.arange(n)
    for i in range(rounds):
        surprise = WIN[outcome[:, i]] - expit(own[rows, a[:, i]] - own[rows, b[:, i]])
        own[rows, a[:, i]] += to_nats(k_factor) * surprise
        own[rows, b[:, i]] -= to_nats(k_factor) * surprise
    return own
