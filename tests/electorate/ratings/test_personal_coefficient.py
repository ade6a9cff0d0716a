"""A personal decisiveness: found where people have one, and nothing where they have none."""

import numpy as np
import pytest

from benchmarks import worlds
from electorate.base.scale import Floats, Ints
from electorate.config.run import RatingSettings
from electorate.data.votes import NamedVotes
from electorate.evaluation import controls, held_out
from electorate.evaluation.systems import SYSTEM_A
from electorate.ratings import personal_coefficient
from electorate.ratings.ties import MODELS

TIES = MODELS["davidson"]
USERS = 60
EACH = 60
SETTINGS = RatingSettings(ties="davidson")
NAMES = ("global_bt", "personal_decisiveness", "personal_score", "elo_offset")


def made(s: Floats, offset_sd: float = 0.0, seed: int = 0) -> NamedVotes:
    """Votes of people of these decisivenesses, with tastes of their own or without."""
    random = np.random.default_rng(seed)
    users = len(s)
    strength = 1.5 * np.linspace(-1, 1, 6) + offset_sd * random.normal(size=(users, 6))
    user = np.repeat(np.arange(users), EACH)
    a = random.integers(0, 6, len(user))
    b = (a + random.integers(1, 6, len(user))) % 6
    d = s[user] * (strength[user, a] - strength[user, b])
    odds = TIES.probabilities(d, np.full(len(user), -0.5))
    outcome = (random.random(len(user))[:, None] > odds.cumsum(axis=1)[:, :2]).sum(axis=1)
    prompt = random.integers(0, 40, len(user))
    names = tuple(f"m{i}" for i in range(6))
    return NamedVotes(
        models=names, a=a, b=b, outcome=outcome, weight=np.ones(len(user)), user=user, prompt=prompt
    )


def losses(votes: NamedVotes) -> dict[str, float]:
    assert votes.prompt is not None
    fold = held_out.folds(votes.prompt, 5, 0)
    found = held_out.predict(votes, fold, NAMES, SETTINGS)
    at_outcome: tuple[Ints, Ints] = (np.arange(len(votes)), votes.outcome_of_3)
    return {name: float(-np.log(one.odds[at_outcome]).mean()) for name, one in found.items()}


def test_people_who_look_more_or_less_closely_are_told_apart_and_no_ranking_is_changed() -> None:
    s = np.random.default_rng(1).uniform(-0.3, 2.3, USERS)
    votes = made(s)
    found = losses(votes)
    assert found["personal_decisiveness"] < found["global_bt"] - 0.02
    # System A takes it for taste, and predicts no better by that.
    assert found["personal_decisiveness"] <= found["elo_offset"] + 0.002
    split = held_out.Split(votes, votes, SETTINGS)
    line_of = controls.along_the_ratings
    own = controls.likelihoods(split, line_of)
    share = personal_coefficient.posterior(own, controls.coefficient_prior(split, own, 1.0))
    assert np.corrcoef(share @ personal_coefficient.GRID, s)[0, 1] > 0.9


def test_people_who_are_alike_lose_nothing_by_it() -> None:
    found = losses(made(np.ones(USERS)))
    assert found["personal_decisiveness"] < found["global_bt"] + 0.001


def test_tastes_are_no_decisiveness() -> None:
    found = losses(made(np.ones(USERS), offset_sd=1.0))
    assert found["elo_offset"] < found["personal_decisiveness"] - 0.05
    # It forgets whom a model met, and knows tastes all the same.
    assert found["elo_offset"] < found["personal_score"] < found["global_bt"]


@pytest.mark.parametrize("mean", [0.4, 1.2])
def test_the_spread_of_users_is_found(mean: float) -> None:
    random = np.random.default_rng(2)
    s = random.normal(mean, 0.6, 4000)
    precision = 30.0
    seen = s + random.normal(size=4000) / np.sqrt(precision)
    log_likelihood = -precision * (personal_coefficient.GRID - seen[:, None]) ** 2 / 2
    prior = personal_coefficient.fit(log_likelihood)
    assert prior.mean == pytest.approx(mean, abs=0.03)
    assert prior.sd == pytest.approx(0.6, abs=0.03)


def test_odds_are_probabilities_whoever_voted_and_however() -> None:
    votes = made(np.array([1.0, -2.0, 4.0]))
    for rows in (np.arange(2), np.flatnonzero(votes.outcome == 0), np.arange(len(votes))):
        split = held_out.Split(votes.take(rows), votes, SETTINGS)
        for name in ("personal_decisiveness", "personal_score"):
            odds = getattr(controls, name)(split, name).odds(votes)
            assert np.isfinite(odds).all(), name
            assert odds.sum(axis=1) == pytest.approx(np.ones(len(votes))), name


def of_people(decisiveness_sd: float, offset_sd: float, seed: int = 0) -> NamedVotes:
    """Votes of 60 people, 60 each on 8 models, who follow one ranking more or less closely."""
    random = np.random.default_rng(seed)
    closely = np.maximum(1 + decisiveness_sd * random.normal(size=(60, 1)), 0)
    strength = closely * np.linspace(-1.5, 1.5, 8) + offset_sd * random.normal(size=(60, 8))
    user = np.repeat(np.arange(60), 60)
    return worlds.draw(random, strength, user, *worlds.pairs(random, len(user), 8)).votes


def test_system_a_tells_who_looks_closely_from_who_has_tastes_of_their_own() -> None:
    """Where people differ in both, a factor along the ranking predicts more than offsets alone; its
    length is the planted one.
    """
    gain = []
    lengths = []
    for seed in range(3):
        votes = of_people(decisiveness_sd=0.7, offset_sd=0.4, seed=seed)
        fold = held_out.folds(votes.prompt, 5, 0)
        # Without archetypes' labels offsets are plain.
        names = ("elo_offset_no_labels", "elo_offset")
        odds = held_out.predict(votes, fold, names, SETTINGS)
        plain, ours = (
            np.log(np.take_along_axis(odds[name].odds, votes.outcome_of_3[:, None], 1)).mean()
            for name in names
        )
        gain.append(ours - plain)
        split = held_out.Split(votes, votes, SETTINGS)
        away = split.global_fit.strength - split.global_fit.strength.mean()
        directions = split.prior(SYSTEM_A).directions
        lengths.append(np.linalg.norm(directions) / np.linalg.norm(away))
    assert np.mean(gain) > 0.002
    assert np.mean(lengths) == pytest.approx(0.7, abs=0.25)


def test_where_all_look_as_closely_the_factor_vanishes() -> None:
    votes = of_people(decisiveness_sd=0.0, offset_sd=0.6)
    split = held_out.Split(votes, votes, SETTINGS)
    away = split.global_fit.strength - split.global_fit.strength.mean()
    prior = split.prior(SYSTEM_A)
    assert np.linalg.norm(prior.directions) / np.linalg.norm(away) < 0.3
    assert prior.sd == pytest.approx(split.plain_prior.sd, rel=0.1)
