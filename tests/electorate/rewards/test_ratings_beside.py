"""A hybrid that adds nothing to System A gives System A's rankings."""

from dataclasses import replace

import numpy as np
import pytest

from electorate.ratings.ties import MODELS
from electorate.rewards import ratings_beside
from electorate.rewards.weights import PersonalRead
from tests.electorate.rewards.test_training import CONTESTANTS, trained, training, votes

TIES = MODELS["davidson"]


@pytest.fixture(scope="module")
def learned() -> tuple[PersonalRead, object]:
    job = training(votes(heterogeneity=1.5))
    trained(job)
    read = job.reads()["hybrid"]
    assert isinstance(read, PersonalRead)
    return read, job


def fallen(read: PersonalRead) -> list[str]:
    battles = votes(heterogeneity=1.5)
    _, held_out = battles.split(0)
    return ratings_beside.falling_back(
        {"hybrid": read}, battles, held_out, CONTESTANTS, 1000.0, TIES
    )


def test_what_reads_tastes_has_its_own_say(learned: tuple[PersonalRead, object]) -> None:
    assert fallen(learned[0]) == []


def test_what_reads_noise_falls_back(learned: tuple[PersonalRead, object]) -> None:
    read = learned[0]
    random = np.random.default_rng(0)
    noise = 0.5 * random.normal(size=read.base.shape)
    assert fallen(replace(read, base=read.base + noise, taste=0 * read.taste)) == ["hybrid"]


def test_system_a_is_fitted_to_the_known_votes_alone() -> None:
    battles = votes(heterogeneity=0.0)
    known = battles.take(np.flatnonzero(battles.prompt % 5 > 0))
    test = battles.take(np.flatnonzero(battles.prompt % 5 == 0))
    odds = ratings_beside.system_a(known, test, CONTESTANTS, 1000.0, TIES)
    strength = np.linspace(-0.5, 0.5, CONTESTANTS)
    d = strength[test.a] - strength[test.b]
    assert np.allclose(odds.sum(axis=1), 1)
    assert np.abs(odds - TIES.probabilities(d, np.full(len(d), -0.5))).mean() < 0.03
    other = replace(test, outcome=2 - test.outcome)
    assert np.array_equal(odds, ratings_beside.system_a(known, other, CONTESTANTS, 1000.0, TIES))
