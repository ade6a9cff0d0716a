"""What a prompt tells of answers nobody has written yet: planted, beside brute force."""

import numpy as np
import pytest

from electorate.ratings.ties import MODELS
from electorate.rewards import prompt_head
from electorate.rewards.prompt_head import distil
from electorate.rewards.systems import Personal, Pooled
from electorate.rewards.weights import PersonalRead, Read, Weights

PROMPTS = 120
MODELS_ = 4
RANK = 2
KINDS = 3
WIDTH = 6
TRAIN = np.arange(0, 80)


def planted(noise: float, seed: int = 0) -> tuple[np.ndarray, PersonalRead]:
    """(P, F) prompts, and a form whose answers hang on them, but for noise."""
    random = np.random.default_rng(seed)
    g = random.normal(size=(PROMPTS, WIDTH)) * np.logspace(-2, 2, WIDTH) + 5
    x = (g - g.mean(axis=0)) / g.std(axis=0)
    base = np.einsum("pf,fkm->kpm", x, random.normal(size=(WIDTH, KINDS, MODELS_))) + random.normal(
        size=MODELS_
    )
    taste = np.einsum("pf,fmr->pmr", x, random.normal(size=(WIDTH, MODELS_, RANK))) + random.normal(
        size=(MODELS_, RANK)
    )
    base = base + noise * random.normal(size=base.shape)
    taste = taste + noise * random.normal(size=taste.shape)
    return g, PersonalRead(
        base.reshape(KINDS, -1),
        np.zeros(KINDS),
        taste.reshape(-1, RANK),
        np.zeros((KINDS, RANK)),
        0.2,
        0.3,
        0.4,
        MODELS_,
    )


def test_what_hangs_on_the_prompt_is_told_of_unseen_prompts() -> None:
    g, teacher = planted(noise=0.0)
    told = distil(g, TRAIN, teacher).read(g, teacher)
    assert told.base == pytest.approx(teacher.base, abs=0.3)
    assert told.taste == pytest.approx(teacher.taste, abs=0.3)
    assert np.abs(told.unsaid).max() < 0.01
    assert (told.tau, told.eta_sd, told.models) == (teacher.tau, teacher.eta_sd, teacher.models)


def test_what_it_does_not_tell_is_known_to_be_missing() -> None:
    g, teacher = planted(noise=0.7)
    told = distil(g, TRAIN, teacher).read(g, teacher)
    assert told.unsaid == pytest.approx(
        np.broadcast_to(0.49 * np.eye(RANK + 1), told.unsaid.shape), abs=0.25
    )
    unseen = np.arange(80, PROMPTS)[:, None] * MODELS_ + np.arange(MODELS_)
    left = (teacher.base - told.base)[:, unseen]
    left -= left.mean(axis=2, keepdims=True)
    missed = (left**2).sum(axis=(1, 2)) / (len(unseen) * (MODELS_ - 1))
    assert missed.mean() == pytest.approx(told.unsaid[:, 0, 0].mean(), rel=0.25)


def test_nothing_is_told_where_there_is_nothing_to_tell() -> None:
    """Pure noise is shrunk to the models' means."""
    random = np.random.default_rng(1)
    (g, teacher) = planted(0.0)
    noise = random.normal(size=teacher.base.shape)
    told = distil(g, TRAIN, Read(noise, teacher.eta)).read(g, Read(noise, teacher.eta))
    by_model = told.base.reshape(KINDS, PROMPTS, MODELS_)
    assert by_model.std(axis=1).max() < 0.25


def test_more_columns_than_prompts_do_not_fool_it() -> None:
    """A prompt read as more numbers than there are prompts can be fitted to the last digit, and
    tells nothing by it.
    """
    random = np.random.default_rng(3)
    (_, teacher) = planted(0.0)
    g = random.normal(size=(PROMPTS, 300))
    noise = random.normal(size=teacher.base.shape)
    told = distil(g, TRAIN, Read(noise, teacher.eta)).read(g, Read(noise, teacher.eta))
    unseen = told.base.reshape(KINDS, PROMPTS, MODELS_)[:, 80:]
    assert unseen.std(axis=1).max() < 0.3
    x = random.normal(size=(30, 60))
    y = random.normal(size=(30, 2))
    x -= x.mean(axis=0)
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    missed = prompt_head._left_out(u, s, u.T @ (y - y.mean(axis=0)), y - y.mean(axis=0), 1e-3)
    assert (missed**2).mean() > 0.5


def test_leave_one_out_is_what_leaving_out_gives() -> None:
    random = np.random.default_rng(2)
    x = random.normal(size=(30, 5))
    y = random.normal(size=(30, 2))
    x -= x.mean(axis=0)
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    y0 = y - y.mean(axis=0)
    missed = prompt_head._left_out(u, s, u.T @ y0, y0, 3.0)
    for i in range(30):
        rest = np.arange(30) != i
        # The constant is not penalised.
        design = np.column_stack([x[rest], np.ones(29)])
        solved = np.linalg.solve(design.T @ design + np.diag([3.0] * 5 + [0.0]), design.T @ y[rest])
        assert missed[i] == pytest.approx(y[i] - np.append(x[i], 1.0) @ solved, abs=1e-9)


def test_a_ranking_from_the_prompt_is_less_sure_than_one_from_the_answers() -> None:
    g, teacher = planted(noise=1.0)
    told = distil(g, TRAIN, teacher).read(g, teacher)
    archetype = np.arange(KINDS)
    size = RANK + 1 + MODELS_ + 1
    mix = np.full((KINDS, PROMPTS), 1 / PROMPTS)
    own = Weights(
        np.full((KINDS, size), 0.3), np.broadcast_to(1e3 * np.eye(size), (KINDS, size, size)).copy()
    )
    as_if_read = PersonalRead(
        told.base, told.eta, told.taste, told.mean, told.side, told.tau, told.eta_sd, told.models
    )
    sure, unsure = (
        Personal(read, archetype, mix, own, MODELS["davidson"]).on(100)
        for read in (as_if_read, told)
    )
    assert np.array_equal(sure.strength, unsure.strength)
    decided = sure.odds[..., :2].max(axis=2)
    assert np.all(unsure.odds[..., :2].max(axis=2)[decided > 0.9] < decided[decided > 0.9])
    assert (decided > 0.9).any()
    assert unsure.odds.sum(axis=2) == pytest.approx(np.ones(unsure.odds.shape[:2]))
    one = Pooled(told, archetype, mix, MODELS["davidson"]).overall
    assert one == pytest.approx(
        Pooled(teacher, archetype, mix, MODELS["davidson"]).overall, abs=0.6
    )
