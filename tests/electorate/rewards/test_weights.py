"""Users' own weights: the compiled Newton beside SciPy on the same likelihood."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from electorate.ratings.dependence import shares
from electorate.ratings.ties import MODELS
from electorate.rewards import weights
from electorate.rewards.answer_votes import AnswerVotes
from electorate.rewards.weights import PersonalRead

USERS = 12
PROMPTS = 6
MODELS_ = 5
RANK = 3
KINDS = 2


def planted(tau: float, votes: int = 30) -> tuple[PersonalRead, AnswerVotes]:
    random = np.random.default_rng(1)
    base = random.normal(size=(KINDS, PROMPTS * MODELS_))
    taste = random.normal(size=(PROMPTS * MODELS_, RANK))
    read = PersonalRead(
        base,
        np.array([-0.5, 0.1]),
        taste,
        random.normal(size=(KINDS, RANK)),
        0.2,
        tau,
        0.4,
        MODELS_,
    )
    user = np.repeat(np.arange(1, USERS), votes)  # the first has no votes
    a = random.integers(0, MODELS_, len(user))
    b = (a + random.integers(1, MODELS_, len(user))) % MODELS_
    prompt = random.integers(0, PROMPTS, len(user))
    outcome = random.integers(0, 3, len(user))
    return read, AnswerVotes(
        archetype=random.integers(0, KINDS, USERS),
        user=user,
        a=a,
        b=b,
        outcome=outcome,
        first_shown=random.integers(0, 2, len(user)),
        prompt=prompt,
        answer_a=prompt * MODELS_ + a,
        answer_b=prompt * MODELS_ + b,
    )


@pytest.mark.parametrize("tau", [0.0, 0.7])
@pytest.mark.parametrize("ties", MODELS)
def test_modes_are_those_of_a_general_optimiser(tau: float, ties: str) -> None:
    read, battles = planted(tau)
    found = weights.solve(read, battles, MODELS[ties])
    mean = weights.prior_mean(read, battles.archetype)
    for user in range(USERS):
        own = battles.of_users(user, user + 1)
        x = weights.design(read, own)
        d0, eta0 = weights.difference(read, own)

        def loss(
            beta: np.ndarray,
            own: AnswerVotes = own,
            x: np.ndarray = x,
            d0: np.ndarray = d0,
            eta0: np.ndarray = eta0,
        ) -> float:
            d = d0 + x @ beta[: RANK + 1]
            if tau:
                d = d + tau * (beta[RANK + 1 + own.a] - beta[RANK + 1 + own.b])
            log = MODELS[ties].log_likelihood(d, eta0 + read.eta_sd * beta[-1], own.outcome)
            return float(((beta - mean[user]) ** 2).sum() / 2 - log.sum())  # noqa: B023 used at once

        best = minimize(loss, mean[user], method="BFGS", options={"gtol": 1e-7})
        assert found.mode[user] == pytest.approx(best.x, abs=2e-3)
    assert found.mode[0] == pytest.approx(mean[0])
    assert found.covariance[0] == pytest.approx(np.eye(mean.shape[1]))


def test_threads_share_out_users_and_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "CHUNK", 2)
    read, battles = planted(0.7)
    alone = weights.solve(read, battles, MODELS["davidson"])
    shared = weights.solve(read, battles, MODELS["davidson"], threads=4)
    assert np.array_equal(alone.mode, shared.mode)
    assert np.array_equal(np.triu(alone.root), np.triu(shared.root))


def test_draws_have_the_posteriors_spread() -> None:
    read, battles = planted(0.7)
    found = weights.solve(read, battles, MODELS["davidson"])
    normal = np.random.default_rng(2).standard_normal((4000, *found.mode.shape))
    drawn = np.array([found.drawn(z) for z in normal])
    assert drawn.mean(axis=0) == pytest.approx(found.mode, abs=0.1)
    assert np.cov(drawn[:, 3], rowvar=False) == pytest.approx(found.covariance[3], abs=0.1)


def test_a_users_votes_are_found_by_prompt_and_by_user() -> None:
    _, battles = planted(0.0)
    for prompts in ([2], [0, 4], list(range(PROMPTS))):
        assert set(battles.on(np.array(prompts))) == set(
            np.flatnonzero(np.isin(battles.prompt, prompts))
        )
    learned, held_out = battles.split(seed=3)
    assert sorted([*learned, *held_out]) == battles.prompts.tolist()
    # More votes move no prompt from one side to the other.
    universe = np.arange(80)
    few = battles.take(np.flatnonzero(battles.prompt < 4))
    for one, other in zip(few.split(3, universe), battles.split(3, universe), strict=True):
        assert set(one) <= set(other) or len(few.split(3, universe)[1]) == 1
    assert len(held_out) == 1
    assert len(battles.of_users(0, 1)) == 0
    assert battles.of_users(2, 4).user.tolist() == [0] * 30 + [1] * 30


def cast(effect: float, users: int = 500, votes: int = 40) -> tuple[PersonalRead, AnswerVotes]:
    """Votes by a form's own model, and opinions that a user has of single responses besides, of
    this sd (nats).
    """
    random = np.random.default_rng(2)
    taste = 0.5 * random.normal(size=(PROMPTS * MODELS_, RANK))
    read = PersonalRead(
        np.zeros((1, PROMPTS * MODELS_)),
        np.array([-0.5]),
        taste,
        np.zeros((1, RANK)),
        0.2,
        0.4,
        0.3,
        MODELS_,
    )
    user = np.repeat(np.arange(users), votes)
    a = random.integers(0, MODELS_, len(user))
    b = (a + random.integers(1, MODELS_, len(user))) % MODELS_
    prompt = random.integers(0, PROMPTS, len(user))
    battles = AnswerVotes(
        archetype=np.zeros(users, int),
        user=user,
        a=a,
        b=b,
        outcome=np.zeros(len(user), int),
        first_shown=random.integers(0, 2, len(user)),
        prompt=prompt,
        answer_a=prompt * MODELS_ + a,
        answer_b=prompt * MODELS_ + b,
    )
    own = random.normal(size=(users, RANK + 1 + MODELS_))
    said = effect * random.normal(size=(users, PROMPTS * MODELS_))
    d = np.einsum("vr,vr->v", weights.design(read, battles), own[user, : RANK + 1])
    d += read.tau * (own[user, RANK + 1 + a] - own[user, RANK + 1 + b])
    d += said[user, battles.answer_a] - said[user, battles.answer_b]
    odds = MODELS["davidson"].probabilities(d, np.full(len(d), -0.5))
    outcome = (random.random(len(d))[:, None] > odds.cumsum(axis=1)[:, :2]).sum(axis=1)
    return read, replace(battles, outcome=outcome)


def test_what_a_form_explains_is_not_taken_for_votes_that_repeat_each_other() -> None:
    found = [
        weights.measure_dependence(*cast(effect), MODELS["davidson"]).prompt_variance
        for effect in (0.0, 0.8)
    ]
    # The taste of two responses to one prompt alone makes votes on it covary by far more.
    assert found[0] < 0.05
    assert 0.3 < found[1] < 0.8


def test_a_users_votes_on_one_prompt_count_by_their_design_effect() -> None:
    read, battles = planted(0.7)
    cluster = battles.user * PROMPTS + battles.prompt
    share = shares(cluster, battles.a, battles.b, np.ones(len(battles)), 0.3)
    by_hand = weights.solve(read, replace(battles, weight=share), MODELS["davidson"])
    found = weights.solve(replace(read, prompt_correlation=0.3), battles, MODELS["davidson"])
    assert found.mode == pytest.approx(by_hand.mode)
    assert found.covariance == pytest.approx(by_hand.covariance)
    assert np.any(np.abs(found.mode - weights.solve(read, battles, MODELS["davidson"]).mode) > 0.05)
