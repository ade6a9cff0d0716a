"""Which answer stood first: read from files, held equal in ratings, and a control of its own."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from electorate.base.scale import Floats, to_nats
from electorate.config.run import RatingSettings
from electorate.data import vote_files
from electorate.data.votes import NamedVotes
from electorate.evaluation import controls, held_out, people, rating
from electorate.ratings.ties import MODELS

TIES = MODELS["davidson"]
SETTINGS = RatingSettings(ties="davidson")
STRENGTH = np.linspace(-0.8, 0.8, 5)


def made(
    bias: Floats, each: int, lopsided: bool, seed: int = 0, length_taste: Floats | None = None
) -> NamedVotes:
    """Votes of users with these biases (users,) for the answer shown first, in nats.

    lopsided: the last model is nearly always shown first.
    """
    random = np.random.default_rng(seed)
    user = np.repeat(np.arange(len(bias)), each)
    a = random.integers(0, 5, len(user))
    b = (a + random.integers(1, 5, len(user))) % 5
    first = random.integers(0, 2, len(user))
    if lopsided:
        first = np.where(a == 4, 0, np.where(b == 4, 1, first))
    longer = random.normal(size=len(user))
    d = STRENGTH[a] - STRENGTH[b] + np.where(first == 0, 1, -1) * bias[user]
    if length_taste is not None:
        d = d + length_taste[user] * longer
    odds = TIES.probabilities(d, np.full(len(user), -1.0))
    outcome = (random.random(len(user))[:, None] > odds.cumsum(axis=1)[:, :2]).sum(axis=1)
    style = np.zeros((len(user), 5))
    style[:, controls.LENGTH] = longer
    return NamedVotes(
        user=user,
        a=a,
        b=b,
        outcome=outcome,
        weight=np.ones(len(user)),
        prompt=random.integers(0, 40, len(user)),
        first_shown=first,
        models=tuple(f"m{i}" for i in range(5)),
        user_names=tuple(map(str, range(len(bias)))),
        style=style,
    )


def losses(votes: NamedVotes) -> dict[str, float]:
    assert votes.prompt is not None
    fold = held_out.folds(votes.prompt, 5, 0)
    found = held_out.predict(votes, fold, people.ALL, SETTINGS)
    return {
        name: float(-np.log(one.odds[np.arange(len(votes)), votes.outcome_of_3]).mean())
        for name, one in found.items()
    }


@pytest.mark.parametrize(
    ("said", "expected"),
    [("model_a", 0), ("model_b", 1), ("B", 1), ("1", 1), ("y", 1), ("x", 0), ("", -1), (None, -1)],
)
def test_which_answer_was_first_is_read_by_side_or_name(said: str | None, expected: int) -> None:
    columns = {"model_a": ["x"], "model_b": ["y"], "winner": ["tie"], "first_shown": [said]}
    found, set_aside = vote_files.of_table(pa.table(columns))
    assert found.first_shown is not None
    assert found.first_shown.tolist() == [expected]
    assert not set_aside


def test_a_place_that_says_nothing_sets_the_row_aside() -> None:
    columns = {
        "model_a": ["x", "x"],
        "model_b": ["y", "y"],
        "winner": ["tie", "x"],
        "first_shown": ["top", "x"],
    }
    found, set_aside = vote_files.of_table(pa.table(columns))
    assert len(found) == 1
    assert [row.reason for row in set_aside] == ["first_shown not model_a, model_b or empty"]


def test_ratings_hold_the_place_equal_where_one_model_is_always_first() -> None:
    votes = made(np.full(200, 0.7), 40, lopsided=True)
    rated = rating.fit(votes, rating.Options())
    blind = rating.fit(replace(votes, first_shown=None), rating.Options())
    assert rated.fit.strength == pytest.approx(STRENGTH, abs=0.12)
    assert blind.fit.strength[4] > STRENGTH[4] + 0.4
    assert rated.first is not None
    effect, sd = rated.first
    assert to_nats(effect) == pytest.approx(0.7, abs=4 * to_nats(sd))
    assert "held equal" in rating.position_line(*rated.first)
    assert rating.first_place(votes, rated, "davidson") == []


def test_the_sides_names_change_nothing() -> None:
    votes = made(np.full(50, 0.5), 40, lopsided=False)
    assert votes.first_shown is not None
    outcome = np.where(votes.outcome < 2, 1 - votes.outcome, votes.outcome)
    turned = replace(
        votes, a=votes.b, b=votes.a, outcome=outcome, first_shown=1 - votes.first_shown
    )
    one, other = (rating.fit(v, rating.Options()) for v in (votes, turned))
    assert other.fit.strength == pytest.approx(one.fit.strength, abs=1e-9)
    assert other.first == pytest.approx(one.first, abs=1e-6)


def test_no_bias_is_called_none() -> None:
    said = [
        rating.position_line(*rated.first)
        for seed in range(10)
        if (rated := rating.fit(made(np.zeros(60), 30, False, seed), rating.Options())).first
    ]
    assert sum("no bias is seen" in line for line in said) >= 8


def test_people_with_a_bias_each_are_told_by_the_control_alone() -> None:
    bias = np.random.default_rng(3).normal(0, 1.0, 60)
    found = losses(made(bias, 60, lopsided=False))
    assert found["personal_position"] < found["global_bt"] - 0.05
    assert found["personal_position"] < found["elo_offset"] - 0.04


def test_people_with_a_taste_for_length_each_are_told_by_the_control_alone() -> None:
    taste = np.random.default_rng(3).normal(0.3, 0.8, 60)
    found = losses(made(np.zeros(60), 60, lopsided=False, length_taste=taste))
    assert found["personal_length"] < found["global_bt"] - 0.03
    assert found["personal_position"] < found["global_bt"] + 0.002


def test_files_that_do_not_know_have_no_such_rows() -> None:
    votes = replace(made(np.zeros(20), 30, lopsided=False), first_shown=None, style=None)
    there = losses(votes)
    assert not {"personal_position", "personal_length"} & set(there)
    assert {"personal_ties", "elo_offset"} <= set(there)
    assert rating.fit(votes, rating.Options()).first is None


def of_camps(apart: float, seed: int = 0) -> NamedVotes:
    """Votes of 80 people of two camps, who like opposite halves of 8 models."""
    random = np.random.default_rng(seed)
    camp = np.where(np.arange(80) % 2, 1.0, -1.0)
    strength = np.linspace(-0.5, 0.5, 8) + apart * camp[:, None] * np.tile([1.0, -1.0], 4)
    user = np.repeat(np.arange(80), 25)
    a = random.integers(0, 8, len(user))
    b = (a + random.integers(1, 8, len(user))) % 8
    odds = TIES.probabilities(strength[user, a] - strength[user, b], np.full(len(user), -1.0))
    outcome = (random.random(len(user))[:, None] > odds.cumsum(axis=1)[:, :2]).sum(axis=1)
    names = tuple(f"m{i}" for i in range(8))
    return NamedVotes(
        models=names,
        a=a,
        b=b,
        outcome=outcome,
        weight=np.ones(len(user)),
        user=user,
        prompt=random.integers(0, 40, len(user)),
    )


def test_neighbours_tell_camps_and_nothing_where_there_are_none() -> None:
    camps = losses(of_camps(1.0))
    assert camps["nearest_neighbours"] < camps["global_bt"] - 0.1
    assert camps["nearest_neighbours"] < camps["personal_score"] - 0.02
    none = losses(of_camps(0.0))
    assert none["nearest_neighbours"] < none["global_bt"] + 0.08
