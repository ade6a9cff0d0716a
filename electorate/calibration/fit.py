"""A planted population fitted to people's votes, so that simulated voters agree, tie and repeat as
they do.

By indirect inference (Gourieroux, Monfort and Renault, 1993): the variance components of
electorate/calibration/moments.py, the share of ties and the spread of ratings are measured on
people's votes and on votes that planted personas cast on the same battles, and the population's
parameters are moved until both come out equal. So what the approximation gets wrong is wrong on
both sides.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from electorate.base.draws import Stream, generator
from electorate.base.scale import Floats, Ints
from electorate.calibration import moments, statistics
from electorate.calibration.design import Design
from electorate.calibration.moments import COMPONENTS, Global
from electorate.config import config_file
from electorate.config.run import Config
from electorate.data.features import AXES
from electorate.data.prompts import NOBODYS, PromptSet
from electorate.polls import tastes
from electorate.population import judges, personas, planted
from electorate.population.pairing import Pairs

PASSES = 10
SIMULATIONS = 20  # a pass, with the same draws in each
CHECKED = 40  # simulations that intervals come from
WIDEST = 9.0  # of variances, and of the mean bias for the answer shown first
NEAR = 0.5  # of a simulation's sd in every measure: what people's votes cannot tell apart
LEAST_SD = 1e-6
DAMPED = 0.7  # of a step, as parameters move each other's measures
_OF = {name: i for i, name in enumerate(COMPONENTS)}
# The places of the measures after the components.
SPREAD = len(COMPONENTS)
TIES = SPREAD + 1
POSITION = TIES + 1


# What is told of each component of a fit.
TOLD = {
    "model_taste": "taste for models as such, sd over voters in logits",
    "tastes": "taste for a measure of style, sd over voters in logits a standard deviation",
    "decisiveness": "how closely voters follow strengths, sd of the logarithm",
    "answer_quality": "what a response is worth to all beside its model, sd in logits",
    "tie_threshold": "tie thresholds, sd of the logarithm over voters",
    "ties_of_prompts": "tie thresholds, sd of the logarithm over prompts",
    "position": "bias for the answer shown first, sd over voters in logits",
}


@dataclass(frozen=True)
class Parameters:
    """Of a population.

    Attributes:
        variances: (len(COMPONENTS),); decisiveness is of the logarithm.
        scale: of strengths and common tastes over the global fit's.
        threshold: median half-width of the tie zone, in logits; 0: nobody ties.
        position: mean bias for the answer shown first, in logits.
    """

    variances: Floats
    scale: float
    threshold: float
    position: float = 0.0


@dataclass(frozen=True)
class Calibrated:
    """A fitted population.

    Attributes:
        mean, sd: of every measure over simulations, in the order of `_measures`.
        at: the global fit of people's votes.
        axes: places of the taste axes that users differ on.
        people: (len(statistics.NAMES),) of people's votes.
        simulated: (CHECKED, len(statistics.NAMES)) of votes by planted personas.
        taste: (K, D) mean tastes of the archetypes, in logits.
    """

    parameters: Parameters
    mean: Floats
    sd: Floats
    at: Global
    axes: Ints
    people: Floats
    simulated: Floats
    taste: Floats

    def value(self, component: str) -> float:
        """The standard deviation of one of COMPONENTS."""
        return float(np.sqrt(self.parameters.variances[_OF[component]]))

    def interval(self, component: str) -> tuple[float, float]:
        """Its 95% interval, by how much the measure it was fitted to varies over simulations: the
        two grow in proportion.
        """
        place = _OF[component]
        variance = float(self.parameters.variances[place])
        mean = float(self.mean[place])
        if mean <= 0 or variance == 0:
            return 0.0, float(np.sqrt(variance + 1.96 * self.sd[place]))
        relative = 1.96 * float(self.sd[place]) / mean
        low = variance * max(0.0, 1 - relative)
        return float(np.sqrt(low)), float(np.sqrt(variance * (1 + relative)))

    @property
    def position_interval(self) -> tuple[float, float]:
        """The 95% interval of the mean bias for the answer shown first."""
        position = self.parameters.position
        half = 1.96 * float(self.sd[POSITION])
        return position - half, position + half

    @property
    def distance(self) -> float:
        """By how much simulated voters are off; see statistics.distance."""
        return statistics.distance(self.people, self.simulated)


def fit(design: Design, advance: Callable[[], None] = lambda: None) -> Calibrated:
    """The population that votes most like these people.

    advance: called after each of at most PASSES passes, and after the last simulations.
    """
    at = moments.shared(design)
    axes = moments.telling_axes(design, at)
    kernel = moments.kernels(design, at, axes)
    wanted = _measures(design, at, kernel)
    people = statistics.measure(design, at)
    taste = _tastes(design, at)
    parameters = _first(design, at, wanted)

    def simulate(parameters: Parameters, seeds: Sequence[int]) -> tuple[Floats, Floats]:
        config = population_config(design, at, taste, axes, parameters)
        both = [_measured(design, config, seed, kernel) for seed in seeds]
        return np.array([one for one, _ in both]), np.array([other for _, other in both])

    best = parameters
    lowest = np.inf
    for _ in range(PASSES):
        found, seen = simulate(parameters, range(1, 1 + SIMULATIONS))
        advance()
        off = _off(wanted, found)
        unlike = float(np.nansum(off**2) + np.nansum(_off(people, seen) ** 2))
        if unlike < lowest:
            best = parameters
            lowest = unlike
        if (np.abs(off) <= NEAR).all():
            break
        parameters = _moved(parameters, wanted, found.mean(axis=0))
    seeds = range(1 + SIMULATIONS, 1 + SIMULATIONS + CHECKED)
    found, seen = simulate(best, seeds)
    advance()
    return Calibrated(best, found.mean(axis=0), found.std(axis=0), at, axes, people, seen, taste)


def population_config(
    design: Design, at: Global, taste: Floats, axes: Ints, parameters: Parameters
) -> Config:
    """A run's config whose planted voters are as these parameters say, and as many as the
    design's.
    """
    content = sections(design, at, taste, axes, parameters)
    content["population"]["size"] = design.users
    models = {"m": {"engine": "recorded", "responses": "responses.parquet"}}
    # Names of the file may be such as no config takes; places always are.
    names = [f"m{i}" for i in range(len(design.models))]
    strength = dict(zip(names, content["population"]["strength"].values(), strict=True))
    content["population"]["strength"] = strength
    contestants = [{"name": name, "model": "m"} for name in names]
    prompts = {"source": "recorded", "per_archetype": None}
    whole = content | {"models": models, "contestants": contestants, "prompts": prompts}
    return config_file.validated(Config, whole, "calibration")


def sections(
    design: Design, at: Global, taste: Floats, axes: Ints, parameters: Parameters
) -> dict[str, Any]:
    """The sections `population` and `judge` of a config, but for the population's size."""
    strength = parameters.scale * at.strength
    v = np.sqrt(np.maximum(parameters.variances, 0.0))
    shares = np.bincount(design.archetype, minlength=len(design.archetypes)) / design.users
    sigma = float(v[_OF["tastes"]])
    tasting = tastes.section(
        strength, parameters.scale * taste, sigma, axes, design.archetypes, shares, design.z
    )
    population = {
        **tasting,
        "axes": [AXES[k] for k in axes],
        "prompt_focus": 0.0,
        "model_taste": round(float(v[_OF["model_taste"]]), 4),
        "answer_quality": round(float(v[_OF["answer_quality"]]), 4),
        "strength": {
            name: round(float(value), 4)
            for name, value in zip(design.models, strength, strict=True)
        },
    }
    judge = {
        "decisiveness": 1.0,
        "decisiveness_spread": round(float(v[_OF["decisiveness"]]), 4),
        "tie_threshold": round(parameters.threshold, 4),
        "tie_threshold_spread": round(float(v[_OF["tie_threshold"]]), 4),
        "tie_threshold_of_prompts": round(float(v[_OF["ties_of_prompts"]]), 4),
        "position_bias": round(parameters.position, 4),
        "position_bias_sd": round(float(v[_OF["position"]]), 4),
        "lapse_rate": 0.0,
    }
    return {"population": population, "judge": judge}


def cast(design: Design, config: Config, seed: int) -> Design:
    """The design's battles with the votes of planted personas, one for each user."""
    prompts = (NOBODYS,) * len(design.prompts)
    asked = PromptSet(prompts, prompts, prompts, ("train",) * len(prompts))
    voters = planted.plant(config.model_copy(update={"seed": seed}), asked, design.z)
    drawn = personas.draw(voters, 0)
    taste = drawn.taste + voters.archetype_taste[design.archetype]
    taste -= voters.archetype_taste[drawn.archetype]
    random = generator(seed, Stream.CALIBRATION, 1)
    either = random.integers(0, 2, len(design))
    first = np.where(design.first_shown >= 0, design.first_shown, either)
    of_vote = drawn.take(design.user)
    rows = np.arange(len(design))[:, None]
    pairs = Pairs(design.a[:, None], design.b[:, None], first[:, None])
    with_taste = personas.with_taste(of_vote, taste[design.user])
    _, odds = judges.on_battles(voters, with_taste, design.prompt[:, None], pairs)
    luck = random.random(len(design))[:, None]
    outcome = (luck > odds[rows[:, 0], 0].cumsum(axis=1)[:, :2]).sum(axis=1)
    return design.with_outcome(outcome)


def _off(people: Floats, simulated: Floats) -> Floats:
    """By how many of a simulation's sd the simulations (n, ...) are off on average."""
    off: Floats = (simulated.mean(axis=0) - people) / (simulated.std(axis=0) + LEAST_SD)
    return off


def _measured(
    design: Design, config: Config, seed: int, kernel: moments.Kernels
) -> tuple[Floats, Floats]:
    votes = cast(design, config, seed)
    at = moments.shared(votes)
    return _measures(votes, at, kernel), statistics.measure(votes, at)


def _measures(design: Design, at: Global, kernel: moments.Kernels) -> Floats:
    """What is made equal: the variance components, with decisiveness as users' own coefficients
    have it and answers' quality as voters' agreement has it, the spread of ratings, the share of
    ties, and the mean bias for the answer shown first.
    """
    components = moments.components(design, at, kernel)
    agreed = statistics.decisive_agreement(design)
    if not np.isnan(agreed):
        # What two voters agree on more than chance has it, which tastes move less than the moment.
        components[_OF["answer_quality"]] = agreed - 0.5
    components[_OF["decisiveness"]] = moments.closeness_spread(design, at)
    tied = float((design.outcome == 2).mean())
    return np.array([*components, float(at.strength.std()), tied, at.position])


def _first(design: Design, at: Global, wanted: Floats) -> Parameters:
    """Where the search begins: what the measures say, no variance being negative."""
    threshold = float(np.exp(at.eta)) if (design.outcome == 2).any() else 0.0
    variances = np.clip(wanted[:SPREAD], 0.0, WIDEST)
    position = float(np.clip(wanted[POSITION], -WIDEST, WIDEST))
    return Parameters(variances, 1.0, threshold, position)


def _moved(before: Parameters, wanted: Floats, found: Floats) -> Parameters:
    """A step toward parameters under which what is found is what is wanted."""
    variances = np.array(
        [
            _step(*one, WIDEST)
            for one in zip(before.variances, wanted[:SPREAD], found[:SPREAD], strict=True)
        ]
    )
    ratio = wanted[SPREAD] / found[SPREAD] if found[SPREAD] > 0 else 1.0
    threshold = before.threshold
    if threshold > 0:
        odds = [share / (1 - share) for share in np.clip([wanted[TIES], found[TIES]], 1e-4, 0.9999)]
        threshold *= float(np.clip(odds[0] / odds[1], 0.25, 4.0)) ** DAMPED
    scale = before.scale * float(np.clip(ratio, 0.5, 2.0)) ** DAMPED
    position = before.position + DAMPED * float(wanted[POSITION] - found[POSITION])
    position = float(np.clip(position, -WIDEST, WIDEST))
    return Parameters(variances, scale, threshold, position)


def _step(before: float, wanted: float, found: float, most: float) -> float:
    """By their ratio, as what is measured grows more slowly than what is planted; by their
    difference where either is not above 0.
    """
    if min(before, wanted, found) > 0:
        moved = before * float(np.clip(wanted / found, 0.5, 2.0)) ** DAMPED
    else:
        moved = before + DAMPED * (wanted - found)
    return float(np.clip(moved, 0.0, most))


def _tastes(design: Design, at: Global) -> Floats:
    """(K, D) what each archetype likes in style, in logits: of one alone what all like, each axis
    as far as it is told from chance.
    """
    squared = at.common**2
    certain = np.divide(squared - at.sd**2, squared, out=np.zeros_like(squared), where=squared > 0)
    common = np.maximum(certain, 0.0) * at.common
    if len(design.archetypes) == 1:
        return common[None]
    n = len(design)
    votes = tastes.TasteVotes(
        user=design.user,
        segment=design.archetype[design.user],
        a=design.a,
        b=design.b,
        z=design.contrast,
        p=np.eye(3)[design.outcome],
        outcome=design.outcome,
        split=np.full(n, "train"),
    )
    by_archetype = tastes.shared(votes, len(design.models), len(design.archetypes)).taste
    shares = np.bincount(design.archetype) / design.users
    return common + by_archetype - shares @ by_archetype
