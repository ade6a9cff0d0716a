import numpy as np
import pytest

from electorate.base.scale import Ints
from electorate.ratings import bradley_terry, leaderboard
from electorate.ratings.ties import MODELS


def three_models() -> Ints:
    """Two that are alike far above a third."""
    counts = np.zeros((3, 3, 3), dtype=np.int64)
    counts[0, 1] = [52, 48, 0]
    counts[0, 2] = counts[1, 2] = [90, 10, 0]
    return counts


def test_rank_ranges_say_what_the_votes_leave_possible() -> None:
    rows = leaderboard.rows(
        ("x", "y", "z"), bradley_terry.fit(three_models(), MODELS["half"], None), 0.95
    )
    assert [(row["rank_low"], row["rank_high"]) for row in rows] == [(1, 2), (1, 2), (3, 3)]
    assert [row["votes"] for row in rows] == [200, 200, 200]
    assert all(row["ci_low"] < row["rating"] < row["ci_high"] for row in rows)
    assert np.mean([row["rating"] for row in rows]) == pytest.approx(1000)


def test_a_shift_moves_all_and_widens_nothing() -> None:
    fit = bradley_terry.fit(three_models(), MODELS["half"], None)
    plain = leaderboard.rows("xyz", fit, 0.95)
    shifted = leaderboard.rows("xyz", fit, 0.95, shift=123.0)
    for one, other in zip(plain, shifted, strict=True):
        assert other["rating"] - one["rating"] == pytest.approx(123)
        assert other["ci_high"] - other["ci_low"] == pytest.approx(one["ci_high"] - one["ci_low"])
        assert other["rank_low"] == one["rank_low"]


def test_ranks_by_differences_are_sharper_than_by_overlapping_intervals() -> None:
    counts = np.zeros((2, 2, 3), dtype=np.int64)
    counts[0, 1] = [62, 38, 0]
    one, other = leaderboard.rows("xy", bradley_terry.fit(counts, MODELS["half"], None), 0.95)
    assert (one["rank_low"], one["rank_high"], other["rank_low"]) == (1, 1, 2)
