"""Populations fitted to votes vote as those who cast them, and what was planted is found."""

from dataclasses import replace

import numpy as np
import pytest

from electorate.calibration import fit, moments, statistics
from electorate.calibration.design import NONE, Design, whole
from electorate.calibration.fit import Calibrated, Parameters
from electorate.calibration.moments import COMPONENTS
from electorate.data.features import AXES

USERS = 60
PROMPTS = 24
MODELS = 6


def design(repeats: bool = False, seed: int = 0) -> Design:
    """Battles of users who each see 40 of them, many of which others see too."""
    random = np.random.default_rng(seed)
    n = USERS * 40
    a = random.integers(0, MODELS, n)
    b = (a + random.integers(1, 3, n)) % MODELS
    user = np.repeat(np.arange(USERS), 40)
    prompt = random.integers(0, PROMPTS, n)
    if repeats:
        for column in (prompt, a, b):
            column[1::2] = column[::2]
    z = random.normal(size=(PROMPTS, MODELS, len(AXES)))
    z -= z.mean(axis=1, keepdims=True)
    return Design(
        user=user,
        prompt=prompt,
        a=a,
        b=b,
        first_shown=random.integers(0, 2, n),
        outcome=np.zeros(n, dtype=np.int64),
        models=tuple(f"m{i}" for i in range(MODELS)),
        prompts=[f"p{i}" for i in range(PROMPTS)],
        responses=[""],
        answer=np.zeros((PROMPTS, MODELS), dtype=np.int64),
        z=z,
        archetype=np.zeros(USERS, dtype=np.int64),
        archetypes=("everyone",),
    )


def planted(of: Design, seed: int = 0, **sd: float) -> Design:
    """Votes on the battles by personas with these spreads."""
    at = replace(
        moments.shared(of.with_outcome(np.arange(len(of)) % 3)),
        strength=np.linspace(-1.0, 1.0, MODELS),
    )
    variances = np.array([sd.get(name, 0.0) ** 2 for name in COMPONENTS])
    parameters = Parameters(variances, 1.0, sd.get("threshold", 0.6), sd.get("position_mean", 0.0))
    none = np.zeros((1, len(AXES)))
    axes = np.arange(len(AXES))
    config = fit.population_config(of, at, none, axes, parameters)
    return fit.cast(of, config, 1000 + seed)


def inside(found: Calibrated) -> list[bool]:
    """Of every statistic that people's votes tell, whether simulations give it too."""
    known = np.flatnonzero(~np.isnan(found.people))
    low, high = np.quantile(found.simulated[:, known], [0.025, 0.975], axis=0)
    return [bool(x) for x in (low <= found.people[known]) & (found.people[known] <= high)]


WORLDS: list[dict[str, float]] = [
    {"model_taste": 0.8, "answer_quality": 0.5, "tie_threshold": 0.4},
    {"decisiveness": 0.5, "answer_quality": 1.0, "ties_of_prompts": 0.8, "position": 0.5},
    {"tastes": 0.3, "threshold": 0.2},
    {},
]


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "SIMULATIONS", 8)
    monkeypatch.setattr(fit, "PASSES", 6)


def test_simulated_voters_agree_tie_and_repeat_as_those_they_are_fitted_to() -> None:
    found = []
    for seed, sd in enumerate(WORLDS):
        one = fit.fit(planted(design(repeats=True, seed=seed), seed, **sd))
        assert len(inside(one)) == len(statistics.NAMES)
        assert one.distance < 0.04
        found += inside(one)
        for name in ("model_taste", "answer_quality", "ties_of_prompts", "position"):
            planted_sd = sd.get(name, 0.0)
            assert planted_sd / 2 <= one.value(name) <= 1.5 * planted_sd + 0.35, (name, sd)
    # Of 95% intervals, some miss by chance.
    assert sum(found) >= 0.85 * len(found)


def test_votes_without_ties_are_fitted_by_voters_who_never_tie() -> None:
    votes = planted(design(), threshold=0.0, model_taste=0.5)
    assert not (votes.outcome == 2).any()
    found = fit.fit(votes)
    assert found.parameters.threshold == 0.0
    assert found.value("tie_threshold") == found.value("ties_of_prompts") == 0.0
    assert sum(inside(found)) >= len(inside(found)) - 1


@pytest.mark.parametrize("mean", [0.5, -0.4])
def test_a_bias_that_all_share_is_told_from_how_it_differs(mean: float) -> None:
    found = fit.fit(planted(design(), position_mean=mean, position=0.3))
    low, high = found.position_interval
    assert low <= mean <= high
    assert high - low < 0.5
    assert found.parameters.position == pytest.approx(mean, abs=0.15)
    assert found.value("position") == pytest.approx(0.3, abs=0.2)
    first = statistics.NAMES.index("the first shown wins")
    assert found.simulated[:, first].mean() == pytest.approx(found.people[first], abs=0.02)


def test_voters_who_always_take_the_first_have_a_finite_bias() -> None:
    of = design()
    found = fit.fit(of.with_outcome(of.first_shown))
    assert 2 < found.parameters.position <= fit.WIDEST


def test_sides_that_are_not_known_say_nothing_of_bias() -> None:
    votes = planted(design(), answer_quality=0.5)
    found = fit.fit(replace(votes, first_shown=np.full(len(votes), -1)))
    assert found.interval("position") == (0.0, 0.0)
    assert found.position_interval == (0.0, 0.0)
    assert np.isnan(found.people[statistics.NAMES.index("the first shown wins")])


def test_the_same_voter_and_two_voters_are_told_apart() -> None:
    """With tastes of their own, and answers all see alike, voters repeat themselves more than they
    agree.
    """
    at = statistics.NAMES.index
    votes = planted(design(repeats=True), model_taste=1.5)
    seen = statistics.measure(votes, moments.shared(votes))
    again = seen[at("a voter agrees with itself on the same battle")]
    assert again > seen[at("two voters agree on a battle")] + 0.05
    alike = planted(design(repeats=True), answer_quality=1.5)
    seen = statistics.measure(alike, moments.shared(alike))
    again = seen[at("a voter agrees with itself on the same battle")]
    assert again == pytest.approx(seen[at("two voters agree on a battle")], abs=0.05)


def test_the_sides_names_change_no_statistic() -> None:
    votes = planted(design(), position=0.4, model_taste=0.5)
    outcome = np.where(votes.outcome < 2, 1 - votes.outcome, votes.outcome)
    turned = replace(
        votes, a=votes.b, b=votes.a, outcome=outcome, first_shown=1 - votes.first_shown
    )
    one, other = (statistics.measure(v, moments.shared(v)) for v in (votes, turned))
    assert other == pytest.approx(one, abs=1e-6, nan_ok=True)


def test_archetypes_that_differ_are_given_their_tastes() -> None:
    of = replace(design(), archetype=np.arange(USERS) % 2, archetypes=("short", "long"))
    likes = np.where(of.archetype[of.user] == 1, 1.0, -1.0)
    d = likes * of.contrast[:, 0]
    random = np.random.default_rng(5)
    outcome = (random.random(len(of)) > 1 / (1 + np.exp(-d))).astype(np.int64)
    found = fit.fit(of.with_outcome(outcome))
    content = fit.sections(of, found.at, found.taste, found.axes, found.parameters)["population"]
    assert content["archetype_share"] > 0.5
    tastes = {name: one["taste"]["length"] for name, one in content["archetypes"].items()}
    assert tastes["long"] > 0.5
    assert tastes["short"] < -0.5


def test_models_that_did_not_answer_are_left_out_with_as_little_else_as_may_be() -> None:
    of = design()
    answer = np.zeros((PROMPTS, MODELS), dtype=np.int64)
    answer[:10, 3] = NONE
    answer[5, :3] = NONE
    prompts, models = whole(replace(of, answer=answer))
    assert models.tolist() == [0, 1, 2, 4, 5]
    assert prompts.tolist() == [p for p in range(PROMPTS) if p != 5]
