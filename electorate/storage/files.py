"""Writing files so that a reader sees the whole of one or nothing."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from electorate.errors import ElectorateError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its name when the block ends well, and goes when it does not."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise ElectorateError(
            f"{path}: cannot be written: {error.strerror or error}; free space or give another --out; a run goes on with --resume"
        ) from None
    finally:
        with suppress(OSError):
            temporary.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a text file whole."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_table(path: Path, table: pa.Table) -> None:
    """Write a Parquet file whole."""
    # Looking for repeats among floats takes as long as all the rest, and finds none.
    repeating = [field.name for field in table.schema if not pa.types.is_floating(field.type)]
    with replacing(path) as temporary:
        # Checksums, as a flipped bit may well decode to votes that nobody cast.
        pq.write_table(table, temporary, compression="zstd", use_dictionary=repeating or False, write_page_checksum=True)


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Read a Parquet file, or these columns of it; ElectorateError with one line if it is missing or damaged."""
    try:
        return pq.ParquetFile(path, page_checksum_verification=True).read(columns)
    except (OSError, pa.ArrowException) as error:
        raise ElectorateError(
            f"{path}: not a readable Parquet file ({' '.join(str(error).split())}); remove it and run again with --resume"
        ) from None
