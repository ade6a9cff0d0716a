"""Parts of Parquet files."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from electorate.storage import files


def test_rows_are_left_out_a_row_group_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    table = pa.table({"user_id": range(12), "name": [f"n{i}" for i in range(12)]})
    pq.write_table(table, path, row_group_size=4)
    files.keep_rows(path, lambda part: pc.not_equal(part["user_id"], 5))
    assert files.read_table(path).equals(table.filter(pc.not_equal(table["user_id"], 5)))
    assert pq.ParquetFile(path).num_row_groups == 3


def test_row_groups_that_hold_none_of_the_rows_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    table = pa.table({"user_id": range(12), "name": [f"n{i}" for i in range(12)]})
    pq.write_table(table, path, row_group_size=4)
    read = files.read_table(path, ["name"], ("user_id", 5, 6))
    assert read["name"].to_pylist() == ["n4", "n5", "n6", "n7"]
    assert len(files.read_table(path, ["name"], ("user_id", 3, 4))) == 8
    assert len(files.read_table(path, within=("user_id", 99, 100))) == 0
    # Rows in another order cost reading, and lose nothing.
    pq.write_table(table.take([0, 11, 5, 2, 7, 9, 1, 3, 4, 6, 8, 10]), path, row_group_size=4)
    assert {"n5", "n6"} <= {
        *files.read_table(path, ["name"], ("user_id", 5, 6))["name"].to_pylist()
    }
