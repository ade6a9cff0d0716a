"""Votes of one user on one prompt: how far they repeat each other, and what they weigh."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import rankings, worlds
from electorate.base.scale import Floats, Ints
from electorate.ratings import bradley_terry, dependence, offsets, posteriors
from electorate.ratings.bradley_terry import Fit
from electorate.ratings.prior import Prior
from electorate.ratings.ties import MODELS
from electorate.ratings.user_votes import UserVotes

DAVIDSON = MODELS["davidson"]


def as_users(drawn: worlds.Drawn, prompt: Ints | None) -> UserVotes:
    votes = drawn.votes
    return UserVotes(
        archetype=drawn.archetype,
        user=votes.user,
        a=votes.a,
        b=votes.b,
        outcome=votes.outcome_of_3,
        weight=None,
        prompt=prompt,
    ).by_user()


def global_fit(votes: UserVotes, models: int) -> Fit:
    weight = np.zeros((models, models, 3))
    np.add.at(weight, (votes.a, votes.b, votes.outcome), 1)
    return bradley_terry.fit(weight, DAVIDSON, 1000.0)


def by_hand(cluster: Ints, a: Ints, b: Ints, weight: Floats, correlation: float) -> Floats:
    models = max(a.max(), b.max()) + 1
    e = np.eye(models)[a] - np.eye(models)[b]
    squares = (e @ e.T) ** 2 * (cluster[:, None] == cluster) * weight
    np.fill_diagonal(squares, 0.0)
    return 1 / (1 + correlation * squares.sum(axis=1) / 2)


def test_a_votes_share_is_one_over_its_design_effect() -> None:
    random = np.random.default_rng(0)
    cluster = random.integers(0, 6, 60)
    cluster[-1] = 99
    a = random.integers(0, 5, 60)
    b = (a + random.integers(1, 5, 60)) % 5
    weight = random.random(60) + 0.1
    found = dependence.shares(cluster, a, b, weight, 0.7)
    assert found == pytest.approx(by_hand(cluster, a, b, weight, 0.7))
    assert found[-1] == 1


def test_the_same_vote_ever_again_on_a_prompt_says_hardly_more() -> None:
    once = dependence.shares(
        np.zeros(1, int), np.zeros(1, int), np.ones(1, int), np.ones(1), 0.5
    ).sum()
    often = dependence.shares(
        np.zeros(500, int), np.zeros(500, int), np.ones(500, int), np.ones(500), 0.5
    ).sum()
    assert once == 1
    assert often == pytest.approx(1 / (2 * 0.5), rel=0.01)


def test_prompts_that_are_distinct_or_unknown_change_nothing() -> None:
    drawn = worlds.people(np.random.default_rng(1))
    n = len(drawn.votes)
    start = global_fit(as_users(drawn, None), 8)
    priors = [
        offsets.fit(offsets.InMemory([as_users(drawn, p)], DAVIDSON), start, 1)
        for p in (None, np.arange(n), np.full(n, -1))
    ]
    for prior in priors:
        assert prior.prompt_correlation == 0
        assert (prior.sd, prior.tie_sd) == (priors[0].sd, priors[0].tie_sd)
        assert np.array_equal(prior.mean, priors[0].mean)


def test_a_planted_effect_of_a_user_on_a_prompt_is_found_and_none_where_there_is_none() -> None:
    found = {}
    for effect in (0.0, 0.8):
        variances = []
        for seed in range(4):
            votes = as_users(
                drawn := worlds.clustered(np.random.default_rng(seed), effect=effect),
                drawn.votes.prompt,
            )
            variances.append(
                dependence.measure(votes, global_fit(votes, 8), DAVIDSON).prompt_variance
            )
        found[effect] = np.mean(variances)
    assert found[0.0] < 0.2 * 0.8**2
    # Logits about the global ranking are shorter than they are about the user's own.
    assert 0.4 * 0.8**2 < found[0.8] < 1.1 * 0.8**2


def test_blocks_add_up() -> None:
    votes = as_users(drawn := worlds.clustered(np.random.default_rng(0)), drawn.votes.prompt)
    start = global_fit(votes, 8)
    whole = dependence.measure(votes, start, DAVIDSON)
    both = dependence.measure(votes.of_users(0, 11), start, DAVIDSON) + dependence.measure(
        votes.of_users(11, 30), start, DAVIDSON
    )
    assert both.prompt_correlation == pytest.approx(whole.prompt_correlation)
    assert both.users == pytest.approx(whole.users)


def test_posteriors_are_those_of_votes_weighed_by_hand() -> None:
    votes = as_users(drawn := worlds.clustered(np.random.default_rng(0)), drawn.votes.prompt)
    prior = Prior(np.zeros((1, 9)), 0.5, 0.3, prompt_correlation=0.2)
    cluster = votes.user * 100 + votes.prompt
    share = by_hand(cluster, votes.a, votes.b, votes.weights, 0.2)
    weighed = replace(votes, weight=share, prompt=None)
    by_prompt, by_weight = (posteriors.posterior(own, prior, DAVIDSON) for own in (votes, weighed))
    assert by_prompt.mode == pytest.approx(by_weight.mode)
    assert np.all(
        by_prompt.log_determinant
        < posteriors.posterior(
            votes, replace(prior, prompt_correlation=0.0), DAVIDSON
        ).log_determinant
    )


@pytest.mark.parametrize("personal", [0.0, 0.6])
def test_people_who_rank_many_models_are_not_ranked_worse_than_by_everybodys_ranking(
    personal: float,
) -> None:
    """With votes taken as independent, tau at 1 and 3 rankings lay up to 0.08 below."""
    found = np.mean([rankings.one(seed, personal, (1, 10), people=2) for seed in range(2)], axis=0)
    everybody, independent, ours = found
    assert np.all(ours >= everybody - 0.01)
    if personal:
        assert ours[1] > everybody[1] + 0.05
    else:
        assert independent[0] < ours[0]
