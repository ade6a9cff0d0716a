"""The Kaggle CSV of the LMSYS Chatbot Arena competition: one battle a row, texts as JSON lists of turns."""

from pathlib import Path

from electorate.importers.imported import Imported, NoVoteError, Row, turns
from electorate.storage import tables

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


def _winner(row: Row) -> str:
    flags = [row[flag] in ("1", "1.0") for flag in FLAGS]
    if sum(flags) != 1 or any(row[flag] not in ("0", "1", "0.0", "1.0") for flag in FLAGS):
        raise NoVoteError("not exactly one of winner_model_a, winner_model_b and winner_tie is 1")
    return list(FLAGS.values())[flags.index(True)]
