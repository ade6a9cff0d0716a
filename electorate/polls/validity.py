"""How far a judge can be believed: every check as a value with its interval, beside what chance
or people give.

Agreement is corrected for chance as Cohen (1960) does: kappa = (p - e) / (1 - e), e = sum of p_i
q_i over outcomes, each side's own shares. A judge that always says the first answer agrees with
itself in swapped order as often as chance has it: kappa 0.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from electorate.base import resampling
from electorate.base.draws import Stream, generator
from electorate.base.scale import Floats, Ints
from electorate.evaluation import metrics
from electorate.polls import verdicts
from electorate.polls.verdicts import Judged

RESAMPLES = 400
CONFIDENCE = 0.95
NEAR_CHANCE = 0.2
BANDS = (
    (0.4, "fair"),
    (0.6, "moderate"),
    (0.8, "substantial"),
    (1.01, "almost perfect"),
)  # Landis and Koch, 1977
FEWEST = 5


@dataclass(frozen=True)
class Check:
    """One line of the validity report. judge: whose, with its mode; beside: what it is to be
    read against, and beside_what that is.
    """

    name: str
    judge: str
    value: float
    ci_low: float
    ci_high: float
    n: int
    beside: float | None = None
    beside_what: str = ""
    says: str = ""


def swap_consistency(judge: str, of: Judged, cluster: Ints) -> list[Check]:
    """Whether the same answer wins whichever is shown first, and how strong the pull of the
    place is.
    """
    rows = of.whole
    first = verdicts.choice(of.forward[rows])
    second = verdicts.choice(of.backward[rows])
    checks = agreement("order-swap consistency", judge, first, second, cluster[rows])
    return [
        *checks,
        mean(
            "position bias, log odds for the first shown",
            judge,
            of.bias[rows],
            cluster[rows],
            0.0,
            "no bias",
        ),
    ]


def agreement(name: str, judge: str, one: Ints, other: Ints, cluster: Ints) -> list[Check]:
    """Share of equal outcomes and kappa. one, other: (n,) outcomes, -1 where there is none."""
    there = (one >= 0) & (other >= 0)
    if there.sum() < FEWEST:
        return []
    first = np.eye(3)[one[there]]
    second = np.eye(3)[other[there]]
    cluster = cluster[there]

    def shares(weight: Floats) -> tuple[float, float]:
        agreed = float(weight @ (first * second).sum(axis=1) / weight.sum())
        chance = float((weight @ first / weight.sum()) @ (weight @ second / weight.sum()))
        return agreed, chance

    def kappa(weight: Floats) -> float:
        agreed, chance = shares(weight)
        return (agreed - chance) / (1 - chance) if chance < 1 else 0.0

    at, chance = shares(np.ones(len(first)))
    found = _interval(kappa, cluster)
    low, high = _interval(lambda weight: shares(weight)[0], cluster)[1:]
    return [
        Check(name, judge, at, low, high, len(first), chance, "chance"),
        Check(f"{name}, kappa", judge, *found, len(first), 0.0, "chance", band(*found)),
    ]


def band(kappa: float, low: float, high: float) -> str:
    """In words: an interval that holds zero, or a kappa too small to matter, is chance and is
    called so.
    """
    if low <= 0.0 <= high:
        return "no better than chance"
    if kappa < 0:
        return "worse than chance"
    return (
        "near chance" if kappa < NEAR_CHANCE else next(word for most, word in BANDS if kappa < most)
    )


def diversity(judge: str, battle: Ints, outcome: Ints, people: float | None) -> list[Check]:
    """How often two personas agree on one battle, beside how often two people do. battle: (n,)
    which battle an outcome is of.
    """
    there = outcome >= 0
    value, n, interval = two_agree(battle[there], outcome[there])
    if n < FEWEST:
        return []
    says = (
        ""
        if people is None
        else "more alike than people"
        if interval[0] > people
        else "as different as people or more"
    )
    return [
        Check(
            "two personas agree on a battle", judge, value, *interval, n, people, "two people", says
        )
    ]


def reliability(judge: str, battle: Ints, outcome: Ints, people: float) -> list[Check]:
    """Krippendorff's alpha of a judge's personas, beside people's on the same battles: 1 where all
    personas agree on every battle, 0 where they agree as chance has it.
    """
    there = outcome >= 0
    value, n, interval = alpha(battle[there], outcome[there])
    if n < FEWEST:
        return []
    name = "personas agree, Krippendorff's alpha"
    return [Check(name, judge, value, *interval, n, people, "people", band(value, *interval))]


def alpha(battle: Ints, outcome: Ints) -> tuple[float, int, tuple[float, float]]:
    """Krippendorff's alpha for nominal outcomes (Krippendorff, 2011), how many battles have two,
    and its interval over battles. NaN where all outcomes of all of them are the same.

    Unlike the share of pairs that agree, it is not raised by an outcome that everybody gives often.
    """
    _, of = np.unique(battle, return_inverse=True)
    counts = np.zeros((int(of.max(initial=-1)) + 1, 3))
    np.add.at(counts, (of, outcome), 1)
    counts = counts[counts.sum(axis=1) > 1]
    if not len(counts):
        return float("nan"), 0, (float("nan"), float("nan"))
    total = counts.sum(axis=1)
    disagree = (total**2 - (counts**2).sum(axis=1)) / (total - 1)

    def statistic(weight: Floats) -> float:
        shares = weight @ counts
        cast = shares.sum()
        expected = (cast**2 - (shares**2).sum()) / (cast - 1)
        return float(1 - (weight @ disagree) / expected) if expected > 0 else float("nan")

    value, low, high = _interval(statistic, np.arange(len(counts)))
    return value, len(counts), (low, high)


def two_agree(battle: Ints, outcome: Ints) -> tuple[float, int, tuple[float, float]]:
    """The chance that two outcomes of one battle are equal, how many battles have two, and its
    interval over battles.
    """
    _, of = np.unique(battle, return_inverse=True)
    counts = np.zeros((int(of.max(initial=-1)) + 1, 3))
    np.add.at(counts, (of, outcome), 1)
    total = counts.sum(axis=1)
    counts = counts[total > 1]
    total = total[total > 1]
    if not len(total):
        return float("nan"), 0, (float("nan"), float("nan"))
    same = (counts * (counts - 1)).sum(axis=1)
    pairs = total * (total - 1)
    value, low, high = _interval(
        lambda weight: float(weight @ same / (weight @ pairs)), np.arange(len(total))
    )
    return value, len(total), (low, high)


def with_people(judge: str, odds: Floats, battle: Ints, outcome: Ints) -> list[Check]:
    """Agreement with people's votes. odds: (battles, 3) a judge's; battle, outcome: (n,) the
    people's votes.
    """
    there = ~np.isnan(odds[battle, 0])
    battle = battle[there]
    outcome = outcome[there]
    if len(battle) < FEWEST:
        return []
    p = np.exp(odds[battle])
    shares = np.bincount(outcome, minlength=3) / len(outcome)
    right = (p.argmax(axis=1) == outcome).astype(float)
    loss = -np.log(np.maximum(p[np.arange(len(p)), outcome], 1e-12))
    entropy = -(shares * np.log(np.maximum(shares, 1e-12))).sum()

    def check(name: str, values: Floats, beside: float, which: str) -> Check:
        return mean(f"people's votes told, {name}", judge, values, battle, beside, which)

    return [
        check("accuracy of three", right, float(shares.max()), "most frequent"),
        *_of_decisive(judge, p, battle, outcome),
        check("log loss", loss, float(entropy), "shares of outcomes"),
        _calibration(judge, p, battle, outcome),
    ]


def _of_decisive(judge: str, p: Floats, battle: Ints, outcome: Ints) -> list[Check]:
    """How often a judge tells who won; nothing of too few votes. p: (n, 3) its probabilities."""
    decisive = outcome < 2
    if decisive.sum() < FEWEST:
        return []
    better = (p[:, 1] > p[:, 0]).astype(int)
    right = (better[decisive] == outcome[decisive]).astype(float)
    name = "people's decisive votes told, accuracy"
    return [mean(name, judge, right, battle[decisive], 0.5, "chance")]


def _calibration(judge: str, p: Floats, battle: Ints, outcome: Ints) -> Check:
    """The calibration error of a judge's probabilities p (n, 3)."""

    def error(weight: Floats) -> float:
        true = np.eye(3)[outcome]
        sums = metrics.calibration_sums(p[:, None], true[:, None]) * weight[:, None, None]
        return float(metrics.expected_calibration_error(sums.sum(axis=0)))

    name = "calibration error on people's votes"
    return Check(name, judge, *_interval(error, battle, 100), len(battle), 0.0, "perfect")


def verbosity(
    judge: str, odds: Floats, longer: Floats, cluster: Ints, people: float | None
) -> list[Check]:
    """How often the longer answer wins among decisive votes. longer: (n,) log of A's length over
    B's.
    """
    chosen = verdicts.choice(odds)
    rows = np.flatnonzero((chosen >= 0) & (chosen < 2) & (longer != 0))
    if len(rows) < FEWEST:
        return []
    won = ((chosen[rows] == 0) == (longer[rows] > 0)).astype(float)
    return [
        mean(
            "the longer answer wins",
            judge,
            won,
            cluster[rows],
            0.5 if people is None else people,
            "chance" if people is None else "people",
        )
    ]


def flip_rate(
    name: str, judge: str, before: Ints, after: Ints, pleader: Ints, cluster: Ints
) -> list[Check]:
    """How often a plea turns a battle its answer did not win into one it wins. before, after: (n,)
    outcomes; pleader: (n,) 0 A, 1 B.
    """
    rows = np.flatnonzero((before >= 0) & (after >= 0) & (before != pleader))
    if len(rows) < FEWEST:
        return (
            [
                Check(
                    name,
                    judge,
                    np.nan,
                    np.nan,
                    np.nan,
                    len(rows),
                    0.0,
                    "immune",
                    "it wins without pleading",
                )
            ]
            if len(before)
            else []
        )
    return [
        mean(
            name, judge, (after[rows] == pleader[rows]).astype(float), cluster[rows], 0.0, "immune"
        )
    ]


def mean(name: str, judge: str, values: Floats, cluster: Ints, beside: float, what: str) -> Check:
    """A check that is a mean of values (n,), with its interval over clusters."""
    found = _interval(lambda weight: float(weight @ values / weight.sum()), cluster)
    return Check(name, judge, *found, len(values), beside, what)


def _interval(
    statistic: Callable[[Floats], float], cluster: Ints, resamples: int = RESAMPLES
) -> tuple[float, float, float]:
    """A statistic of weights (n,), and its bootstrap interval over clusters."""
    _, of = np.unique(cluster, return_inverse=True)
    clusters = int(of.max(initial=-1)) + 1
    drawn = resampling.times(generator(0, Stream.POLL_CHECKS), clusters, resamples)
    replicates: npt.NDArray[np.float64] = np.array(
        [statistic(times[of].astype(float)) for times in drawn if times[of].sum()]
    )
    known = replicates[~np.isnan(replicates)]
    low, high = resampling.interval(known, CONFIDENCE) if len(known) else (np.nan, np.nan)
    return statistic(np.ones(len(of))), low, high
