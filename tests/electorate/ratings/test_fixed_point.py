import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from electorate.population.tally import Counts
from electorate.ratings import fixed_point

WEIGHTS = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=50)


@given(WEIGHTS)
def test_sums_are_the_same_in_any_order_and_what_is_taken_out_leaves_no_trace(
    weights: list[float],
) -> None:
    weight = np.array(weights)
    place = np.arange(len(weight)) % 3
    order = np.random.default_rng(len(weight)).permutation(len(weight))
    total = fixed_point.sums(place, weight, 3)
    assert np.array_equal(total, fixed_point.sums(place[order], weight[order], 3))
    half = len(weight) // 2
    rest = total - fixed_point.sums(place[:half], weight[:half], 3)
    assert np.array_equal(rest, fixed_point.sums(place[half:], weight[half:], 3))
    assert fixed_point.real(total).sum() == pytest.approx(weight.sum(), abs=len(weight) * 2**-20)


def test_counts_hold_weights() -> None:
    counts = Counts.of(np.array([4, 1, 4]), np.array([0.5, 1.0, 0.25]))
    assert counts.place.tolist() == [1, 4]
    assert fixed_point.real(counts.weight).tolist() == [1.0, 0.75]
    assert Counts.of(np.array([2, 2])).votes == 2
