from dataclasses import replace

import numpy as np
import pytest

from electorate.base.scale import Floats, Ints
from electorate.ratings import bradley_terry, offsets, prompt_sample
from electorate.ratings.prior import Prior
from electorate.ratings.prompt_sample import PromptScores
from electorate.ratings.summed import in_order
from electorate.ratings.ties import MODELS
from electorate.ratings.user_votes import UserVotes

DAVIDSON = MODELS["davidson"]
MODELS_N = 6
PROMPTS = 40


def votes_of(seed: int, effect: float, archetypes: int = 2, users: int = 800) -> UserVotes:
    """Users who are alike, 20 votes each, on prompts that have opinions of their own of each
    response, the same for all users of an archetype.
    """
    random = np.random.default_rng(seed)
    archetype = np.arange(users) % archetypes
    user = np.repeat(np.arange(users), 20)
    a = random.integers(0, MODELS_N, len(user))
    b = (a + random.integers(1, MODELS_N, len(user))) % MODELS_N
    prompt = random.integers(0, PROMPTS, len(user))
    of_prompt = effect * random.normal(size=(archetypes, PROMPTS, MODELS_N))
    d = of_prompt[archetype[user], prompt, a] - of_prompt[archetype[user], prompt, b]
    odds = DAVIDSON.probabilities(d, np.full(len(user), -1.0))
    outcome = (random.random(len(user))[:, None] > odds.cumsum(axis=1)[:, :2]).sum(axis=1)
    return UserVotes(archetype=archetype, user=user, a=a, b=b, outcome=outcome, prompt=prompt)


def counted(votes: UserVotes) -> Floats:
    counts = np.zeros((MODELS_N, MODELS_N, 3))
    np.add.at(counts, (votes.a, votes.b, votes.outcome), 1.0)
    return counts


def taken(votes: UserVotes, unseen: float) -> tuple[Prior, Prior, PromptScores]:
    """System A's prior, what it is where prompts are a sample, and the scores by prompt."""
    start = bradley_terry.fit(counted(votes), DAVIDSON, 1000.0)
    users = offsets.InMemory([votes], DAVIDSON)
    archetypes = int(votes.archetype.max()) + 1
    prior = offsets.fit(users, start, archetypes)
    sums = in_order(users.sums(prior, [], everybody=True))
    scores = prompt_sample.block_scores(votes, prior, DAVIDSON, PROMPTS)
    found = prompt_sample.generalised(prior, start, sums, scores, np.full(archetypes, unseen))
    return prior, found, scores


def sd(prior: Prior) -> Floats:
    assert prior.mean_covariance is not None
    variance = np.diagonal(prior.mean_covariance, axis1=1, axis2=2)[:, :-1]
    return np.sqrt(variance.mean())


def test_means_are_as_sure_as_prompts_allow() -> None:
    """The true means are zero: what is found is the prompts' error alone."""
    wrong = []
    stated = []
    plain = []
    for seed in range(10):
        prior, found, _ = taken(votes_of(seed, effect=0.8), unseen=1.0)
        wrong.append(np.sqrt((found.mean[:, :-1] ** 2).mean()))
        stated.append(sd(found))
        plain.append(sd(prior))
    error = np.sqrt(np.square(wrong).mean())
    assert error / np.sqrt(np.square(stated).mean()) == pytest.approx(1.0, abs=0.3)
    # Taken as independent, the same votes state a third of it.
    assert np.mean(plain) < 0.5 * error


def test_where_all_prompts_are_voted_on_their_error_is_none() -> None:
    votes = votes_of(0, effect=0.8)
    prior, found, _ = taken(votes, unseen=0.0)
    _, sampled, _ = taken(votes, unseen=1.0)
    assert sd(found) == pytest.approx(sd(prior), rel=0.2)
    assert sd(sampled) > 1.5 * sd(found)


def test_prompts_without_effects_or_names_add_nothing() -> None:
    votes = votes_of(0, effect=0.0)
    prior, found, _ = taken(votes, unseen=1.0)
    assert sd(found) == pytest.approx(sd(prior), rel=0.35)
    unknown = replace(votes, prompt=None)
    for one in (unknown, replace(votes, prompt=np.full(len(votes.user), -1))):
        _, _, scores = taken(one, unseen=1.0)
        assert not scores.by_prompt.any()


@pytest.mark.parametrize("order", [0, 1])
def test_the_order_of_votes_and_how_blocks_are_cut_mean_nothing(order: int) -> None:
    votes = votes_of(3, effect=0.8)
    prior, _, whole = taken(votes, unseen=1.0)
    rows: Ints = np.random.default_rng(order).permutation(len(votes.user))
    again = prompt_sample.block_scores(votes.take(rows), prior, DAVIDSON, PROMPTS)
    assert again.by_prompt == pytest.approx(whole.by_prompt, abs=1e-9)
    halves = [votes.of_users(0, 300), votes.of_users(300, votes.users)]
    parts = [prompt_sample.block_scores(half, prior, DAVIDSON, PROMPTS) for half in halves]
    assert in_order(parts).by_prompt == pytest.approx(whole.by_prompt, abs=1e-9)


def test_every_direction_of_the_moments_is_a_factor() -> None:
    votes = votes_of(0, effect=0.8)
    prior, _, _ = taken(votes, unseen=1.0)
    of = in_order(offsets.InMemory([votes], DAVIDSON).moments(prior))
    wide = prompt_sample.unexplained(prior, of)
    spread = np.linalg.eigvalsh(wide.directions.T @ wide.directions)
    assert len(wide.directions) >= 1
    assert spread.max() > 0
    assert wide.directions.sum(axis=1) == pytest.approx(0.0, abs=1e-9)
