"""Votes as JSON Lines with the columns that `rate` reads, and texts where there are any.

Texts (prompt, response_a, response_b) are plain, or JSON lists of turns.
"""

from pathlib import Path

from electorate.importers.imported import Imported, NoVoteError, Row, Turns, known_winner, turns
from electorate.storage import tables
from electorate.votes import PROMPT, REQUIRED, USER, WEIGHT

TEXTS = ("prompt", "response_a", "response_b")


def read(path: Path) -> Imported:
    """Every line as a vote."""
    found = Imported()

    def add(row: Row) -> None:
        found.vote(
            row["model_a"],
            row["model_b"],
            known_winner(row["winner"]),
            user_id=_first(row, USER),
            prompt_id=_first(row, PROMPT),
            weight=_weight(row.get(WEIGHT)),
            prompt=_turns(row.get("prompt"), "prompt"),
            response_a=_turns(row.get("response_a"), "response_a"),
            response_b=_turns(row.get("response_b"), "response_b"),
        )

    found.take(tables.read(path, REQUIRED, (*USER, *PROMPT, WEIGHT, *TEXTS)), add)
    return found


def _first(row: Row, spellings: tuple[str, ...]) -> str | None:
    return next((row[name] for name in spellings if row.get(name) is not None), None)


def _weight(text: str | None) -> float:
    try:
        weight = 1.0 if text is None else float(text)
    except ValueError:
        weight = -1.0
    if not 0 < weight < float("inf"):
        raise NoVoteError("weight not a positive number")
    return weight


def _turns(text: str | None, what: str) -> Turns | None:
    if text is None:
        return None
    try:
        return turns(text, what)
    except NoVoteError:
        return [text]
