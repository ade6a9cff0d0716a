"""Loops over users, compiled: where NumPy would need an array a user and a LAPACK call each.

Without fastmath, so that a result does not depend on the machine's vector width.
"""

from math import erf

import numpy as np
from numba import njit

from electorate.scale import Floats, Ints


@njit(cache=True, error_model="numpy")
def newton(
    first: Ints, a: Ints, b: Ints, d: Floats, eta: Floats, dd: Floats, de: Floats, ee: Floats, away: Floats, precision: Floats, root: Floats
) -> Floats:
    """(n, P) Newton steps of n users toward their modes. root: (n, P, P), filled with the upper Cholesky factors of their information.

    first: (n+1,) where each user's votes begin; a, b, d, eta, dd, de, ee: (votes,) models, scores and information of
    each vote; away: (n, P) from the prior mean; precision: (P, P) of the prior.
    """
    n, p = away.shape
    last = p - 1
    steps = np.empty((n, p))
    for u in range(n):
        matrix, x = root[u], steps[u]
        for i in range(p):
            pull = 0.0
            for j in range(p):
                pull -= precision[i, j] * away[u, j]
                matrix[i, j] = precision[i, j] if j >= i else 0.0
            x[i] = pull
        for v in range(first[u], first[u + 1]):
            i, j = a[v], b[v]
            x[i] += d[v]
            x[j] -= d[v]
            x[last] += eta[v]
            matrix[i, i] += dd[v]
            matrix[j, j] += dd[v]
            matrix[min(i, j), max(i, j)] -= dd[v]
            matrix[i, last] += de[v]
            matrix[j, last] -= de[v]
            matrix[last, last] += ee[v]
        factor_and_solve(matrix, x)
    return steps


@njit(cache=True, error_model="numpy")
def factor_and_solve(matrix: Floats, x: Floats) -> None:
    """Both in place: the upper half of a symmetric matrix becomes its Cholesky factor, and x the solution of matrix @ result = x."""
    p = len(x)
    for k in range(p):
        pivot = np.sqrt(matrix[k, k])
        for j in range(k, p):
            matrix[k, j] /= pivot
        for i in range(k + 1, p):
            factor = matrix[k, i]
            for j in range(i, p):
                matrix[i, j] -= factor * matrix[k, j]
    for k in range(p):
        x[k] /= matrix[k, k]
        for j in range(k + 1, p):
            x[j] -= matrix[k, j] * x[k]
    backward(matrix, x)


@njit(cache=True, error_model="numpy")
def backward(upper: Floats, x: Floats) -> None:
    """Solve upper @ result = x in place."""
    p = len(x)
    for k in range(p - 1, -1, -1):
        x[k] /= upper[k, k]
        for i in range(k):
            x[i] -= upper[i, k] * x[k]


@njit(cache=True, error_model="numpy")
def unwhitened(root: Floats, normal: Floats) -> Floats:
    """(n, P): from standard normal draws (n, P) to draws with covariance (root.T @ root)^-1."""
    drawn = normal.copy()
    for u in range(len(root)):
        backward(root[u], drawn[u])
    return drawn


@njit(cache=True, error_model="numpy")
def covariances(root: Floats) -> Floats:
    """(n, P, P) inverses of root.T @ root."""
    n, p = root.shape[:2]
    found, inverse = np.empty((n, p, p)), np.empty((p, p))
    for u in range(n):
        # Row i of `inverse` is column i of the inverse factor, so that the products below run along memory.
        inverse[:] = 0.0
        for i in range(p):
            inverse[i, i] = 1.0
            backward(root[u, : i + 1, : i + 1], inverse[i, : i + 1])
        matrix = found[u]
        matrix[:] = 0.0
        for k in range(p):
            for i in range(k + 1):
                factor = inverse[k, i]
                for j in range(k + 1):
                    matrix[i, j] += factor * inverse[k, j]
    return found


@njit(cache=True, error_model="numpy")
def informative_pairs(mode: Floats, covariance: Floats, votes: int) -> tuple[Ints, Ints, Floats]:
    """(n, votes) models a and b of each user's next battles, and (n,) the Kendall tau its ranking may be expected to have.

    mode: (n, M); covariance: (n, M, M), of which the battles' expected information is taken in place, one
    after the other. See electorate/pairing.py.
    """
    n, m = mode.shape
    first, second, expected = np.empty((n, votes), np.int64), np.empty((n, votes), np.int64), np.empty(n)
    open_, along = np.empty((m, m)), np.empty(m)
    for u in range(n):
        own, sure = covariance[u], 0.0
        for v in range(votes):
            # The Laplacian of how open each pair is, a unit of variance.
            open_[:] = 0.0
            for a in range(m):
                for b in range(a + 1, m):
                    variance = max(own[a, a] + own[b, b] - 2 * own[a, b], 1e-12)
                    t = abs(mode[u, a] - mode[u, b]) / np.sqrt(variance)
                    if v == 0:
                        sure += erf(t / np.sqrt(2.0))
                    weight = np.exp(-t * t / 2) / variance
                    open_[a, b] -= weight
                    open_[b, a] -= weight
                    open_[a, a] += weight
                    open_[b, b] += weight
            reach = own @ open_ @ own
            best, best_a, best_b, best_information = -1.0, 0, 1, 0.25
            for a in range(m):
                for b in range(a + 1, m):
                    odds = np.exp(-abs(mode[u, a] - mode[u, b]))
                    information = odds / (1 + odds) ** 2
                    variance = own[a, a] + own[b, b] - 2 * own[a, b]
                    gain = information * (reach[a, a] + reach[b, b] - 2 * reach[a, b]) / (1 + information * variance)
                    if gain > best:
                        best, best_a, best_b, best_information = gain, a, b, information
            first[u, v], second[u, v] = best_a, best_b
            for i in range(m):
                along[i] = own[i, best_a] - own[i, best_b]
            known = 1 / best_information + along[best_a] - along[best_b]
            for i in range(m):
                factor = along[i] / known
                for j in range(m):
                    own[i, j] -= factor * along[j]
        expected[u] = sure / (m * (m - 1) / 2)
    return first, second, expected


@njit(cache=True, error_model="numpy")
def posterior_orders(
    mode: Floats, root: Floats, normal: Floats, label: Ints, shift: Floats, ranking: Floats, least_tau: float
) -> tuple[Floats, Floats]:
    """(n, M) the share of posterior draws that put each model first, and (n, 2) those that agree with `ranking` (M,): whose
    Kendall tau with it is at least least_tau, and whose first model is the same.

    normal: (M+1, draws) standard normal, the same for all users; shift: (K, M+1, draws) added to the draws of users of
    each label.
    """
    n, p = mode.shape
    m, draws = p - 1, normal.shape[1]
    first_share, agree = np.zeros((n, m)), np.zeros((n, 2))
    value, most = np.empty((p, draws)), np.empty(draws)
    leader, concordant = np.empty(draws, np.int64), np.empty(draws)
    best, pairs = np.argmax(ranking), m * (m - 1) / 2
    for u in range(n):
        for i in range(p - 1, -1, -1):
            row = value[i]
            row[:] = normal[i]
            for k in range(i + 1, p):
                factor = root[u, i, k]
                for s in range(draws):
                    row[s] -= factor * value[k, s]
            for s in range(draws):
                row[s] /= root[u, i, i]
        for i in range(m):
            value[i] += mode[u, i] + shift[label[u], i]
        most[:] = value[0]
        leader[:] = 0
        concordant[:] = 0.0
        for i in range(1, m):
            for s in range(draws):
                if value[i, s] > most[s]:
                    most[s], leader[s] = value[i, s], i
            for j in range(i):
                sign = 1.0 if ranking[i] > ranking[j] else -1.0
                for s in range(draws):
                    concordant[s] += 1.0 if sign * (value[i, s] - value[j, s]) > 0 else 0.0
        for s in range(draws):
            first_share[u, leader[s]] += 1 / draws
            agree[u, 0] += (2 * concordant[s] / pairs - 1 >= least_tau) / draws
            agree[u, 1] += (leader[s] == best) / draws
    return first_share, agree
