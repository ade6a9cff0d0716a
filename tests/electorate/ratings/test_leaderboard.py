from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from electorate.base.scale import ELO_PER_NAT, Ints
from electorate.ratings import bradley_terry, clustering, leaderboard
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


PRIOR_SD = 1000.0


@st.composite
def few_votes(draw: st.DrawFn) -> Ints:
    """(n, 3) of a, b and outcome: so few votes on five models that some have none."""
    pairs = st.sampled_from([(0, 1), (1, 0), (0, 2), (3, 4)])
    votes = draw(st.lists(st.tuples(pairs, st.integers(0, 2)), min_size=1, max_size=30))
    return np.array([(a, b, outcome) for (a, b), outcome in votes])


@settings(max_examples=60, deadline=None)
@given(few_votes(), st.sampled_from(list(MODELS)), st.booleans())
def test_a_model_without_votes_may_be_anywhere(votes: Ints, ties: str, clustered: bool) -> None:
    a, b, outcome = votes.T
    counts = np.zeros((5, 5, 3), dtype=np.int64)
    np.add.at(counts, (a, b, outcome), 1)
    fit = bradley_terry.fit(counts, MODELS[ties], PRIOR_SD)
    if clustered:
        each = np.arange(len(a))
        of_votes = (a, b, outcome, np.ones(len(a)))
        fit = replace(
            fit, covariance=clustering.covariance(fit, MODELS[ties], *of_votes, [each, each // 3])
        )
    rows = leaderboard.rows("vwxyz", fit, 0.95)
    assert np.isfinite([[row["ci_low"], row["ci_high"]] for row in rows]).all()
    unknown = [row for row in rows if row["votes"] == 0]
    for row in unknown:
        assert (row["rank_low"], row["rank_high"]) == (1, 5)
        # Its own prior's, less what counting from the mean of all takes.
        assert row["ci_high"] - row["ci_low"] > 2 * 1.9 * PRIOR_SD * np.sqrt(0.6)
    # What no battle links is no nearer than the prior has it.
    one = fit.covariance[0]
    other = fit.covariance[3]
    if fit.votes[0] and fit.votes[3]:
        between = one[0] + other[3] - 2 * one[3]
        # Two parts of three and of two models: the levels of both are that uncertain.
        assert np.sqrt(between) * ELO_PER_NAT > PRIOR_SD * np.sqrt(1 / 3 + 1 / 2)
