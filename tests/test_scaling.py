"""The model of scale against what can be worked out by hand."""

import pytest

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
    few, many, more = (predict(5000, 1, cohorts, costs) for cohorts in (5, 50, 500))
    assert (few.bottleneck, many.bottleneck, more.bottleneck) == ("cohorts", part, part)
    assert many.seconds == pytest.approx(5000 * 0.01, rel=0.01)
    assert more.seconds == pytest.approx(many.seconds, rel=0.01)


def test_nothing_to_do_takes_no_time() -> None:
    assert predict(0, 0, 4, FREE).seconds == 0.0
