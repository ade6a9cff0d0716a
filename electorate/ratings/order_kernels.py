"""Compiled loops over users whose models are put in order: what to ask next, and what draws
agree on.

Without fastmath, so that a result does not depend on the machine's vector width.
"""

from math import erf

import numpy as np
from numba import njit

from electorate.base.scale import Bytes, Floats, Ints

STRIDE = 7919  # draws between those of one user and the next


@njit(cache=True, error_model="numpy")
def informative_pairs(mode: Floats, covariance: Floats, votes: int) -> tuple[Ints, Ints, Floats]:
    """(n, votes) models a and b of each user's next battles, and (n,) the Kendall tau its
    ranking may be expected to have.

    mode: (n, M); covariance: (n, M, M), of which the battles' expected information is taken in
    place, one after the other. See electorate/population/pairing.py.
    """
    n, m = mode.shape
    first = np.empty((n, votes), np.int64)
    second = np.empty((n, votes), np.int64)
    expected = np.empty(n)
    open_ = np.empty((m, m))
    for u in range(n):
        own = covariance[u]
        sure = 0.0
        for v in range(votes):
            certain = _openness(mode[u], own, open_)
            if v == 0:
                sure = certain
            a, b, information = _most_informative(mode[u], own, own @ open_ @ own)
            first[u, v] = a
            second[u, v] = b
            _learn(own, a, b, information)
        expected[u] = sure / (m * (m - 1) / 2)
    return first, second, expected


@njit(cache=True, error_model="numpy")
def _openness(mode: Floats, own: Floats, open_: Floats) -> float:
    """Writes the Laplacian of how open each pair is, a unit of variance, to open_ (M, M); returns
    the sum over pairs of how sure their order is.
    """
    m = len(mode)
    sure = 0.0
    open_[:] = 0.0
    for a in range(m):
        for b in range(a + 1, m):
            variance = max(own[a, a] + own[b, b] - 2 * own[a, b], 1e-12)
            t = abs(mode[a] - mode[b]) / np.sqrt(variance)
            sure += erf(t / np.sqrt(2.0))
            weight = np.exp(-t * t / 2) / variance
            open_[a, b] -= weight
            open_[b, a] -= weight
            open_[a, a] += weight
            open_[b, b] += weight
    return sure


@njit(cache=True, error_model="numpy")
def _most_informative(mode: Floats, own: Floats, reach: Floats) -> tuple[int, int, float]:
    """The pair whose battle closes most of what is open, and the information of its vote."""
    m = len(mode)
    best = -1.0
    best_a = 0
    best_b = 1
    best_information = 0.25
    for a in range(m):
        for b in range(a + 1, m):
            odds = np.exp(-abs(mode[a] - mode[b]))
            information = odds / (1 + odds) ** 2
            variance = own[a, a] + own[b, b] - 2 * own[a, b]
            closed = reach[a, a] + reach[b, b] - 2 * reach[a, b]
            gain = information * closed / (1 + information * variance)
            if gain > best:
                best = gain
                best_a = a
                best_b = b
                best_information = information
    return best_a, best_b, best_information


@njit(cache=True, error_model="numpy")
def _learn(own: Floats, a: int, b: int, information: float) -> None:
    """Takes from the covariance (M, M) what a vote on the pair tells."""
    along = own[:, a] - own[:, b]
    known = 1 / information + along[a] - along[b]
    for i in range(len(along)):
        factor = along[i] / known
        for j in range(len(along)):
            own[i, j] -= factor * along[j]


@njit(cache=True, error_model="numpy")
def posterior_orders(
    mode: Floats,
    half: Floats,
    normal: Floats,
    archetype: Ints,
    shift: Floats,
    draws: int,
    ranking: Floats,
    least_tau: float,
) -> Bytes:
    """How many posterior draws of users' rankings agree with everybody's.

    Args:
        mode: (n, M+1).
        half: (n, M+1, M+1) lower Cholesky factors of the posterior covariances.
        normal: (M+1, many) standard normal draws; which of them a user takes hangs on its row.
        archetype: (n,) the users' archetypes.
        shift: (K, M+1, S) draws of what the users of an archetype have in common, added.
        draws: of a user for each of those.
        ranking: (M,) everybody's strengths.
        least_tau: Kendall tau with it from which an order is the same.

    Returns:
        (n, 2, S) how many of `draws` have the order of `ranking`, and its first model.
    """
    n, p = mode.shape
    shifts = shift.shape[2]
    columns = shifts * draws
    agree = np.zeros((n, 2, shifts), np.uint8)
    value = np.empty((p - 1, columns))
    leader = np.empty(columns, np.int64)
    best = np.argmax(ranking)
    for u in range(n):
        _draw(u, mode, half, normal, shift[archetype[u]], value)
        tau = _kendall_tau(value, ranking)
        _leaders(value, leader)
        for s in range(columns):
            agree[u, 0, s // draws] += tau[s] >= least_tau
            agree[u, 1, s // draws] += leader[s] == best
    return agree


@njit(cache=True, error_model="numpy")
def first_shares(
    mode: Floats, half: Floats, normal: Floats, archetype: Ints, shift: Floats, draws: int
) -> Floats:
    """(n, M) the share of posterior draws that put each model first; see posterior_orders."""
    n, p = mode.shape
    columns = shift.shape[2] * draws
    share = np.zeros((n, p - 1))
    value = np.empty((p - 1, columns))
    leader = np.empty(columns, np.int64)
    for u in range(n):
        _draw(u, mode, half, normal, shift[archetype[u]], value)
        _leaders(value, leader)
        for s in range(columns):
            share[u, leader[s]] += 1 / columns
    return share


@njit(cache=True, error_model="numpy")
def _draw(
    user: int, mode: Floats, half: Floats, normal: Floats, shift: Floats, value: Floats
) -> None:
    """Fill value (M, S x draws) with draws of a user's strengths, about shift (M+1, S)."""
    columns = value.shape[1]
    draws = columns // shift.shape[1]
    begin = user * STRIDE % (normal.shape[1] - columns + 1)
    for i in range(len(value)):
        row = value[i]
        for s in range(columns):
            row[s] = mode[user, i] + shift[i, s // draws]
        for k in range(i + 1):
            factor = half[user, i, k]
            for s in range(columns):
                row[s] += factor * normal[k, begin + s]


@njit(cache=True, error_model="numpy")
def _leaders(value: Floats, leader: Ints) -> None:
    """Fill leader (draws,) with the highest of each column of value (M, draws)."""
    most = value[0].copy()
    leader[:] = 0
    for i in range(1, len(value)):
        for s in range(len(leader)):
            if value[i, s] > most[s]:
                most[s] = value[i, s]
                leader[s] = i


@njit(cache=True, error_model="numpy")
def _kendall_tau(value: Floats, ranking: Floats) -> Floats:
    """(draws,) of each column of value (M, draws) with ranking (M,)."""
    m, draws = value.shape
    concordant = np.zeros(draws)
    for i in range(1, m):
        for j in range(i):
            sign = 1.0 if ranking[i] > ranking[j] else -1.0
            for s in range(draws):
                concordant[s] += 1.0 if sign * (value[i, s] - value[j, s]) > 0 else 0.0
    return 2 * concordant / (m * (m - 1) / 2) - 1
