"""Votes as columns of the vote log, and back."""

import numpy as np
import pyarrow as pa

from electorate.base.scale import Floats, Ints
from electorate.base.votes import MISSING, Votes

SCHEMA = pa.schema(
    [
        ("user_id", pa.int64()),
        ("prompt_id", pa.int32()),
        ("model_a", pa.int16()),
        ("model_b", pa.int16()),
        ("outcome", pa.int8()),
        ("first_shown", pa.int8()),
        ("p_a", pa.float32()),
        ("p_b", pa.float32()),
        ("p_tie", pa.float32()),
        ("step", pa.int32()),
        ("judge", pa.dictionary(pa.int8(), pa.string())),
    ]
)
WEIGHT = pa.field("weight", pa.float64())  # beside the others, where votes weigh other than 1


def table_of(votes: Votes, step: Ints, judge: str, p: Floats | None = None) -> pa.Table:
    """The rows of the log that these votes are.

    Args:
        votes: on known prompts.
        step: (n,) how many votes its user had cast before each.
        judge: what cast them.
        p: (n, 3) how likely it was to say A, B and tie; None: not known.
    """
    n = len(votes)
    first = np.full(n, MISSING) if votes.first_shown is None else votes.first_shown
    odds = [pa.nulls(n)] * 3 if p is None else [pa.array(column) for column in p.T]
    values = [
        votes.user,
        votes.prompt,
        votes.a,
        votes.b,
        votes.outcome,
        pa.array(first, mask=first == MISSING),
        *odds,
        step,
    ]
    columns = [
        pa.array(value).cast(field.type) for value, field in zip(values, SCHEMA, strict=False)
    ]
    columns.append(pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int8)), [judge]))
    table = pa.Table.from_arrays(columns, schema=SCHEMA)
    return table if votes.weight is None else table.append_column(WEIGHT, pa.array(votes.weight))


def votes_of(table: pa.Table) -> Votes:
    """The votes in these rows; of what is not in all logs or was not read, as if it were not
    known.
    """
    there = table.column_names
    return Votes(
        user=column(table, "user_id"),
        a=column(table, "model_a"),
        b=column(table, "model_b"),
        outcome=column(table, "outcome"),
        weight=weights(table),
        prompt=column(table, "prompt_id") if "prompt_id" in there else None,
        first_shown=column(table, "first_shown") if "first_shown" in there else None,
    )


def weights(votes: pa.Table) -> Floats | None:
    """(votes,) what each counts for, 1 where that is not said; None where it is of none."""
    if WEIGHT.name not in votes.column_names:
        return None
    found: Floats = votes[WEIGHT.name].fill_null(1.0).to_numpy()
    return found


def column(votes: pa.Table, name: str) -> Ints:
    """A whole-number column as int64; MISSING where a value is not known."""
    values = votes.column(name)
    if values.null_count:
        values = values.fill_null(MISSING)
    return values.to_numpy().astype(np.int64)
