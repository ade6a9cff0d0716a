"""Which two contestants a vote is about."""

from dataclasses import dataclass

import numpy as np

from electorate.base.columns import Columns
from electorate.base.scale import Floats, Ints
from electorate.ratings import order_kernels
from electorate.ratings.posteriors import Posterior


@dataclass(frozen=True)
class Pairs(Columns):
    """Battles as columns of equal shape: two different contestants, and which is shown first (0
    a, 1 b).
    """

    a: Ints
    b: Ints
    first_shown: Ints


def uniform(random: np.random.Generator, shape: tuple[int, ...], contestants: int) -> Pairs:
    """Every ordered pair equally likely, either answer first."""
    a = random.integers(0, contestants, shape)
    b = (a + random.integers(1, contestants, shape)) % contestants
    return Pairs(a, b, random.integers(0, 2, shape))


def active(random: np.random.Generator, at: Posterior, votes: int) -> tuple[Pairs, Floats]:
    """The battles that say most about each user's own ranking, (n, votes), either answer first;
    and the Kendall tau that each user's ranking may be expected to have already, (n,).

    With d_kl ~ N(m_kl, s_kl^2) the difference of two models and t = m / s, the order of k and l is
    open to about phi(t). A vote on a and b, of information I = logistic'(m_ab), takes I Cov(d_kl,
    d_ab)^2 / (1 + I s_ab^2) from s_kl^2; the battle chosen takes the largest share of the open
    pairs' variances, weighted by how open they are. Each is chosen as if those before it had been
    judged with their expected information.
    """
    models = at.mode.shape[1] - 1
    a, b, expected_tau = order_kernels.informative_pairs(
        at.mode[:, :models], at.covariance[:, :models, :models].copy(), votes
    )
    return Pairs(a, b, random.integers(0, 2, a.shape)), expected_tau
