import numpy as np
import pytest

from electorate.base.scale import Floats, Ints
from electorate.ratings import bootstrap, bradley_terry, clustering
from electorate.ratings.ties import MODELS

HALF = MODELS["half"]
STRENGTH = np.linspace(-0.8, 0.8, 5)


def votes(n: int, clusters: int, seed: int = 0) -> tuple[Ints, Ints]:
    """Where each vote counts; votes of a cluster share a shift of the strengths."""
    random = np.random.default_rng(seed)
    a = random.integers(0, 5, n)
    b = (a + random.integers(1, 5, n)) % 5
    cluster = np.arange(n) % clusters
    shift = (0.0 if clusters == n else 0.7) * random.normal(size=(clusters, 5))
    d = STRENGTH[a] - STRENGTH[b] + shift[cluster, a] - shift[cluster, b]
    outcome = (random.random(n) > 1 / (1 + np.exp(-d))).astype(int)
    return (a * 5 + b) * 3 + outcome, cluster


def sd(place: Ints, weight: Floats, cluster: list[Ints]) -> Floats:
    draws = bootstrap.strengths(place, weight, cluster, 5, HALF, 1000.0)
    assert draws.shape == (bootstrap.RESAMPLES, 5)
    return draws.std(axis=0)


def test_it_says_what_the_sandwich_says() -> None:
    place, cluster = votes(4000, 4000)
    counted = np.bincount(place, minlength=75).reshape(5, 5, 3)
    error = np.sqrt(np.diag(bradley_terry.fit(counted, HALF, None).covariance)[:-1])
    assert sd(place, np.ones(4000), []) == pytest.approx(error, rel=0.12)
    # Vote by vote, as weighted votes are drawn, comes to the same.
    assert sd(place, np.ones(4000), [cluster]) == pytest.approx(error, rel=0.12)


def test_clusters_are_drawn_whole() -> None:
    place, cluster = votes(4000, 100)
    plain = bradley_terry.fit(np.bincount(place, minlength=75).reshape(5, 5, 3), HALF, None)
    a = place // 15
    b = place // 3 % 5
    outcome = place % 3
    covariance = clustering.covariance(plain, HALF, a, b, outcome, np.ones(4000), [cluster])
    error = np.sqrt(np.diag(covariance)[:-1])
    assert sd(place, np.ones(4000), [cluster]) == pytest.approx(error, rel=0.2)
    assert np.all(error > 1.2 * np.sqrt(np.diag(plain.covariance)[:-1]))


def test_a_resample_without_a_model_has_finite_ratings() -> None:
    place = np.concatenate([votes(60, 60)[0], [(4 * 5 + 0) * 3]])
    draws = bootstrap.strengths(place, np.ones(61), [], 5, HALF, 1000.0)
    assert np.isfinite(draws).all()
