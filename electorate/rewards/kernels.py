"""The loop over users of electorate/rewards/weights.py, compiled.

Without fastmath: the same on any machine.
"""

import numpy as np
from numba import njit

from electorate.base.scale import Floats, Ints
from electorate.ratings.kernels import factor_and_solve


@njit(cache=True, error_model="numpy", nogil=True)
def newton(
    first: Ints,
    x: Floats,
    a: Ints,
    b: Ints,
    tau: float,
    eta_sd: float,
    d: Floats,
    eta: Floats,
    dd: Floats,
    de: Floats,
    ee: Floats,
    away: Floats,
    root: Floats,
) -> Floats:
    """(n, P) Newton steps of n users toward their modes under a prior of unit variance. root: (n,
    P, P), filled with the upper Cholesky factors of their information.

    A user's parameters are (weights of x, M offsets of sd tau or none where tau is 0, tie parameter
    of sd eta_sd). first: (n+1,) where each user's votes begin; x: (votes, R); d, eta, dd, de, ee:
    (votes,) scores and information; away: (n, P) from the prior mean.
    """
    n, p = away.shape
    r = x.shape[1]
    last = p - 1
    steps = np.empty((n, p))
    for u in range(n):
        matrix = root[u]
        step = steps[u]
        for i in range(p):
            step[i] = -away[u, i]
            for j in range(i, p):
                matrix[i, j] = 1.0 if i == j else 0.0
        for v in range(first[u], first[u + 1]):
            row = x[v]
            for i in range(r):
                step[i] += d[v] * row[i]
                weighted = dd[v] * row[i]
                for j in range(i, r):
                    matrix[i, j] += weighted * row[j]
                matrix[i, last] += de[v] * row[i] * eta_sd
            if tau > 0.0:
                i = r + a[v]
                j = r + b[v]
                step[i] += d[v] * tau
                step[j] -= d[v] * tau
                weight = dd[v] * tau
                for k in range(r):
                    matrix[k, i] += weight * row[k]
                    matrix[k, j] -= weight * row[k]
                matrix[i, i] += weight * tau
                matrix[j, j] += weight * tau
                matrix[min(i, j), max(i, j)] -= weight * tau
                matrix[i, last] += de[v] * tau * eta_sd
                matrix[j, last] -= de[v] * tau * eta_sd
            step[last] += eta[v] * eta_sd
            matrix[last, last] += ee[v] * eta_sd * eta_sd
        factor_and_solve(matrix, step)
    return steps
