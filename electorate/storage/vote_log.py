"""The vote log, the truth of a run: one Parquet file per (round, block), written whole.

A file's name says which draws it holds, so writing one twice is harmless and resuming is asking
which files are there. Any reader of Hive-partitioned Parquet can open the folder.
"""

import json
import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from electorate.base.errors import ElectorateError, StorageError
from electorate.storage import files
from electorate.storage.places import Place, listing
from electorate.storage.vote_columns import SCHEMA, WEIGHT, column, weights

KEYS = ("user_id", "step")  # of a vote
# In each file's metadata; files without one are of the first. Votes with weights are of the second.
FORMAT = 2
BLOCK_FILE = re.compile(r"block=(\d+)\.parquet")


class VoteLog:
    """The votes under one folder.

    Models are indices into the contestants, named in each file's metadata.
    """

    def __init__(self, folder: Place, contestants: Sequence[str]) -> None:
        self.folder = folder
        self._contestants = len(contestants)
        self._names = json.dumps(list(contestants))
        self.schema = self._schema(SCHEMA.names, 1)

    def path(self, round_: int, block: int) -> Place:
        """Where the votes of a block's round lie."""
        return self.folder / f"round={round_}" / f"block={block}.parquet"

    def has(self, round_: int, block: int) -> bool:
        """Whether the block's votes of this round are there."""
        return self.path(round_, block).exists()

    def blocks(self, round_: int) -> dict[int, float]:
        """Which blocks' votes of this round are there, and when each was written, seconds since
        1970; the folder is asked once.
        """
        found = (
            (BLOCK_FILE.fullmatch(name), written)
            for name, written in listing(self.folder / f"round={round_}").items()
        )
        return {int(match[1]): written for match, written in found if match}

    def write(self, round_: int, block: int, votes: pa.Table) -> None:
        """Put a block's votes on disk, whole: the columns of the log, and their weights if any."""
        schema = self._schema_of(votes, None)
        columns = votes.select(schema.names).columns
        files.write_table(self.path(round_, block), pa.Table.from_arrays(columns, schema=schema))

    def read(self, round_: int, block: int, columns: list[str] | None = None) -> pa.Table:
        """A block's votes, or these columns of them, in (user, step) order.

        Args:
            columns: a weight is read only where the votes have any.

        Raises:
            ElectorateError: the file is missing, damaged, or holds what no vote of this run can be.
        """
        keys = [] if columns is None else [name for name in KEYS if name not in columns]
        read = None if columns is None else [*columns, *keys]
        votes = files.read_table(self.path(round_, block), read)
        format_ = int((votes.schema.metadata or {}).get(b"format", b"1"))
        if format_ > FORMAT:
            raise ElectorateError(
                f"{self.path(round_, block)}: was written by a later version of Electorate (format "
                f"{format_}, this one reads up to {FORMAT}); install that version"
            )
        if not votes.schema.equals(self._schema_of(votes, read)):
            raise StorageError(
                f"{self.path(round_, block)}: not a vote file of this run; remove it, to have it "
                "made again"
            )
        if wrong := self._wrong(votes):
            raise StorageError(
                f"{self.path(round_, block)}: {wrong}; remove it, to have it made again"
            )
        votes = self._in_order(round_, block, votes)
        return votes.drop_columns(keys) if keys else votes

    def _schema_of(self, votes: pa.Table, columns: list[str] | None) -> pa.Schema:
        """Of a vote file's columns, None: all of them; with the weight where the votes have any."""
        names = columns or [*SCHEMA.names, WEIGHT.name]
        if WEIGHT.name in votes.column_names:
            return self._schema(names, FORMAT)
        return self._schema([name for name in names if name != WEIGHT.name], 1)

    def _schema(self, names: Sequence[str], format_: int) -> pa.Schema:
        fields = [WEIGHT if name == WEIGHT.name else SCHEMA.field(name) for name in names]
        metadata = {"contestants": self._names, "format": str(format_)}
        return pa.schema(fields, metadata)

    def remove_user(self, round_: int, block: int, number: int) -> pa.Table:
        """Rewrite a block's file without a user's votes, if it has any; returns those."""
        if not self.has(round_, block):
            return self.schema.empty_table()
        votes = self.read(round_, block)
        own = column(votes, "user_id") == number
        if own.any():
            self.write(round_, block, votes.filter(pa.array(~own)))
        return votes.filter(pa.array(own))

    def _in_order(self, round_: int, block: int, votes: pa.Table) -> pa.Table:
        """By user, then by step: whoever rewrites a file may have put its rows in any order."""
        key = column(votes, "user_id") << 32 | column(votes, "step")
        if (key[1:] > key[:-1]).all():
            return votes
        order = np.argsort(key, kind="stable")
        if (key[order][1:] == key[order][:-1]).any():
            raise StorageError(
                f"{self.path(round_, block)}: holds a vote twice (the same user_id and step); "
                "remove it, to have it made again"
            )
        return votes.take(order)

    def _wrong(self, votes: pa.Table) -> str | None:
        """What no vote of this run can say, in columns that are there."""
        limits = {
            "model_a": self._contestants,
            "model_b": self._contestants,
            "outcome": 4,
            "first_shown": 2,
        }
        there = [name for name in limits if name in votes.column_names and len(votes)]
        for name in there:
            ends = pc.min_max(votes[name]).as_py()
            # Which was first is not known where both orders were judged, or of some people's votes.
            missing = 0 if name == "first_shown" else votes[name].null_count
            known = votes[name].null_count < len(votes)
            if missing or (known and (ends["min"] < 0 or ends["max"] >= limits[name])):
                return (
                    f"{name} must be from 0 to {limits[name] - 1}, not from {ends['min']} to "
                    f"{ends['max']} with {missing} missing"
                )
        if {"model_a", "model_b"} <= set(votes.column_names) and pc.any(
            pc.equal(votes["model_a"], votes["model_b"])
        ).as_py():
            return "a model is set against itself"
        weight = weights(votes)
        if weight is not None and not np.all((weight > 0) & np.isfinite(weight)):
            return "weight must be a number above 0"
        return None
