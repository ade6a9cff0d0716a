"""Personas, drawn a block at a time: the planted truth about each simulated user.

Utility of model m's answer to prompt x, in nats:

    U_u(x, m) = s_u * theta_m + w_u . z(x, m),   log s_u ~ N(0, (0.3 H)^2)
    w_u = common_taste + archetype_taste_k + personal_sd * eps_u,   eps_u ~ N(0, I)

Where tastes drift, eps_u is redrawn in part before each round: eps <- sqrt(1 - drift^2) eps + drift N(0, I).
The shared parts are planted once a run, in electorate/founding.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa

from electorate.config import Config, Population
from electorate.draws import Stream, generator
from electorate.errors import ElectorateError
from electorate.features import AXES
from electorate.scale import Floats, Ints

BLOCK = 4096
SINCERE, CARELESS, ADVERSARIAL = 0, 1, 2
CONDUCTS = ("sincere", "careless", "adversarial")


@dataclass(frozen=True)
class Electorate:
    """Everything that all personas share; small enough to be sent to every cohort.

    strength: (M,) nats, mean 0. z: (P, M, D) standardised measures of each answer.
    prompt_weights: (K, P) each archetype's mix of prompts, rows sum to 1.
    archetype_taste: (K, D) and common_taste: (D,) in nats; personal_sd: (D,) in nats.
    """

    config: Config
    strength: Floats
    z: Floats
    training_prompts: Ints
    prompt_weights: Floats
    common_taste: Floats
    archetype_taste: Floats
    personal_sd: Floats

    @property
    def seed(self) -> int:
        """Of every draw."""
        return self.config.seed

    @property
    def population(self) -> Population:
        """Who votes."""
        return self.config.population

    @property
    def blocks(self) -> int:
        """How many blocks of BLOCK persona ids the population fills."""
        return -(-self.population.size // BLOCK)

    @property
    def archetypes(self) -> tuple[str, ...]:
        """Archetype ids, in the order of their indices."""
        return tuple(self.population.archetypes)

    def users_in(self, block: int) -> int:
        """Personas in a block: BLOCK, but for the population's last one. The block after that holds newcomers."""
        return min(BLOCK, self.population.size - block * BLOCK) if block < self.blocks else BLOCK


@dataclass(frozen=True)
class Personas:
    """The personas of one block as columns. n rows; D taste axes. conduct: SINCERE, CARELESS or ADVERSARIAL."""

    user_id: Ints
    archetype: Ints
    strength_scale: Floats
    taste: Floats
    tie_threshold: Floats
    position_bias: Floats
    conduct: Ints

    def __len__(self) -> int:
        return len(self.user_id)

    def take(self, rows: Ints) -> "Personas":
        """The personas at these rows of the block."""
        return Personas(*(getattr(self, field.name)[rows] for field in fields(self)))

    def table(self, archetypes: Sequence[str]) -> pa.Table:
        """The columns of personas.parquet."""
        columns = {
            "user_id": pa.array(self.user_id),
            "archetype": pa.DictionaryArray.from_arrays(pa.array(self.archetype, pa.int8()), list(archetypes)),
            "strength_scale": pa.array(self.strength_scale, pa.float32()),
            "tie_threshold": pa.array(self.tie_threshold, pa.float32()),
            "position_bias": pa.array(self.position_bias, pa.float32()),
            "conduct": pa.DictionaryArray.from_arrays(pa.array(self.conduct, pa.int8()), list(CONDUCTS)),
        }
        tastes = {f"taste_{axis}": pa.array(self.taste[:, i], pa.float32()) for i, axis in enumerate(AXES)}
        return pa.table(columns | tastes)


def draw_archetypes(electorate: Electorate, block: int) -> Ints:
    """(n,) archetype index of each persona in the block."""
    uniform = generator(electorate.seed, Stream.PERSONAS, block).random(BLOCK)
    shares = np.array([a.share for a in electorate.population.archetypes.values()])
    edges = np.cumsum(shares / shares.sum())[:-1]
    return np.searchsorted(edges, uniform, side="right")[: electorate.users_in(block)]


def draw(electorate: Electorate, block: int, round_: int = 0) -> Personas:
    """The personas of a block as they are in a round; the same whatever the population's size, as all 4,096 rows are drawn."""
    n = electorate.users_in(block)
    archetype = draw_archetypes(electorate, block)
    # round_=1 keeps these draws apart from the archetypes', which are often wanted alone.
    normal = generator(electorate.seed, Stream.PERSONAS, block, 1).standard_normal((BLOCK, len(AXES) + 3))[:n]
    judge, drift = electorate.config.judge, electorate.population.drift
    own = normal[:, 3:]
    for r in range(1, round_ + 1 if drift else 0):
        fresh = generator(electorate.seed, Stream.DRIFT, block, r).standard_normal((BLOCK, len(AXES)))[:n]
        own = np.sqrt(1 - drift**2) * own + drift * fresh
    return Personas(
        user_id=block * BLOCK + np.arange(n),
        archetype=archetype,
        strength_scale=np.exp(0.3 * electorate.population.heterogeneity * normal[:, 0]),
        taste=electorate.common_taste + electorate.archetype_taste[archetype] + electorate.personal_sd * own,
        tie_threshold=judge.tie_threshold * np.exp(judge.tie_threshold_spread * normal[:, 1]),
        position_bias=judge.position_bias_sd * normal[:, 2],
        conduct=_draw_conduct(electorate, block),
    )


def _draw_conduct(electorate: Electorate, block: int) -> Ints:
    n, population = electorate.users_in(block), electorate.population
    edges = np.cumsum([population.careless, population.adversarial])
    kind = np.searchsorted(edges, generator(electorate.seed, Stream.CONDUCT, block).random(BLOCK)[:n], side="right")
    return np.array([CARELESS, ADVERSARIAL, SINCERE])[kind]


def compared(electorate: Electorate) -> Ints:
    """Ids, ascending, of the personas that systems are compared on: a sample drawn from the seed without replacement,
    or the first persona of one archetype.
    """
    settings, size = electorate.config.evaluation, electorate.population.size
    if settings.persona is not None:
        return np.array([_first_of(electorate, electorate.archetypes.index(settings.persona))])
    if settings.users >= size:
        return np.arange(size)
    random = generator(electorate.seed, Stream.EVALUATION_USERS)
    return np.sort(random.choice(size, settings.users, replace=False, shuffle=False))


def newcomers(electorate: Electorate) -> Ints:
    """Ids, ascending, of personas past the population, who cast no vote that anything is fitted to; none beside one persona alone."""
    settings = electorate.config.evaluation
    return electorate.blocks * BLOCK + np.arange(settings.newcomers if settings.persona is None else 0)


def _first_of(electorate: Electorate, archetype: int) -> int:
    for block in range(electorate.blocks):
        rows = np.flatnonzero(draw_archetypes(electorate, block) == archetype)
        if len(rows):
            return int(block * BLOCK + rows[0])
    name = electorate.archetypes[archetype]
    raise ElectorateError(f"evaluation.persona: none of the {electorate.population.size} personas is a {name}; raise population.size")


def draw_users(electorate: Electorate, user_id: Ints, round_: int = 0) -> Personas:
    """The personas with these ids, ascending, as they are in a round."""
    blocks = [draw(electorate, block, round_).take(user_id[user_id // BLOCK == block] % BLOCK) for block in np.unique(user_id // BLOCK)]
    return Personas(**{f.name: np.concatenate([getattr(block, f.name) for block in blocks]) for f in fields(Personas)})


def wrong_labels(electorate: Electorate, block: int, share: float = 0.2) -> Ints:
    """(n,) archetype labels of which `share` are replaced by another archetype's, drawn evenly."""
    labels = draw_archetypes(electorate, block)
    kinds = len(electorate.archetypes)
    random = generator(electorate.seed, Stream.WRONG_LABELS, block)
    wrong = random.random(BLOCK)[: len(labels)] < share
    moved = random.integers(1, max(2, kinds), BLOCK)[: len(labels)]
    return np.where(wrong, (labels + moved) % kinds, labels)
