"""The planted electorate: the truth that all personas share, from the config, the prompts and
the responses.

    w_u = common + scale * (sqrt(rho) * mu_k + sqrt(1 - rho) * eps_u)

with mu_k the archetype's taste and eps_u ~ N(0, I) on the axes personas differ on, and scale such
that the personal part's sd over users and within-prompt answers is H times the sd of the models'
strength theta.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy.stats import norm

from electorate.base.draws import Stream, generator
from electorate.base.errors import ElectorateError
from electorate.base.pairs import pair_indices
from electorate.base.scale import Floats, Ints, to_nats
from electorate.config.population import Population
from electorate.config.run import Config
from electorate.data import arena, run_files
from electorate.data.features import AXES
from electorate.data.prompts import SPLITS, PromptSet
from electorate.population import judges, personas
from electorate.population.pairing import Pairs
from electorate.population.personas import Electorate, Personas
from electorate.population.voters import PromptTruth, Users
from electorate.storage.run_folder import RunFolder

JUDGE = "taste"  # what the vote log says cast the votes
PLANTED_STRENGTH_SD = to_nats(70.0)
# What people on the Chatbot Arena reward in style, in nats a standard deviation
# (the style-control regression of Li, Angelopoulos and Chiang, 2024).
COMMON_TASTE = {"length": 0.249, "headers": 0.024, "lists": 0.031, "bold": 0.019}


@dataclass(frozen=True)
class Planted(Electorate):
    """The planted electorate as the voters of a run; see electorate/population/voters.py."""

    def archetype_of(self, block: int) -> Ints:
        """(n,) the archetype of each user of a block."""
        return personas.draw_archetypes(self, block)

    def block(self, block: int, round_: int = 0) -> Personas:
        """The users of a block as they are in a round."""
        return personas.draw(self, block, round_)

    def ballots(self, round_: int, block: int, chosen: Pairs | None = None) -> pa.Table:
        """A block's votes of one round as columns of the vote log."""
        drawn = self.block(block, round_)
        first, votes = self.steps(round_)
        of = judges.vote(self, drawn, block, round_, votes, chosen)
        return of.table(drawn.user_id, first, JUDGE)

    def personas_table(self, block: int) -> pa.Table:
        """A block's rows of personas.parquet."""
        return self.block(block).table(self.archetypes)

    def truths(self, users: Users, prompts: Ints) -> Iterator[PromptTruth]:
        """What these users would do on each of these prompts in turn. All prompts at once may not
        fit in memory.
        """
        drawn = _planted(users)
        a, b = pair_indices(self.models)
        for prompt in prompts:
            utility = judges.utilities(self, drawn, np.array([prompt]))[:, 0]
            difference = utility[:, a] - utility[:, b]
            odds = judges.expected_probabilities(self, drawn, difference, int(prompt))
            yield PromptTruth(utility, odds)

    def truth_prompts(self, test: Ints) -> Ints:
        """Those of the test prompts that `truths` knows."""
        return test

    def overall(self, users: Users) -> Floats:
        """(n, M) utility of each contestant over all of a user's prompts, in logits."""
        return judges.mean_utilities(self, _planted(users))

    def overall_of_all(self, users: Users) -> Floats:
        """The same where it is known of every voter; else None."""
        return self.overall(users)


def _planted(users: Users) -> Personas:
    if not isinstance(users, Personas):
        raise TypeError("users without planted tastes")
    return users


def of_run(folder: RunFolder) -> Planted:
    """The electorate of a run whose answers are in: from its config, prompts and features alone."""
    config = run_files.read_config(folder)
    prompts = run_files.read_prompts(folder)
    z = run_files.read_features(folder, len(prompts), config.contestant_names)
    return plant(config, prompts, z)


def check(config: Config) -> None:
    """ElectorateError if the config names a model or a taste axis that does not exist, before
    anything is asked.
    """
    plant_strength(config)
    population = _population(config)
    named: dict[str, Collection[str]] = {
        f"population.archetypes.{name}.taste": archetype.taste
        for name, archetype in population.archetypes.items()
    }
    for where, taste in (
        named
        | {
            "population.common_taste": population.common_taste or {},
            "population.axes": population.axes or (),
        }
    ).items():
        for axis in taste:
            if axis not in AXES:
                raise ElectorateError(
                    f"{where}: {axis!r} is not a taste axis; allowed are {', '.join(AXES)}"
                )


def _population(config: Config) -> Population:
    if config.population is None:
        raise ValueError("a config without a population plants nobody")
    return config.population


def plant(config: Config, prompts: PromptSet, z: Floats) -> Planted:
    """Plant the truth that all personas share, from the config's seed and the answers' measures
    z (P, M, D).
    """
    population = _population(config)
    strength = plant_strength(config)
    common = COMMON_TASTE if population.common_taste is None else population.common_taste
    archetypes = list(population.archetypes)
    shares = np.array([a.share for a in population.archetypes.values()])
    shares = shares / shares.sum()
    differ = np.array([float(population.axes is None or axis in population.axes) for axis in AXES])
    taste = differ * _archetype_tastes(population, shares, config.seed)
    rho = population.archetype_share
    # Second moment of the personal taste over users, then of its utility over answers.
    moment = rho * np.einsum("k,kd,ke->de", shares, taste, taste) + (1 - rho) * np.diag(differ)
    spread = np.sqrt(np.einsum("pmd,de,pme->pm", z, moment, z).mean())
    scale = population.heterogeneity * strength.std() / spread if spread > 0 else 0.0
    return Planted(
        config=config,
        strength=strength,
        quality=_answer_quality(config, z.shape[:2]),
        tie_scale=_tie_scale(config, len(z)),
        z=z,
        training_prompts=prompts.ids("train"),
        prompt_weights=_prompt_weights(population, prompts, archetypes),
        common_taste=np.array([common.get(axis, 0.0) for axis in AXES]),
        archetype_taste=scale * np.sqrt(rho) * taste,
        personal_sd=scale * np.sqrt(1 - rho) * differ,
    )


def plant_strength(config: Config) -> Floats:
    """(M,) strengths in nats with mean 0: as the config has them, else the Arena's style-controlled
    rating, or a draw where it has none.
    """
    if config.population is not None and config.population.strength is not None:
        return _given_strength(config, config.population.strength)
    rated = arena.ratings([c.arena_name for c in config.contestants], "style_control")
    drawn = PLANTED_STRENGTH_SD * generator(config.seed, Stream.PLANTED_STRENGTH).standard_normal(
        len(rated)
    )
    known = ~np.isnan(rated)
    centre = rated[known].mean() if known.any() else 0.0
    strength = np.where(known, (rated - centre) * to_nats(1.0), drawn)
    centred: Floats = strength - strength.mean()
    return centred


def _given_strength(config: Config, given: Mapping[str, float]) -> Floats:
    """(M,) the strengths that the config has, about their mean."""
    names = config.contestant_names
    if missing := [name for name in names if name not in given]:
        raise ElectorateError(
            f"population.strength: lacks the contestant {missing[0]!r}; each needs a value, "
            "or null for the Chatbot Arena's"
        )
    strength = np.array([given[name] for name in names])
    return strength - strength.mean()


def _answer_quality(config: Config, shape: tuple[int, ...]) -> Floats:
    """(P, M) nats; of each contestant's 0 on average, as its strength is what they have in
    common.
    """
    spread = _population(config).answer_quality
    if spread == 0:
        return np.zeros(shape)
    drawn = generator(config.seed, Stream.ANSWER_QUALITY).standard_normal(shape)
    about = drawn - drawn.mean(axis=0)
    scaled: Floats = spread * about * np.sqrt(shape[0] / max(1, shape[0] - 1))
    return scaled


def _tie_scale(config: Config, prompts: int) -> Floats:
    """(P,) what tie thresholds are multiplied by: even quantiles of a log-normal in a random order,
    so that few prompts have as many ties as many.
    """
    spread = config.judge.tie_threshold_of_prompts
    if spread == 0:
        return np.ones(prompts)
    order = generator(config.seed, Stream.TIES_OF_PROMPTS).permutation(prompts)
    scale: Floats = np.exp(spread * norm.ppf((order + 0.5) / prompts))
    return scale


def _archetype_tastes(population: Population, shares: Floats, seed: int) -> Floats:
    """(K, D) with share-weighted mean 0; axes the config names are as it says, the rest are
    drawn.
    """
    taste = generator(seed, Stream.ARCHETYPE_TASTE).standard_normal((len(shares), len(AXES)))
    for k, archetype in enumerate(population.archetypes.values()):
        for axis, value in archetype.taste.items():
            taste[k, AXES.index(axis)] = value
    return taste - shares @ taste


def _prompt_weights(population: Population, prompts: PromptSet, archetypes: list[str]) -> Floats:
    """(K, P): `prompt_focus` of an archetype's weight on its own prompts, the rest even over all of
    them.

    The focus fades with heterogeneity below 1: personas who do not differ ask the same things.
    """
    focus = population.prompt_focus * min(1.0, population.heterogeneity)
    used = np.array([split in SPLITS for split in prompts.split], dtype=float)
    own = (
        np.array([[float(of == archetype) for of in prompts.archetype] for archetype in archetypes])
        * used
    )
    # An archetype without prompts of its own asks all of them evenly.
    own = np.where(own.any(axis=1, keepdims=True), own, used)
    own /= own.sum(axis=1, keepdims=True)
    weights: Floats = focus * own + (1 - focus) * used / used.sum()
    return weights
