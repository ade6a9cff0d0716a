import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from electorate.base.votes import MISSING, Votes
from electorate.storage import vote_columns
from electorate.storage.vote_columns import SCHEMA


@st.composite
def drawn(draw: st.DrawFn) -> Votes:
    n = draw(st.integers(0, 30))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    a = random.integers(0, 9, n)
    return Votes(
        user=random.integers(0, 2**40, n),
        a=a,
        b=(a + random.integers(1, 9, n)) % 9,
        outcome=random.integers(0, 4, n),
        prompt=random.integers(0, 2**31 - 1, n),
        first_shown=random.integers(MISSING, 2, n) if draw(st.booleans()) else None,
        weight=np.exp(random.normal(size=n)) if draw(st.booleans()) else None,
    )


@given(drawn(), st.booleans())
def test_votes_are_read_as_they_were_written(votes: Votes, is_sure: bool) -> None:
    n = len(votes)
    p = np.full((n, 3), 1 / 3) if is_sure else None
    table = vote_columns.table_of(votes, np.arange(n), "somebody", p)
    assert table.select(SCHEMA.names).schema == SCHEMA
    assert table["p_tie"].null_count == (0 if is_sure else n)
    assert set(table["judge"].to_pylist()) <= {"somebody"}
    read = vote_columns.votes_of(table)
    for name in ("user", "a", "b", "outcome", "prompt"):
        assert np.array_equal(getattr(read, name), getattr(votes, name)), name
    assert np.array_equal(read.weights, votes.weights)
    assert (read.weight is None) == (votes.weight is None)
    assert np.array_equal(read.side, votes.side)


def test_what_the_log_lacks_is_not_known() -> None:
    nobody = np.zeros(2, dtype=np.int64)
    written = Votes(user=nobody, a=nobody, b=nobody + 1, outcome=nobody, prompt=nobody)
    table = vote_columns.table_of(written, np.arange(2), "somebody")
    read = vote_columns.votes_of(table.drop_columns(["prompt_id", "first_shown"]))
    assert read.prompt is None
    assert read.first_shown is None
    assert not read.side.any()
