import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from electorate.base.scale import Floats
from electorate.ratings.ties import MODELS, averaged

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


@pytest.mark.parametrize("name", [name for name in MODELS if MODELS[name].compiled is not None])
@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    users=st.integers(0, 6),
    reach=st.sampled_from([0.1, 3.0, 150.0, 1e4]),
    weighted=st.booleans(),
)
def test_what_is_compiled_comes_to_the_same(
    name: str, seed: int, users: int, reach: float, weighted: bool
) -> None:
    """Far votes too, and users with so many that their totals overflow a product."""
    random = np.random.default_rng(seed)
    votes = random.integers(0, 400, users)
    first = np.concatenate([[0], np.cumsum(votes)])
    start = 4 * np.arange(users + 1)
    a, b = random.integers(0, 3, (2, first[-1]))
    outcome = random.integers(0, 3, first[-1])
    weight = random.uniform(0, 2, first[-1]) if weighted else np.ones(first[-1])
    at, step = reach * random.standard_normal((2, 4 * users))
    at[3::4] = random.standard_normal(users)
    step[3::4] = random.standard_normal(users)
    user = np.repeat(np.arange(users), votes)
    begin = start[user]

    def plain(beta: Floats) -> Floats:
        d = beta[begin + a] - beta[begin + b]
        each = MODELS[name].log_likelihood(d, beta[begin + 3], outcome)
        return np.bincount(user, weight * each, users)

    compiled = MODELS[name].compiled
    assert compiled is not None
    columns = (first, start, a, b, outcome, weight)
    above, below = compiled.values(*columns, at, step)
    assert above == pytest.approx(plain(at + step), rel=1e-10, abs=1e-10)
    assert below == pytest.approx(plain(at - step), rel=1e-10, abs=1e-10)
    d = at[begin + a] - at[begin + b]
    for found, each in zip(
        compiled.derivatives(*columns, at),
        MODELS[name].derivatives(d, at[begin + 3], outcome),
        strict=True,
    ):
        assert found == pytest.approx(weight * each, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("name", ["davidson", "rao_kupper"])
@pytest.mark.parametrize(
    ("d", "sd", "eta"),
    [((), (), ()), ((7,), (7,), ()), ((4, 7), (4, 7), (4, 1)), ((1, 7), (4, 1), (4, 7)),
     ((2, 3, 5), (1,), (3, 1)), ((0,), (0,), (0,))],
)  # fmt: skip
def test_odds_over_uncertain_differences_are_those_of_each_node_whatever_the_shapes(
    name: str, d: tuple[int, ...], sd: tuple[int, ...], eta: tuple[int, ...]
) -> None:
    random = np.random.default_rng(0)
    ties = MODELS[name]
    of_d = np.asarray(random.normal(0, 3, d))
    of_sd = np.asarray(random.uniform(0, 2, sd))
    of_eta = np.asarray(random.normal(-0.5, 1, eta))
    nodes, weights = np.polynomial.hermite_e.hermegauss(3)
    weights = weights / weights.sum()
    found = averaged(ties, of_d, of_sd, of_eta, nodes, weights)
    # log_likelihood is written apart from what is compiled.
    expected = np.zeros_like(found)
    for node, weight in zip(nodes, weights, strict=True):
        for outcome in range(3):
            log = ties.log_likelihood(of_d + node * of_sd, of_eta, np.array(outcome))
            expected[..., outcome] += weight * np.exp(log)
    assert found.shape == (*np.broadcast_shapes(d, sd, eta), 3)
    assert found == pytest.approx(expected, abs=1e-12)


def test_a_difference_beyond_all_bounds_is_certain() -> None:
    odds = MODELS["davidson"].probabilities(np.array([1e4, -1e4, 0.0]), np.array([0.0, 0.0, 1e4]))
    assert odds == pytest.approx(np.eye(3), abs=1e-40)
