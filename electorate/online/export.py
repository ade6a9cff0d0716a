"""Everything that is kept of a user, as the user may be given it."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from electorate.base.votes import MISSING
from electorate.data.winners import NAMES
from electorate.online.base import Base
from electorate.online.sent import NO_MODEL, NO_PROMPT, NO_SEGMENT, as_persona
from electorate.online.store import VoteStore
from electorate.storage.vote_columns import WEIGHT

Row = dict[str, Any]
THUMBS = ("up", "down")


def of_user(base: Base, store: VoteStore, user: str) -> Row | None:
    """Its segment, its votes, its rows in the run's tables, what a gateway answered it (never the
    words), and what was written about it; None if it is not known.
    """
    known = store.export(user)
    if known is None:
        return None
    models = store.models.names
    keys = store.keys
    persona = as_persona(user, base.personas)
    votes = list[Row]()
    for part in [] if persona is None else base.votes_of_run(persona):
        votes += [_of_run(row, models) for row in _rows(part)]
    votes += [
        _vote(row, models) | {"at": row["at"] or None, "key": keys.get(row["key"])}
        for row in _rows(known.votes)
    ]
    segment = None if known.segment == NO_SEGMENT else base.segments[known.segment]
    answers, thumbs = (
        [{name: value for name, value in row.items() if name != "user"} for row in rows]
        for rows in (known.answered, known.thumbs)
    )
    return {
        "user_id": user,
        "segment": segment,
        "votes": votes,
        "answers": answers,
        "thumbs": [row | {"up": bool(row["up"])} for row in thumbs],
        "written": [*known.written],
        "tables": base.kept_elsewhere(user),
    }


def _rows(votes: pa.Table) -> list[Row]:
    rows: list[Row] = votes.to_pylist()
    return rows


def _of_run(row: Row, models: Sequence[str]) -> Row:
    """A vote that a persona cast in the run, when nobody kept time, under no key."""
    return _vote(row, models) | {"at": None, "key": None}


def _vote(row: Row, models: Sequence[str]) -> Row:
    first = row["first_shown"]
    winners = THUMBS if row["model_b"] == NO_MODEL else NAMES
    return {
        "model_a": models[row["model_a"]],
        "model_b": None if row["model_b"] == NO_MODEL else models[row["model_b"]],
        "winner": winners[row["outcome"]],
        "first_shown": None if first in (None, MISSING) else ("model_a", "model_b")[first],
        "prompt_id": None if row["prompt_id"] == NO_PROMPT else row["prompt_id"],
        "weight": row.get(WEIGHT.name) or 1.0,
    }
