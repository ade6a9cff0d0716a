"""What a study of people's votes answers first: whether personal rankings beat the global one, by
how much, and from how many votes on; and Systems A and B beside each other.
"""

from electorate.config.metrics import METRICS, UNSEEN
from electorate.evaluation.intervals import Estimate, Key
from electorate.evaluation.people import LOG_LOSS, Compared, Curve
from electorate.evaluation.two_systems import (
    BASELINE,
    BOTH,
    HEADINGS,
    SYSTEM_A,
    SYSTEM_B,
    TITLES,
    Gain,
    winner,
)

PAIR_ACCURACY = (UNSEEN, "pair_accuracy")


def verdict(whole: Compared, curve: Curve) -> str:
    """Whether personal rankings predict better than the global one, by how much, from when on.

    Systems A and B together stand for them where the answers were read, as they fall back to
    System A where that helps nothing; else System A.
    """
    leading = BOTH if BOTH in whole.gains else SYSTEM_A
    who = TITLES[leading]
    verb = "predict" if leading == BOTH else "predicts"
    gain = whole.gains[leading][LOG_LOSS]
    by = f"log loss {signed(gain)}"
    beside = _beside(whole) if leading == BOTH else ""
    if gain.ci_low > 0:
        return f"No: {who} {verb} these people worse than the global ranking: {by}{beside}"
    if gain.ci_high >= 0:
        return (
            f"Not known yet: the interval of the gain of {who} over the global ranking holds 0: "
            f"{by}{beside}"
        )
    better = f"{who} {verb} these people better than the global ranking: {by}"
    pairs = whole.gains[leading].get(PAIR_ACCURACY)
    if pairs is not None and pairs.ci_low <= 0:
        return (
            f"In part: {better}, but {'their' if leading == BOTH else 'its'} rankings are not seen "
            f"to pick more winners "
            f"({_points(pairs)} of 100 pairs): the gain is in the odds, such as each person's own "
            f"tie rate, not in the order of the models{beside}"
        )
    picked = "" if pairs is None else f", {_points(pairs)} more winners picked of 100 pairs"
    return f"Yes: {better}{picked}{beside}{_since(curve, leading)}"


def _beside(whole: Compared) -> str:
    """What System A gains alone, and what reading the answers adds to it."""
    alone = f". System A alone: {signed(whole.gains[SYSTEM_A][LOG_LOSS])}"
    added = whole.over.get(SYSTEM_A, {}).get(BOTH, {}).get(LOG_LOSS)
    return alone if added is None else f"{alone}; reading the answers adds {signed(added)}"


def two_systems(whole: Compared) -> list[tuple[str, ...]]:
    """The headings, then a row a metric, of global_bt and of Systems A and B; nothing where one of
    them is not compared.
    """
    systems = [BASELINE, *TITLES]
    if any(name not in whole.estimates for name in systems):
        return []
    rows = [("metric", *(HEADINGS.get(name, name) for name in systems), "B over A", "winner")]
    for name, spec in METRICS.items():
        key = (UNSEEN, name)
        over = whole.over.get(SYSTEM_A, {}).get(SYSTEM_B, {}).get(key)
        if over is None:
            continue
        values = {system: whole.estimates[system][key].value for system in systems}
        best = winner(values, _gain_of(whole, key), spec.lower_is_better)
        shown = (f"{value:.4f}" for value in values.values())
        rows.append((spec.label, *shown, signed(over), HEADINGS.get(best, best)))
    return rows


def _gain_of(whole: Compared, key: Key) -> Gain:
    """Gains in a metric."""
    by_baseline = {BASELINE: whole.gains} | whole.over

    def gain(system: str, other: str) -> Estimate | None:
        return by_baseline.get(other, {}).get(system, {}).get(key)

    return gain


def ahead_line(curve: Curve) -> str | None:
    """What more votes of a new user would bring, extrapolated, in words; None where the curve is
    too short.
    """
    if not curve.ahead:
        return None
    gains = [f"{signed(gain)} after {k:,}" for k, gain in curve.ahead.items()]
    return (
        f"extrapolated, System A's gain for a new user is {', '.join(gains)} votes of their own "
        "(log loss; below 0 is better)"
    )


def _since(curve: Curve, leading: str) -> str:
    """From how many votes of their own on a new user gains by System A, for good."""
    user = "A new user" if leading == SYSTEM_A else "By System A alone a new user"
    known = [one.known or 0 for one in curve.points]
    if not known:
        return ""
    without = [k for k, one in zip(known, curve.points, strict=True) if not _gains(one)]
    since = [k for k in known if not without or k > without[-1]]
    if since:
        return f". {user} gains from {since[0]} votes of their own on"
    yet = f". {user} gains nothing yet by {known[-1]} votes of their own"
    if not curve.ahead:
        return yet
    further = [k for k, gain in curve.ahead.items() if gain.ci_high < 0]
    if further:
        return f"{yet}; extrapolated, from about {further[0]:,} on"
    return f"{yet}, nor, extrapolated, surely by {max(curve.ahead):,}"


def _gains(one: Compared) -> bool:
    return one.gains[SYSTEM_A][LOG_LOSS].ci_high < 0


def _points(gain: Estimate) -> str:
    return f"{100 * gain.value:+.1f} [{100 * gain.ci_low:+.1f}, {100 * gain.ci_high:+.1f}]"


def signed(gain: Estimate) -> str:
    """A gain with its interval."""
    return f"{gain.value:+.4f} [{gain.ci_low:+.4f}, {gain.ci_high:+.4f}]"
