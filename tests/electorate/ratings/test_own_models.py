"""Users over the models they voted on: the same as over all of them, worked out the long way."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from electorate.base.scale import Floats
from electorate.ratings import posteriors
from electorate.ratings.prior import Prior
from electorate.ratings.ties import MODELS
from electorate.ratings.user_votes import UserVotes

MODELS_N = 9
USERS = 4
DAVIDSON = MODELS["davidson"]


def votes() -> UserVotes:
    """Of four users, each on a few of nine models; the last has none."""
    random = np.random.default_rng(0)
    user = np.repeat(np.arange(3), 12)
    a = (user + random.integers(0, 3, 36)) % MODELS_N
    b = (a + 1 + random.integers(0, 3, 36)) % MODELS_N
    return UserVotes(
        archetype=np.array([0, 1, 0, 1]), user=user, a=a, b=b, outcome=random.integers(0, 3, 36)
    )


def prior(factors: int) -> Prior:
    random = np.random.default_rng(1)
    mean = 0.3 * random.normal(size=(2, MODELS_N + 1))
    return Prior(mean, 0.5, 0.3, 0.4 * random.normal(size=(factors, MODELS_N)) if factors else None)


def over_all_models(own: UserVotes, of: Prior) -> tuple[Floats, Floats]:
    """Modes and covariances with every model among a user's parameters, by a general optimiser."""
    precision = np.linalg.inv(of.covariance)
    modes = []
    covariances = []
    for u in range(own.users):
        rows = np.flatnonzero(own.user == u)
        a = own.a[rows]
        b = own.b[rows]
        outcome = own.outcome[rows]
        mean = of.mean[own.archetype[u]]

        def minus(x: Floats, a=a, b=b, outcome=outcome, mean=mean) -> float:
            fit = DAVIDSON.log_likelihood(x[a] - x[b], x[-1], outcome).sum()
            return float((x - mean) @ precision @ (x - mean) / 2 - fit)

        mode = minimize(minus, mean, method="BFGS", options={"gtol": 1e-9}).x
        slopes = DAVIDSON.derivatives(mode[a] - mode[b], np.full(len(a), mode[-1]), outcome)
        design = np.eye(MODELS_N + 1)[a] - np.eye(MODELS_N + 1)[b]
        tie = np.tile(np.eye(MODELS_N + 1)[-1], (len(a), 1))
        information = (
            precision
            + design.T @ (slopes.info_dd[:, None] * design)
            + tie.T @ (slopes.info_ee[:, None] * tie)
        )
        across = design.T @ (slopes.info_de[:, None] * tie)
        modes.append(mode)
        covariances.append(np.linalg.inv(information + across + across.T))
    return np.array(modes), np.array(covariances)


@pytest.mark.parametrize("factors", [0, 2])
def test_posteriors_are_those_over_all_models(factors: int) -> None:
    own = votes()
    of = prior(factors)
    at = posteriors.posterior(own, of, DAVIDSON)
    assert len(at.votes.own.parameter) < 3 * 7 + 1 + 1
    mode, covariance = over_all_models(own, of)
    assert at.mode == pytest.approx(mode, abs=1e-4)
    assert at.covariance == pytest.approx(covariance, abs=1e-3)
    user = np.array([0, 0, 1, 2, 3])
    a = np.array([0, 8, 7, 1, 4])
    b = np.array([1, 2, 8, 6, 5])
    said = at.differences(user, a, b)
    pick = np.eye(MODELS_N + 1)[a] - np.eye(MODELS_N + 1)[b]
    along = np.einsum("qp,qpr->qr", pick, covariance[user])
    assert said.d == pytest.approx(np.einsum("qp,qp->q", pick, mode[user]), abs=1e-4)
    assert said.variance == pytest.approx(np.einsum("qr,qr->q", along, pick), abs=1e-3)
    assert said.across == pytest.approx(along[:, -1], abs=1e-3)
    assert said.eta_variance == pytest.approx(covariance[user, -1, -1], abs=1e-3)


def test_what_votes_say_of_the_prior_mean_is_the_same_too() -> None:
    own = votes()
    of = prior(2)
    at = posteriors.posterior(own, of, DAVIDSON)
    precision = np.linalg.inv(of.covariance)
    _, covariance = over_all_models(own, of)
    for u in range(USERS):
        there = at.votes.own
        place = np.where(there.parameter < 0, MODELS_N, there.parameter)[
            there.start[u] : there.start[u + 1]
        ]
        dense = np.zeros((MODELS_N + 1, MODELS_N + 1))
        dense[np.ix_(place, place)] = at.learned[there.square[u] : there.square[u + 1]].reshape(
            len(place), -1
        )
        assert dense == pytest.approx(precision - precision @ covariance[u] @ precision, abs=2e-2)


def test_chunks_of_users_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    own = votes()
    of = prior(2)
    whole = posteriors.posterior(own, of, DAVIDSON, tolerance=1e-9)
    monkeypatch.setattr("electorate.ratings.user_votes.CHUNK_VOTES", 5)
    parts = posteriors.posterior(replace(own), of, DAVIDSON, tolerance=1e-9)
    assert parts.mode == pytest.approx(whole.mode, abs=1e-9)
    modes = [part.mode for _, part in posteriors.by_chunk(replace(own), of, DAVIDSON)]
    assert len(modes) == USERS
    assert np.concatenate(modes) == pytest.approx(whole.mode, abs=1e-4)


def test_a_block_on_2000_models_needs_no_matrix_over_them() -> None:
    random = np.random.default_rng(2)
    user = np.repeat(np.arange(200), 20)
    a = random.integers(0, 2000, len(user))
    b = (a + random.integers(1, 2000, len(user))) % 2000
    own = UserVotes(
        archetype=np.zeros(200, dtype=np.int64),
        user=user,
        a=a,
        b=b,
        outcome=random.integers(0, 3, len(user)),
    )
    at = posteriors.posterior(own, Prior(np.zeros((1, 2001)), 0.5, 0.3), DAVIDSON)
    assert at.root.size <= 200 * 41**2
    assert at.converged.all()
    assert np.isfinite(
        at.differences(np.arange(200), np.zeros(200, int), np.ones(200, int)).variance
    ).all()
