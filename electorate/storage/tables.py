"""Anybody's tables: CSV, JSON Lines, JSON or Parquet, read as columns of text.

What is wrong with the file as a whole is one ElectorateError. What is wrong with a row sets that
row aside with a reason, so that one bad line in a million loses nothing.
"""

import codecs
import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from electorate.base.errors import ElectorateError
from electorate.base.visible import cell
from electorate.storage import files

FORMATS = ".csv, .jsonl, .json or .parquet"
MAX_ROWS = 500_000_000
TEXTS = ("prompt", "response_a", "response_b", "response", "instruction", "output")
STRAY_QUOTE = "a double quote before it may be one too many"
COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
WIDE = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


class SetAside(NamedTuple):
    """A row that cannot be used. row: from 1, the header not counted. content: the row as it
    was, where it is kept.
    """

    row: int
    reason: str
    content: str


@dataclass(frozen=True)
class Rows:
    """Columns of text, plain or dictionary-encoded, null where a row has none (in CSV, where it
    is empty); and the number each row had in its file.
    """

    table: pa.Table
    number: list[int] | range
    set_aside: list[SetAside]


def read(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> Rows:
    """The required and whichever optional columns of a table file, all as text; lists and
    objects as JSON.

    Raises ElectorateError if the file is missing, compressed, no such table, or lacks a column.
    """
    readers = {
        ".csv": _read_csv,
        ".jsonl": _read_jsonl,
        ".json": _read_json,
        ".parquet": _read_parquet,
    }
    if path.suffix.lower() not in readers:
        raise ElectorateError(
            f"{path}: the format is inferred from the extension, which must be {FORMATS}"
        )
    _check_start(path)
    try:
        rows = readers[path.suffix.lower()](path, [*required, *optional])
    except (OSError, pa.ArrowException, UnicodeError, csv.Error, MemoryError) as error:
        reason = "".join(letter if letter.isprintable() else " " for letter in str(error)[:300])
        raise ElectorateError(
            f"{path}: not readable as {path.suffix[1:]}: {' '.join(reason.split())}"
        ) from None
    if missing := [name for name in required if name not in rows.table.column_names]:
        raise ElectorateError(
            f"{path}: has no column {missing[0]!r}; needed are {', '.join(required)}"
        )
    return rows


def of_table(table: pa.Table, required: Sequence[str], optional: Sequence[str] = ()) -> Rows:
    """The same columns of a table in memory.

    Raises:
        ElectorateError: it lacks a column.
    """
    if missing := [name for name in required if name not in table.column_names]:
        raise ElectorateError(
            f"votes: have no column {missing[0]!r}; needed are {', '.join(required)}"
        )
    wanted = [name for name in (*required, *optional) if name in table.column_names]
    columns = {name: _column_as_text(table[name]) for name in wanted}
    return Rows(pa.table(columns), range(1, len(table) + 1), [])


def write(path: Path, table: pa.Table) -> None:
    """Write a table whole, as CSV, JSON Lines or Parquet by the path's ending."""
    with files.replacing(path) as temporary:
        if path.suffix == ".parquet":
            pq.write_table(table, temporary, compression="zstd")
        elif path.suffix == ".csv":
            pcsv.write_csv(table, temporary)
        else:
            lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in table.to_pylist())
            temporary.write_text("".join(lines), encoding="utf-8")


def for_spreadsheets(table: pa.Table) -> pa.Table:
    """The table with texts that a spreadsheet would take for formulas as texts."""
    for i, field in enumerate(table.schema):
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            shown = [None if text is None else cell(text) for text in table[i].to_pylist()]
            table = table.set_column(i, field.name, pa.array(shown, field.type))
    return table


def check_writable(path: Path) -> None:
    """ElectorateError if `write` would not know the path's format."""
    if path.suffix not in (".csv", ".jsonl", ".parquet"):
        raise ElectorateError(
            f"--out {path}: the format is inferred from the extension, which must be .csv, .jsonl "
            "or "
            ".parquet"
        )


def _check_start(path: Path) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except FileNotFoundError:
        raise ElectorateError(f"{path}: no such file") from None
    except OSError as error:
        raise ElectorateError(f"{path}: cannot be read: {error.strerror}") from None
    if not start:
        raise ElectorateError(f"{path}: is empty")
    for magic, name in COMPRESSED.items():
        if start.startswith(magic):
            raise ElectorateError(
                f"{path}: is compressed ({name}); unpack it first, since nothing says how large it "
                "would become"
            )
    for magic, name in WIDE.items():
        if start.startswith(magic):
            raise ElectorateError(f"{path}: is {name}; save it as UTF-8")


def _read_csv(path: Path, wanted: list[str]) -> Rows:
    set_aside: list[SetAside] = []

    def put_aside(row: pcsv.InvalidRow) -> str:
        reason = f"has {row.actual_columns} columns instead of {row.expected_columns}"
        if "\n" in row.text:
            reason += f" and runs over several lines; {STRAY_QUOTE}"
        set_aside.append(SetAside((row.number or 2) - 1, reason, row.text))
        return "skip"

    with path.open(encoding="utf-8-sig", errors="replace", newline="") as text:
        names = next(csv.reader(text), [])
    if twice := sorted({name for name in names if names.count(name) > 1 and name in wanted}):
        raise ElectorateError(f"{path}: column {twice[0]!r} is there twice")
    there = [name for name in wanted if name in names]
    if not there:  # Arrow would read every column
        return Rows(pa.table({}), range(0), set_aside)
    whole = _check_csv(path)
    # One block, as a row may be of any length; one thread, so that rows have numbers. Latin-1 takes
    # any bytes.
    size = min(2**31 - 1, path.stat().st_size + 1)
    reading = pcsv.ReadOptions(
        use_threads=False, block_size=size, encoding="utf8" if whole else "latin-1"
    )
    parsing = pcsv.ParseOptions(newlines_in_values=True, invalid_row_handler=put_aside)
    types = dict.fromkeys(there, pa.large_string())
    converting = pcsv.ConvertOptions(
        include_columns=there,
        column_types=types,
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=True,
    )
    source = path if whole else io.BytesIO(path.read_bytes().removeprefix(codecs.BOM_UTF8))
    table = pcsv.read_csv(
        source, read_options=reading, parse_options=parsing, convert_options=converting
    )
    aside = {row.row for row in set_aside}
    number = (
        [i for i in range(1, table.num_rows + len(aside) + 1) if i not in aside]
        if aside
        else range(1, table.num_rows + 1)
    )
    rows = Rows(table, number, set_aside) if whole else _decoded(table, number, set_aside)
    return _without_swallowed(rows, len(names))


def _without_swallowed(rows: Rows, columns: int) -> Rows:
    """The rows but those in which quotes hold further rows of the table.

    columns: of the file. A name is of one line; a text may have many, but hardly two of them with
    as many fields as the table has columns.
    """
    bad = set[int]()
    for name in rows.table.column_names:
        column = rows.table[name]
        most = 1 if name in TEXTS else 0
        for i in pc.indices_nonzero(pc.match_substring(column, "\n")).to_pylist():
            lines = column[i].as_py().splitlines()[1:]
            alike = (line for line in lines if line.count(",") >= columns - 1)
            if sum(len(fields) == columns for fields in csv.reader(alike)) > most:
                bad.add(i)
    if not bad:
        return rows
    reason = f"holds lines that look like rows of the table; {STRAY_QUOTE}"
    aside = [SetAside(rows.number[i], reason, "") for i in sorted(bad)]
    good = [i for i in range(len(rows.table)) if i not in bad]
    number = [rows.number[i] for i in good]
    return Rows(rows.table.take(good), number, [*rows.set_aside, *aside])


def _check_csv(path: Path) -> bool:
    """Whether the whole file is UTF-8.

    Raises ElectorateError if a quote is left open, which would swallow what follows it.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    quotes = 0
    whole = True
    with path.open("rb") as file:
        while part := file.read(1 << 24):
            quotes += part.count(b'"')
            whole = whole and _decodes(decoder, part)
    if quotes % 2:
        raise ElectorateError(
            f"{path}: has an odd number of double quotes, so one is never closed; the file may be "
            "cut off"
        )
    return whole and _decodes(decoder, b"", final=True)


def _decodes(decoder: codecs.IncrementalDecoder, part: bytes, final: bool = False) -> bool:
    try:
        decoder.decode(part, final)
    except UnicodeDecodeError:
        return False
    return True


def _decoded(table: pa.Table, number: list[int] | range, set_aside: list[SetAside]) -> Rows:
    """Text that was read as Latin-1, as the UTF-8 it is; rows that are none are set aside."""
    good = list[int]()
    texts = dict[str, list[str | None]]({name: [] for name in table.column_names})
    for i, row in zip(number, table.to_pylist(), strict=True):
        try:
            read = {
                name: None if value is None else value.encode("latin-1").decode("utf-8")
                for name, value in row.items()
            }
        except UnicodeDecodeError:
            set_aside.append(SetAside(i, "is not UTF-8", json.dumps(row)))
            continue
        good.append(i)
        for name, value in read.items():
            texts[name].append(value)
    return Rows(_table(texts), good, set_aside)


def _read_jsonl(path: Path, wanted: list[str]) -> Rows:
    number = list[int]()
    rows = list[dict[str, Any]]()
    set_aside = list[SetAside]()
    with path.open("rb") as file:
        for i, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line.decode("utf-8-sig"))
            except UnicodeDecodeError:
                set_aside.append(SetAside(i, "is not UTF-8", repr(line)))
            except (ValueError, RecursionError):
                set_aside.append(SetAside(i, "is not JSON", line.decode().rstrip("\n")))
            else:
                _keep(row, i, number, rows, set_aside)
    if not rows and set_aside:
        raise ElectorateError(f"{path}: no line is a JSON object; the first {set_aside[0].reason}")
    return _of_objects(rows, number, set_aside, wanted)


def _read_json(path: Path, wanted: list[str]) -> Rows:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ElectorateError(f"{path}: not JSON: {error}") from None
    if not isinstance(content, list):
        raise ElectorateError(
            f"{path}: holds {type(content).__name__}; a table is a JSON list of objects"
        )
    number = list[int]()
    rows = list[dict[str, Any]]()
    set_aside = list[SetAside]()
    for i, row in enumerate(content, start=1):
        _keep(row, i, number, rows, set_aside)
    return _of_objects(rows, number, set_aside, wanted)


def _keep(
    row: Any, i: int, number: list[int], rows: list[dict[str, Any]], set_aside: list[SetAside]
) -> None:
    if isinstance(row, dict):
        number.append(i)
        rows.append(row)
    else:
        set_aside.append(SetAside(i, "is not an object", json.dumps(row)))


def _of_objects(
    rows: list[dict[str, Any]], number: list[int], set_aside: list[SetAside], wanted: list[str]
) -> Rows:
    there = [name for name in wanted if any(name in row for row in rows)]
    texts = {name: [_as_text(row.get(name)) for row in rows] for name in there}
    try:
        return Rows(_table(texts), number, set_aside)
    except UnicodeEncodeError:
        pass
    # JSON may hold half of a surrogate pair, which no file can.
    good = [i for i, values in enumerate(zip(*texts.values(), strict=True)) if _is_unicode(values)]
    aside = set(range(len(rows))).difference(good)
    set_aside += [
        SetAside(number[i], "holds text that is not Unicode", json.dumps(rows[i]))
        for i in sorted(aside)
    ]
    return Rows(
        _table({name: [column[i] for i in good] for name, column in texts.items()}),
        [number[i] for i in good],
        set_aside,
    )


def _table(texts: dict[str, list[str | None]]) -> pa.Table:
    return pa.table({name: pa.array(column, pa.large_string()) for name, column in texts.items()})


def _is_unicode(values: Sequence[str | None]) -> bool:
    try:
        "".join(value or "" for value in values).encode()
    except UnicodeEncodeError:
        return False
    return True


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and isnan(value):
        return None  # NaN, as in the other formats
    return json.dumps(value, ensure_ascii=False)


def _read_parquet(path: Path, wanted: list[str]) -> Rows:
    with pq.ParquetFile(path) as file:
        rows = file.metadata.num_rows
        schema = file.schema_arrow
    if rows > MAX_ROWS:
        raise ElectorateError(f"{path}: says it has {rows:,} rows; at most {MAX_ROWS:,} are read")
    if twice := sorted(
        {name for name in schema.names if schema.names.count(name) > 1 and name in wanted}
    ):
        raise ElectorateError(f"{path}: column {twice[0]!r} is there twice")
    there = [name for name in wanted if name in schema.names]
    # Text stays dictionary-encoded as it lies on disk: a name a million times over is read once.
    text = [name for name in there if _is_text(schema.field(name).type)]
    with pq.ParquetFile(path, memory_map=True, read_dictionary=text) as file:
        table = file.read(there)
    table.validate(full=True)
    return Rows(
        pa.table({name: _column_as_text(table[name]) for name in there}), range(1, rows + 1), []
    )


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _column_as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_nested(column.type):
        return pa.chunked_array(
            [pa.array([_as_text(value) for value in column.to_pylist()], pa.large_string())]
        )
    if pa.types.is_dictionary(column.type):
        return (
            column
            if _is_text(column.type.value_type)
            else _column_as_text(column.cast(column.type.value_type))
        )
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), None, column)
    return column.cast(pa.large_string())


def as_json_lines(set_aside: Sequence[SetAside]) -> str:
    """The rows set aside as JSON Lines of row, reason and content."""
    out = io.StringIO()
    for row in set_aside:
        out.write(json.dumps(row._asdict(), ensure_ascii=True) + "\n")
    return out.getvalue()
