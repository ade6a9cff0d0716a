"""The model of scale against what can be worked out by hand."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.pool import BUSY, together
from benchmarks.scaling import Costs, predict

FREE = Costs(block=0.1, merge=0.0, call=0.0, trip=0.0)


def test_one_cohort_does_one_block_after_the_other() -> None:
    found = predict(blocks=10, rounds=3, cohorts=1, costs=Costs(0.1, 0.01, 0.002, 0.003))
    # A trip more at each round's end, when the last result comes back.
    assert found.seconds == pytest.approx(3 * (10 * 0.115 + 0.003))
    assert found.bottleneck == "cohorts"


def test_cohorts_share_out_evenly_and_the_last_one_is_waited_for() -> None:
    assert predict(12, 1, 4, FREE).seconds == pytest.approx(0.3)
    assert predict(13, 1, 4, FREE).seconds == pytest.approx(0.4)
    assert predict(13, 1, 100, FREE).seconds == pytest.approx(0.1)
    assert predict(12, 1, 4, FREE).busy["cohorts"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("costs", "part"),
    [(Costs(0.1, 0.01, 0.001, 0.0), "ranking"), (Costs(0.1, 0.001, 0.01, 0.0), "driver")],
)
def test_one_that_all_stand_in_line_for_bounds_the_rate(costs: Costs, part: str) -> None:
    """Ten cohorts are as many as 0.1 s beside 0.01 s keep busy; from there on more of them help
    no more.
    """
    few, many, more = (predict(5000, 1, cohorts, costs, at_once=False) for cohorts in (5, 50, 500))
    assert (few.bottleneck, many.bottleneck, more.bottleneck) == ("cohorts", part, part)
    assert many.seconds == pytest.approx(5000 * 0.01, rel=0.01)
    assert more.seconds == pytest.approx(many.seconds, rel=0.01)


FAST = Costs(0.063, 0.00013, 0.0002, 0.001)
SLOW = Costs(0.063, 0.0008, 0.0007, 0.001)


@pytest.mark.parametrize(
    ("costs", "personas", "nodes"),
    [
        (FAST, 10**8, 64),
        (FAST, 10**9, 64),
        (FAST, 10**10, 512),
        (SLOW, 10**9, 64),
        (SLOW, 2 * 10**10, 512),
    ],
)
def test_blocks_handed_out_together_leave_driver_and_ranking_idle(
    costs: Costs, personas: int, nodes: int
) -> None:
    """Where one at a time would keep the driver as busy as it can be; however long calls take."""
    blocks = personas // 4096
    found = predict(blocks, 1, 16 * nodes, costs)
    assert found.busy["driver"] < 0.2
    assert found.busy["ranking"] < 0.2
    assert found.bottleneck == "cohorts"
    if nodes == 64:
        one_by_one = predict(blocks, 1, 16 * nodes, costs, at_once=False)
        assert max(one_by_one.busy["driver"], one_by_one.busy["ranking"]) > 0.95
        assert found.seconds < one_by_one.seconds / 2


@settings(deadline=None)
@given(
    st.integers(1, 10**6),
    st.integers(1, 10_000),
    st.floats(1e-4, 10),
    st.floats(1e-6, 0.1),
)
def test_blocks_together_are_at_least_one_and_no_more_than_the_driver_asks_for(
    total: int, actors: int, seconds: float, call_s: float
) -> None:
    most = max(1.0, actors * call_s / BUSY / seconds)
    for waiting in {total, max(1, total // 2), 1}:
        assert 1 <= together(waiting, total, actors, seconds, call_s) <= most


def test_nothing_to_do_takes_no_time() -> None:
    assert predict(0, 0, 4, FREE).seconds == 0.0
