"""Routing by a ranking: what its choices are worth to users, and what they cost.

A router sends each request to the contestant with the highest rating less `rate` times its cost,
in Elo points a USD that 1,000 requests cost. From rate 0, which buys the best it knows, to a rate
that buys the cheapest, its choices draw a curve of quality over cost (Ong et al., RouteLLM, 2024),
along which it costs less and less.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from electorate.base import resampling
from electorate.base.draws import Stream, generator
from electorate.base.scale import ELO_PER_NAT, Floats, Ints
from electorate.config.systems import ORACLE
from electorate.data.votes import NamedVotes
from electorate.evaluation.people import Resamples
from electorate.evaluation.predictions import Systems
from electorate.population.voters import Users, Voters

RATES = 41
STRONGEST = 1000.0  # Elo points that no difference of ratings outweighs
NEARLY = 1e-4  # of the spread of costs
RESAMPLES = 400
CONFIDENCE = 0.95
GLOBAL = "global_bt"
RANDOM = "random"
SINGLE = "contestant:"
TINY = 1e-12
Interval = tuple[float, float, float]  # value, low, high


def rates(cost: Floats) -> Floats:
    """(R,) rates, ascending: 0, then from one at which all costs (M,) weigh as one Elo point to one
    at which the cheapest weighs 1,000 points less than any other, which buys the cheapest. 0 alone
    where costs are equal.
    """
    above = cost[cost > cost.min()] - cost.min()
    if not len(above):
        return np.zeros(1)
    spread = float(above.max())
    # Costs that are nearly the cheapest count as it.
    least = max(float(above.min()), NEARLY * spread)
    return np.append(0.0, np.geomspace(1 / spread, STRONGEST / least, RATES - 1))


def chosen(strength: Floats, cost: Floats, at: Floats) -> Ints:
    """(n, R) the contestant that each of n users gets at each rate.

    Args:
        strength: (n, M) nats.
        cost: (M,) USD for 1,000 requests.
        at: (R,) rates.
    """
    worth = ELO_PER_NAT * strength[:, None, :] - at[:, None] * cost
    best: Ints = worth.argmax(axis=2)
    return best


@dataclass(frozen=True)
class Outcomes:
    """What choices came to. quality: (n, P, R) Elo points of n users on P prompts at R rates, or
    what else quality is measured in; cost: the same shape, USD for 1,000 requests.
    """

    quality: Floats
    cost: Floats


@dataclass(frozen=True)
class Prices:
    """What requests cost, USD for 1,000 of them.

    Attributes:
        expected: (M,) as is known before a contestant answers.
        real: (P, M) as it answered on each prompt of the comparison.
        rates: (R,) see `rates`.
    """

    expected: Floats
    real: Floats
    rates: Floats


def outcomes(
    routers: Systems, voters: Voters, users: Users, prompts: Ints, prices: Prices
) -> dict[str, Outcomes]:
    """What each router's choices come to for these users on these prompts, beside a contestant at
    random, each contestant for everybody (SINGLE and its name), and the truth. Quality is true
    utility in Elo points.
    """
    everybody = {f"{SINGLE}{name}": m for m, name in enumerate(voters.config.contestant_names)}
    worth = dict[str, list[Floats]]()
    paid = dict[str, list[Floats]]()
    truths = voters.truths(users, prompts)
    for place, (prompt, truth) in enumerate(zip(prompts.tolist(), truths, strict=True)):
        utility = ELO_PER_NAT * truth.utility
        strengths = {name: system.on(prompt).strength for name, system in routers.items()}
        strengths[ORACLE] = truth.utility
        choices = {
            name: chosen(strength, prices.expected, prices.rates)
            for name, strength in strengths.items()
        }
        choices |= {name: np.array([[m]]) for name, m in everybody.items()}
        for name, choice in choices.items():
            rows = np.broadcast_to(choice, (len(users), choice.shape[1]))
            worth.setdefault(name, []).append(np.take_along_axis(utility, rows, axis=1))
            paid.setdefault(name, []).append(prices.real[place][rows])
        worth.setdefault(RANDOM, []).append(utility.mean(axis=1, keepdims=True))
        paid.setdefault(RANDOM, []).append(np.full((len(users), 1), prices.real[place].mean()))
    return {
        name: Outcomes(np.stack(worth[name], axis=1), np.stack(paid[name], axis=1))
        for name in worth
    }


def joined(parts: Sequence[dict[str, Outcomes]]) -> dict[str, Outcomes]:
    """The outcomes of users who were shared out, one part after the other."""
    return {
        name: Outcomes(
            np.concatenate([part[name].quality for part in parts]),
            np.concatenate([part[name].cost for part in parts]),
        )
        for name in parts[0]
    }


@dataclass(frozen=True)
class Router:
    """A router's mean quality and cost at each rate, ascending: (1 + resamples, R), first on the
    data.
    """

    quality: Floats
    cost: Floats

    def quality_at(self, cost: Floats) -> Floats:
        """(B,) its quality at the lowest rate at which it costs no more than `cost` (B,), between
        two rates in proportion; NaN where it never costs so little.
        """
        return np.array(
            [_quality_at(*row) for row in zip(self.quality, self.cost, cost, strict=True)]
        )

    def cost_at(self, quality: Floats) -> Floats:
        """(B,) what it costs at the highest rate at which it is as good as `quality` (B,), between
        two rates in proportion; NaN where it never is.
        """
        return np.array(
            [_cost_at(*row) for row in zip(self.quality, self.cost, quality, strict=True)]
        )


def _quality_at(quality: Floats, cost: Floats, wanted: float) -> float:
    within = np.flatnonzero(cost <= wanted * (1 + 1e-9))
    if not len(within):
        return float("nan")
    first = int(within[0])
    if not first:
        return float(quality[0])
    return _between(first, wanted, cost, quality)


def _cost_at(quality: Floats, cost: Floats, wanted: float) -> float:
    reached = np.flatnonzero(quality >= wanted - 1e-9)
    if not len(reached):
        return float("nan")
    last = int(reached[-1])
    if last == len(quality) - 1:
        return float(cost[last])
    return _between(last + 1, wanted, quality, cost)


def _between(place: int, wanted: float, of: Floats, value: Floats) -> float:
    """The value in proportion where `of`, which falls from the place before to this one, is as
    wanted.
    """
    above = float(of[place - 1])
    below = float(of[place])
    part = 0.0 if above <= below else (above - wanted) / (above - below)
    return float(value[place - 1] + part * (value[place] - value[place - 1]))


def resampled(found: Mapping[str, Outcomes], seed: int) -> dict[str, Router]:
    """Every router on the same resamples of users and of prompts (the pigeonhole bootstrap, Owen
    2007).
    """
    users, prompts, _ = next(iter(found.values())).quality.shape
    random = generator(seed, Stream.BOOTSTRAP)
    drawn = [resampling.times(random, n, RESAMPLES) for n in (users, prompts)]
    by_user, by_prompt = (np.vstack([np.ones(of.shape[1]), of]) for of in drawn)

    def mean(values: Floats) -> Floats:
        rows, columns, many = values.shape
        total = by_user.sum(axis=1, keepdims=True)
        of_prompt = (by_user @ values.reshape(rows, -1) / total).reshape(-1, columns, many)
        found: Floats = np.einsum("bpr,bp->br", of_prompt, by_prompt)
        return found / by_prompt.sum(axis=1, keepdims=True)

    return {name: Router(mean(own.quality), mean(own.cost)) for name, own in found.items()}


def on_votes(
    votes: NamedVotes, prompt: Ints, odds: Mapping[str, Floats], cost: Floats, at: Floats
) -> dict[str, Router]:
    """Routers by what was said of held-out votes, each of which lets a router choose between its
    two contestants. Quality is the share of votes whose winner was chosen, ties half.

    Args:
        prompt: (n,) of each vote.
        odds: router to (n, 3) probabilities of A, B and tie.
        cost: (M,) USD for 1,000 requests.
        at: (R,) rates.
    """
    drawn = Resamples.of(votes.user, prompt)
    total = drawn.sums(votes.weight[:, None])
    # Of few votes a resample may hold none.
    total[total == 0] = np.nan
    won = np.array([1.0, 0.0, 0.5])[votes.outcome_of_3][:, None]
    dearer = cost[votes.a] - cost[votes.b]
    found = {}
    for name, of_vote in odds.items():
        ahead = ELO_PER_NAT * np.log(
            np.maximum(of_vote[:, 0], TINY) / np.maximum(of_vote[:, 1], TINY)
        )
        worth = ahead[:, None] - at * dearer[:, None]
        a = np.select([worth > 0, worth < 0], [1.0, 0.0], 0.5)
        quality = a * won + (1 - a) * (1 - won)
        paid = a * cost[votes.a][:, None] + (1 - a) * cost[votes.b][:, None]
        weight = votes.weight[:, None]
        found[name] = Router(
            drawn.sums(weight * quality) / total, drawn.sums(weight * paid) / total
        )
    return found


@dataclass(frozen=True)
class Routed:
    """What was found of routers.

    Attributes:
        by_votes: by votes a user, routers by name.
        rates: (R,) that they were looked at.
        labels: routers in words, by name.
        unit: of quality, in words.
        unpriced: what to give for costs, in words.
    """

    by_votes: Mapping[int, Mapping[str, Router]]
    rates: Floats
    labels: Mapping[str, str]
    unit: str
    unpriced: str


@dataclass(frozen=True)
class Standing:
    """A router beside the baseline's choice at rate 0, each number with its interval.

    Attributes:
        best: quality at rate 0, less the baseline's.
        at_its_cost: quality at the baseline's cost, less the baseline's; NaN where it never costs
            so little.
        saved: share of the baseline's cost that it saves at the baseline's quality; NaN where it
            never has that.
    """

    router: str
    best: Interval
    at_its_cost: Interval
    saved: Interval


def standings(routers: Mapping[str, Router], baseline: str = GLOBAL) -> list[Standing]:
    """Every router beside the baseline."""
    quality = routers[baseline].quality[:, 0]
    cost = routers[baseline].cost[:, 0]
    found = []
    for name, own in routers.items():
        least = own.cost_at(quality)
        saved = 1 - np.divide(least, cost, out=np.full_like(least, np.nan), where=cost > 0)
        found.append(
            Standing(
                name,
                interval(own.quality[:, 0] - quality),
                interval(own.quality_at(cost) - quality),
                interval(saved),
            )
        )
    return found


def interval(replicates: Floats) -> Interval:
    """A statistic and its interval, from its value on the data and on the resamples; NaN where
    some resamples have no value of it.
    """
    low, high = resampling.interval(replicates[1:], CONFIDENCE)
    return float(replicates[0]), low, high
