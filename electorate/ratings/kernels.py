"""Loops over users, compiled: where NumPy would need an array a user and a LAPACK call each.

Without fastmath, so that a result does not depend on the machine's vector width.
"""

import numpy as np
from numba import njit

from electorate.scale import Floats, Ints


@njit(cache=True, error_model="numpy")
def newton(  # noqa: PLR0914 one loop, and its symbols
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
    return steps


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
