from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from electorate.base.scale import ELO_PER_NAT, Floats, to_nats
from electorate.ratings import bradley_terry, offsets, posteriors
from electorate.ratings.prior import Prior
from electorate.ratings.ties import MODELS
from electorate.ratings.user_votes import UserVotes

DAVIDSON = MODELS["davidson"]
MODELS_N = 6


def simulate(
    users: int,
    each: int,
    sd_elo: float,
    seed: int,
    archetype_count: int = 3,
    spread_elo: float = 60.0,
) -> tuple[UserVotes, Floats]:
    """Votes drawn from System A itself, and the users' true strengths."""
    random = np.random.default_rng(seed)
    means = np.linspace(-0.5, 0.5, MODELS_N) + to_nats(spread_elo) * random.standard_normal(
        (archetype_count, MODELS_N)
    )
    archetype = random.integers(0, archetype_count, users)
    strength = means[archetype] + to_nats(sd_elo) * random.standard_normal((users, MODELS_N))
    user = np.repeat(np.arange(users), each)
    a = random.integers(0, MODELS_N, len(user))
    b = (a + random.integers(1, MODELS_N, len(user))) % MODELS_N
    eta = np.full(len(user), -0.4)
    p = DAVIDSON.probabilities(strength[user, a] - strength[user, b], eta)
    outcome = (random.random(len(user))[:, None] > p.cumsum(axis=1)[:, :2]).sum(axis=1)
    return UserVotes(archetype=archetype, user=user, a=a, b=b, outcome=outcome), strength


def fitted(votes: UserVotes, archetype_count: int = 3) -> Prior:
    counts = np.zeros((MODELS_N, MODELS_N, 3), dtype=np.int64)
    np.add.at(counts, (votes.a, votes.b, votes.outcome), 1)
    start = bradley_terry.fit(counts, DAVIDSON, 1000.0)
    return offsets.fit(offsets.InMemory([votes], DAVIDSON), start, archetype_count)


@pytest.mark.parametrize("name", MODELS)
def test_every_users_mode_is_the_one_scipy_finds(name: str) -> None:
    votes, _ = simulate(20, 30, 80.0, 0)
    ties = MODELS[name]
    prior = Prior(
        np.tile(np.append(np.linspace(-0.3, 0.3, MODELS_N), -0.5), (3, 1)), to_nats(80.0), 0.4
    )
    modes = posteriors.posterior(votes, prior, ties).mode
    for user in range(votes.users):
        own = votes.user == user
        a = votes.a[own]
        b = votes.b[own]
        outcome = votes.outcome[own]
        mean = prior.mean[votes.archetype[user]]

        def minus(x: Floats, a=a, b=b, outcome=outcome, mean=mean) -> float:
            fit = ties.log_likelihood(x[a] - x[b], x[-1], outcome).sum()
            return float((x - mean) @ np.linalg.inv(prior.covariance) @ (x - mean) / 2 - fit)

        best = minimize(minus, mean, method="BFGS", options={"gtol": 1e-8}).x
        assert modes[user] * ELO_PER_NAT == pytest.approx(best * ELO_PER_NAT, abs=0.1)


@pytest.mark.parametrize(("sd_elo", "each"), [(40.0, 60), (120.0, 60), (80.0, 10)])
def test_the_spread_of_users_is_found_from_their_votes(sd_elo: float, each: int) -> None:
    votes, _ = simulate(2000, each, sd_elo, 1)
    assert ELO_PER_NAT * fitted(votes).sd == pytest.approx(sd_elo, rel=0.15)


def test_few_votes_a_user_do_not_shrink_the_spread() -> None:
    """By Laplace's approximation alone, and with archetypes' means from the modes, three seeds
    came out at 61, 45 and 49 Elo.
    """
    found = [ELO_PER_NAT * fitted(simulate(3000, 10, 80.0, seed)[0]).sd for seed in range(10, 16)]
    assert np.mean(found) == pytest.approx(80, rel=0.15)


def test_the_posterior_mean_lies_beyond_the_mode_where_sampling_finds_it() -> None:
    votes, _ = simulate(1, 12, 150.0, 7, archetype_count=1)
    prior = Prior(np.append(np.linspace(-0.5, 0.5, MODELS_N), -0.4)[None], to_nats(150.0), 0.3)
    at = posteriors.posterior(votes, prior, DAVIDSON)
    covariance = at.covariance
    draws = np.random.default_rng(0).multivariate_normal(at.mode[0], 1.3 * covariance[0], 200_000)
    d = draws[:, votes.a] - draws[:, votes.b]
    fit = DAVIDSON.log_likelihood(d, draws[:, -1:], votes.outcome).sum(axis=1)
    away = draws - prior.mean[0]
    from_mode = draws - at.mode[0]
    proposal = np.einsum("np,pq,nq->n", from_mode, np.linalg.inv(covariance[0]) / 1.3, from_mode)
    log_weight = (
        fit - ((away @ np.linalg.inv(prior.covariance)) * away).sum(axis=1) / 2 + proposal / 2
    )
    weight = np.exp(log_weight - log_weight.max())
    sampled = weight @ draws / weight.sum()
    shift = np.zeros(MODELS_N + 1)
    shift[at.votes.own.parameter] = posteriors.mean_shift(at, DAVIDSON)
    error = np.abs(at.mode[0, :-1] + shift[:-1] - sampled[:-1]).max()
    assert error < 0.35 * np.abs(at.mode[0, :-1] - sampled[:-1]).max()


def test_users_without_differences_are_all_given_the_same_ranking() -> None:
    votes, _ = simulate(2000, 50, 0.0, 2, spread_elo=0.0)
    prior = fitted(votes)
    assert ELO_PER_NAT * prior.sd < 10
    assert ELO_PER_NAT * np.ptp(prior.mean[:, :MODELS_N], axis=0).max() < 12


def test_posterior_intervals_cover_users_drawn_from_the_model() -> None:
    votes, strength = simulate(3000, 40, 80.0, 3)
    prior = fitted(votes)
    at = posteriors.posterior(votes, prior, DAVIDSON)
    contrast = np.eye(MODELS_N) - 1 / MODELS_N
    covariance = contrast @ at.covariance[:, :MODELS_N, :MODELS_N] @ contrast.T
    sd = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    error = (at.mode[:, :MODELS_N] - strength) @ contrast.T
    assert (np.abs(error) < 1.96 * sd).mean() == pytest.approx(0.95, abs=0.02)


def test_a_user_without_votes_gets_its_archetypes_ranking() -> None:
    votes, _ = simulate(50, 20, 80.0, 4)
    prior = fitted(votes)
    nobody = replace(votes.take(slice(0)), archetype=np.array([0, 2]))
    assert posteriors.posterior(nobody, prior, DAVIDSON).mode == pytest.approx(prior.mean[[0, 2]])


def test_personal_offsets_come_closer_to_the_truth_than_the_archetypes_mean() -> None:
    votes, strength = simulate(1000, 50, 100.0, 5)
    prior = fitted(votes)
    mode = posteriors.posterior(votes, prior, DAVIDSON).mode[:, :MODELS_N]
    contrast = np.eye(MODELS_N) - 1 / MODELS_N
    own, archetypes = (
        ((guess - strength) @ contrast) ** 2
        for guess in (mode, prior.mean[votes.archetype, :MODELS_N])
    )
    assert own.mean() < 0.7 * archetypes.mean()


def test_blocks_add_up_to_the_whole() -> None:
    votes, _ = simulate(40, 20, 80.0, 6)
    prior = Prior(np.zeros((3, MODELS_N + 1)), 0.4, 0.3)
    tries = [(0.5, 1.0, 1.0), (1.0, 2.0, 1.0)]
    whole = offsets.block_sums(votes, prior, DAVIDSON, tries)
    halves = []
    for low, high in ((0, 20), (20, 40)):
        own = (votes.user >= low) & (votes.user < high)
        half = votes.take(own)
        half = replace(half, archetype=votes.archetype[low:high], user=half.user - low)
        halves.append(offsets.block_sums(half, prior, DAVIDSON, tries))
    both = halves[0] + halves[1]
    for name in ("users", "information", "others", "stuck"):
        assert getattr(both, name) == pytest.approx(getattr(whole, name)), name
    # A user's importance samples go by its row in the block.
    assert both.score == pytest.approx(whole.score, abs=0.5)
    assert both.evidence == pytest.approx(whole.evidence, abs=0.1)


def test_one_user_with_all_the_votes_and_only_ties_is_finite() -> None:
    user = np.zeros(50_000, dtype=np.int64)
    a = np.arange(50_000) % MODELS_N
    votes = UserVotes(
        archetype=np.zeros(3, dtype=np.int64),
        user=user,
        a=a,
        b=(a + 1) % MODELS_N,
        outcome=np.full(50_000, 2),
    )
    prior = Prior(np.zeros((1, MODELS_N + 1)), 0.4, 0.3)
    for ties in MODELS.values():
        assert np.isfinite(posteriors.posterior(votes, prior, ties).mode).all()


def test_more_users_than_the_climb_is_on_move_the_means_and_it_converges(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """When means followed all users and the objective some, a run of 9,000 went to and fro for
    60 passes.
    """
    votes, _ = simulate(3000, 8, 80.0, 8)
    whole = fitted(votes)
    monkeypatch.setattr(offsets, "EVIDENCE_USERS", 700)
    some = fitted(votes)
    assert ELO_PER_NAT * some.sd == pytest.approx(80, rel=0.25)
    assert some.mean_covariance is not None
    assert whole.mean_covariance is not None
    # As sure of the means as all users make it.
    errors = [
        np.sqrt(np.diagonal(prior.mean_covariance, axis1=1, axis2=2))[:, :-1].mean()
        for prior in (some, whole)
    ]
    assert errors[0] == pytest.approx(errors[1], rel=0.1)
    assert ELO_PER_NAT * np.abs(some.mean[:, :-1] - whole.mean[:, :-1]).max() < 12


@pytest.mark.parametrize("ties", MODELS)
@pytest.mark.parametrize("outcomes", [(27, 9, 0), (1, 0, 0), (0, 0, 40), (300, 300, 0)])
def test_the_mode_of_a_user_who_never_or_always_ties_is_reached(
    ties: str, outcomes: tuple[int, int, int]
) -> None:
    """Rao-Kupper's information on its tie parameter is half of the curvature there or less, so that
    full Newton steps went to and fro, and LLMFAO's people had the global ranking in most folds.
    """
    outcome = np.repeat([0, 1, 2], outcomes)
    n = len(outcome)
    random = np.random.default_rng(0)
    a = random.integers(0, 6, n)
    b = (a + random.integers(1, 6, n)) % 6
    votes = UserVotes(archetype=np.zeros(1, int), user=np.zeros(n, int), a=a, b=b, outcome=outcome)
    for mean in (-2.0, -0.4, 0.5):
        for tie_sd in (0.3, 0.75, 3.0):
            prior = Prior(np.append(np.linspace(-1, 1, 6), mean)[None], 0.6, tie_sd)
            assert posteriors.posterior(votes, prior, MODELS[ties]).converged.all()
