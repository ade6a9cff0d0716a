"""The Kaggle CSV of the LMSYS Chatbot Arena competition: one battle a row, texts as JSON lists of turns."""

import json
from dataclasses import dataclass
from pathlib import Path

from electorate.errors import ElectorateError
from electorate.importers.imported import Imported, NoVoteError, Row, turns
from electorate.storage import tables
from electorate.storage.tables import SetAside

ASKED = ("id", "prompt", "response_a", "response_b")
FLAGS = {"winner_model_a": "model_a", "winner_model_b": "model_b", "winner_tie": "tie"}
COLUMNS = ("id", "model_a", "model_b", "prompt", "response_a", "response_b", *FLAGS)


def read(path: Path) -> Imported:
    """Every battle as a vote. A row's `id` must be its own, and exactly one of the three winner columns 1."""
    found, seen = Imported(), set[str]()

    def add(row: Row) -> None:
        if row["id"] is None or row["id"] in seen:
            raise NoVoteError("without an id" if row["id"] is None else "with the id of an earlier row")
        found.vote(
            row["model_a"],
            row["model_b"],
            _winner(row),
            prompt_id=row["id"],
            prompt=turns(row["prompt"], "prompt", may_be_empty=False),
            response_a=turns(row["response_a"], "response_a"),
            response_b=turns(row["response_b"], "response_b"),
        )
        seen.add(row["id"])

    found.take(tables.read(path, COLUMNS), add)
    return found


@dataclass(frozen=True)
class Unjudged:
    """Battles nobody has voted on. ids: of all rows. rows: which of them can be read; prompt, a, b: of those, JSON lists of turns."""

    ids: list[str]
    rows: list[int]
    prompt: list[str]
    a: list[str]
    b: list[str]
    set_aside: list[SetAside]


def read_unjudged(path: Path) -> Unjudged:
    """The competition's test CSV. Raises ElectorateError if a row has no id of its own, as no line can answer it."""
    rows = tables.read(path, ASKED)
    if rows.set_aside:
        aside = rows.set_aside[0]
        raise ElectorateError(f"{path}: row {aside.row}: {aside.reason}; every row needs an id, as every id gets a prediction")
    found, seen = Unjudged([], [], [], [], [], []), set[str]()
    for i, (number, row) in enumerate(zip(rows.number, rows.table.to_pylist(), strict=True)):
        if row["id"] is None or row["id"] in seen:
            what = "has no id" if row["id"] is None else f"has the id {row['id']!r} of an earlier row"
            raise ElectorateError(f"{path}: row {number}: {what}; each row needs its own")
        seen.add(row["id"])
        found.ids.append(row["id"])
        try:
            said = [turns(row[name], name, may_be_empty=name != "prompt") for name in ASKED[1:]]
        except NoVoteError as error:
            found.set_aside.append(SetAside(number, str(error), ""))
            continue
        found.rows.append(i)
        for column, text in zip((found.prompt, found.a, found.b), said, strict=True):
            column.append(json.dumps(text, ensure_ascii=False))
    return found


def _winner(row: Row) -> str:
    flags = [row[flag] in ("1", "1.0") for flag in FLAGS]
    if sum(flags) != 1 or any(row[flag] not in ("0", "1", "0.0", "1.0") for flag in FLAGS):
        raise NoVoteError("not exactly one of winner_model_a, winner_model_b and winner_tie is 1")
    return list(FLAGS.values())[flags.index(True)]
