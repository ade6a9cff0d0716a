import numpy as np
import pytest

from electorate.base.scale import Floats
from electorate.evaluation.extrapolation import extrapolate

KNOWN = (0, 2, 5, 10, 20, 50)
AHEAD = (100, 250, 500)


def curve(votes: Floats, a: float, b: float, half_way: float) -> Floats:
    return a + b * votes / (votes + half_way)


def resampled(
    random: np.random.Generator, a: float, b: float, half_way: float, noise: float
) -> Floats:
    """A measured curve and 300 resamples of it. Errors of neighbours go together, as the same votes
    are predicted.
    """
    true = curve(np.array(KNOWN, dtype=float), a, b, half_way)

    def error(rows: int) -> Floats:
        together = random.normal(size=(rows, 1))
        return noise * (0.7 * together + 0.7 * random.normal(size=(rows, len(KNOWN))))

    measured = true + error(1)
    return np.vstack([measured, measured + error(300)])


def test_a_curve_without_noise_is_carried_on() -> None:
    gains = np.tile(curve(np.array(KNOWN, dtype=float), 0.01, -0.2, 25.0), (3, 1))
    found = extrapolate(KNOWN, gains, AHEAD)
    assert found is not None
    expected = curve(np.array(AHEAD, dtype=float), 0.01, -0.2, 25.0)
    assert found[0] == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize(("b", "half_way"), [(-0.2, 25.0), (-0.1, 80.0), (0.0, 10.0)])
def test_its_intervals_cover(b: float, half_way: float) -> None:
    random = np.random.default_rng(0)
    inside = []
    for _ in range(200):
        gains = resampled(random, 0.005, b, half_way, noise=0.01)
        found = extrapolate(KNOWN, gains, AHEAD)
        assert found is not None
        low, high = np.quantile(found[1:], [0.025, 0.975], axis=0)
        true = curve(np.array(AHEAD, dtype=float), 0.005, b, half_way)
        inside.append((low <= true) & (true <= high))
    assert np.mean(inside, axis=0).min() >= 0.9


def test_more_votes_never_make_more_loss_and_noise_gives_a_flat_line() -> None:
    random = np.random.default_rng(1)
    gains = 0.01 * random.normal(size=(100, len(KNOWN)))
    found = extrapolate(KNOWN, gains, AHEAD)
    assert found is not None
    assert np.all(np.diff(found, axis=1) <= 1e-12)
    rising = np.tile(np.linspace(0, 0.1, len(KNOWN)), (3, 1))
    flat = extrapolate(KNOWN, rising, AHEAD)
    assert flat is not None
    assert np.ptp(flat) == pytest.approx(0.0, abs=1e-12)


def test_few_points_say_nothing() -> None:
    assert extrapolate((0, 2, 5), np.zeros((5, 3)), AHEAD) is None
