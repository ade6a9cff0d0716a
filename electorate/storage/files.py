"""Writing files so that a reader sees the whole of one or nothing, on a disk or in an object
store.
"""

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from electorate.base.errors import StorageError
from electorate.storage.places import ObjectPath, Place


@contextmanager
def replacing(place: Place) -> Iterator[Path]:
    """A temporary file that takes the place's name when the block ends well, and goes when it
    does not.
    """
    if isinstance(place, ObjectPath):
        with _making_room(place), TemporaryDirectory(prefix="electorate-") as folder:
            temporary = Path(folder) / place.name
            yield temporary
            place.write_buffer(pa.memory_map(str(temporary)).read_buffer())
        return
    temporary = place.with_name(f".{place.name}.{os.getpid()}.tmp")
    try:
        with _making_room(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            temporary.replace(place)
    finally:
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def _making_room(place: Place) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{place}: cannot be written: {error.strerror or error}; free space or give another "
            "folder"
        ) from None


def write_text(place: Place, text: str) -> None:
    """Write a text file whole."""
    with replacing(place) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_table(place: Place, table: pa.Table) -> None:
    """Write a Parquet file whole."""
    with replacing(place) as temporary:
        pq.write_table(table, temporary, **_options(table.schema))


def _options(schema: pa.Schema) -> dict[str, Any]:
    """How Parquet files are written."""
    # Looking for repeats among floats takes as long as all the rest, and finds none.
    repeating = [field.name for field in schema if not pa.types.is_floating(field.type)]
    # Checksums, as a flipped bit may well decode to votes that nobody cast.
    return {
        "compression": "zstd",
        "use_dictionary": repeating or False,
        "write_page_checksum": True,
    }


def write_arrays(place: Place, **arrays: Any) -> None:
    """Write NumPy arrays whole, as an .npz file."""
    with replacing(place) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def copy(source: Place, to: Place) -> None:
    """Put a file, or all that is in a folder, at another place too, each file whole."""
    if source.is_dir():
        for path in source.iterdir():
            copy(path, to / path.name)
        return
    with replacing(to) as temporary:
        if isinstance(source, ObjectPath):
            temporary.write_bytes(source.read_bytes())
        else:
            shutil.copyfile(source, temporary)


def remove(place: Place) -> None:
    """Remove a file, or a folder with all that is in it."""
    if isinstance(place, Path):
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)
        return
    if place.is_dir():
        for inside in place.iterdir():
            remove(inside)
        return
    place.unlink(missing_ok=True)


def read_table(
    place: Place, columns: list[str] | None = None, within: tuple[str, int, int] | None = None
) -> pa.Table:
    """Read a Parquet file, or a part of it.

    Args:
        columns: which of them; None: all.
        within: a column and two values: row groups with none of that column's values from the one
            to the other are left out. Rows with other values may still be among those read.

    Raises:
        ElectorateError: in one line, that the file is missing or damaged.
    """

    def table(source: Path | pa.NativeFile) -> pa.Table:
        file = pq.ParquetFile(source, page_checksum_verification=True)
        if within is None:
            return file.read(columns)
        return file.read_row_groups(_row_groups(file.metadata, *within), columns)

    try:
        return place.read(table) if isinstance(place, ObjectPath) else table(place)
    except (OSError, pa.ArrowException) as error:
        raise StorageError(
            f"{place}: not a readable Parquet file ({' '.join(str(error).split())}); remove it, to "
            "have it made again"
        ) from None


def keep_rows(place: Place, kept: Callable[[pa.Table], pa.ChunkedArray]) -> None:
    """Rewrite a Parquet file with some of its rows, a row group at a time.

    Args:
        kept: from a part of the table to which of its rows stay.
    """
    with local(place) as source, replacing(place) as path:
        file = pq.ParquetFile(source, page_checksum_verification=True)
        schema = file.schema_arrow
        with pq.ParquetWriter(path, schema, **_options(schema)) as writer:
            for group in range(file.num_row_groups):
                part = file.read_row_group(group)
                writer.write_table(part.filter(kept(part)))


def _row_groups(metadata: pq.FileMetaData, column: str, low: int, high: int) -> list[int]:
    """Those that may hold a value of the column from `low` to `high`."""
    place = metadata.schema.names.index(column)
    found = []
    for group in range(metadata.num_row_groups):
        known = metadata.row_group(group).column(place).statistics
        outside = known is not None and known.has_min_max and (known.max < low or known.min > high)
        if not outside:
            found.append(group)
    return found


def read_arrays(place: Place) -> dict[str, np.ndarray]:
    """The arrays of an .npz file, by name.

    Raises OSError, ValueError or BadZipFile if it is missing or damaged.
    """
    with np.load(BytesIO(place.read_bytes())) as arrays:
        return {name: arrays[name] for name in arrays.files}


@contextmanager
def local(place: Place) -> Iterator[Path]:
    """A file, or a folder and all that is in it, on this machine: where it lies, or a copy that
    goes with the block.
    """
    if isinstance(place, ObjectPath):
        with TemporaryDirectory(prefix="electorate-") as folder:
            copied = Path(folder) / place.name
            if place.exists():
                copy(place, copied)
            yield copied
    else:
        yield place


def secret(path: Path, size: int) -> bytes:
    """A file's random bytes, made when they are first asked for; whoever asks at the same time, on
    other nodes too, gets the same.

    Raises:
        OSError: it cannot be read or made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        return path.read_bytes()
    made = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    made.touch(mode=0o600)
    made.write_bytes(secrets.token_bytes(size))
    try:
        # Whole or not at all, and never in another's place.
        os.link(made, path)
    except FileExistsError:
        pass
    finally:
        made.unlink()
    return path.read_bytes()


def sha256(path: Path) -> str:
    """Of a file's bytes, as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
