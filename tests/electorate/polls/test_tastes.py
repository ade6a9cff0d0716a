"""Tastes planted in votes are found again, and none is found where there is none."""

import numpy as np
import pytest

from electorate.base.scale import Floats
from electorate.data.features import AXES
from electorate.polls import tastes
from electorate.polls.tastes import TasteVotes
from electorate.ratings.ties import Davidson

MODELS = 6
SEGMENTS = 3
PERSONAS = 60


def votes(
    own_sd: float, each: int, seed: int = 0, segment_sd: float = 0.6
) -> tuple[TasteVotes, Floats, Floats]:
    """Votes of personas with these tastes; the segments' tastes and each persona's own."""
    random = np.random.default_rng(seed)
    prompts = 60
    z = random.normal(size=(prompts, MODELS, len(AXES)))
    segment_taste = segment_sd * random.normal(size=(SEGMENTS, len(AXES)))
    own = own_sd * random.normal(size=(PERSONAS, len(AXES)))
    strength = 0.5 * random.normal(size=MODELS)
    persona = np.repeat(np.arange(PERSONAS), each)
    prompt = random.integers(prompts, size=len(persona))
    a = random.integers(MODELS, size=len(persona))
    b = (a + random.integers(1, MODELS, size=len(persona))) % MODELS
    contrast = z[prompt, a] - z[prompt, b]
    segment = persona % SEGMENTS
    d = (
        strength[a]
        - strength[b]
        + np.einsum("nd,nd->n", contrast, segment_taste[segment] + own[persona])
    )
    p = Davidson().probabilities(d, np.array(-1.0))
    outcome = (random.random(len(p))[:, None] > p.cumsum(axis=1)).sum(axis=1).clip(max=2)
    split = np.array(["train", "train", "train", "validation", "test"])[prompt % 5]
    return (
        TasteVotes(
            user=persona,
            segment=segment,
            a=a,
            b=b,
            z=contrast,
            p=np.eye(3)[outcome],
            outcome=outcome,
            split=split,
        ),
        segment_taste,
        own,
    )


def test_segments_and_own_tastes_are_recovered() -> None:
    cast, segment_taste, own = votes(own_sd=0.8, each=120)
    fitted = tastes.fit(cast, MODELS, SEGMENTS, PERSONAS)
    assert np.corrcoef(fitted.shared.taste.ravel(), segment_taste.ravel())[0, 1] > 0.8
    assert np.corrcoef(fitted.own.ravel(), own.ravel())[0, 1] > 0.7
    assert fitted.sigma in (0.4, 0.8)
    assert fitted.own_wins
    assert fitted.segment_loss < fitted.strength_loss
    assert "beats its segment's mean" in fitted.verdict()


def test_where_personas_are_alike_no_own_taste_wins() -> None:
    wins = 0
    for seed in range(5):
        fitted = tastes.fit(votes(own_sd=0.0, each=20, seed=seed)[0], MODELS, SEGMENTS, PERSONAS)
        wins += fitted.own_wins
        assert fitted.own_loss - fitted.segment_loss < 0.02
    assert wins <= 1


def test_the_mode_is_where_the_gradient_vanishes() -> None:
    cast, _, _ = votes(own_sd=0.5, each=30)
    of = tastes.shared(cast, MODELS, SEGMENTS)

    def objective(eta: float) -> float:
        moved = tastes.Shared(of.strength, of.taste, eta)
        d = tastes._difference(cast, moved)
        return float(
            Davidson().log_likelihood(d, np.array(eta), cast.outcome).sum() - (eta + 0.5) ** 2 / 8
        )

    assert objective(of.eta) > max(objective(of.eta - 0.05), objective(of.eta + 0.05))


def test_a_population_of_such_personas_has_the_same_spreads() -> None:
    cast, _, _ = votes(own_sd=0.8, each=120)
    fitted = tastes.fit(cast, MODELS, SEGMENTS, PERSONAS)
    z = np.random.default_rng(9).normal(size=(60, MODELS, len(AXES)))
    shares = np.full(SEGMENTS, 1 / SEGMENTS)
    section = tastes.population(fitted, ["s0", "s1", "s2"], shares, z)
    common = shares @ fitted.shared.taste
    between = np.mean([((z @ (taste - common)) ** 2).mean() for taste in fitted.shared.taste])
    within = fitted.sigma**2 * (z**2).sum(axis=-1).mean()
    assert section["archetype_share"] == pytest.approx(between / (between + within), abs=1e-3)
    assert section["heterogeneity"] == pytest.approx(
        min(10, np.sqrt(between + within) / fitted.shared.strength.std()), rel=1e-3
    )
    # What a run makes of it: the segments' tastes beside the personal spread, as fitted.
    rho = section["archetype_share"]
    unit = np.array([list(a["taste"].values()) for a in section["archetypes"].values()])
    ratio = np.sqrt(rho) * unit / np.sqrt(1 - rho)
    assert ratio == pytest.approx((fitted.shared.taste - common) / fitted.sigma, abs=1e-2)


def test_without_own_tastes_all_spread_is_between_segments() -> None:
    fitted = tastes.fit(votes(own_sd=0.0, each=20)[0], MODELS, SEGMENTS, PERSONAS)
    section = tastes.population(
        fitted,
        ["s0", "s1", "s2"],
        np.full(3, 1 / 3),
        np.random.default_rng(9).normal(size=(60, MODELS, len(AXES))),
    )
    if not fitted.own_wins:
        assert section["archetype_share"] == 1.0
