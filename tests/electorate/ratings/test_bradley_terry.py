import numpy as np
import pytest
from scipy.optimize import minimize

from electorate.ratings import bradley_terry
from electorate.ratings.ties import MODELS
from electorate.scale import Floats, Ints


def votes(strength: Floats, n: int, seed: int, name: str = "davidson", eta: float = -0.4) -> Ints:
    """Counts of n votes on uniform pairs."""
    random = np.random.default_rng(seed)
    models = len(strength)
    a = random.integers(0, models, n)
    b = (a + random.integers(1, models, n)) % models
    p = MODELS[name].probabilities(strength[a] - strength[b], np.full(n, eta))
    outcome = (random.random(n)[:, None] > p.cumsum(axis=1)[:, :2]).sum(axis=1)
    counts = np.zeros((models, models, 3), dtype=np.int64)
    np.add.at(counts, (a, b, outcome), 1)
    return counts


STRENGTH = np.array([0.9, 0.3, 0.0, -0.2, -1.0])


@pytest.mark.parametrize("name", MODELS)
def test_the_fit_is_the_maximum_that_scipy_finds(name: str) -> None:
    counts, ties = votes(STRENGTH, 3000, 0, "davidson"), MODELS[name]
    a, b, outcome = np.nonzero(counts)
    weight = counts[a, b, outcome]

    def minus(x: Floats) -> float:
        return -float(weight @ ties.derivatives(x[a] - x[b], x[5], outcome).log_likelihood) + 1e-6 * float(x @ x)

    best = minimize(minus, np.zeros(6), method="BFGS", options={"gtol": 1e-7}).x
    fit = bradley_terry.fit(counts, ties, prior_sd_elo=1e6)
    assert fit.strength == pytest.approx(best[:5] - best[:5].mean(), abs=1e-3)
    assert fit.strength.mean() == pytest.approx(0, abs=1e-12)
    assert fit.votes.sum() == 2 * 3000


def test_orientation_does_not_matter() -> None:
    counts = votes(STRENGTH, 2000, 1)
    turned = counts.transpose(1, 0, 2)[:, :, [1, 0, 2]]
    one, other = (bradley_terry.fit(c, MODELS["davidson"], 1000.0) for c in (counts, turned))
    assert one.strength == pytest.approx(other.strength, abs=1e-9)


def test_sandwich_intervals_cover_at_their_nominal_rate() -> None:
    covered = []
    for seed in range(200):
        fit = bradley_terry.fit(votes(STRENGTH, 1500, seed), MODELS["davidson"], 1e5)
        half = 1.96 * np.sqrt(np.diag(fit.covariance)[:5])
        covered.append(np.abs(fit.strength - STRENGTH) < half)
    # 1,000 intervals: three standard errors of 95% are 2.1 points.
    assert np.mean(covered) == pytest.approx(0.95, abs=0.021)


def test_a_model_that_always_wins_gets_a_finite_rating_above_the_rest() -> None:
    counts = np.zeros((3, 3, 3), dtype=np.int64)
    counts[0, 1, 0] = counts[0, 2, 0] = counts[1, 2, 0] = 50
    fit = bradley_terry.fit(counts, MODELS["davidson"], 1000.0)
    assert np.isfinite(fit.strength).all()
    assert fit.strength[0] > fit.strength[1] > fit.strength[2]
    assert fit.connected


def test_disconnected_parts_are_finite_and_said_to_be_so() -> None:
    counts = np.zeros((4, 4, 3), dtype=np.int64)
    counts[0, 1, 0] = counts[2, 3, 0] = 30
    counts[0, 1, 1] = counts[2, 3, 1] = 10
    fit = bradley_terry.fit(counts, MODELS["davidson"], 1000.0)
    assert not fit.connected
    assert fit.strength[0] - fit.strength[1] == pytest.approx(fit.strength[2] - fit.strength[3])


@pytest.mark.parametrize("outcome", [0, 2])
def test_nothing_but_one_outcome_and_no_votes_at_all_have_an_answer(outcome: int) -> None:
    counts = np.zeros((3, 3, 3), dtype=np.int64)
    assert bradley_terry.fit(counts, MODELS["davidson"], 1000.0).strength == pytest.approx(0)
    counts[0, 1, outcome] = counts[1, 2, outcome] = counts[2, 0, outcome] = 1_000_000
    fit = bradley_terry.fit(counts, MODELS["davidson"], 1000.0)
    assert fit.strength == pytest.approx(0, abs=1e-6)
