"""Rows of a table found by their keys, so that the order of rows in a file means nothing."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from electorate.base.errors import ElectorateError
from electorate.storage import files
from electorate.storage.places import Place


def read_in_order(place: Place, keys: Mapping[str, Sequence[Any]]) -> pa.Table:
    """Read a table with one row for each combination of keys, in the keys' order.

    Args:
        place: a Parquet file with a column for each key.
        keys: column to all its values, each once; the last one varies fastest.

    Raises:
        ElectorateError: a row is missing, there twice, or has a key that is not in `keys`.
    """
    return in_order(place, files.read_table(place), keys)


def in_order(place: Place, table: pa.Table, keys: Mapping[str, Sequence[Any]]) -> pa.Table:
    """`read_in_order` for a table that was read from `place` already."""
    position = np.zeros(len(table), dtype=np.int64)
    for name, values in keys.items():
        if name not in table.column_names:
            raise _wrong(place, f"has no column {name}")
        column = table[name].combine_chunks()
        found = pc.index_in(column, pa.array(values, column.type))
        if found.null_count:
            row = found.is_null().to_numpy(zero_copy_only=False).argmax()
            unknown = column[row].as_py()
            raise _wrong(place, f"row {row + 1} has an unknown {name}: {unknown!r}")
        position = position * len(values) + found.to_numpy()
    expected = int(np.prod([len(values) for values in keys.values()]))
    times = np.bincount(position, minlength=expected)
    if not (times == 1).all():
        which = np.unravel_index(int((times != 1).argmax()), [len(v) for v in keys.values()])
        named = zip(keys.items(), which, strict=True)
        key = ", ".join(f"{name} {values[int(i)]!r}" for (name, values), i in named)
        times_there = int(times[times != 1][0])
        raise _wrong(place, f"has {times_there} rows for {key} instead of 1")
    if (position[1:] > position[:-1]).all():
        return table
    return table.take(np.argsort(position))


def digest(table: pa.Table) -> str:
    """SHA-256 of a table's columns and values, whatever wrote them to a file."""
    total = hashlib.sha256()
    for name in sorted(table.column_names):
        column = table[name].combine_chunks()
        total.update(f"{name}:{column.type}:{len(column)}:{column.null_count};".encode())
        if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
            total.update(np.ascontiguousarray(column.to_numpy(zero_copy_only=False)).tobytes())
        else:
            for value in column.to_pylist():
                text = "" if value is None else str(value)
                total.update(f"{len(text)}:".encode() + text.encode("utf-8", "surrogatepass"))
    return total.hexdigest()


def check(place: Place, table: pa.Table, expected: str | None) -> None:
    """Compare a table, in order, with the digest it had when it was written.

    Args:
        expected: None where a version that kept no digest wrote it.

    Raises:
        ElectorateError: its values were changed.
    """
    if expected is not None and digest(table) != expected:
        raise _wrong(place, "holds other values than when it was written")


def _wrong(place: Place, what: str) -> ElectorateError:
    return ElectorateError(
        f"{place}: {what}; put the file back as it was, or run the config again with another --out"
    )
