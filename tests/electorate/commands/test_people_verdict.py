"""What a study of people's votes answers first, with answers read and without."""

import pytest

from electorate.commands import people_verdict
from electorate.config.metrics import UNSEEN
from electorate.evaluation.intervals import Estimate
from electorate.evaluation.people import Compared, Curve

KEY = (UNSEEN, "log_loss")
PAIRS = (UNSEEN, "pair_accuracy")
BASE = {KEY: 1.0, PAIRS: 0.6}


def compared(pairs: float = 0.02, **gains: tuple[float, float]) -> Compared:
    """Gains in log loss over the global ranking, each with the half of its interval's width."""

    def estimates(gain: float, half: float) -> dict[tuple[str, str], Estimate]:
        of_pairs = Estimate(pairs, pairs - 0.01, pairs + 0.01, 50)
        return {KEY: Estimate(gain, gain - half, gain + half, 50), PAIRS: of_pairs}

    over = {name: estimates(*gain) for name, gain in gains.items()}
    own = {
        name: {key: Estimate(BASE[key] + by.value, 0, 0, 50) for key, by in by_key.items()}
        for name, by_key in over.items()
    }
    own["global_bt"] = {key: Estimate(value, 0, 0, 50) for key, value in BASE.items()}
    between = {}
    if "hybrid" in gains:
        first, half = gains["elo_offset"]
        between["elo_offset"] = {
            name: estimates(gains[name][0] - first, half) for name in ("low_rank_rm", "hybrid")
        }
        by_text = estimates(gains["hybrid"][0] - gains["low_rank_rm"][0], half)
        between["low_rank_rm"] = {"hybrid": by_text}
    return Compared(None, own, over, {}, between)


NO_CURVE = Curve([], {})


def test_where_answers_were_read_both_systems_together_stand_for_personal_rankings() -> None:
    of = compared(elo_offset=(-0.05, 0.01), low_rank_rm=(-0.02, 0.01), hybrid=(-0.08, 0.01))
    verdict = people_verdict.verdict(of, NO_CURVE)
    assert verdict.startswith("Yes: Systems A and B together predict these people better")
    assert "System A alone: -0.0500 [-0.0600, -0.0400]" in verdict
    assert "reading the answers adds -0.0300 [-0.0400, -0.0200]" in verdict
    (headings, loss, *_) = people_verdict.two_systems(of)
    assert headings[1:] == (
        "global_bt",
        "Elo Offset (A)",
        "Reward Model (B)",
        "A + B",
        "B over A",
        "winner",
    )
    assert loss[1:] == ("1.0000", "0.9500", "0.9800", "0.9200", loss[5], "A + B")
    assert loss[5] == "+0.0300 [+0.0200, +0.0400]"


@pytest.mark.parametrize(
    ("gain", "pairs", "says"),
    [
        ((-0.05, 0.01), 0.02, "Yes: System A predicts these people better"),
        ((-0.05, 0.01), 0.0, "In part: System A predicts these people better"),
        ((-0.05, 0.06), 0.02, "Not known yet: the interval of the gain of System A"),
        ((0.05, 0.01), 0.02, "No: System A predicts these people worse"),
    ],
)
def test_without_answers_system_a_does(gain: tuple[float, float], pairs: float, says: str) -> None:
    of = compared(pairs, elo_offset=gain)
    assert people_verdict.verdict(of, NO_CURVE).startswith(says)
    assert people_verdict.two_systems(of) == []


def test_what_falls_back_to_system_a_is_not_told_from_it() -> None:
    of = compared(elo_offset=(-0.05, 0.01), low_rank_rm=(-0.02, 0.01), hybrid=(-0.05, 0.01))
    same = {KEY: Estimate(0.0, 0.0, 0.0, 50), PAIRS: Estimate(0.0, 0.0, 0.0, 50)}
    of.over["elo_offset"]["hybrid"] = same
    loss = people_verdict.two_systems(of)[1]
    assert loss[-1] == "Elo Offset (A)"
