"""Which two contestants a vote is about."""

from typing import NamedTuple

import numpy as np

from electorate.scale import Ints


class Pairs(NamedTuple):
    """Battles as columns of equal shape: two different contestants, and which is shown first (0 a, 1 b)."""

    a: Ints
    b: Ints
    first_shown: Ints


def uniform(random: np.random.Generator, shape: tuple[int, ...], contestants: int) -> Pairs:
    """Every ordered pair equally likely, either answer first."""
    a = random.integers(0, contestants, shape)
    b = (a + random.integers(1, contestants, shape)) % contestants
    return Pairs(a, b, random.integers(0, 2, shape))
