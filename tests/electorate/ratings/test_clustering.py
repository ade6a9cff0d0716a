"""Intervals of votes that depend by user and by prompt."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from electorate.base.scale import Floats, Ints
from electorate.ratings import bradley_terry, clustering
from electorate.ratings.ties import MODELS
from electorate.ratings.user_votes import UserVotes

DAVIDSON = MODELS["davidson"]
M = 5


def votes(users: int = 40, prompts: int = 30, n: int = 3000, seed: int = 0) -> UserVotes:
    """Users and prompts each shift the strengths."""
    random = np.random.default_rng(seed)
    user = np.sort(random.integers(0, users, n))
    prompt = random.integers(0, prompts, n)
    a = random.integers(0, M, n)
    b = (a + random.integers(1, M, n)) % M
    shift = (
        0.5 * random.normal(size=(users, M))[user]
        + 0.5 * random.normal(size=(prompts, M))[prompt]
        + np.linspace(-1, 1, M)
    )
    at = np.arange(n)
    odds = DAVIDSON.probabilities(shift[at, a] - shift[at, b], np.full(n, -0.5))
    outcome = (random.random(n)[:, None] > odds.cumsum(axis=1)[:, :2]).sum(axis=1)
    return UserVotes(
        archetype=np.zeros(users, dtype=np.int64),
        user=user,
        a=a,
        b=b,
        outcome=outcome,
        weight=None,
        prompt=prompt,
    )


def fitted(own: UserVotes) -> bradley_terry.Fit:
    weight = np.zeros((M, M, 3))
    np.add.at(weight, (own.a, own.b, own.outcome), 1)
    return bradley_terry.fit(weight, DAVIDSON, None)


def covariance(own: UserVotes, fit: bradley_terry.Fit, groups: list[Ints]) -> Floats:
    return clustering.covariance(fit, DAVIDSON, own.a, own.b, own.outcome, own.weights, groups)


def long_way(scores: Floats, group: Ints) -> Floats:
    sums = np.array([scores[group == g].sum(axis=0) for g in np.unique(group)])
    return sums.T @ sums * len(sums) / (len(sums) - 1)


def test_two_way_is_users_and_prompts_less_both() -> None:
    random = np.random.default_rng(1)
    scores = random.normal(size=(200, 3))
    one = random.integers(0, 12, 200)
    other = random.integers(0, 15, 200)
    found = clustering.middle(csr_matrix(scores), [one, other])
    expected = long_way(scores, one) + long_way(scores, other) - long_way(scores, 100 * one + other)
    assert found == pytest.approx(clustering.positive(expected))


def test_what_two_way_makes_negative_is_set_to_zero() -> None:
    assert np.linalg.eigvalsh(clustering.positive(np.diag([2.0, -1.0]))).min() >= 0


def test_blocks_of_users_add_up_to_the_whole() -> None:
    own = votes()
    fit = fitted(own)
    parts = [
        clustering.score_sums(own.of_users(*span), fit, DAVIDSON, 30)
        for span in ((0, 13), (13, 40))
    ]
    summed = (parts[0] + parts[1]).clustered(fit, 3000)
    direct = covariance(own, fit, [own.user, own.prompt])
    assert summed.covariance == pytest.approx(direct, rel=1e-6, abs=1e-12)
    assert np.all(np.diag(direct)[:M] > np.diag(fit.covariance)[:M])


def test_few_groups_and_unknown_prompts_are_left_out() -> None:
    own = votes()
    fit = fitted(own)
    unknown = UserVotes(
        archetype=own.archetype, user=own.user, a=own.a, b=own.b, outcome=own.outcome
    )
    by_user = clustering.score_sums(unknown, fit, DAVIDSON, 0).clustered(fit, 3000)
    assert by_user.covariance == pytest.approx(covariance(own, fit, [own.user]))
    few = votes(users=3, prompts=30)
    fit = fitted(few)
    by_prompt = clustering.score_sums(few, fit, DAVIDSON, 30).clustered(fit, 3000)
    assert by_prompt.covariance == pytest.approx(covariance(few, fit, [few.prompt]))
    neither = votes(users=3, prompts=4)
    fit = fitted(neither)
    assert clustering.score_sums(neither, fit, DAVIDSON, 4).clustered(fit, 3000) is fit


def test_some_users_say_what_all_would() -> None:
    """A tenth of the users: their part grows with the number of users, the prompts' does not
    shrink.
    """
    own = votes(users=400, n=30_000)
    fit = fitted(own)
    all_ = clustering.score_sums(own, fit, DAVIDSON, 30).clustered(fit, 30_000)
    some = clustering.score_sums(own.of_users(0, 80), fit, DAVIDSON, 30).clustered(fit, 30_000)
    assert np.sqrt(np.diag(some.covariance)[:M]) == pytest.approx(
        np.sqrt(np.diag(all_.covariance)[:M]), rel=0.35
    )
