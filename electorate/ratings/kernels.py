"""Loops over users, compiled: where NumPy would need an array a user and a LAPACK call each.

Users' own parameters lie one after the other (user_votes.OwnModels): `start` says where each user's
begin, `square` where its matrix does. Without fastmath, so that a result does not depend on the
machine's vector width.
"""

import numpy as np
from numba import njit

from electorate.base.scale import Floats, Ints


@njit(cache=True, error_model="numpy")
def own_models(first: Ints, a: Ints, b: Ints, models: int) -> tuple[Ints, Ints, Ints, Ints]:
    """start, parameter, a, b of user_votes.OwnModels, from votes ordered by user."""
    n = len(first) - 1
    start = np.zeros(n + 1, np.int64)
    place_a = np.empty_like(a)
    place_b = np.empty_like(b)
    last_user = np.full(models, -1, np.int64)
    place = np.empty(models, np.int64)
    parameter = np.empty(2 * len(a) + n, np.int64)
    for u in range(n):
        begin = end = start[u]
        for v in range(first[u], first[u + 1]):
            for model in (a[v], b[v]):
                if last_user[model] != u:
                    last_user[model] = u
                    parameter[end] = model
                    end += 1
        parameter[begin:end].sort()
        for i in range(begin, end):
            place[parameter[i]] = i - begin
        for v in range(first[u], first[u + 1]):
            place_a[v] = place[a[v]]
            place_b[v] = place[b[v]]
        parameter[end] = -1
        start[u + 1] = end + 1
    return start, parameter[: start[n]].copy(), place_a, place_b


@njit(cache=True, error_model="numpy")
def prior_reductions(
    start: Ints, parameter: Ints, sd: float, factors: Floats
) -> tuple[Floats, Floats]:
    """What factors (r, M) take from the prior precision of each user's own strengths (Woodbury).

    With F the factors of the own models, B = I + F F^T / sd^2 = L L^T: the precision is
    I / sd^2 - Q Q^T with Q = F^T L^-T / sd^2. Returns Q (P, r), zero for ties, and log det B (n,).
    """
    n = len(start) - 1
    r = len(factors)
    reduction = np.zeros((len(parameter), r))
    log_volume = np.zeros(n)
    matrix = np.empty((r, r))
    for u in range(n):
        last = start[u + 1] - 1
        for i in range(r):
            for j in range(i, r):
                total = 1.0 if i == j else 0.0
                for k in range(start[u], last):
                    total += factors[i, parameter[k]] * factors[j, parameter[k]] / sd**2
                matrix[i, j] = total
        _factor(matrix)
        for i in range(r):
            log_volume[u] += 2 * np.log(matrix[i, i])
        for k in range(start[u], last):
            for i in range(r):
                total = factors[i, parameter[k]] / sd**2
                for j in range(i):
                    total -= matrix[j, i] * reduction[k, j]
                reduction[k, i] = total / matrix[i, i]
    return reduction, log_volume


@njit(cache=True, error_model="numpy")
def prior_products(start: Ints, precision: Floats, reduction: Floats, away: Floats) -> Floats:
    """(P,) each user's prior precision times its own `away` (P,)."""
    product = precision * away
    r = reduction.shape[1]
    for u in range(len(start) - 1):
        for i in range(r):
            along = 0.0
            for k in range(start[u], start[u + 1]):
                along += reduction[k, i] * away[k]
            for k in range(start[u], start[u + 1]):
                product[k] -= reduction[k, i] * along
    return product


@njit(cache=True, error_model="numpy")
def newton(
    first: Ints,
    start: Ints,
    square: Ints,
    a: Ints,
    b: Ints,
    d: Floats,
    eta: Floats,
    dd: Floats,
    de: Floats,
    ee: Floats,
    precision: Floats,
    reduction: Floats,
    gradient: Floats,
    root: Floats,
) -> Floats:
    """(P,) Newton steps of all users toward their modes.

    first: (n+1,) where each user's votes begin; a, b, d, eta, dd, de, ee: (votes,) own models,
    scores and information of each vote; precision, reduction: see prior.OwnPrior; gradient: (P,) of
    the log prior. root: filled with the upper Cholesky factors of the users' information.
    """
    steps = gradient.copy()
    r = reduction.shape[1]
    for u in range(len(start) - 1):
        begin = start[u]
        end = start[u + 1]
        p = end - begin
        last = p - 1
        matrix = root[square[u] : square[u + 1]].reshape((p, p))
        x = steps[begin:end]
        matrix[:] = 0.0
        for i in range(p):
            matrix[i, i] = precision[begin + i]
            for k in range(r):
                factor = reduction[begin + i, k]
                for j in range(i, p):
                    matrix[i, j] -= factor * reduction[begin + j, k]
        for v in range(first[u], first[u + 1]):
            i = a[v]
            j = b[v]
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
def longest_moves(first: Ints, start: Ints, a: Ints, b: Ints, step: Floats) -> Floats:
    """(n,) how far a step (P,) moves the log odds of two outcomes of any vote of a user apart."""
    longest = np.zeros(len(start) - 1)
    for u in range(len(longest)):
        tie = abs(step[start[u + 1] - 1])
        for v in range(first[u], first[u + 1]):
            d = abs(step[start[u] + a[v]] - step[start[u] + b[v]])
            longest[u] = max(longest[u], d, d / 2 + tie)
    return longest


@njit(cache=True, error_model="numpy")
def _factor(matrix: Floats) -> None:
    """In place: the upper half of a symmetric matrix becomes its Cholesky factor."""
    p = len(matrix)
    for k in range(p):
        pivot = np.sqrt(matrix[k, k])
        for j in range(k, p):
            matrix[k, j] /= pivot
        for i in range(k + 1, p):
            factor = matrix[k, i]
            for j in range(i, p):
                matrix[i, j] -= factor * matrix[k, j]


@njit(cache=True, error_model="numpy")
def factor_and_solve(matrix: Floats, x: Floats) -> None:
    """In place: `_factor`, and x becomes the solution of matrix @ result = x."""
    p = len(x)
    _factor(matrix)
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
def unwhitened(start: Ints, square: Ints, root: Floats, normal: Floats) -> Floats:
    """(P,): from standard normal draws (P,) to draws with covariance (root.T @ root)^-1."""
    drawn = normal.copy()
    for u in range(len(start) - 1):
        p = start[u + 1] - start[u]
        upper = root[square[u] : square[u + 1]].reshape((p, p))
        backward(upper, drawn[start[u] : start[u + 1]])
    return drawn


@njit(cache=True, error_model="numpy")
def covariances(start: Ints, square: Ints, root: Floats) -> Floats:
    """Every user's inverse of root.T @ root, as flat as root."""
    found = np.zeros_like(root)
    for u in range(len(start) - 1):
        p = start[u + 1] - start[u]
        upper = root[square[u] : square[u + 1]].reshape((p, p))
        matrix = found[square[u] : square[u + 1]].reshape((p, p))
        # Row i of `inverse` is column i of the inverse factor: products run along memory.
        inverse = np.zeros((p, p))
        for i in range(p):
            inverse[i, i] = 1.0
            backward(upper[: i + 1, : i + 1], inverse[i, : i + 1])
        for k in range(p):
            for i in range(k + 1):
                factor = inverse[k, i]
                for j in range(k + 1):
                    matrix[i, j] += factor * inverse[k, j]
    return found


@njit(cache=True, error_model="numpy")
def products(start: Ints, square: Ints, matrix: Floats, x: Floats) -> Floats:
    """(P,) each user's matrix times its own x (P,)."""
    found = np.zeros_like(x)
    for u in range(len(start) - 1):
        begin = start[u]
        p = start[u + 1] - start[u]
        own = matrix[square[u] : square[u + 1]].reshape((p, p))
        for i in range(p):
            for j in range(p):
                found[begin + i] += own[i, j] * x[begin + j]
    return found


@njit(cache=True, error_model="numpy")
def learned(
    start: Ints, square: Ints, precision: Floats, reduction: Floats, covariance: Floats
) -> Floats:
    """G = Pi - Pi Sigma Pi of every user, with prior precision Pi and posterior covariance Sigma.

    What a user's votes say of its prior mean: the information on the mean, and by
    Sigma = C - C G C what they take from the prior covariance C. As flat as covariance.
    """
    found = np.empty_like(covariance)
    for u in range(len(start) - 1):
        own = slice(start[u], start[u + 1])
        p = start[u + 1] - start[u]
        sigma = covariance[square[u] : square[u + 1]].reshape((p, p))
        into = found[square[u] : square[u + 1]].reshape((p, p))
        _learned(precision[own], reduction[own], sigma, into)
    return found


@njit(cache=True, error_model="numpy")
def _learned(precision: Floats, reduction: Floats, sigma: Floats, into: Floats) -> None:
    """Fill `into` (p, p) with one user's G.

    With Pi = D - Q Q^T, Y = D Sigma Q and N = Q^T Sigma Q, Pi - Pi Sigma Pi is
    D - D Sigma D + (Y - Q - Q N) Q^T + Q Y^T.
    """
    p, r = reduction.shape
    y = np.zeros((p, r))
    inner = np.zeros((r, r))
    for i in range(p):
        for k in range(r):
            for j in range(p):
                y[i, k] += sigma[i, j] * reduction[j, k]
    for i in range(p):
        for k in range(r):
            for h in range(r):
                inner[k, h] += reduction[i, k] * y[i, h]
    across = -reduction
    for i in range(p):
        for k in range(r):
            y[i, k] *= precision[i]
            across[i, k] += y[i, k]
            for h in range(r):
                across[i, k] -= reduction[i, h] * inner[h, k]
    for i in range(p):
        for j in range(p):
            value = -precision[i] * sigma[i, j] * precision[j]
            for k in range(r):
                value += across[i, k] * reduction[j, k] + reduction[i, k] * y[j, k]
            into[i, j] = value
        into[i, i] += precision[i]


@njit(cache=True, error_model="numpy")
def add_by_archetype(
    start: Ints, square: Ints, parameter: Ints, archetype: Ints, own: Floats, total: Floats
) -> None:
    """Add every user's matrix of own parameters to total (K, M+1, M+1) of its archetype."""
    tie = total.shape[1] - 1
    for u in range(len(start) - 1):
        begin = start[u]
        p = start[u + 1] - start[u]
        matrix = own[square[u] : square[u + 1]].reshape((p, p))
        for i in range(p):
            row = tie if parameter[begin + i] < 0 else parameter[begin + i]
            for j in range(p):
                column = tie if parameter[begin + j] < 0 else parameter[begin + j]
                total[archetype[u], row, column] += matrix[i, j]


@njit(cache=True, error_model="numpy")
def dense_covariances(
    start: Ints,
    square: Ints,
    parameter: Ints,
    precision: Floats,
    reduction: Floats,
    covariance: Floats,
    prior: Floats,
) -> Floats:
    """(n, M+1, M+1) posterior covariances C - C G C of all parameters; prior: C (M+1, M+1).

    G (`learned`) is computed only for users who have not voted on every model.
    """
    n = len(start) - 1
    size = len(prior)
    found = np.empty((n, size, size))
    for u in range(n):
        begin = start[u]
        p = start[u + 1] - start[u]
        place = parameter[begin : start[u + 1]].copy()
        place[p - 1] = size - 1
        sigma = covariance[square[u] : square[u + 1]].reshape((p, p))
        if p == size:
            found[u] = sigma
            continue
        own = np.empty((p, p))
        _learned(precision[begin : begin + p], reduction[begin : begin + p], sigma, own)
        across = np.ascontiguousarray(prior[:, place])
        found[u] = prior - across @ own @ np.ascontiguousarray(across.T)
    return found


@njit(cache=True, error_model="numpy")
def difference_moments(
    start: Ints,
    square: Ints,
    parameter: Ints,
    learned: Floats,
    sd: float,
    tie_sd: float,
    factors: Floats,
    user: Ints,
    a: Ints,
    b: Ints,
) -> tuple[Floats, Floats, Floats]:
    """Variance of beta_a - beta_b, its covariance with the tie parameter, and that one's variance.

    Of users (q,) and models a, b (q,), voted on or not; learned: G of every user (`learned`).
    """
    queries = len(user)
    r = len(factors)
    variance = np.empty(queries)
    across = np.empty(queries)
    of_ties = np.empty(queries)
    for q in range(queries):
        u = user[q]
        begin = start[u]
        p = start[u + 1] - start[u]
        own = learned[square[u] : square[u + 1]].reshape((p, p))
        # The difference's prior covariance with every own parameter.
        shared = np.zeros(p)
        before = 2 * sd**2
        for k in range(r):
            apart = factors[k, a[q]] - factors[k, b[q]]
            before += apart**2
            for i in range(p - 1):
                shared[i] += apart * factors[k, parameter[begin + i]]
        for i in range(p - 1):
            if parameter[begin + i] == a[q]:
                shared[i] += sd**2
            elif parameter[begin + i] == b[q]:
                shared[i] -= sd**2
        across[q] = 0.0
        for i in range(p - 1):
            across[q] -= shared[i] * own[i, p - 1] * tie_sd**2
            for j in range(p - 1):
                before -= shared[i] * own[i, j] * shared[j]
        variance[q] = before
        of_ties[q] = tie_sd**2 - tie_sd**4 * own[p - 1, p - 1]
    return variance, across, of_ties
