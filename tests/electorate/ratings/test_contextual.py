import numpy as np
import pytest
from scipy.optimize import minimize

from electorate.base.scale import ELO_PER_NAT, Floats, Ints, to_nats
from electorate.ratings import bradley_terry, contextual
from electorate.ratings.ties import MODELS

HALF = MODELS["half"]
STRENGTH = np.linspace(-0.8, 0.8, 6)
EFFECT = np.array([0.5, 0.0, -0.3])  # nats a standard deviation


def battles(n: int, seed: int) -> tuple[Ints, Ints, Ints, Floats]:
    """Decisive votes won by strength and by style, where the stronger models write in more of
    the first style.
    """
    random = np.random.default_rng(seed)
    a = random.integers(0, 6, n)
    b = (a + random.integers(1, 6, n)) % 6
    style = random.normal(size=(2, n, 3))
    style[..., 0] += np.array([STRENGTH[a], STRENGTH[b]])
    contrast = style[0] - style[1]
    d = STRENGTH[a] - STRENGTH[b] + contrast / contrast.std(axis=0) @ EFFECT
    outcome = (random.random(n) > 1 / (1 + np.exp(-d))).astype(int)
    return a, b, outcome, contrast


def fitted(
    n: int, seed: int, unit: float = 1.0
) -> tuple[bradley_terry.Fit, bradley_terry.Fit, contextual.Style]:
    a, b, outcome, contrast = battles(n, seed)
    weight = np.zeros((6, 6, 3))
    np.add.at(weight, (a, b, outcome), 1)
    plain = bradley_terry.fit(weight, HALF, None)
    held, style = contextual.fit(
        plain, a, b, outcome, np.ones(n), unit * contrast, HALF, None, [np.arange(n)]
    )
    return plain, held, style


def test_style_is_told_from_strength() -> None:
    plain, held, style = fitted(40_000, 0)
    assert held.strength == pytest.approx(STRENGTH, abs=0.06)
    assert np.abs(plain.strength - STRENGTH).max() > 0.15
    assert style.effect == pytest.approx(ELO_PER_NAT * EFFECT, abs=4 * style.sd.max())


def test_it_is_the_maximum_that_scipy_finds() -> None:
    a, b, outcome, contrast = battles(400, 1)
    _, held, style = fitted(400, 1)
    x = contrast / np.sqrt((contrast**2).mean(axis=0))

    def minus(p: Floats) -> float:
        d = p[a] - p[b] + x @ p[6:9]
        prior = (
            (p[6:9] ** 2).sum() / to_nats(contextual.STYLE_SD_ELO) ** 2 / 2
            + (p[9] - HALF.start) ** 2 / 18
            + 1e-6 * p[:6].sum() ** 2
        )
        return float(prior - HALF.log_likelihood(d, p[9], outcome).sum())

    best = minimize(minus, np.zeros(10), method="BFGS", options={"gtol": 1e-7}).x
    assert held.strength == pytest.approx(best[:6] - best[:6].mean(), abs=1e-4)
    assert style.effect / ELO_PER_NAT == pytest.approx(best[6:9], abs=1e-4)


def test_a_measures_unit_changes_nothing() -> None:
    _, one, style = fitted(2000, 2)
    _, other, same = fitted(2000, 2, unit=1000.0)
    assert other.strength == pytest.approx(one.strength, abs=1e-9)
    assert same.effect == pytest.approx(style.effect, abs=1e-6)


def test_its_intervals_cover_at_their_nominal_rate() -> None:
    inside = []
    for seed in range(150):
        _, held, style = fitted(1500, 100 + seed)
        sd = np.sqrt(np.diag(held.covariance)[:6])
        inside += list(np.abs(held.strength - STRENGTH) < 1.96 * sd)
        inside += list(np.abs(style.effect - ELO_PER_NAT * EFFECT) < 1.96 * style.sd)
    assert np.mean(inside) == pytest.approx(0.95, abs=0.02)
