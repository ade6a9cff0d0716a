import numpy as np
import pytest
from scipy.optimize import minimize

from electorate.base.scale import Floats, Ints
from electorate.ratings import bradley_terry, clustering
from electorate.ratings.ties import MODELS


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
    counts = votes(STRENGTH, 3000, 0, "davidson")
    ties = MODELS[name]
    a, b, outcome = np.nonzero(counts)
    weight = counts[a, b, outcome]

    def minus(x: Floats) -> float:
        return -float(weight @ ties.log_likelihood(x[a] - x[b], x[5], outcome)) + 1e-6 * float(
            x @ x
        )

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


def test_without_a_prior_the_fit_is_the_likelihoods_own_maximum() -> None:
    counts = votes(STRENGTH, 3000, 2)
    plain, weak = (bradley_terry.fit(counts, MODELS["davidson"], sd) for sd in (None, 1e6))
    assert plain.strength == pytest.approx(weak.strength, abs=1e-6)
    assert np.diag(plain.covariance) == pytest.approx(np.diag(weak.covariance), rel=1e-5)


@pytest.mark.parametrize(
    ("won", "expected"),
    [
        ([(0, 1), (1, 2), (2, 0)], True),
        ([(0, 1), (1, 2), (0, 2)], False),
        ([(0, 1), (1, 0)], False),
    ],
)
def test_ratings_are_finite_without_a_prior_when_every_model_lost_to_the_rest_at_some_remove(
    won: list[tuple[int, int]], expected: bool
) -> None:
    counts = np.zeros((3, 3, 3), dtype=np.int64)
    for winner, loser in won:
        counts[winner, loser, 0] = 1
    assert bradley_terry.estimable(counts) is expected


def test_weights_are_votes_and_their_squares_make_the_interval() -> None:
    counts = votes(STRENGTH, 3000, 3)
    once = bradley_terry.fit(counts, MODELS["half"], None)
    doubled = bradley_terry.fit(2.0 * counts, MODELS["half"], None, squared=4.0 * counts)
    assert doubled.strength == pytest.approx(once.strength, abs=1e-9)
    # Every vote with weight 2 says what it said with weight 1; the same vote cast twice would say
    # more.
    assert doubled.covariance[:5, :5] == pytest.approx(once.covariance[:5, :5], rel=1e-6)


def test_clustered_intervals() -> None:
    counts = votes(STRENGTH, 3000, 4)
    ties = MODELS["davidson"]
    a, b, outcome = (np.repeat(index, counts[np.nonzero(counts)]) for index in np.nonzero(counts))
    n = len(a)
    fit = bradley_terry.fit(counts, ties, None)
    # Each vote a cluster of its own: the plain sandwich, but for n/(n-1).
    alone = clustering.covariance(fit, ties, a, b, outcome, np.ones(n), [np.arange(n)])
    assert alone * (n - 1) / n == pytest.approx(fit.covariance, rel=1e-9, abs=1e-15)
    # Every vote four times over, the copies in one cluster: no more is known than from one of them.
    copies = bradley_terry.fit(4 * counts, ties, None)
    four = [np.tile(column, 4) for column in (a, b, outcome, np.ones(n))]
    clustered = clustering.covariance(copies, ties, *four, [np.tile(np.arange(n), 4)])
    assert clustered == pytest.approx(alone, rel=1e-3, abs=1e-9)
    assert copies.covariance[0, 0] == pytest.approx(fit.covariance[0, 0] / 4, rel=1e-3)
