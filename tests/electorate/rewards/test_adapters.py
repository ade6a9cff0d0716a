"""A reward model of each persona's own: it learns what that persona wants, and is pulled back to
everybody's.
"""

import numpy as np
import pytest
import torch

from electorate.config.reward import Reward
from electorate.ratings.ties import MODELS
from electorate.rewards import adapters, weights
from electorate.rewards.weights import Read
from tests.electorate.rewards.test_training import PROMPTS, Training, training, votes

SETTINGS = Reward(model="unused", layers=0, counter_rate=5e-3, lambda_reg=300.0)
USERS = 6


def trained() -> Training:
    job = training(votes(heterogeneity=2.5), ("pooled_rm",))
    for _ in range(4):
        job.epoch()
    return job


def test_a_personas_own_model_predicts_its_votes_better_than_everybodys() -> None:
    job = trained()
    battles = job._corpus.battles.of_users(0, USERS)
    before = {n: p.detach().clone() for n, p in job.network.named_parameters()}
    known, unseen = (
        battles.take(np.flatnonzero((battles.prompt < PROMPTS // 2) == early))
        for early in (True, False)
    )
    found = adapters.adapt(job.network, job._corpus.answers, known, SETTINGS, "davidson")
    everybodys = job.reads()["pooled_rm"]
    own = [unseen.of_users(u, u + 1) for u in range(USERS)]
    ours, theirs = (
        sum(
            weights.log_likelihood(read, votes_, None, MODELS["davidson"]).sum()
            for read, votes_ in zip(reads, own, strict=True)
        )
        for reads in (
            [Read(base[None], np.array([found.eta])) for base in found.base],
            [everybodys] * USERS,
        )
    )
    assert ours / len(unseen) > theirs / len(unseen) + 0.05
    assert all(torch.equal(p, before[n]) for n, p in job.network.named_parameters())


def test_the_pull_holds_it_back() -> None:
    job = trained()
    own = job._corpus.battles.of_users(0, 1)
    answers = job._corpus.answers
    free, held, tight = (
        adapters._tuned(job.network, answers, own, SETTINGS, pull, "davidson").base
        for pull in (0.01, 1.0, 1e4)
    )
    everybodys = job.reads()["pooled_rm"].base
    moved = [np.abs(own_base - everybodys).max() for own_base in (tight, held, free)]
    assert moved[0] < 0.05 < moved[1] < moved[2]


def test_a_persona_without_votes_has_everybodys() -> None:
    job = trained()
    nobody = job._corpus.battles.take(np.zeros(0, dtype=np.int64)).of_users(0, 2)
    found = adapters.adapt(job.network, job._corpus.answers, nobody, SETTINGS, "davidson")
    assert found.base == pytest.approx(np.tile(job.reads()["pooled_rm"].base, (2, 1)), abs=1e-6)


def test_an_adapted_layer_is_measured_by_its_own_weight() -> None:
    """|alpha/r (B A - B0 A0)|^2, not the factors' own distance: (2 B, A / 2) is the same layer."""
    a = torch.randn(2, 5)
    b = torch.randn(4, 2)
    start = {"encoder.x.lora_A.w": a, "encoder.x.lora_B.w": b}
    same = {"encoder.x.lora_A.w": a / 2, "encoder.x.lora_B.w": 2 * b}
    assert float(adapters._moved(same, start)) == pytest.approx(0.0, abs=1e-9)
    moved = start | {"encoder.x.lora_B.w": b + 1}
    assert float(adapters._moved(moved, start)) == pytest.approx(
        float((2 * torch.ones(4, 2) @ a).square().sum())
    )
    assert float(adapters._moved({"base": a + 1}, {"base": a})) == pytest.approx(a.numel())
