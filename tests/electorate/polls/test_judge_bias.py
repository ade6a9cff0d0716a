"""Length and family: found where they are planted, and none where they are not."""

import numpy as np
import pytest

from electorate.base.scale import Floats, Ints
from electorate.polls import judge_bias

N = 2000
STRENGTH = np.linspace(-1, 1, 5)


def battles(per_doubling: float, seed: int = 0) -> tuple[Ints, Ints, Ints, Floats]:
    """Outcomes of a judge to whom twice the words are worth so many log odds. The stronger models
    write more, too.
    """
    random = np.random.default_rng(seed)
    a = random.integers(0, 5, N)
    b = (a + random.integers(1, 5, N)) % 5
    longer = 0.8 * (STRENGTH[a] - STRENGTH[b]) + 0.5 * random.normal(size=N)
    d = STRENGTH[a] - STRENGTH[b] + per_doubling * longer / np.log(2)
    outcome = (random.random(N) > 1 / (1 + np.exp(-d))).astype(np.int64)
    return a, b, outcome, longer


@pytest.mark.parametrize("per_doubling", [0.0, 0.5])
def test_length_is_told_from_strength(per_doubling: float) -> None:
    found = judge_bias.length_effect(*battles(per_doubling), np.arange(N))
    assert found is not None
    assert found.low < per_doubling < found.high
    assert found.high - found.low < 0.4
    (check,) = judge_bias.length("j", found, N)
    assert (check.value, check.beside) == (found.value, 0.0)
    (check,) = judge_bias.length("j", found, N, judge_bias.Effect(0.3, 0.2, 0.4))
    assert (check.beside, check.beside_what) == (0.3, "people")


def test_its_intervals_cover() -> None:
    covered = [
        effect.low < 0.3 < effect.high
        for seed in range(60)
        if (effect := judge_bias.length_effect(*battles(0.3, seed), np.arange(N)))
    ]
    assert len(covered) == 60
    assert sum(covered) >= 52


def test_too_little_says_nothing() -> None:
    a, b, outcome, longer = battles(0.5)
    nothing = np.full(N, -1)
    for said, more in ((nothing, longer), (outcome, np.zeros(N)), (np.full(N, 2), longer)):
        assert judge_bias.length_effect(a, b, said, more, np.arange(N)) is None
    assert judge_bias.length("j", None, N) == []
    side = np.ones(6, dtype=np.int64)
    six = np.arange(6)
    assert judge_bias.own_family("j", nothing[:6], side, np.ones((6, 1)), six, "people") == []
    unknown = np.full((6, 1), np.nan)
    assert judge_bias.own_family("j", six % 3, side, unknown, six, "people") == []


@pytest.mark.parametrize("favour", [0.0, 1.0])
@pytest.mark.parametrize("sureness", [0.5, 3.0])
def test_a_judge_that_favours_its_own_is_found_however_sure_it_is(
    favour: float, sureness: float
) -> None:
    """Its family is the better one, which a judge surer than people shows too."""
    covered = 0
    for seed in range(40):
        random = np.random.default_rng(seed)
        side = random.integers(-1, 2, 800)
        truth = random.normal(size=800) + 0.8 * side
        d = sureness * truth + favour * side
        outcome = (random.random(800) > 1 / (1 + np.exp(-d))).astype(np.int64)
        given = (outcome, side, truth[:, None], np.arange(800), "people")
        (check,) = judge_bias.own_family("j", *given)
        covered += check.ci_low < favour < check.ci_high
        assert check.n == np.count_nonzero(side)
        assert not favour or check.ci_low > 0
    assert covered >= 34


def test_other_judges_are_averaged_where_they_could_be_read() -> None:
    sure = np.array([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [np.nan] * 3])
    half = np.array([[1.0, 1.0, 0.0], [np.nan] * 3, [np.nan] * 3])
    found = judge_bias.log_odds([sure, half])[:, 0]
    assert found[:2] == pytest.approx([1.0, -1.0])
    assert np.isnan(found[2])


def test_people_say_it_by_the_battle_and_by_the_models() -> None:
    battle = np.array([0, 0, 1, 1, 1])
    outcome = np.array([0, 0, 1, 2, 1])
    pairs = np.array([[0, 1], [2, 0]])
    own, models = judge_bias.log_odds_of_people(
        battle, outcome, pairs, np.array([0.5, 0.1, -1.0])
    ).T
    assert own == pytest.approx(np.log([2.5 / 0.5, 1.0 / 3.0]))
    assert models == pytest.approx([0.4, -1.5])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gpt-4-0613", "gpt"),
        ("GPT-3.5-turbo", "gpt"),
        ("anthropic/claude-v1", "claude"),
        ("llama-13b", "llama"),
        ("7", ""),
    ],
)
def test_a_family_is_the_first_letters_of_a_name(name: str, expected: str) -> None:
    assert judge_bias.family(name) == expected
