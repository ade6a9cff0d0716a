"""Personas, drawn a block at a time: the planted truth about each simulated user.

Utility of model m's answer to prompt x, in nats:

    U_u(x, m) = s_u * (theta_m + q(x, m)) + w_u . z(x, m) + v_um,   log s_u ~ N(0, (0.3 H)^2)
    w_u = common_taste + archetype_taste_k + personal_sd * eps_u,   eps_u ~ N(0, I)

q, what a response is worth to all, and v, a personal taste for a model, are 0 but where the config
has a spread of them. Where tastes drift, eps_u is redrawn in part before each round:
eps <- sqrt(1 - drift^2) eps + drift N(0, I). The shared parts are planted once a run, in
electorate/population/planted.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from electorate.base.draws import Stream, generator
from electorate.base.scale import Floats, Ints
from electorate.config.population import Population
from electorate.config.run import Config
from electorate.data.features import AXES
from electorate.population.voters import (
    ADVERSARIAL,
    BLOCK,
    CARELESS,
    CONDUCTS,
    SINCERE,
    Casting,
    Users,
)


@dataclass(frozen=True)
class Electorate(Casting):
    """Everything that all personas share; small enough to be sent to every cohort.

    strength: (M,) nats, mean 0. quality: (P, M) nats, what each answer is worth more than its
    model's strength. tie_scale: (P,) what tie thresholds are multiplied by on each prompt. z:
    (P, M, D) standardised measures of each answer.
    prompt_weights: (K, P) each archetype's mix of prompts, rows sum to 1.
    archetype_taste: (K, D) and common_taste: (D,) in nats; personal_sd: (D,) in nats.
    """

    config: Config
    strength: Floats
    quality: Floats
    tie_scale: Floats
    z: Floats
    training_prompts: Ints
    prompt_weights: Floats
    common_taste: Floats
    archetype_taste: Floats
    personal_sd: Floats

    @property
    def population(self) -> Population:
        """The settings of the population."""
        if self.config.population is None:
            raise ValueError("a config without a population plants nobody")
        return self.config.population

    @property
    def models(self) -> int:
        """How many contestants there are, M."""
        return len(self.strength)

    @property
    def decisiveness_sd(self) -> float:
        """Over personas, of the logarithm of how closely they follow strengths."""
        spread = self.config.judge.decisiveness_spread
        return 0.3 * self.population.heterogeneity if spread is None else spread

    @property
    def archetypes(self) -> tuple[str, ...]:
        """Archetype ids, in the order of their indices."""
        return self.config.archetypes

    @property
    def shares(self) -> Floats:
        """(K,) of the archetypes in the population, summing to 1."""
        shares = np.array([a.share for a in self.population.archetypes.values()])
        return shares / shares.sum()

    @property
    def newcomers(self) -> int:
        """How many users there are besides, whose votes nothing is fitted to."""
        settings = self.config.evaluation
        return settings.newcomers if settings.persona is None else 0

    def users_in(self, block: int) -> int:
        """Personas in a block: BLOCK, but for the population's last one. The block after that holds
        newcomers.
        """
        return min(BLOCK, self.size - block * BLOCK) if block < self.blocks else BLOCK


@dataclass(frozen=True)
class Personas(Users):
    """Planted personas as columns. n rows; D taste axes; model_taste: (n, M) nats. conduct:
    SINCERE, CARELESS or ADVERSARIAL.
    """

    strength_scale: Floats
    taste: Floats
    model_taste: Floats
    tie_threshold: Floats
    position_bias: Floats

    def table(self, archetypes: Sequence[str]) -> pa.Table:
        """The columns of personas.parquet."""
        columns = {
            "user_id": pa.array(self.user_id),
            "archetype": pa.DictionaryArray.from_arrays(
                pa.array(self.archetype, pa.int8()), list(archetypes)
            ),
            "strength_scale": pa.array(self.strength_scale, pa.float32()),
            "tie_threshold": pa.array(self.tie_threshold, pa.float32()),
            "position_bias": pa.array(self.position_bias, pa.float32()),
            "conduct": pa.DictionaryArray.from_arrays(
                pa.array(self.conduct, pa.int8()), list(CONDUCTS)
            ),
        }
        tastes = {
            f"taste_{axis}": pa.array(self.taste[:, i], pa.float32()) for i, axis in enumerate(AXES)
        }
        return pa.table(columns | tastes)


def draw_archetypes(electorate: Electorate, block: int) -> Ints:
    """(n,) archetype index of each persona in the block."""
    uniform = generator(electorate.seed, Stream.PERSONAS, block).random(BLOCK)
    edges = np.cumsum(electorate.shares)[:-1]
    return np.searchsorted(edges, uniform, side="right")[: electorate.users_in(block)]


def draw(electorate: Electorate, block: int, round_: int = 0) -> Personas:
    """The personas of a block as they are in a round; the same whatever the population's size,
    as all 4,096 rows are drawn.
    """
    n = electorate.users_in(block)
    archetype = draw_archetypes(electorate, block)
    # round_=1 keeps these draws apart from the archetypes', which are often wanted alone.
    normal = generator(electorate.seed, Stream.PERSONAS, block, 1).standard_normal(
        (BLOCK, len(AXES) + 3)
    )[:n]
    judge = electorate.config.judge
    drift = electorate.population.drift
    own = normal[:, 3:]
    for r in range(1, round_ + 1 if drift else 0):
        fresh = generator(electorate.seed, Stream.DRIFT, block, r).standard_normal(
            (BLOCK, len(AXES))
        )[:n]
        own = np.sqrt(1 - drift**2) * own + drift * fresh
    return Personas(
        user_id=block * BLOCK + np.arange(n),
        archetype=archetype,
        strength_scale=np.exp(electorate.decisiveness_sd * normal[:, 0]),
        taste=electorate.common_taste
        + electorate.archetype_taste[archetype]
        + electorate.personal_sd * own,
        model_taste=_draw_model_taste(electorate, block)[:n],
        tie_threshold=judge.tie_threshold * np.exp(judge.tie_threshold_spread * normal[:, 1]),
        position_bias=judge.position_bias + judge.position_bias_sd * normal[:, 2],
        conduct=_draw_conduct(electorate, block),
    )


def with_taste(personas: Personas, taste: Floats) -> Personas:
    """The same personas with other tastes, (n, D) nats."""
    return replace(personas, taste=taste)


def _draw_model_taste(electorate: Electorate, block: int) -> Floats:
    """(BLOCK, M) nats."""
    spread = electorate.population.model_taste
    shape = (BLOCK, electorate.models)
    if spread == 0:
        return np.zeros(shape)
    drawn: Floats = spread * generator(electorate.seed, Stream.MODEL_TASTE, block).standard_normal(
        shape
    )
    return drawn


def _draw_conduct(electorate: Electorate, block: int) -> Ints:
    n = electorate.users_in(block)
    population = electorate.population
    edges = np.cumsum([population.careless, population.adversarial])
    kind = np.searchsorted(
        edges, generator(electorate.seed, Stream.CONDUCT, block).random(BLOCK)[:n], side="right"
    )
    return np.array([CARELESS, ADVERSARIAL, SINCERE])[kind]
