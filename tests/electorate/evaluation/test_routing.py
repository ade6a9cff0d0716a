"""Curves of quality over cost, and what is read off them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from electorate.base.scale import ELO_PER_NAT, Floats
from electorate.data.votes import NamedVotes
from electorate.evaluation import routing
from electorate.evaluation.routing import Outcomes, Router


def router(quality: list[float], cost: list[float]) -> Router:
    """Of one resample, which is the data again."""
    return Router(np.array([quality, quality]), np.array([cost, cost]))


def outcomes(strength: Floats, utility: Floats, cost: Floats) -> tuple[Outcomes, Floats]:
    """One prompt, n users."""
    at = routing.rates(cost)
    choice = np.broadcast_to(routing.chosen(strength, cost, at), (len(utility), len(at)))
    worth = np.take_along_axis(ELO_PER_NAT * utility, choice, axis=1)
    return Outcomes(worth[:, None, :], cost[choice][:, None, :]), at


def test_rates_go_from_the_best_to_the_cheapest() -> None:
    cost = np.array([10.0, 1.0, 3.0])
    at = routing.rates(cost)
    strength = np.array([[1.0, 0.0, 0.5]])
    choice = routing.chosen(strength, cost, at)[0]
    assert (choice[0], choice[-1]) == (0, 1)
    assert set(choice) == {0, 1, 2}
    assert routing.rates(np.ones(3)).tolist() == [0.0]


def test_quality_and_cost_are_read_off_a_curve_in_proportion() -> None:
    curve = router([100.0, 60.0, 0.0], [10.0, 5.0, 1.0])
    ones = np.ones(2)
    assert curve.quality_at(7.5 * ones) == pytest.approx([80, 80])
    assert curve.quality_at(20 * ones) == pytest.approx([100, 100])
    assert np.isnan(curve.quality_at(0.5 * ones)).all()
    assert curve.cost_at(30 * ones) == pytest.approx([3, 3])
    assert curve.cost_at(0 * ones) == pytest.approx([1, 1])
    assert np.isnan(curve.cost_at(101 * ones)).all()


@pytest.mark.slow
@given(st.integers(0, 10**6), st.integers(2, 6), st.integers(1, 30))
def test_what_is_known_better_is_never_worse_at_any_cost(
    seed: int, models: int, users: int
) -> None:
    """Who knows the utilities reaches any quality for no more than who knows less pays."""
    random = np.random.default_rng(seed)
    utility = random.normal(size=(users, models))
    cost = random.uniform(0.1, 10, models)
    knows = outcomes(utility, utility, cost)[0]
    guesses = outcomes(utility + random.normal(size=utility.shape), utility, cost)[0]
    found = routing.resampled({routing.GLOBAL: guesses, "knows": knows}, 0)
    best = found["knows"].quality[:, 0]
    assert np.all(found["knows"].quality[0, 0] >= found[routing.GLOBAL].quality[0] - 1e-9)
    assert found["knows"].cost_at(best)[0] <= found["knows"].cost[0, 0] + 1e-9
    assert np.all(np.diff(found["knows"].cost[0]) <= 1e-9)
    assert np.all(np.diff(found["knows"].quality[0]) <= 1e-9)


def test_users_who_differ_gain_by_a_router_that_knows_them_and_save() -> None:
    """Half of the users like the cheap contestant best: whoever knows them need not pay for it."""
    random = np.random.default_rng(0)
    cheap_fans = np.arange(400) % 2
    utility = np.column_stack([1.0 - cheap_fans, 0.9 * cheap_fans]) + random.normal(
        0, 0.05, (400, 2)
    )
    cost = np.array([10.0, 1.0])
    everybody = utility.mean(axis=0, keepdims=True)
    found = {
        routing.GLOBAL: outcomes(everybody, utility, cost)[0],
        "knows": outcomes(utility, utility, cost)[0],
    }
    of_global, knows = routing.standings(routing.resampled(found, 0))
    assert of_global.best == of_global.at_its_cost == (0.0, 0.0, 0.0)
    value, low, high = knows.best
    assert 60 < low < value < high < 100  # half of the users, 0.9 nats each: 78 Elo
    assert 60 < knows.at_its_cost[1] < knows.at_its_cost[2] < 100
    assert 0.45 < knows.saved[1] < knows.saved[0] < 1


def test_where_nobody_differs_nothing_is_gained() -> None:
    random = np.random.default_rng(1)
    utility = np.tile([1.0, 0.0, 0.5], (300, 1))
    cost = np.array([3.0, 1.0, 2.0])
    guessed = utility + random.normal(0, 0.6, utility.shape)
    found = {
        routing.GLOBAL: outcomes(utility[:1], utility, cost)[0],
        "guesses": outcomes(guessed, utility, cost)[0],
    }
    _, guesses = routing.standings(routing.resampled(found, 0))
    assert guesses.best[2] < 0
    assert np.isnan(guesses.saved[0])


@pytest.mark.slow
def test_intervals_hold_where_users_and_prompts_vary() -> None:
    """The 95% interval of a gain covers its mean in a population in 93 to 97 of 100 samples."""
    random = np.random.default_rng(2)
    covered = 0
    for _ in range(200):
        user = random.normal(20, 40, 60)
        prompt = random.normal(0, 30, 30)
        noise = random.normal(0, 50, (60, 30))
        gain = (user[:, None] + prompt + noise)[:, :, None]
        flat = np.zeros_like(gain)
        found = {
            routing.GLOBAL: Outcomes(flat, flat + 1),
            "router": Outcomes(gain, flat + 1),
        }
        _, own = routing.standings(routing.resampled(found, int(random.integers(1 << 30))))
        covered += own.best[1] <= 20 <= own.best[2]
    assert covered >= 186 - 6  # 93%, and two standard errors of 200 draws


def test_held_out_votes_say_how_often_the_winner_is_chosen() -> None:
    """A router is let choose between the two contestants of each vote."""
    a = np.array([0, 0, 1, 1])
    b = np.array([1, 2, 2, 0])
    votes = NamedVotes(
        models=("x", "y", "z"),
        a=a,
        b=b,
        outcome=np.array([0, 1, 2, 0]),
        weight=np.ones(4),
        user=np.arange(4),
        prompt=np.arange(4),
    )
    said = np.array([[0.6, 0.2, 0.2], [0.6, 0.2, 0.2], [0.5, 0.3, 0.2], [0.2, 0.6, 0.2]])
    cost = np.array([1.0, 2.0, 4.0])
    at = np.array([0.0, 1e9])
    even = np.full((4, 3), 1 / 3)
    found = routing.on_votes(votes, np.arange(4), {"said": said, "even": even}, cost, at)
    # The choices are x, x, y, x: right, wrong, a tie, wrong; then the cheaper one of each.
    assert found["said"].quality[0] == pytest.approx([1.5 / 4, 1.5 / 4])
    assert found["said"].cost[0] == pytest.approx([(1 + 1 + 2 + 1) / 4, (1 + 1 + 2 + 1) / 4])
    assert found["even"].quality[0, 0] == pytest.approx(0.5)
    assert found["even"].cost[0, 0] == pytest.approx((1.5 + 2.5 + 3 + 1.5) / 4)
