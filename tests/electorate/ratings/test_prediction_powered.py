from dataclasses import replace

import numpy as np
import pytest

from electorate.base.scale import Floats, Ints
from electorate.ratings import bradley_terry, prediction_powered
from electorate.ratings.bradley_terry import Fit
from electorate.ratings.prediction_powered import Powered, battles
from electorate.ratings.ties import MODELS
from electorate.ratings.user_votes import UserVotes

TIES = MODELS["davidson"]
N = 6
STRENGTH = np.linspace(-1, 1, N)
PROMPTS = 300
PEOPLE = 400
BATTLES = 6000


def votes(random: np.random.Generator, difference: Floats) -> Ints:
    odds = TIES.probabilities(difference, np.full(len(difference), -1.0))
    return (random.random(len(difference))[:, None] > odds.cumsum(axis=1)[:, :2]).sum(axis=1)


def cast(a: Ints, b: Ints, outcome: Ints, prompt: Ints) -> UserVotes:
    nobody = np.zeros(len(a), dtype=np.int64)
    return UserVotes(
        archetype=np.zeros(1, dtype=np.int64),
        user=nobody,
        a=a,
        b=b,
        outcome=outcome,
        weight=None,
        prompt=prompt,
    )


def drawn(seed: int, judge: str) -> tuple[UserVotes, UserVotes]:
    """People's votes on some battles at random, and a model's on all of them. Responses differ from
    prompt to prompt; a good judge sees that, and favours the first model too much.
    """
    random = np.random.default_rng(seed)
    prompt = random.integers(0, PROMPTS, BATTLES)
    a = random.integers(0, N, BATTLES)
    b = (a + random.integers(1, N, BATTLES)) % N
    quality = STRENGTH + 1.5 * np.random.default_rng(seed + 1000).normal(size=(PROMPTS, N))
    d = quality[prompt, a] - quality[prompt, b]
    of_people = votes(random, d)
    biased = d + 1.0 * ((a == 0).astype(float) - (b == 0))
    of_model = votes(random, 2 * biased if judge == "good" else np.zeros(BATTLES))
    asked = random.choice(BATTLES, PEOPLE, replace=False)
    return cast(a, b, of_people, prompt).take(asked), cast(a, b, of_model, prompt)


def fit(of: UserVotes) -> Fit:
    counts = np.zeros((N, N, 3))
    np.add.at(counts, (of.a, of.b, of.outcome), of.weights)
    return bradley_terry.fit(counts, TIES, None)


def truth() -> Floats:
    """The ratings that endless votes of people have: those of one prompt average out."""
    everybody = [drawn(seed, "coin")[0] for seed in range(400)]
    counts = np.zeros((N, N, 3))
    for of in everybody:
        np.add.at(counts, (of.a, of.b, of.outcome), of.weights)
    return bradley_terry.fit(counts, TIES, None).strength


@pytest.fixture(scope="module")
def found() -> dict[str, list[tuple[Powered, Fit, Fit]]]:
    """By judge and draw: powered, people's votes alone, and all votes alike."""
    results: dict[str, list[tuple[Powered, Fit, Fit]]] = {}
    for judge in ("good", "coin"):
        for seed in range(60):
            people, model = drawn(seed, judge)
            alone = fit(people)
            powered = prediction_powered.rate(people, model, alone, TIES)
            results.setdefault(judge, []).append((powered, alone, fit(model)))
    return results


@pytest.mark.parametrize("judge", ["good", "coin"])
def test_intervals_cover_whoever_the_judge_is(
    found: dict[str, list[tuple[Powered, Fit, Fit]]], judge: str
) -> None:
    true = truth()
    inside = []
    for powered, _, _ in found[judge]:
        error = np.sqrt(np.diag(powered.fit.covariance)[:-1])
        inside.append(np.abs(powered.fit.strength - true) <= 1.96 * error)
    assert np.mean(inside) == pytest.approx(0.95, abs=0.035)


def test_a_good_judge_saves_votes_and_its_bias_is_taken_out(
    found: dict[str, list[tuple[Powered, Fit, Fit]]],
) -> None:
    true = truth()
    error = {
        name: np.sqrt(np.mean([(one.strength - true) ** 2 for one in fits]))
        for name, fits in {
            "powered": [powered.fit for powered, _, _ in found["good"]],
            "people": [alone for _, alone, _ in found["good"]],
            "model": [model for _, _, model in found["good"]],
        }.items()
    }
    assert error["powered"] < 0.92 * error["people"]
    assert error["powered"] < 0.75 * error["model"]
    worth = np.mean([powered.worth for powered, _, _ in found["good"]])
    measured = (error["people"] / error["powered"]) ** 2
    assert worth == pytest.approx(measured, rel=0.25)


def test_a_judge_that_tosses_a_coin_changes_next_to_nothing(
    found: dict[str, list[tuple[Powered, Fit, Fit]]],
) -> None:
    weights = [powered.weight for powered, _, _ in found["coin"]]
    assert np.mean(weights) < 0.1
    moved = [
        np.abs(powered.fit.strength - alone.strength).max() for powered, alone, _ in found["coin"]
    ]
    assert np.median(moved) < 0.05


def test_without_battles_in_common_or_beyond_it_is_people_s_votes() -> None:
    people, model = drawn(0, "good")
    alone = fit(people)
    for other in (
        model.take(np.flatnonzero(np.isin(battles(model), battles(people)))),
        model.take(np.flatnonzero(~np.isin(battles(model), battles(people)))),
    ):
        powered = prediction_powered.rate(people, other, alone, TIES)
        assert powered.weight == 0
        assert np.array_equal(powered.fit.strength, alone.strength)


def test_order_and_sides_mean_nothing() -> None:
    people, model = drawn(3, "good")
    one = prediction_powered.rate(people, model, fit(people), TIES)
    rows = np.random.default_rng(0).permutation(len(model.a))
    turned = model.take(rows)
    swapped = replace(turned, a=turned.b, b=turned.a, outcome=np.array([1, 0, 2])[turned.outcome])
    other = prediction_powered.rate(people, swapped, fit(people), TIES)
    assert other.fit.strength == pytest.approx(one.fit.strength, abs=1e-7)
    assert other.weight == pytest.approx(one.weight, abs=1e-9)
