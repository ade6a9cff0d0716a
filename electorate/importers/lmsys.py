"""The Kaggle CSV of the LMSYS Chatbot Arena competition, or the Parquet of WSDM Cup: one battle a
row. Texts are lists of turns, or in WSDM Cup plain.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from electorate.base.errors import ElectorateError
from electorate.importers.imported import Imported, NoVoteError, Row, Turns, known_winner, turns
from electorate.storage import tables
from electorate.storage.tables import SetAside

TEXTS = ("prompt", "response_a", "response_b")
ASKED = ("id", *TEXTS)
FLAGS = {"winner_model_a": "model_a", "winner_model_b": "model_b", "winner_tie": "tie"}
WINNER = "winner"
COLUMNS = ("id", "model_a", "model_b", "prompt", "response_a", "response_b", *FLAGS)


def read(path: Path) -> Imported:
    """Every battle as a vote.

    A row's `id` must be its own; exactly one of the three winner columns 1, or `winner` a model.
    """
    rows = tables.read(path, (*ASKED, "model_a", "model_b"), (WINNER, *FLAGS))
    there = set(rows.table.column_names)
    by_name = WINNER in there and not there.issuperset(FLAGS)
    if not by_name and (missing := [name for name in FLAGS if name not in there]):
        raise ElectorateError(
            f"{path}: has no column {missing[0]!r}; needed are {', '.join(COLUMNS)}, or winner "
            "instead of the last three"
        )
    # WSDM Cup's texts are plain; the other competition's have to be lists.
    read_text = _plain if by_name else _turns
    won = known_winner if by_name else _flagged
    found = Imported()
    seen = set[str]()

    def add(row: Row) -> None:
        if row["id"] is None or row["id"] in seen:
            raise NoVoteError(
                "without an id" if row["id"] is None else "with the id of an earlier row"
            )
        found.vote(
            row["model_a"],
            row["model_b"],
            won(row),
            prompt_id=row["id"],
            prompt=read_text(row, "prompt", may_be_empty=False),
            response_a=read_text(row, "response_a"),
            response_b=read_text(row, "response_b"),
        )
        seen.add(row["id"])

    found.take(rows, add)
    return found


@dataclass(frozen=True)
class Unjudged:
    """Battles nobody has voted on. ids: of all rows. rows: which of them can be read; prompt, a,
    b: of those, JSON lists of turns.
    """

    ids: list[str]
    rows: list[int]
    prompt: list[str]
    a: list[str]
    b: list[str]
    set_aside: list[SetAside]


def read_unjudged(path: Path) -> Unjudged:
    """The competition's test CSV, or votes as `import` writes them, whose rows are numbered from 1.

    Raises ElectorateError if a row has no id of its own, as no line can answer it.
    """
    rows = tables.read(path, TEXTS, ("id", "model_a"))
    if "id" not in rows.table.column_names and "model_a" in rows.table.column_names:
        numbers = [str(number) for number in rows.number]
        rows = replace(rows, table=rows.table.append_column("id", pa.array(numbers)))
    if "id" not in rows.table.column_names:
        raise ElectorateError(f"{path}: has no column 'id'; needed are {', '.join(ASKED)}")
    if rows.set_aside:
        aside = rows.set_aside[0]
        raise ElectorateError(
            f"{path}: row {aside.row}: {aside.reason}; every row needs an id, as every id gets a "
            "prediction"
        )
    found = Unjudged([], [], [], [], [], [])
    seen = set[str]()
    for i, (number, row) in enumerate(zip(rows.number, rows.table.to_pylist(), strict=True)):
        if row["id"] is None or row["id"] in seen:
            what = (
                "has no id" if row["id"] is None else f"has the id {row['id']!r} of an earlier row"
            )
            raise ElectorateError(f"{path}: row {number}: {what}; each row needs its own")
        seen.add(row["id"])
        found.ids.append(row["id"])
        try:
            texts = [turns(row[name], name, may_be_empty=name != "prompt") for name in TEXTS]
        except NoVoteError as error:
            found.set_aside.append(SetAside(number, str(error), ""))
            continue
        found.rows.append(i)
        for column, text in zip((found.prompt, found.a, found.b), texts, strict=True):
            column.append(json.dumps(text, ensure_ascii=False))
    return found


def _plain(row: Row, name: str, may_be_empty: bool = True) -> Turns:
    text = row[name] or ""
    if not may_be_empty and not text.strip():
        raise NoVoteError(f"{name} has a turn without text")
    return [text]


def _turns(row: Row, name: str, may_be_empty: bool = True) -> Turns:
    return turns(row[name], name, may_be_empty)


def _flagged(row: Row) -> str:
    flags = [row[flag] in ("1", "1.0") for flag in FLAGS]
    if sum(flags) != 1 or any(row[flag] not in ("0", "1", "0.0", "1.0") for flag in FLAGS):
        raise NoVoteError("not exactly one of winner_model_a, winner_model_b and winner_tie is 1")
    return list(FLAGS.values())[flags.index(True)]
