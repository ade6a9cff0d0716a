"""Which contestant a request goes to: by a user's ranking, its price, and now and then by chance,
so that the ranking keeps learning.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import log_ndtr

from electorate.online.rankings import Entry

PER = 1000.0  # requests that a rate of money is about
WIDTH_IN_SD = 2 * 1.959964  # of a 95% interval
STEPS = 801


class Choice(NamedTuple):
    """Whom to ask.

    Attributes:
        order: contestants, the chosen one first, then the best of the rest: who is asked where
            those before fail.
        probability: with which the first one was chosen.
        why: best, explored or holdout.
        by_user: the best by the user's own ranking; empty where the request named a contestant.
        by_all: the best by everyone's.
    """

    order: tuple[str, ...]
    probability: float
    why: str
    by_user: str = ""
    by_all: str = ""


class Shares(NamedTuple):
    """Of requests that do not go to the user's best.

    Attributes:
        explore: to one drawn by the chance that it is the best, so that the ranking keeps learning.
        holdout: to the best by everyone's ranking, so that it can be told what the users' own
            rankings are worth.
    """

    explore: float = 0.0
    holdout: float = 0.0


def choose(
    ranking: Sequence[Entry],
    of_all: Sequence[Entry],
    names: Sequence[str],
    costs: Mapping[str, float],
    rate: float,
    shares: Shares,
    random: np.random.Generator,
) -> Choice:
    """The contestant with the highest rating less what it costs; in a share of requests one drawn
    by the chance that it is the user's best after its cost (Thompson sampling: Thompson, 1933), and
    in another the best by everyone's ranking.

    Args:
        ranking: the user's; contestants without a place in it come last.
        of_all: everyone's ranking.
        names: the contestants that can be asked, at least one.
        costs: USD that a request to each is expected to cost; 0 where it is not known.
        rate: Elo points that a USD in 1,000 requests is worth.
        shares: of requests that do not go to the user's best.
    """
    there = {entry.model: entry for entry in ranking if entry.model in set(names)}
    worth = _worth(there.values(), costs, rate)
    best = [*sorted(worth, key=lambda name: -worth[name]), *(n for n in names if n not in there)]
    of_everyone = _worth((entry for entry in of_all if entry.model in set(names)), costs, rate)
    by_all = max(of_everyone, key=lambda name: of_everyone[name], default=best[0])
    chance = _chances(best, there, worth)
    # Both always drawn, so that one draw does not shift the next.
    place = random.random()
    drawn = best[int(random.choice(len(best), p=chance))]
    why = "best"
    if place < shares.explore:
        why = "explored"
    elif place < shares.explore + shares.holdout:
        why = "holdout"
    first = {"best": best[0], "explored": drawn, "holdout": by_all}[why]
    probability = shares.explore * float(chance[best.index(first)])
    probability += shares.holdout * (first == by_all)
    probability += (1 - shares.explore - shares.holdout) * (first == best[0])
    order = (first, *(name for name in best if name != first))
    return Choice(order, probability, why, best[0], by_all)


def _worth(entries: Iterable[Entry], costs: Mapping[str, float], rate: float) -> dict[str, float]:
    """Ratings less what a request costs."""
    return {
        entry.model: entry.rating - rate * PER * costs.get(entry.model, 0.0) for entry in entries
    }


def _chances(
    names: Sequence[str], there: Mapping[str, Entry], worth: Mapping[str, float]
) -> np.ndarray:
    """(len(names),) that each is the user's best; those without a rating as likely as even chance
    has it.

    Args:
        worth: ratings less costs. Where nothing costs anything the ranking's own chances are taken,
            which know how ratings vary together.
    """
    even = 1 / len(names)
    if all(worth[name] == there[name].rating for name in there):
        own = {name: entry.p_top1 for name, entry in there.items()}
    else:
        rated = list(there)
        mean = np.array([worth[name] for name in rated])
        width = np.array([there[name].ci_high - there[name].ci_low for name in rated])
        own = dict(zip(rated, _first(mean, width / WIDTH_IN_SD), strict=True))
    chance = np.array([own.get(name, even) for name in names])
    total = chance.sum()
    return chance / total if total > 0 else np.full(len(names), even)


def _first(mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """(n,) the chance that each of some independent normal variables is the largest, by the
    trapezoidal rule over what the largest is.
    """
    # A step of the rule is sd.max() / 50.
    sd = np.maximum(sd, max(sd.max() / 25, 1e-3))
    reach = 8 * sd.max()
    x = np.linspace(mean.max() - reach, mean.max() + reach, STEPS)[:, None]
    z = (x - mean) / sd
    log_below = log_ndtr(z)
    others = np.exp(log_below.sum(axis=1, keepdims=True) - log_below)
    found: np.ndarray = np.trapezoid(np.exp(-(z**2) / 2) / sd * others, x, axis=0)
    return found / found.sum()
