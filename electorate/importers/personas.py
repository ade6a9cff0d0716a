"""Personas from structured attributes, as JSON (a list of objects) or JSON Lines, whatever the
attributes are called.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from electorate.base.errors import ElectorateError
from electorate.storage import files, tables
from electorate.storage.tables import SetAside

PERSONAS = "personas.jsonl"
ASIDE = "set_aside.jsonl"
IDS = ("id", "persona_id", "user_id", "uuid")
LONGEST = 2000
NONE_OF_THESE = (None, "", "nan", "NaN", "NA", "N/A", "null")


class NoPersonaError(Exception):
    """Why a row cannot be used."""


def convert(path: Path, out: Path) -> list[str]:
    """Write personas.jsonl into folder `out`; returns a line for each thing to say.

    A persona is {"id", "attributes": {name: text}}; nested objects become attributes of their own,
    lists a text. Raises ElectorateError if the file cannot be read, holds no persona, or the folder
    holds personas already.
    """
    if (out / PERSONAS).exists():
        raise ElectorateError(f"--out {out}: holds {PERSONAS} already; choose another folder")
    found = dict[str, str]()
    aside = list[SetAside]()
    for number, row in _rows(path):
        try:
            persona, attributes = _persona(row, number)
            if persona in found:
                raise NoPersonaError("an id that an earlier row has")
            found[persona] = json.dumps(
                {"id": persona, "attributes": attributes}, ensure_ascii=False
            )
        except NoPersonaError as error:
            aside.append(
                SetAside(
                    number, str(error), json.dumps(row, ensure_ascii=False, default=str)[:LONGEST]
                )
            )
    if not found:
        first = f"; the first: row {aside[0].row}: {aside[0].reason}" if aside else ""
        raise ElectorateError(
            f"{path}: holds no persona{first}; a persona is an object of attributes"
        )
    files.write_text(out / PERSONAS, "\n".join(found.values()) + "\n")
    lines = [f"{len(found):,} personas: {out / PERSONAS}"]
    if aside:
        files.write_text(out / ASIDE, tables.as_json_lines(aside))
        lines.append(f"{len(aside):,} rows set aside: {out / ASIDE} (the first: {aside[0].reason})")
    return lines


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Rows and their numbers, from 1; a line that is no JSON is a row that is no persona."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ElectorateError(f"{path}: cannot be read as UTF-8 text: {error}") from None
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = None
    if isinstance(content, list):
        yield from enumerate(content, start=1)
        return
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError):
                yield number, line


def _persona(row: Any, number: int) -> tuple[str, dict[str, str]]:
    if not isinstance(row, dict):
        raise NoPersonaError("not an object of attributes")
    flat = dict(_flattened(row, ""))
    persona = next(
        (flat.pop(name) for name in IDS if flat.get(name) not in NONE_OF_THESE), f"row-{number}"
    )
    attributes = {name: value for name, value in flat.items() if value not in NONE_OF_THESE}
    if not attributes:
        raise NoPersonaError("no attribute says anything")
    if sum(len(name) + len(value) for name, value in attributes.items()) > 20 * LONGEST:
        raise NoPersonaError(f"more than {20 * LONGEST:,} characters of attributes")
    return persona, attributes


def _flattened(row: dict[str, Any], before: str) -> Iterator[tuple[str, str]]:
    """Attributes as text, nested names joined by a space."""
    for name, value in row.items():
        key = f"{before}{name}".strip()
        if isinstance(value, dict):
            if len(before) > 200:
                raise NoPersonaError("attributes nested too deep")
            yield from _flattened(value, f"{key} ")
        elif isinstance(value, list):
            yield key, ", ".join(str(item) for item in value if item not in NONE_OF_THESE)
        elif value is not None:
            text = str(value)
            if any("\ud800" <= letter <= "\udfff" for letter in text):
                raise NoPersonaError("text that is not Unicode")
            yield key, " ".join(text.split())
