"""The log of online votes: rounds, each one file, sorted by user and mapped into memory.

A file is written once and never changed; what changes a round writes another one. Its checksum is
in the database, as a flipped bit may well say votes that nobody cast.
"""

import os
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from electorate.base.errors import ElectorateError
from electorate.base.scale import Ints
from electorate.storage import files
from electorate.storage.vote_columns import WEIGHT, column

SCHEMA = pa.schema(
    [
        ("user_id", pa.int64()),
        ("prompt_id", pa.int32()),
        ("model_a", pa.int16()),
        ("model_b", pa.int16()),
        ("first_shown", pa.int8()),
        ("outcome", pa.int8()),
        ("key", pa.int32()),
        ("at", pa.int64()),
    ]
)
# Of votes that weigh other than 1 before any cap, or count in another segment than their user's.
OPTIONAL = (WEIGHT, pa.field("segment", pa.int16()))
CHUNK = 1 << 24  # bytes that a checksum takes at once


def path(folder: Path, round_: int) -> Path:
    """The file of a round."""
    return folder / f"round={round_}.arrow"


def write(folder: Path, round_: int, votes: pa.Table) -> int:
    """Put votes, sorted by user, on disk as a round; returns the file's checksum.

    Raises ElectorateError if the disk takes no more.
    """
    place = path(folder, round_)
    with files.replacing(place) as temporary:
        schema = schema_of(votes)
        with pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            writer.write_table(votes.combine_chunks())
        # The database forgets these votes next, so they have to be on the disk itself.
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
    folder_fd = os.open(folder, os.O_RDONLY)
    os.fsync(folder_fd)
    os.close(folder_fd)
    return checksum(place)


def checksum(place: Path) -> int:
    """The CRC-32 of a file."""
    found = 0
    with place.open("rb") as file:
        while part := file.read(CHUNK):
            found = zlib.crc32(part, found)
    return found


def read(folder: Path, round_: int) -> pa.Table:
    """A round's votes, which stay on disk until they are looked at.

    Raises ElectorateError if the file is gone or is not a round.
    """
    place = path(folder, round_)
    try:
        with pa.memory_map(str(place)) as source:
            votes = pa.ipc.open_file(source).read_all()
    except (OSError, pa.ArrowInvalid) as error:
        reason = " ".join(str(error).split())[:200]
        raise ElectorateError(
            f"{place}: cannot be read: {reason}; restore it from a backup"
        ) from None
    if not votes.schema.equals(schema_of(votes)):
        raise ElectorateError(f"{place}: not a round of online votes; restore it from a backup")
    return votes


def schema_of(votes: pa.Table) -> pa.Schema:
    """The columns of a round that holds these votes, with those of OPTIONAL that they have."""
    return pa.schema([*SCHEMA, *(field for field in OPTIONAL if field.name in votes.column_names)])


def joined(parts: Sequence[pa.Table]) -> pa.Table:
    """Votes of several parts; an optional column is null for votes of a part without it."""
    return pa.concat_tables(parts, promote_options="default")


def sorted_by_user(votes: pa.Table) -> pa.Table:
    """The same votes user by user, each user's in the order given, with the columns of a round."""
    order = np.argsort(column(votes, "user_id"), kind="stable")
    schema = schema_of(votes)
    return votes.select(schema.names).take(order).cast(schema)


def rows_of(user: Ints, numbers: Ints) -> Ints:
    """Rows of the users with these numbers, both ascending."""
    first = np.searchsorted(user, numbers)
    many = np.searchsorted(user, numbers, "right") - first
    start = np.cumsum(many) - many
    return np.repeat(first - start, many) + np.arange(many.sum())


def of_users(votes: pa.Table, numbers: Ints) -> pa.Table:
    """A round's votes of the users with these numbers, ascending."""
    user = votes["user_id"].to_numpy()
    if len(numbers) == 1:
        first, last = np.searchsorted(user, (numbers[0], numbers[0] + 1))
        return votes.slice(first, last - first)
    return votes.take(rows_of(user, numbers))


def without_user(votes: pa.Table, number: int) -> pa.Table:
    """A round's votes but this user's."""
    first, last = np.searchsorted(votes["user_id"].to_numpy(), (number, number + 1))
    return joined([votes.slice(0, first), votes.slice(last)])
