"""Biases of a model judge as effects with intervals: what an answer gains by its length, and a
model by its family.

A judge's pull toward the answer shown first is found from swapped orders; see verdicts.py.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from electorate.base.scale import Floats, Ints, to_nats
from electorate.polls.validity import FEWEST, Check
from electorate.ratings import bradley_terry, contextual
from electorate.ratings.contextual import Style
from electorate.ratings.ties import DEFAULT, MODELS

PRIOR_SD_ELO = 1000.0
_FAMILY = re.compile(r"[a-z]+")


class Effect(NamedTuple):
    """A value with its 95% interval."""

    value: float
    low: float
    high: float


def family(name: str) -> str:
    """The first letters of a model's name without its owner, in lower case: those of one maker
    mostly share them. Empty where there are none.
    """
    found = _FAMILY.search(name.rpartition("/")[2].lower())
    return found[0] if found else ""


def length_effect(a: Ints, b: Ints, outcome: Ints, longer: Floats, cluster: Ints) -> Effect | None:
    """What twice the words are worth, in log odds, with the models' strength held equal. None of
    too few battles.

    Args:
        a, b: (n,) models.
        outcome: (n,) 0 A, 1 B, 2 tie, -1 where there is none.
        longer: (n,) log of A's length over B's.
        cluster: (n,) battles that are alike; intervals hold for new ones.
    """
    rows = np.flatnonzero(outcome >= 0)
    if np.count_nonzero((outcome[rows] < 2) & (longer[rows] != 0)) < FEWEST:
        return None
    names, of = np.unique(np.concatenate([a[rows], b[rows]]), return_inverse=True)
    a, b = np.split(of, 2)
    counts = np.zeros((len(names), len(names), 3))
    np.add.at(counts, (a, b, outcome[rows]), 1.0)
    ties = MODELS[DEFAULT]
    start = bradley_terry.fit(counts, ties, PRIOR_SD_ELO)
    contrast = longer[rows][:, None]
    columns = (a, b, outcome[rows], np.ones(len(rows)), contrast)
    _, style = contextual.fit(start, *columns, ties, PRIOR_SD_ELO, [cluster[rows]])
    return _per_unit(style, contrast / np.log(2))


def length(
    judge: str, of_judge: Effect | None, battles: int, of_people: Effect | None = None
) -> list[Check]:
    """The check of what twice the words are worth to a judge, beside what they are to people."""
    if of_judge is None:
        return []
    name = "twice the words, log odds, models' strength held equal"
    beside, which = (0.0, "no bias") if of_people is None else (of_people.value, "people")
    return [Check(name, judge, *of_judge, battles, beside, which)]


def own_family(
    judge: str, outcome: Ints, side: Ints, reference: Floats, cluster: Ints, which: str
) -> list[Check]:
    """What being of the judge's family is worth, in log odds, beside what a reference says of the
    same battles; nothing of too few battles.

    A judge that is surer than the reference, or less sure, favours nobody by that: what the
    reference says has a slope of its own.

    Args:
        outcome: (n,) the judge's: 0 A, 1 B, 2 tie, -1 where there is none.
        side: (n,) +1 where A alone is of its family, -1 where B alone is, 0 else.
        reference: (n, F) measures of how much better A is than B by the reference; NaN where
            unknown.
        which: what the reference is.
    """
    rows = np.flatnonzero((outcome >= 0) & ~np.isnan(reference).any(axis=1))
    if np.count_nonzero(side[rows]) < FEWEST:
        return []
    contrast = np.column_stack([reference[rows], side[rows]])
    effect = _last_effect(np.zeros(len(rows), int), outcome[rows], contrast, cluster[rows])
    name = f"its own family, log odds, beside {which}"
    battles = int(np.count_nonzero(side[rows]))
    return [Check(name, judge, *effect, battles, 0.0, "no self-preference")]


def _last_effect(a: Ints, outcome: Ints, contrast: Floats, cluster: Ints) -> Effect:
    """What a unit of the last measure is worth, log odds, all votes being between one A and one
    B.
    """
    counts = np.zeros((2, 2, 3))
    counts[0, 1] = np.bincount(outcome, minlength=3)
    ties = MODELS[DEFAULT]
    start = bradley_terry.fit(counts, ties, PRIOR_SD_ELO)
    columns = (a, a + 1, outcome, np.ones(len(a)), contrast)
    _, found = contextual.fit(start, *columns, ties, PRIOR_SD_ELO, [cluster])
    return _per_unit(found, contrast)


def _per_unit(found: Style, contrast: Floats) -> Effect:
    """The last measure's effect, of a root mean square, as one of a unit, log odds."""
    unit = float(np.sqrt((contrast[:, -1] ** 2).mean()))
    effect, sd = (to_nats(float(value[-1])) / unit for value in found)
    return Effect(effect, effect - 1.96 * sd, effect + 1.96 * sd)


def log_odds(odds: Sequence[Floats]) -> Floats:
    """(n, 1) log odds of A over B by several judges, on average; NaN where none could be read."""
    differences = np.stack([one[:, 0] - one[:, 1] for one in odds])
    there = ~np.isnan(differences)
    count = np.where(there.any(axis=0), there.sum(axis=0), np.nan)
    mean: Floats = np.where(there, differences, 0.0).sum(axis=0) / count
    return mean[:, None]


def log_odds_of_people(battle: Ints, outcome: Ints, models: Ints, strength: Floats) -> Floats:
    """(battles, 2) how much better A is than B by people's votes: log odds of the battle's own
    votes, each side half a vote richer, and the difference of the models' ratings.

    Args:
        battle, outcome: (n,) of every vote: which battle, and 0 A, 1 B, 2 tie.
        models: (battles, 2) which models A and B are.
        strength: (M,) people's ratings, nats.
    """
    won = np.bincount(battle, np.choose(outcome, (1.0, 0.0, 0.5)), len(models)) + 0.5
    lost = np.bincount(battle, np.choose(outcome, (0.0, 1.0, 0.5)), len(models)) + 0.5
    a, b = models.T
    return np.column_stack([np.log(won / lost), strength[a] - strength[b]])
