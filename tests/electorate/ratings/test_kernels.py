import numpy as np
import pytest

from electorate.base.scale import Floats
from electorate.evaluation import metrics
from electorate.evaluation.metrics import Standing
from electorate.ratings import kernels, order_kernels

USERS = 5
MODELS = 4
RANDOM = np.random.default_rng(0)


def information() -> Floats:
    """A positive definite matrix for each user."""
    half = RANDOM.normal(size=(USERS, MODELS + 1, 9))
    return half @ half.transpose(0, 2, 1)


def test_own_models_are_those_voted_on() -> None:
    a = np.array([5, 0, 2, 5])
    b = np.array([2, 5, 0, 3])
    start, parameter, own_a, own_b = kernels.own_models(np.array([0, 2, 2, 4]), a, b, 6)
    assert start.tolist() == [0, 4, 5, 10]
    assert parameter.tolist() == [0, 2, 5, -1, -1, 0, 2, 3, 5, -1]
    assert own_a.tolist() == [2, 0, 1, 3]
    assert own_b.tolist() == [1, 2, 0, 2]


def test_a_newton_step_is_the_solution_of_its_equations() -> None:
    votes = 30
    user = np.sort(RANDOM.integers(0, USERS, votes))
    a = RANDOM.integers(0, MODELS, votes)
    b = (a + RANDOM.integers(1, MODELS, votes)) % MODELS
    d, eta, de = RANDOM.normal(size=(3, votes))
    dd, ee = 0.1 + RANDOM.random((2, votes)) + 2 * np.abs(de)
    first = np.searchsorted(user, np.arange(USERS + 1))
    start, parameter, own_a, own_b = kernels.own_models(first, a, b, MODELS)
    square = np.concatenate([[0], np.cumsum(np.diff(start) ** 2)])
    precision = 2 + RANDOM.random(len(parameter))
    gradient = RANDOM.normal(size=len(parameter))
    reduction = 0.3 * RANDOM.normal(size=(len(parameter), 2))
    root = np.empty(square[-1])
    steps = kernels.newton(
        first, start, square, own_a, own_b, d, eta, dd, de, ee, precision, reduction, gradient, root
    )
    for u in range(USERS):
        own = slice(start[u], start[u + 1])
        place = {model: i for i, model in enumerate(parameter[own])}
        matrix = np.diag(precision[own]) - reduction[own] @ reduction[own].T
        score = gradient[own].copy()
        for v in range(first[u], first[u + 1]):
            x = np.zeros(len(place))
            tie = np.eye(len(place))[-1]
            x[place[a[v]]] = 1
            x[place[b[v]]] = -1
            score += d[v] * x + eta[v] * tie
            matrix += (
                dd[v] * np.outer(x, x)
                + de[v] * (np.outer(x, tie) + np.outer(tie, x))
                + ee[v] * np.outer(tie, tie)
            )
        assert steps[own] == pytest.approx(np.linalg.solve(matrix, score))
        found = root[square[u] : square[u + 1]].reshape(matrix.shape)
        assert found.T @ found == pytest.approx(matrix)


def test_covariances_are_inverses_and_draws_have_them() -> None:
    size = MODELS + 1
    start = size * np.arange(USERS + 1)
    square = size**2 * np.arange(USERS + 1)
    matrix = information()
    root = np.linalg.cholesky(matrix).transpose(0, 2, 1).copy()
    found = kernels.covariances(start, square, root.ravel()).reshape(matrix.shape)
    assert found == pytest.approx(np.linalg.inv(matrix))
    drawn = [
        kernels.unwhitened(start, square, root.ravel(), np.tile(z, USERS)).reshape(USERS, size)
        for z in np.eye(size)
    ]
    by_draw = np.stack(drawn, axis=-1)
    assert by_draw @ by_draw.transpose(0, 2, 1) == pytest.approx(np.linalg.inv(matrix))


def test_posterior_orders_are_those_of_the_draws() -> None:
    half = np.linalg.cholesky(information())
    mode = RANDOM.normal(size=(USERS, MODELS + 1))
    normal = RANDOM.normal(size=(MODELS + 1, 500))
    ranking = RANDOM.normal(size=MODELS)
    archetype = np.arange(USERS) % 2
    shift = 0.3 * RANDOM.normal(size=(2, MODELS + 1, 16))
    each = 4
    of = (mode, half, normal, archetype, shift, each)
    first = order_kernels.first_shares(*of)
    agree = order_kernels.posterior_orders(*of, ranking, 0.6)
    for u in range(USERS):
        begin = u * order_kernels.STRIDE % (500 - 64 + 1)
        own = normal[:, begin : begin + 64]
        shared = np.repeat(shift[archetype[u]], each, axis=1)
        draws = (mode[u][:, None] + half[u] @ own + shared)[:MODELS].T
        tau = metrics.kendall_tau(Standing(draws), Standing(ranking))
        assert first[u] == pytest.approx(np.bincount(draws.argmax(axis=1), minlength=MODELS) / 64)
        same_order = (tau >= 0.6 - 1e-12).reshape(16, each).sum(axis=1)
        same_first = (draws.argmax(axis=1) == ranking.argmax()).reshape(16, each).sum(axis=1)
        assert np.array_equal(agree[u], [same_order, same_first])
