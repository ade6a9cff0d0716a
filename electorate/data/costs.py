"""What contestants cost, from a table: by the request, or by the token."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from electorate.base.errors import ElectorateError
from electorate.base.scale import Floats
from electorate.storage import tables

NAME = "model"
REQUESTS = "usd_per_1000"
TOKENS = ("input", "output")


def of_requests(path: Path) -> dict[str, list[float]] | None:
    """USD for 1,000 requests to each contestant, from the column usd_per_1000; None without it.

    Raises:
        ElectorateError: a cell is no amount, or a contestant is named twice.
    """
    return _read(path, (REQUESTS,))


def of_tokens(path: Path) -> dict[str, list[float]]:
    """USD for a million tokens that each contestant reads and writes, from the columns input and
    output.

    Raises:
        ElectorateError: they are not there, a cell is no amount, or a contestant is named twice.
    """
    found = _read(path, TOKENS)
    if found is None:
        raise ElectorateError(
            f"{path}: has neither a column {REQUESTS} (requests) nor input and output (USD a "
            "million tokens)"
        )
    return found


def _read(path: Path, wanted: Sequence[str]) -> dict[str, list[float]] | None:
    table = tables.read(path, (NAME,), (*TOKENS, REQUESTS)).table
    if not set(wanted) <= set(table.column_names):
        return None
    found = dict[str, list[float]]()
    for row in table.to_pylist():
        name = str(row[NAME])
        if name in found:
            raise ElectorateError(f"{path}: names {name!r} twice")
        found[name] = [_amount(path, name, column, row[column]) for column in wanted]
    return found


def _amount(path: Path, name: str, column: str, given: object) -> float:
    try:
        value = float(str(given))
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise ElectorateError(
            f"{path}: {column} of {name!r} is {given!r}, which is no amount of USD from 0 on"
        )
    return value


def in_order(path: Path, found: Mapping[str, list[float]], names: Sequence[str]) -> Floats:
    """(M,) of one column, (M, 2) of two, for contestants of these names.

    Raises:
        ElectorateError: the table says nothing of one.
    """
    missing = [name for name in names if name not in found]
    if missing:
        others = f" and {len(missing) - 1:,} others" if len(missing) > 1 else ""
        raise ElectorateError(
            f"{path}: says nothing of {missing[0]!r}{others}; a row a contestant is needed"
        )
    values: Floats = np.array([found[name] for name in names])
    return values[:, 0] if values.shape[1] == 1 else values
