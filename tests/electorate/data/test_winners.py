"""Who won, however it is written; the same for a row alone and for all rows at once."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from electorate.data import vote_files, winners
from simulations import cli

NAMES = st.sampled_from(["x", "y", "A", "B", "left", "model_b", "Tie"])
SAID = st.sampled_from([*winners.SPELLINGS, "A", "B", " Left ", "TIE", "[[A>>B]]", "x", "y", "?"])


@given(st.lists(st.tuples(NAMES, NAMES, SAID), min_size=1))
def test_columns_are_read_as_rows_are(rows: list[tuple[str, str, str]]) -> None:
    table = pa.table(
        dict(zip(vote_files.REQUIRED, map(list, zip(*rows, strict=True)), strict=True))
    )
    expected = [
        outcome
        for a, b, said in rows
        if a != b and (outcome := winners.of_names(said, a, b)) is not None
    ]
    if not expected:
        return
    found, set_aside = vote_files.of_table(table)
    assert found.outcome.tolist() == expected
    assert len(found) + len(set_aside) == len(rows)


@pytest.mark.parametrize(
    ("said", "outcome"),
    [("y", 1), ("A", 0), ("right", 1), ("Tie", 2), ("neither", 3), ("B>>A", 1), ("z", None)],
)
def test_spellings(said: str, outcome: int | None) -> None:
    assert winners.of_names(said, "x", "y") == outcome


def test_a_name_comes_before_a_side() -> None:
    assert winners.of_names("A", "B", "A") == 1
    assert winners.of_names("model_a", "model_b", "model_a") == 0


def test_unknown_winners_are_shown_with_their_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = ["model_a"] * 3 + ["won"] * 4 + ["lost"] * 2
    columns = {"model_a": ["x"] * 9, "model_b": ["y"] * 9, "winner": said}
    pq.write_table(pa.table(columns), tmp_path / "votes.parquet")
    assert cli.main(["rate", str(tmp_path / "votes.parquet")]) == 0
    first, *others = capsys.readouterr().out.splitlines()
    assert first == "only 3 of 9 rows are votes"
    allowed = "which is not model_a, model_b, tie or tie (bothbad)"
    assert others[0] == f"left out: 4 winner 'won', {allowed} (first: row 4)"
    assert others[1] == f"left out: 2 winner 'lost', {allowed} (first: row 8)"


def test_many_unknown_winners_are_not_all_shown() -> None:
    said = [f"w{i}" for i in range(50)] + ["model_a"]
    columns = {"model_a": ["x"] * 51, "model_b": ["y"] * 51, "winner": said}
    _, set_aside = vote_files.of_table(pa.table(columns))
    assert len({row.reason for row in set_aside}) == vote_files.MOST_SHOWN + 1
    assert len(np.unique([row.row for row in set_aside])) == 50
