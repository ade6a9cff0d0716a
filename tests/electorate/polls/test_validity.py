"""The checks call chance chance, and a good judge good."""

import numpy as np
import pytest

from electorate.base.scale import Floats
from electorate.polls import validity
from electorate.polls.reading import normalised
from electorate.polls.validity import Check
from electorate.polls.verdicts import Judged


def named(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def judged(first: Floats, second: Floats) -> Judged:
    return Judged(normalised(first), normalised(second), np.zeros(len(first)))


def test_a_judge_that_always_takes_the_first_is_at_chance() -> None:
    n = 200
    first = np.tile([3.0, 0.0, -1.0], (n, 1))
    second = np.tile([0.0, 3.0, -1.0], (n, 1))
    found = named(validity.swap_consistency("j", judged(first, second), np.arange(n)))
    assert found["order-swap consistency"].value == 0.0
    assert found["order-swap consistency, kappa"].value == 0.0
    assert "chance" in found["order-swap consistency, kappa"].says
    assert found["position bias, log odds for the first shown"].value == pytest.approx(3.0)


def test_coin_flips_are_no_better_than_chance_and_chance_is_what_flips_give() -> None:
    random = np.random.default_rng(1)
    first, second = (random.normal(size=(600, 3)) for _ in range(2))
    found = named(validity.swap_consistency("j", judged(first, second), np.arange(600)))
    assert found["order-swap consistency"].beside == pytest.approx(1 / 3, abs=0.03)
    assert found["order-swap consistency, kappa"].says == "no better than chance"


def test_a_judge_that_looks_at_the_answers_is_almost_perfect() -> None:
    truth = np.random.default_rng(2).normal(size=(300, 3)) * 4
    noisy = truth + np.random.default_rng(3).normal(size=truth.shape) * 0.1
    found = named(validity.swap_consistency("j", judged(truth, noisy), np.arange(300)))
    kappa = found["order-swap consistency, kappa"]
    assert kappa.says == "almost perfect"
    assert kappa.ci_low > 0.8
    assert abs(found["position bias, log odds for the first shown"].value) < 0.1


def test_kappa_is_cohens() -> None:
    one = np.array([0] * 25 + [1] * 25 + [0] * 10 + [1] * 40)
    other = np.array([0] * 25 + [1] * 25 + [1] * 10 + [0] * 40)
    found = named(validity.agreement("x", "j", one, other, np.arange(100)))
    chance = 0.35 * 0.65 + 0.65 * 0.35
    assert found["x"].value == pytest.approx(0.5)
    assert found["x"].beside == pytest.approx(chance)
    assert found["x, kappa"].value == pytest.approx((0.5 - chance) / (1 - chance))


@pytest.mark.parametrize(
    ("kappa", "low", "high", "says"),
    [
        (0.05, -0.05, 0.15, "no better than chance"),
        (0.1, 0.05, 0.15, "near chance"),
        (-0.3, -0.4, -0.2, "worse than chance"),
        (0.5, 0.4, 0.6, "moderate"),
    ],
)
def test_bands(kappa: float, low: float, high: float, says: str) -> None:
    assert validity.band(kappa, low, high) == says


def test_two_agree_counts_pairs_within_battles() -> None:
    battle = np.array([0, 0, 0, 1, 1, 2])
    outcome = np.array([0, 0, 1, 2, 2, 0])
    value, battles, _ = validity.two_agree(battle, outcome)
    assert battles == 2
    assert value == pytest.approx((2 + 2) / (6 + 2))


def test_people_are_told_well_by_who_knows_them_and_as_their_shares_by_who_does_not() -> None:
    random = np.random.default_rng(4)
    battle = np.repeat(np.arange(100), 3)
    p = random.dirichlet([0.4, 0.4, 0.4], 100)
    outcome = np.array([random.choice(3, p=p[b]) for b in battle])
    knows = named(validity.with_people("j", np.log(np.maximum(p, 1e-9)), battle, outcome))
    blind = named(validity.with_people("j", np.log(np.full((100, 3), 1 / 3)), battle, outcome))
    loss = "people's votes told, log loss"
    assert knows[loss].value < blind[loss].value
    assert blind[loss].value == pytest.approx(np.log(3))
    assert knows["people's decisive votes told, accuracy"].value > 0.7
    error = "calibration error on people's votes"
    assert knows[error].value < 0.1
    confident = np.log(np.eye(3)[outcome[::3]] * 0 + np.array([0.98, 0.01, 0.01]))
    assert named(validity.with_people("j", confident, battle, outcome))[error].value > 0.3


def test_longer_answers_and_pleas() -> None:
    odds = normalised(np.array([[2.0, 0.0, -5.0]] * 8 + [[0.0, 2.0, -5.0]] * 2))
    check = validity.verbosity("j", odds, np.full(10, 0.7), np.arange(10), None)[0]
    assert check.value == pytest.approx(0.8)
    before = np.array([1] * 10)
    after = np.array([0] * 3 + [1] * 7)
    pleader = np.zeros(10, dtype=int)
    assert validity.flip_rate("f", "j", before, after, pleader, np.arange(10))[
        0
    ].value == pytest.approx(0.3)
    # Who had won already cannot be won over.
    nothing = validity.flip_rate("f", "j", pleader, after, pleader, np.arange(10))[0]
    assert np.isnan(nothing.value)
    assert (nothing.n, nothing.says) == (0, "it wins without pleading")


def test_too_few_say_nothing() -> None:
    none = np.full((6, 3), np.nan)
    assert validity.agreement("x", "j", np.full(6, -1), np.zeros(6, dtype=int), np.arange(6)) == []
    assert validity.with_people("j", none, np.arange(6), np.zeros(6, dtype=int)) == []
    assert validity.verbosity("j", none, np.ones(6), np.arange(6), None) == []


def test_alpha_is_krippendorffs() -> None:
    """The nominal example of Krippendorff (2011): two observers of ten units, alpha 0.095."""
    one = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0]
    other = [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
    battle = np.tile(np.arange(10), 2)
    value, n, (low, high) = validity.alpha(battle, np.array([*one, *other]))
    assert value == pytest.approx(0.095, abs=5e-4)
    assert n == 10
    assert low < value < high
    # Units that one observer saw alone add nothing.
    more = np.append(battle, [10, 11])
    assert validity.alpha(more, np.array([*one, *other, 0, 1]))[0] == pytest.approx(value)


def test_alpha_is_not_raised_by_an_outcome_that_all_give_often() -> None:
    random = np.random.default_rng(0)
    battle = np.tile(np.arange(3000), 2)
    outcome = (random.random(6000) < 0.05).astype(int)
    assert validity.two_agree(battle, outcome)[0] > 0.85
    assert abs(validity.alpha(battle, outcome)[0]) < 0.1
    (check,) = validity.reliability("j", battle, outcome, people=0.3)
    assert check.says == "no better than chance"
    agreed = np.tile(random.integers(0, 3, 3000), 2)
    (check,) = validity.reliability("j", battle, agreed, people=0.3)
    assert (check.value, check.says) == (1.0, "almost perfect")
    assert validity.reliability("j", np.arange(9), np.zeros(9, int), people=0.3) == []
