import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from electorate.base.scale import Floats
from electorate.ratings.ties import MODELS

reasonable = st.floats(-4, 4)


@pytest.mark.parametrize("name", MODELS)
@given(d=reasonable, eta=st.floats(-2, 1.5))
def test_probabilities_are_a_distribution_that_mirrors(name: str, d: float, eta: float) -> None:
    p = MODELS[name].probabilities(np.array(d), np.array(eta))
    q = MODELS[name].probabilities(np.array(-d), np.array(eta))
    assert p.sum() == pytest.approx(1)
    assert p.min() > 0
    assert p[[1, 0, 2]] == pytest.approx(q)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("outcome", [0, 1, 2])
@given(d=reasonable, eta=st.floats(-2, 1.5))
def test_scores_are_the_slopes_of_the_log_likelihood(
    name: str, outcome: int, d: float, eta: float
) -> None:
    def at(d: float, eta: float):
        return MODELS[name].derivatives(np.array([d]), np.array([eta]), np.array([outcome]))

    def value(d: float, eta: float) -> Floats:
        return MODELS[name].log_likelihood(np.array([d]), np.array([eta]), np.array([outcome]))

    h = 1e-5
    slope = (value(d + h, eta) - value(d - h, eta)) / (2 * h)
    slope_eta = (value(d, eta + h) - value(d, eta - h)) / (2 * h)
    assert at(d, eta).d == pytest.approx(slope, abs=1e-5)
    assert at(d, eta).eta == pytest.approx(slope_eta, abs=1e-4)
    assert at(d, eta).info_dd == pytest.approx(
        -(at(d + h, eta).d - at(d - h, eta).d) / (2 * h), abs=1e-4
    )
    assert at(d, eta).info_de == pytest.approx(
        -(at(d, eta + h).d - at(d, eta - h).d) / (2 * h), abs=1e-4
    )


@pytest.mark.parametrize("name", ["davidson", "rao_kupper"])
def test_the_log_likelihood_is_that_of_the_probabilities(name: str) -> None:
    d = np.linspace(-3, 3, 7)
    eta = np.full(7, -0.3)
    p = MODELS[name].probabilities(d, eta)
    for outcome in range(3):
        assert MODELS[name].log_likelihood(d, eta, np.full(7, outcome)) == pytest.approx(
            np.log(p[:, outcome])
        )
