"""System A with factors: users who vary together in a few directions borrow from one another."""

import numpy as np
import pytest

from electorate.base.scale import ELO_PER_NAT, Floats, to_nats
from electorate.evaluation import metrics
from electorate.evaluation.metrics import Standing
from electorate.ratings import bradley_terry, moments, offsets, posteriors
from electorate.ratings.bradley_terry import Fit
from electorate.ratings.prior import Prior
from electorate.ratings.ties import MODELS
from electorate.ratings.user_votes import UserVotes

DAVIDSON = MODELS["davidson"]
MODELS_N = 12


def simulate(
    users: int, each: int, lengths_elo: list[float], seed: int
) -> tuple[UserVotes, Floats, Floats]:
    """Votes of users whose offsets lie along a few directions, with their true strengths and the
    directions.
    """
    random = np.random.default_rng(seed)
    directions = np.linalg.qr(random.normal(size=(MODELS_N, max(1, len(lengths_elo)))))[0].T[
        : len(lengths_elo)
    ]
    directions = directions - directions.mean(axis=1, keepdims=True)
    strength = np.linspace(-0.6, 0.6, MODELS_N) + random.normal(size=(users, len(lengths_elo))) @ (
        to_nats(1.0) * np.array(lengths_elo)[:, None] * directions
    )
    user = np.repeat(np.arange(users), each)
    a = random.integers(0, MODELS_N, len(user))
    b = (a + random.integers(1, MODELS_N, len(user))) % MODELS_N
    p = DAVIDSON.probabilities(strength[user, a] - strength[user, b], np.full(len(user), -0.4))
    outcome = (random.random(len(user))[:, None] > p.cumsum(axis=1)[:, :2]).sum(axis=1)
    return (
        UserVotes(archetype=np.zeros(users, dtype=np.int64), user=user, a=a, b=b, outcome=outcome),
        strength,
        directions,
    )


def fitted(votes: UserVotes) -> tuple[Prior, Prior, Fit]:
    """The plain prior and the one with factors."""
    counts = np.zeros((MODELS_N, MODELS_N, 3))
    np.add.at(counts, (votes.a, votes.b, votes.outcome), 1)
    whole = bradley_terry.fit(counts, DAVIDSON, 1000.0)

    users = offsets.InMemory([votes], DAVIDSON)
    plain = offsets.fit(users, whole, 1)
    return plain, offsets.with_factors(users, whole, plain, 8), whole


def tau(votes: UserVotes, prior: Prior, truth: Floats) -> float:
    mode = posteriors.posterior(votes, prior, DAVIDSON).mode[:, :-1]
    return float(metrics.kendall_tau(Standing(mode), Standing(truth)).mean())


def test_the_directions_are_found_and_users_of_few_votes_gain_from_them() -> None:
    votes, truth, directions = simulate(6000, 10, [350.0, 200.0], 0)
    plain, low_rank, _ = fitted(votes)
    assert low_rank.factors is not None
    assert len(low_rank.factors) == 2
    lengths = np.linalg.norm(low_rank.factors, axis=1)
    assert ELO_PER_NAT * lengths == pytest.approx([350, 200], rel=0.2)
    aligned = np.abs(np.sum(low_rank.factors / lengths[:, None] * directions, axis=1))
    assert aligned.min() > 0.85
    # What the factors take, the spread beside them loses.
    assert low_rank.sd < 0.5 * plain.sd
    assert tau(votes, low_rank, truth) > tau(votes, plain, truth) + 0.03


def test_nobody_differs_so_there_is_no_direction() -> None:
    votes, _, _ = simulate(6000, 10, [], 1)
    _, low_rank, _ = fitted(votes)
    assert low_rank.factors is not None
    assert len(low_rank.factors) == 0
    assert ELO_PER_NAT * low_rank.sd < 20


def test_blocks_moments_add_up_to_the_whole() -> None:
    votes, _, _ = simulate(40, 9, [300.0], 2)
    prior = Prior(np.zeros((1, MODELS_N + 1)), 0.4, 0.3)
    whole = moments.block_moments(votes, prior, DAVIDSON, 0)
    halves = []
    for low, high in ((0, 20), (20, 40)):
        own = (votes.user >= low) & (votes.user < high)
        part = UserVotes(
            archetype=votes.archetype[low:high],
            user=votes.user[own] - low,
            a=votes.a[own],
            b=votes.b[own],
            outcome=votes.outcome[own],
        )
        halves.append(moments.block_moments(part, prior, DAVIDSON, 0))
    both = halves[0] + halves[1]
    assert both.cross[0] == pytest.approx(whole.cross[0])
    assert both.information == pytest.approx(whole.information)
    assert (both.votes, both.pairs) == (360, 40 * 9 * 8)


def test_a_vote_weighs_what_forgetting_leaves_of_it() -> None:
    votes, _, _ = simulate(30, 8, [300.0], 3)
    prior = Prior(np.zeros((1, MODELS_N + 1)), 0.4, 0.3, np.full((1, MODELS_N), 0.1))
    first_half = np.arange(len(votes.user)) % 8 < 4
    weighed = UserVotes(
        archetype=votes.archetype,
        user=votes.user,
        a=votes.a,
        b=votes.b,
        outcome=votes.outcome,
        weight=np.where(first_half, 0.0, 1.0),
    )
    rest = votes.take(np.flatnonzero(~first_half))
    without = posteriors.posterior(rest, prior, DAVIDSON)
    forgotten = posteriors.posterior(weighed, prior, DAVIDSON)
    assert forgotten.mode == pytest.approx(without.mode, abs=1e-6)
    assert forgotten.covariance == pytest.approx(without.covariance, abs=1e-6)
