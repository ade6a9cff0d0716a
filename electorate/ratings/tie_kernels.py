"""Davidson's tie model over users' votes, compiled: System A's fit evaluates little else.

Votes lie user by user (user_votes.UserVotes): `first` says where each user's begin, `start` where
its parameters do, the last of which is its tie parameter eta; a, b: each vote's models among them.
"""

import numpy as np
from numba import njit

from electorate.base.scale import Floats, Ints

MOST = 200.0  # nats: log odds further out count as these, so that no exponential overflows
FULL = 1e200  # where a product of totals is turned into its logarithm


@njit(cache=True, error_model="numpy")
def _on_both_sides(d: float, s: float) -> tuple[float, float, float, float]:
    """x and e^x for x = (d + s) / 2, and for x = (d - s) / 2."""
    if abs(d) + abs(s) <= MOST:
        odds = np.exp(d / 2)
        ratio = np.exp(s / 2)
        return (d + s) / 2, odds * ratio, (d - s) / 2, odds / ratio
    above = min(max(d + s, -MOST), MOST) / 2
    below = min(max(d - s, -MOST), MOST) / 2
    return above, np.exp(above), below, np.exp(below)


@njit(cache=True, error_model="numpy")
def _seen(outcome: int, half: float, eta: float) -> float:
    """The log odds of what came out, before they are normalised."""
    if outcome == 2:
        return eta
    return half if outcome == 0 else -half


@njit(cache=True, error_model="numpy")
def _less(value: float, product: float, total: float, weight: float) -> tuple[float, float]:
    """The value less the logarithm of a vote's total; of votes that count once, the totals are
    multiplied first.
    """
    if weight != 1.0:
        return value - weight * np.log(total), product
    product *= total
    if product > FULL:
        return value - np.log(product), 1.0
    return value, product


@njit(cache=True, error_model="numpy")
def davidson_averaged(
    d: Floats, sd: Floats, eta: Floats, nodes: Floats, weights: Floats, odds: Floats
) -> None:
    """Write to odds (n, k, 3) the probabilities of A, B and tie, averaged over d + node sd.

    d, sd: (n or 1, k or 1) differences. eta: the same of tie parameters.
    """
    n, count, _ = odds.shape
    nu = 0.0
    for i in range(n):
        # What has one row or column has the same for all.
        of_d = d[i if d.shape[0] > 1 else 0]
        of_sd = sd[i if sd.shape[0] > 1 else 0]
        of_eta = eta[i if eta.shape[0] > 1 else 0]
        for j in range(count):
            mean = of_d[j if len(of_d) > 1 else 0]
            wide = of_sd[j if len(of_sd) > 1 else 0]
            if j == 0 or len(of_eta) > 1:
                nu = np.exp(min(of_eta[j], MOST))
            won = 0.0
            lost = 0.0
            tied = 0.0
            for k in range(len(nodes)):
                at = mean + nodes[k] * wide
                root = np.exp(min(max(at, -MOST), MOST) / 2)
                inverse = 1 / root
                share = weights[k] / (root + inverse + nu)
                won += share * root
                lost += share * inverse
                tied += share * nu
            odds[i, j, 0] = won
            odds[i, j, 1] = lost
            odds[i, j, 2] = tied


@njit(cache=True, error_model="numpy")
def davidson_values(
    first: Ints,
    start: Ints,
    a: Ints,
    b: Ints,
    outcome: Ints,
    weight: Floats,
    at: Floats,
    step: Floats,
) -> tuple[Floats, Floats]:
    """(n,) each user's log-likelihood at `at + step` and at `at - step`, both (P,).

    Both at once, as e^((d + s) / 2) and e^((d - s) / 2) are a product and a quotient. Logarithms of
    the totals of votes that count once are taken of many together.
    """
    n = len(first) - 1
    above = np.empty(n)
    below = np.empty(n)
    for u in range(n):
        begin = start[u]
        eta = at[start[u + 1] - 1]
        of_eta = step[start[u + 1] - 1]
        nu_above = np.exp(eta + of_eta)
        nu_below = np.exp(eta - of_eta)
        value_above = 0.0
        value_below = 0.0
        product_above = 1.0
        product_below = 1.0
        for v in range(first[u], first[u + 1]):
            d = at[begin + a[v]] - at[begin + b[v]]
            s = step[begin + a[v]] - step[begin + b[v]]
            half_above, odds_above, half_below, odds_below = _on_both_sides(d, s)
            total_above = odds_above + 1 / odds_above + nu_above
            total_below = odds_below + 1 / odds_below + nu_below
            seen_above = _seen(outcome[v], half_above, eta + of_eta)
            seen_below = _seen(outcome[v], half_below, eta - of_eta)
            value_above += weight[v] * seen_above
            value_below += weight[v] * seen_below
            value_above, product_above = _less(value_above, product_above, total_above, weight[v])
            value_below, product_below = _less(value_below, product_below, total_below, weight[v])
        above[u] = value_above - np.log(product_above)
        below[u] = value_below - np.log(product_below)
    return above, below


@njit(cache=True, error_model="numpy")
def davidson_derivatives(
    first: Ints, start: Ints, a: Ints, b: Ints, outcome: Ints, weight: Floats, at: Floats
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """ties.Derivatives of each vote (votes,) at `at` (P,), times its weight."""
    votes = len(a)
    of_d = np.empty(votes)
    of_eta = np.empty(votes)
    info_dd = np.empty(votes)
    info_de = np.empty(votes)
    info_ee = np.empty(votes)
    for u in range(len(first) - 1):
        begin = start[u]
        nu = np.exp(at[start[u + 1] - 1])
        for v in range(first[u], first[u + 1]):
            d = at[begin + a[v]] - at[begin + b[v]]
            root = np.exp(min(max(d, -MOST), MOST) / 2)
            total = root + 1 / root + nu
            won = root / total
            lost = 1 / (root * total)
            tie = nu / total
            half = (won - lost) / 2
            w = weight[v]
            if outcome[v] == 2:
                of_d[v] = -w * half
                of_eta[v] = w * (1 - tie)
            else:
                of_d[v] = w * ((0.5 if outcome[v] == 0 else -0.5) - half)
                of_eta[v] = -w * tie
            info_dd[v] = w * ((won + lost) / 4 - half**2)
            info_de[v] = -w * half * tie
            info_ee[v] = w * tie * (1 - tie)
    return of_d, of_eta, info_dd, info_de, info_ee
