"""Times of votes, as files have them."""

import numpy as np
import pytest

from electorate.data import vote_times


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("1700000000", "1700000000.5"),
        ("2026-01-01", "2026-01-01T00:00:01"),
        ("2026-01-01T12:00:00+02:00", "2026-01-01T11:00:00Z"),
        ("2026-01-01 09:00:00", "2026-01-01T10:00:00+00:00"),
        (" 5 ", "2026-01-01"),
    ],
)
def test_texts_are_compared_as_times(earlier: str, later: str) -> None:
    first, second = vote_times.parsed([earlier, later])
    assert first < second


def test_what_is_no_time_is_not_known() -> None:
    assert np.isnan(vote_times.parsed(["", "soon", "2026-13-01", "12:00"])).all()
