import numpy as np
import pytest

from electorate.base.scale import ELO_PER_NAT
from electorate.ratings import elo_online


def by_hand(strength: list[float], votes: list[tuple[int, int, float]], k: float) -> list[float]:
    """Elo's own formula, on the Elo scale, one user."""
    rating = [ELO_PER_NAT * s for s in strength]
    for a, b, won in votes:
        expected = 1 / (1 + 10 ** ((rating[b] - rating[a]) / 400))
        rating[a] += k * (won - expected)
        rating[b] -= k * (won - expected)
    return [r / ELO_PER_NAT for r in rating]


def test_it_is_elos_update_in_the_order_the_votes_were_cast() -> None:
    strength = np.array([0.5, 0.0, -0.5])
    votes = [(1, 0, 1, 1), (0, 0, 1, 0), (1, 0, 1, 1), (0, 1, 2, 2), (0, 2, 0, 0), (1, 0, 1, 1)]
    user, a, b, outcome = (np.array(column) for column in zip(*votes, strict=True))
    own = elo_online.rate(strength, 3, user, a, b, outcome, k_factor=32.0)
    assert own[0] == pytest.approx(
        by_hand([0.5, 0.0, -0.5], [(0, 1, 1.0), (1, 2, 0.5), (2, 0, 1.0)], 32)
    )
    assert own[1] == pytest.approx(by_hand([0.5, 0.0, -0.5], [(0, 1, 0.0)] * 3, 32))
    assert own[2] == pytest.approx(strength)
    assert own.sum(axis=1) == pytest.approx(0)
