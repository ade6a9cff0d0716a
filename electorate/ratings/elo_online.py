"""The plain online form of a personal rating: Elo updates on a user's own offsets, vote by vote
(Elo, 1978).
"""

import numpy as np
from scipy.special import expit

from electorate.base.scale import Floats, Ints, to_nats

WIN = np.array([1.0, 0.0, 0.5])  # of A, by outcome


def rate(
    strength: Floats, users: int, user: Ints, a: Ints, b: Ints, outcome: Ints, k_factor: float
) -> Floats:
    """(users, M) each user's strengths in nats after its votes, from the global ones (M,).

    user, a, b, outcome: (n,) votes, each user's own in the order they were cast; a tie is half a
    win. A vote moves its two models by k_factor Elo points times (result - expected result), one
    up, one down.
    """
    order = np.argsort(user, kind="stable")
    votes = np.bincount(user, minlength=users)
    first = np.cumsum(votes) - votes
    most_first = np.argsort(-votes, kind="stable")
    own = np.tile(strength, (users, 1))
    # The i-th vote of all who have so many at once.
    for i in range(int(votes.max(initial=0))):
        who = most_first[: np.searchsorted(-votes[most_first], -i)]
        at = order[first[who] + i]
        surprise = WIN[outcome[at]] - expit(own[who, a[at]] - own[who, b[at]])
        own[who, a[at]] += to_nats(k_factor) * surprise
        own[who, b[at]] -= to_nats(k_factor) * surprise
    return own
