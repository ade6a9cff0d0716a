"""A finished run's tables, read at its last checkpoint."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

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
    """A run's metrics or gains, of those who voted or (unseen) of newcomers."""
    table = files.read_table(path)
    return table.filter(pc.equal(table["users"], users))


def at_last(folder: RunFolder, users: str = "seen") -> Values:
    """Everyone's metrics at the last checkpoint."""
    rows = last_rows(of_users(folder.metrics, users), segment=EVERYONE)
    return {(row["system"], row["prompts"], row["metric"]): row for row in rows}
