import numpy as np
import pytest

from electorate.evaluation import metrics
from electorate.evaluation.metrics import Standing
from electorate.ratings import kernels
from electorate.scale import Floats

USERS, MODELS = 5, 4
RANDOM = np.random.default_rng(0)


def information() -> Floats:
    """A positive definite matrix for each user."""
    half = RANDOM.normal(size=(USERS, MODELS + 1, 9))
    return half @ half.transpose(0, 2, 1)


def test_a_newton_step_is_the_solution_of_its_equations() -> None:
    votes = 30
    user = np.sort(RANDOM.integers(0, USERS, votes))
    a = RANDOM.integers(0, MODELS, votes)
    b = (a + RANDOM.integers(1, MODELS, votes)) % MODELS
    d, eta, de = RANDOM.normal(size=(3, votes))
    dd, ee = 0.1 + RANDOM.random((2, votes)) + 2 * np.abs(de)
    away, precision = RANDOM.normal(size=(USERS, MODELS + 1)), information()[0]
    root = np.empty((USERS, MODELS + 1, MODELS + 1))
    first = np.searchsorted(user, np.arange(USERS + 1))
    step = kernels.newton(first, a, b, d, eta, dd, de, ee, away, precision, root)
    for u in range(USERS):
        matrix, score = precision.copy(), -precision @ away[u]
        for v in np.flatnonzero(user == u):
            x = np.zeros(MODELS + 1)
            x[a[v]], x[b[v]], tie = 1, -1, np.eye(MODELS + 1)[MODELS]
            score += d[v] * x + eta[v] * tie
            matrix += dd[v] * np.outer(x, x) + de[v] * (np.outer(x, tie) + np.outer(tie, x)) + ee[v] * np.outer(tie, tie)
        assert step[u] == pytest.approx(np.linalg.solve(matrix, score))
        assert root[u].T @ root[u] == pytest.approx(matrix)


def test_covariances_are_inverses_and_draws_have_them() -> None:
    matrix = information()
    root = np.linalg.cholesky(matrix).transpose(0, 2, 1).copy()
    assert kernels.covariances(root) == pytest.approx(np.linalg.inv(matrix))
    drawn = np.stack([kernels.unwhitened(root, np.tile(z, (USERS, 1))) for z in np.eye(MODELS + 1)], axis=-1)
    assert drawn @ drawn.transpose(0, 2, 1) == pytest.approx(np.linalg.inv(matrix))


def test_posterior_orders_are_those_of_the_draws() -> None:
    matrix, mode = information(), RANDOM.normal(size=(USERS, MODELS + 1))
    root = np.linalg.cholesky(matrix).transpose(0, 2, 1).copy()
    normal, ranking = RANDOM.normal(size=(MODELS + 1, 64)), RANDOM.normal(size=MODELS)
    label, shift = np.arange(USERS) % 2, 0.3 * RANDOM.normal(size=(2, MODELS + 1, 64))
    first, agree = kernels.posterior_orders(mode, root, normal, label, shift, ranking, 0.6)
    for u in range(USERS):
        draws = (mode[u][:, None] + np.linalg.solve(root[u], normal) + shift[label[u]])[:MODELS].T
        tau = metrics.kendall_tau(Standing(draws), Standing(ranking))
        assert first[u] == pytest.approx(np.bincount(draws.argmax(axis=1), minlength=MODELS) / 64)
        assert agree[u] == pytest.approx([(tau >= 0.6 - 1e-12).mean(), (draws.argmax(axis=1) == ranking.argmax()).mean()])
