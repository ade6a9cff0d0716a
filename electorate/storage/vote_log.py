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

from electorate.errors import ElectorateError
from electorate.judges import Ballots
from electorate.scale import Ints
from electorate.storage import files
from electorate.storage.places import Place, listing

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
BLOCK_FILE = re.compile(r"block=(\d+)\.parquet")


class VoteLog:
    """The votes under one folder. Models are indices into the contestants, named in each file's metadata."""

    def __init__(self, folder: Place, contestants: Sequence[str]) -> None:
        self.folder = folder
        self._contestants = len(contestants)
        self.schema = SCHEMA.with_metadata({"contestants": json.dumps(list(contestants))})

    def path(self, round_: int, block: int) -> Place:
        """Where the votes of a block's round lie."""
        return self.folder / f"round={round_}" / f"block={block}.parquet"

    def has(self, round_: int, block: int) -> bool:
        """Whether the block's votes of this round are there."""
        return self.path(round_, block).exists()

    def blocks(self, round_: int) -> dict[int, float]:
        """Which blocks' votes of this round are there, and when each was written, seconds since 1970; the folder is asked once."""
        found = ((BLOCK_FILE.fullmatch(name), written) for name, written in listing(self.folder / f"round={round_}").items())
        return {int(match[1]): written for match, written in found if match}

    def write(self, round_: int, block: int, votes: pa.Table) -> None:
        """Put a block's votes on disk, whole."""
        files.write_table(self.path(round_, block), votes)

    def read(self, round_: int, block: int, columns: list[str] | None = None) -> pa.Table:
        """A block's votes, or these columns of them, in (user, step) order."""
        votes = files.read_table(self.path(round_, block), columns)
        expected = self.schema if columns is None else pa.schema([self.schema.field(name) for name in columns], self.schema.metadata)
        if not votes.schema.equals(expected):
            raise ElectorateError(f"{self.path(round_, block)}: not a vote file of this run; remove it and run again with --resume")
        if wrong := self._wrong(votes):
            raise ElectorateError(f"{self.path(round_, block)}: {wrong}; remove it and run again with --resume")
        return votes

    def _wrong(self, votes: pa.Table) -> str | None:
        """What no vote of this run can say, in columns that are there."""
        limits = {"model_a": self._contestants, "model_b": self._contestants, "outcome": 4, "first_shown": 2}
        for name, allowed in limits.items():
            if name in votes.column_names and len(votes):
                ends, missing = pc.min_max(votes[name]).as_py(), votes[name].null_count
                if missing or ends["min"] < 0 or ends["max"] >= allowed:
                    return f"{name} must be from 0 to {allowed - 1}, not from {ends['min']} to {ends['max']} with {missing} missing"
        if {"model_a", "model_b"} <= set(votes.column_names) and pc.any(pc.equal(votes["model_a"], votes["model_b"])).as_py():
            return "a model is set against itself"
        return None

    def table(self, ballots: Ballots, user_id: Ints, first_step: int, judge: str) -> pa.Table:
        """Ballots of shape (n, v) as the log's columns, user by user."""
        n, v = ballots.outcome.shape
        p_a, p_b, p_tie = (pa.array(ballots.probabilities[..., i].ravel(), pa.float32()) for i in range(3))
        judges = pa.DictionaryArray.from_arrays(pa.array(np.zeros(n * v, np.int8)), [judge])
        columns = [
            pa.array(np.repeat(user_id, v), pa.int64()),
            pa.array(ballots.prompt.ravel(), pa.int32()),
            pa.array(ballots.pairs.a.ravel(), pa.int16()),
            pa.array(ballots.pairs.b.ravel(), pa.int16()),
            pa.array(ballots.outcome.ravel(), pa.int8()),
            pa.array(ballots.pairs.first_shown.ravel(), pa.int8()),
            p_a,
            p_b,
            p_tie,
            pa.array(np.tile(np.arange(first_step, first_step + v), n), pa.int32()),
            judges,
        ]
        return pa.Table.from_arrays(columns, schema=self.schema)


def column(votes: pa.Table, name: str) -> Ints:
    """A whole-number column as int64."""
    return votes.column(name).to_numpy().astype(np.int64)
