"""The two systems that the project is about, and which of some systems is the best by a metric."""

from collections.abc import Callable, Mapping

from electorate.evaluation.intervals import Estimate, has_width

BASELINE = "global_bt"
SYSTEM_A = "elo_offset"
SYSTEM_B = "low_rank_rm"
BOTH = "hybrid"
TITLES = {SYSTEM_A: "System A", SYSTEM_B: "System B", BOTH: "Systems A and B together"}
HEADINGS = {SYSTEM_A: "Elo Offset (A)", SYSTEM_B: "Reward Model (B)", BOTH: "A + B"}
TIE = "tie"
NOT_CLEAR = "not clear"
Gain = Callable[[str, str], Estimate | None]  # of a system over another; None: not compared


def winner(values: Mapping[str, float], gain: Gain, lower_is_better: bool) -> str:
    """The best of these systems, if its gain over every other one is clear; else TIE or NOT_CLEAR.

    One that gives the same as a simpler one, as it falls back to it, is not told apart from it.

    Args:
        values: system to its metric.
        gain: which may know a pair in one order alone.
    """
    sign = -1.0 if lower_is_better else 1.0
    best = max(values, key=lambda system: sign * values[system])
    alike = 0
    for other in values:
        if other == best:
            continue
        found = gain(best, other)
        turned = found is None
        found = gain(other, best) if found is None else found
        if found is not None and found.value == found.ci_low == found.ci_high == 0:
            alike += 1
        elif not _is_clear(found, -sign if turned else sign):
            return NOT_CLEAR
    return TIE if alike == len(values) - 1 else best


def _is_clear(gain: Estimate | None, sign: float) -> bool:
    """Whether a gain is on the side of this sign with its whole interval.

    One of no width, as of users who all gain the same, says nothing of how the gain varies.
    """
    if gain is None or gain.users < 2 or not has_width(gain.ci_low, gain.ci_high):
        return False
    return min(sign * gain.ci_low, sign * gain.ci_high) > 0
