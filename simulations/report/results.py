"""A finished run's tables, read at its last checkpoint."""

from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from electorate.config.metrics import METRICS
from electorate.config.systems import SYSTEMS
from electorate.evaluation.results import EVERYONE
from electorate.storage import files
from electorate.storage.places import Place
from electorate.storage.run_folder import RunFolder

Values = dict[tuple[str, str, str], dict[str, Any]]  # system, prompts, metric


def last_rows(table: pa.Table, **where: Any) -> list[dict[str, Any]]:
    """Rows at the last checkpoint that equal `where` in every column it names."""
    chosen = pc.equal(table["votes_per_user"], pc.max(table["votes_per_user"]))
    for column, value in where.items():
        chosen = pc.and_(chosen, pc.equal(table[column], value))
    return table.filter(chosen).to_pylist()


def of_users(path: Place, users: str = "seen") -> pa.Table:
    """A run's metrics or gains, of those who voted or (unseen) of newcomers: systems and metrics as
    they are declared, whatever the order of the file's rows.
    """
    table = files.read_table(path)
    own = table.filter(pc.equal(table["users"], users))
    return pa.Table.from_pylist(sorted(own.to_pylist(), key=_declared), schema=own.schema)


def _declared(row: dict[str, Any]) -> tuple[Any, ...]:
    """What a row of metrics or gains is sorted by."""
    segment = (row["segment"] != EVERYONE, row["segment"])
    places = (_place(SYSTEMS, row["system"]), _place(METRICS, row["metric"]))
    return (places[0], segment, row["votes_per_user"], places[1], row["prompts"])


def _place(declared: Iterable[str], name: str) -> tuple[int, str]:
    """Where a name stands among those declared; the others come last."""
    names = list(declared)
    return (names.index(name) if name in names else len(names), name)


def at_last(folder: RunFolder, users: str = "seen") -> Values:
    """Everyone's metrics at the last checkpoint."""
    rows = last_rows(of_users(folder.metrics, users), segment=EVERYONE)
    return {(row["system"], row["prompts"], row["metric"]): row for row in rows}
