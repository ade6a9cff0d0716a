"""Votes as JSON Lines with the columns that `rate` reads, and texts where there are any.

Texts (prompt, response_a, response_b) are plain, or JSON lists of turns.
"""

from pathlib import Path

from electorate.data.vote_files import PROMPT, REQUIRED, USER, WEIGHT, WEIGHTS, WRONG_WEIGHT
from electorate.importers.imported import Imported, NoVoteError, Row, Turns, known_winner, turns
from electorate.storage import tables

TEXTS = ("prompt", "response_a", "response_b")


def read(path: Path) -> Imported:
    """Every line as a vote."""
    found = Imported()
    rows = tables.read(path, REQUIRED, (*USER, *PROMPT, WEIGHT, *TEXTS))
    # As `rate` does: the first spelling the file has.
    user, prompt_id = (
        next((name for name in names if name in rows.table.column_names), "")
        for names in (USER, PROMPT)
    )

    def add(row: Row) -> None:
        found.vote(
            row["model_a"],
            row["model_b"],
            known_winner(row),
            user_id=row.get(user) or None,
            prompt_id=row.get(prompt_id) or None,
            weight=_weight(row.get(WEIGHT)),
            prompt=_turns(row.get("prompt"), "prompt"),
            response_a=_turns(row.get("response_a"), "response_a"),
            response_b=_turns(row.get("response_b"), "response_b"),
        )

    found.take(rows, add)
    return found


def _weight(text: str | None) -> float:
    try:
        weight = float(text) if text else 1.0
    except ValueError:
        weight = -1.0
    if not WEIGHTS[0] <= weight <= WEIGHTS[1]:
        raise NoVoteError(WRONG_WEIGHT)
    return weight


def _turns(text: str | None, what: str) -> Turns | None:
    if text is None:
        return None
    try:
        return turns(text, what)
    except NoVoteError:
        return [text]
