from dataclasses import replace

import numpy as np
import pytest

from electorate.evaluation import findings
from electorate.population.logged_votes import LoggedVotes
from electorate.ratings.prior import Prior
from electorate.ratings.ties import MODELS


def test_discoveries_are_the_least_likely_nulls_while_their_mean_allows() -> None:
    said = findings.discoveries(np.array([[0.5], [0.0], [0.2], [0.1], [0.9]]), 0.1)
    # Means of 0, 0.05, 0.1, 0.2: the first three.
    assert list(said) == [False, True, True, True, False]
    assert not findings.discoveries(np.array([[0.3], [0.4]]), 0.1).any()
    assert findings.discoveries(np.zeros((3, 1)), 0.1).all()


def test_users_of_one_probability_are_said_to_differ_together() -> None:
    null = np.array([0.0, 0.15, 0.15, 0.15, 0.8])[:, None]
    # Two of the three alike would do by the mean alone.
    assert findings.discoveries(null, 0.11).sum() == 1
    assert findings.discoveries(null, 0.12).sum() == 4


def test_an_error_that_users_share_is_not_averaged_away() -> None:
    """For each of so many populations: one draw in five has all of one archetype wrong, which its
    users' mean does not show.
    """
    draws = np.zeros((1000, 20))
    draws[:, ::5] = 0.45
    assert draws.mean() < 0.1
    assert findings.discoveries(draws, 0.1).all()
    draws[:, 1::5] = 0.45
    draws[:, ::5] = 0.0
    draws[:, 2::5] = 0.12
    # Less on average than before, but more than a tenth in two draws of five.
    assert not findings.discoveries(draws, 0.1).any()


def test_a_calibrated_posterior_keeps_the_rate() -> None:
    random = np.random.default_rng(0)
    probability = random.beta(0.5, 0.5, 200_000)
    found = findings.differing(probability[:, None], random.random(200_000) < probability, 0.1)
    assert found["realised_fdr"] == pytest.approx(0.1, abs=0.005)
    assert found["expected_fdr"] == pytest.approx(0.1, abs=1e-4)
    assert (probability <= found["most_null"]).sum() == found["said_to_differ"]
    nobody = findings.differing(np.ones((10, 1)), np.ones(10), 0.1)
    assert (nobody["said_to_differ"], nobody["realised_fdr"], nobody["power"]) == (0, 0.0, None)
    assert nobody["most_null"] is None


def test_auc_is_the_chance_that_a_positive_scores_above_a_negative() -> None:
    score = np.array([1.0, 2.0, 2.0, 3.0])
    positive = np.array([0, 0, 1, 1])
    assert findings.auc(score, positive) == pytest.approx((1 + 0.5 + 1 + 1) / 4)
    assert findings.auc(score, np.zeros(4)) is None


def drawn(sd: float, each: int, prompts: int | None = None, effect: float = 0.0) -> LoggedVotes:
    """Votes each on a prompt of its own, or on so many prompts, on each of which a user has
    opinions of its own.
    """
    random = np.random.default_rng(1)
    users = 400
    models = 6
    strength = np.linspace(-0.5, 0.5, models) + sd * random.normal(size=(users, models))
    user = np.repeat(np.arange(users), each)
    a = random.integers(0, models, len(user))
    b = (a + random.integers(1, models, len(user))) % models
    prompt = np.arange(len(user)) if prompts is None else random.integers(0, prompts, len(user))
    d = strength[user, a] - strength[user, b]
    if prompts is not None:
        own = effect * random.normal(size=(users, prompts, models))
        d = d + own[user, prompt, a] - own[user, prompt, b]
    outcome = (random.random(len(user)) > 1 / (1 + np.exp(-d))).astype(int)
    return LoggedVotes(
        user=user,
        prompt=prompt,
        a=a,
        b=b,
        first_shown=user % 2,
        outcome=outcome,
        round_=np.zeros(len(user), dtype=int),
    )


def test_halves_agree_where_users_differ_and_votes_are_many() -> None:
    prior = Prior(np.append(np.linspace(-0.5, 0.5, 6), -3.0)[None], 0.8, 0.3)
    label = np.zeros(400, dtype=int)
    found = {
        (sd, each): findings.split_half(drawn(sd, each), label, 0, prior, MODELS["davidson"])
        for sd in (0.0, 0.8)
        for each in (10, 80)
    }
    assert abs(found[0.0, 80][1]) < 0.25
    assert found[0.8, 10][1] < found[0.8, 80][1]
    assert found[0.8, 80][1] > 0.85
    assert found[0.8, 80][0] > found[0.8, 10][0] > 0


def test_what_votes_on_one_prompt_have_in_common_is_no_agreement() -> None:
    """Users who are alike, but each of whom has opinions of its own of every response to a
    handful of prompts.
    """
    prior = Prior(np.append(np.linspace(-0.5, 0.5, 6), -3.0)[None], 0.8, 0.3)
    votes = drawn(0.0, 60, prompts=5, effect=1.5)
    by_prompt, by_vote = (
        findings.split_half(one, np.zeros(400, dtype=int), 0, prior, MODELS["davidson"])[1]
        for one in (votes, replace(votes, prompt=np.arange(len(votes))))
    )
    assert by_vote > 0.6
    assert by_prompt < 0.3
