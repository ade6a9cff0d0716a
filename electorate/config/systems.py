"""The systems that are compared: what each is, what it needs, and how it is drawn.

A system's `build` takes the votes that it is built from, an
electorate.evaluation.selection.Selection, and its own name. It returns what it learned (see
electorate/evaluation/predictions.py), or None where the votes do not say enough: a System where
rankings are compared with true ones, a Predictor where people's held-out votes are predicted.
Their order here is the order of tables and legends.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from electorate.base.registry import Registry
from electorate.config.voters import RANKINGS, VOTERS, VOTES

ORACLE = "oracle"
GATED = "elo_offset_gated"
# What the voters that a system is for are compared by (electorate/config/voters.py).
BY_RANKINGS = (RANKINGS,)
BY_VOTES = (VOTES,)
BY_EITHER = (RANKINGS, VOTES)
NEEDED_OF_PEOPLE = ("global_bt", "elo_offset")  # which the verdict is about
BASELINES = ("global_bt", "segment_bt")  # what every system's gain is given over
MOST_PERSONAL = 16  # personas that personal_rm trains a model each for
# Colours after Okabe and Ito: told apart by the colour-blind, readable on white and on near-black.
GREY = "#888888"


@dataclass(frozen=True)
class SystemSpec:
    """A row of the comparison.

    Attributes:
        name: in configs, tables and the API.
        label: what it is, for the report.
        build: see above; None for what scoring itself knows, the planted truth, and for what is
            made of other systems' predictions.
        colour, marker: in plots, as Matplotlib takes them.
        reward: whether it needs the config's `reward` section.
        truths: what systems are compared with where it is for those who vote.
        default: whether it is compared where the config names no systems.
        compared_with: what it has to beat, beside BASELINES; the report prints its gain over each.
        on_page: whether the endpoint's page draws its learning curve.
    """

    name: str
    label: str
    build: str | Callable[..., Any] | None
    colour: str
    marker: str
    reward: bool = False
    truths: tuple[str, ...] = BY_EITHER
    default: bool = True
    compared_with: tuple[str, ...] = ()
    on_page: bool = False


_VOTES = "electorate.evaluation.systems:"
_CONTROL = "electorate.evaluation.controls:"
_RUN = "electorate.study.systems:"
_REWARD = "electorate.study.reward_systems:"
SYSTEMS: Registry[SystemSpec] = Registry(
    "system",
    SystemSpec(
        "class_prior",
        "how often each outcome was seen, whatever the models",
        _VOTES + "class_prior",
        "#BBBBBB",
        "1",
        truths=BY_VOTES,
    ),
    SystemSpec(
        "arena",
        "official Chatbot Arena ratings, the same for all",
        _RUN + "arena",
        "#CC79A7",
        "P",
        truths=BY_RANKINGS,
    ),
    SystemSpec(
        "global_bt",
        "one Bradley-Terry ranking from everybody's votes",
        _VOTES + "global_bt",
        "#E69F00",
        "o",
        on_page=True,
    ),
    SystemSpec(
        "segment_bt",
        "one Bradley-Terry ranking for each archetype",
        _VOTES + "segment_bt",
        "#56B4E9",
        "s",
        on_page=True,
        truths=BY_RANKINGS,
    ),
    SystemSpec(
        "elo_online",
        "global ratings, moved by plain Elo updates at each persona's votes",
        _VOTES + "elo_online",
        "#0072B2",
        "X",
    ),
    SystemSpec(
        "personal_ties",
        "global ratings and each user's own tie rate: changes nobody's ranking",
        _VOTES + "elo_offset",
        "#B5CF6B",
        "<",
        truths=BY_VOTES,
    ),
    SystemSpec(
        "personal_decisiveness",
        "global ratings, which each user follows more or less closely: changes nobody's ranking",
        _CONTROL + "personal_decisiveness",
        "#CEDB9C",
        ">",
        truths=BY_VOTES,
    ),
    SystemSpec(
        "personal_position",
        "global ratings and each user's bias for the answer shown first: changes nobody's ranking",
        _CONTROL + "personal_position",
        "#8CA252",
        "v",
        truths=BY_VOTES,
    ),
    SystemSpec(
        "personal_length",
        "global ratings and each user's own taste for longer answers",
        _CONTROL + "personal_length",
        "#637939",
        "^",
        truths=BY_VOTES,
    ),
    SystemSpec(
        "personal_score",
        "ComparIA's personal score: each user's own share of battles won by a model",
        _CONTROL + "personal_score",
        "#8C6D31",
        "d",
        truths=BY_VOTES,
    ),
    SystemSpec(
        "nearest_neighbours",
        "global ratings, moved toward the votes of the users most alike",
        _CONTROL + "nearest_neighbours",
        "#BD9E39",
        "p",
        truths=BY_VOTES,
    ),
    SystemSpec(
        "elo_offset",
        "System A: global ratings plus each persona's own offsets",
        _VOTES + "elo_offset",
        "#D55E00",
        "^",
        on_page=True,
    ),
    SystemSpec(
        "elo_offset_low_rank",
        "System A with offsets along a few directions, which are estimated from the votes",
        _VOTES + "elo_offset",
        "#882255",
        "p",
    ),
    SystemSpec(
        "elo_offset_no_labels",
        "System A without knowing archetypes",
        _VOTES + "elo_offset",
        "#009E73",
        "D",
        truths=BY_RANKINGS,
    ),
    SystemSpec(
        "elo_offset_wrong_labels",
        "System A with one archetype label in five wrong",
        _VOTES + "elo_offset",
        "#A0875B",
        "v",
        truths=BY_RANKINGS,
    ),
    SystemSpec(
        GATED,
        "System A for users whom their other votes show to gain by it",
        None,
        "#6A3D9A",
        "o",
        truths=BY_VOTES,
    ),
    SystemSpec(
        "length_only",
        "the length of a response, with the same weight for all",
        _REWARD + "form",
        "#AAAA00",
        "<",
        reward=True,
    ),
    SystemSpec(
        "pooled_rm",
        "one reward model that reads the responses, the same for all",
        _REWARD + "form",
        "#44AA99",
        ">",
        reward=True,
    ),
    SystemSpec(
        "segment_rm",
        "a reward model for each archetype",
        _REWARD + "form",
        "#117733",
        "1",
        reward=True,
        truths=BY_RANKINGS,
    ),
    SystemSpec(
        "low_rank_rm",
        "System B: a reward model with each persona's own weights on what it reads",
        _REWARD + "form",
        "#88CCEE",
        "s",
        reward=True,
        compared_with=("elo_offset", "pooled_rm", "segment_rm"),
        on_page=True,
    ),
    SystemSpec(
        "pooled_hybrid",
        "one ranking and one reward model for all, together",
        _REWARD + "form",
        "#CC6677",
        "P",
        reward=True,
    ),
    SystemSpec(
        "segment_hybrid",
        "a ranking and a reward model for each archetype, together",
        _REWARD + "form",
        "#AA4499",
        "o",
        reward=True,
        on_page=True,
        truths=BY_RANKINGS,
    ),
    SystemSpec(
        "ratings_only",
        "hybrid without the text: own offsets, learned in the same training",
        _REWARD + "form",
        "#DDAA33",
        "d",
        reward=True,
    ),
    SystemSpec(
        "hybrid",
        "Systems A and B together: own offsets and own weights on what is read",
        _REWARD + "form",
        "#332288",
        "*",
        reward=True,
        compared_with=(
            "elo_offset",
            "low_rank_rm",
            "segment_bt",
            "pooled_hybrid",
            "segment_hybrid",
            "ratings_only",
        ),
        on_page=True,
    ),
    SystemSpec(
        "prompt_head",
        "hybrid's rankings predicted from the prompt alone, before anybody has answered it",
        _REWARD + "prompt_head",
        "#661100",
        "X",
        reward=True,
        compared_with=("elo_offset", "segment_bt"),
        on_page=True,
        truths=BY_RANKINGS,
    ),
    SystemSpec(
        "personal_rm",
        "a reward model for each persona, fine-tuned from pooled_rm on its votes",
        _REWARD + "personal_rm",
        "#999933",
        "p",
        reward=True,
        default=False,
        truths=BY_RANKINGS,
    ),
    SystemSpec(
        "oracle_features",
        "knows the taste axes and learns each persona's taste: the ceiling of reading responses",
        _RUN + "oracle_features",
        GREY,
        "*",
        on_page=True,
        truths=BY_RANKINGS,
    ),
    SystemSpec(ORACLE, "the planted truth", None, GREY, "h", truths=BY_RANKINGS),
)


def by_default(kind: str, *, reward: bool) -> tuple[str, ...]:
    """What is compared where the config names no systems, with or without a reward model.

    kind: of voters.
    """
    there = for_voters(tuple(SYSTEMS), kind)
    specs = {name: SYSTEMS[name] for name in there}
    return tuple(n for n, spec in specs.items() if spec.default and (reward or not spec.reward))


def for_voters(names: tuple[str, ...], kind: str) -> tuple[str, ...]:
    """Those of the systems that are for a kind of voters."""
    truth = VOTERS[kind].truth
    return tuple(name for name in names if truth in SYSTEMS[name].truths)


def baselines(compared: tuple[str, ...]) -> tuple[str, ...]:
    """Those of `compared` that gains are given over."""
    wanted = {*BASELINES, *(b for name in compared for b in SYSTEMS[name].compared_with)}
    return tuple(name for name in SYSTEMS if name in wanted and name in compared)
