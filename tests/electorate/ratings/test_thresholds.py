"""Thumbs are votes against each user's own threshold: planted ones are found, and ratings cover."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import expit

from electorate.base.scale import Floats, Ints
from electorate.base.votes import Votes
from electorate.ratings import bradley_terry, thresholds
from electorate.ratings.thresholds import Thresholds, Thumbs
from electorate.ratings.ties import MODELS

DAVIDSON = MODELS["davidson"]
STRENGTH = np.linspace(-1, 1, 6)
MEAN = 0.5
SPREAD = 0.8


def thumbs_of(
    random: np.random.Generator, users: int, each: int, threshold: Floats | None = None
) -> tuple[Thumbs, Floats]:
    """Thumbs of users at their own thresholds, and those."""
    own = MEAN + SPREAD * random.normal(size=users) if threshold is None else threshold
    user = np.repeat(np.arange(users), each)
    model = random.integers(0, len(STRENGTH), len(user))
    up = (random.random(len(user)) < expit(STRENGTH[model] - own[user])).astype(np.int64)
    return Thumbs(users, user, model, up, np.ones(len(user))), own


def battles_of(random: np.random.Generator, votes: int, users: int) -> Votes:
    models = len(STRENGTH)
    a = random.integers(0, models, votes)
    b = (a + random.integers(1, models, votes)) % models
    odds = DAVIDSON.probabilities(STRENGTH[a] - STRENGTH[b], np.full(votes, -0.5))
    outcome: Ints = (random.random(votes)[:, None] > odds.cumsum(axis=1)[:, :2]).sum(axis=1)
    user = random.integers(0, users, votes)
    return Votes(user=user, a=a, b=b, outcome=outcome)


def test_planted_thresholds_are_found_and_ratings_cover_the_truth() -> None:
    covered = list[Floats]()
    own_covered = list[Floats]()
    found = list[Thresholds]()
    for seed in range(60):
        random = np.random.default_rng(seed)
        thumbs, own = thumbs_of(random, users=120, each=8)
        battles = battles_of(random, votes=200, users=120)
        fit, at = thresholds.fit(battles, thumbs, [battles.user], DAVIDSON, len(STRENGTH), None)
        sd = np.sqrt(np.diag(fit.covariance)[:-1])
        covered.append(np.abs(fit.strength - STRENGTH) < 1.96 * sd)
        own_covered.append(np.abs(at.user - own) < 1.96 * at.user_sd)
        found.append(at)
    assert 0.92 < np.mean(covered) < 0.98
    assert 0.93 < np.mean(own_covered) < 0.97
    # Modes in place of integrals would find a mean and a spread that are too small.
    assert np.mean([at.mean for at in found]) == pytest.approx(MEAN, abs=0.04)
    assert np.mean([at.spread for at in found]) == pytest.approx(SPREAD, abs=0.05)


def test_thumbs_make_intervals_narrower_and_leave_battles_as_they_are() -> None:
    random = np.random.default_rng(3)
    thumbs, _ = thumbs_of(random, users=200, each=10)
    battles = battles_of(random, votes=300, users=200)
    alone = bradley_terry.fit(battles.by_battle(len(STRENGTH)), DAVIDSON, None)
    both, _ = thresholds.fit(battles, thumbs, [battles.user], DAVIDSON, len(STRENGTH), None)
    without = thumbs.take(np.zeros(len(thumbs), dtype=bool))
    none, _ = thresholds.fit(battles, without, [battles.user], DAVIDSON, len(STRENGTH), None)
    assert np.diag(both.covariance)[:-1].sum() < 0.5 * np.diag(alone.covariance)[:-1].sum()
    assert none.strength == pytest.approx(alone.strength, abs=1e-6)
    assert none.eta == pytest.approx(alone.eta, abs=1e-6)


def test_the_marginal_likelihood_is_the_integral_and_its_derivatives_are_right() -> None:
    thumbs, _ = thumbs_of(np.random.default_rng(1), users=60, each=5)
    models = len(STRENGTH)
    marginal = thresholds._Marginal(thumbs, models)
    at = np.append(STRENGTH + 0.1, [0.3, -0.2])

    def density(t: float, user: int) -> float:
        own = thumbs.take(thumbs.user == user)
        p = expit(at[own.model] - t)
        seen = np.prod(np.where(own.up == 1, p, 1 - p))
        z = (t - at[-2]) / np.exp(at[-1])
        return float(seen * np.exp(-(z**2) / 2) / np.exp(at[-1]) / np.sqrt(2 * np.pi))

    exact = sum(np.log(quad(density, -12, 12, args=(user,))[0]) for user in range(60))
    here = marginal(at)
    assert here.value == pytest.approx(exact, abs=1e-6)
    step = 1e-5
    for i in range(len(at)):
        nudge = np.eye(len(at))[i] * step
        above = marginal(at + nudge)
        below = marginal(at - nudge)
        slope = (above.value - below.value) / (2 * step)
        scores = [np.asarray(x.scores.sum(axis=0)).ravel() for x in (above, below)]
        curve = -(scores[0] - scores[1]) / (2 * step)
        assert here.scores.sum(axis=0)[0, i] == pytest.approx(slope, abs=1e-6)
        assert here.information[i] == pytest.approx(curve, abs=1e-4)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(0, 1)), min_size=1, max_size=40
    ),
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(0, 2), st.integers(0, 2)),
        max_size=20,
    ),
    st.sampled_from(list(MODELS)),
)
def test_any_thumbs_and_battles_have_finite_ratings(
    given_thumbs: list[tuple[int, int, int]],
    fought: list[tuple[int, int, int, int]],
    ties: str,
) -> None:
    user, model, up = np.array(given_thumbs, dtype=np.int64).T
    thumbs = Thumbs(5, user, model, up, np.ones(len(user)))
    rows = [(u, a, (a + 1 + b) % 4, outcome) for u, a, b, outcome in fought]
    of, a, b, outcome = np.array(rows, dtype=np.int64).reshape(-1, 4).T
    battles = Votes(user=of, a=a, b=b, outcome=outcome)
    prior = None if thresholds.estimable(battles.by_battle(4), thumbs) else 1000.0
    fit, at = thresholds.fit(battles, thumbs, [of], MODELS[ties], 4, prior)
    assert np.isfinite(fit.strength).all()
    assert (np.diag(fit.covariance) >= -1e-9).all()
    assert np.isfinite([at.mean, at.spread, *at.user, *at.user_sd]).all()
