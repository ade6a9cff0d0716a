"""Open WebUI's feedback export: battles of its arena, and thumbs.

A feedback says of a message whether it was good (1) or bad (-1). With sibling models (an arena, or
several models side by side) a good one won against each sibling, and a bad one lost. Without
siblings it is a thumb, a vote against what its user asks of an answer (ratings/thresholds.py).
"""

import json
from pathlib import Path
from typing import Any

from electorate.importers.imported import Imported, NoVoteError, Row
from electorate.storage import tables


def read(path: Path) -> Imported:
    """Every feedback as one vote for each sibling model, of weight 1 together, or as a thumb."""
    found = Imported()

    def add(row: Row) -> None:
        data = _object(row.get("data"), "data")
        if row.get("type") not in (None, "rating"):
            raise NoVoteError(f"type is {row['type']!r}, not rating")
        rating = _rating(data)
        model = data.get("model_id")
        siblings = data.get("sibling_model_ids") or []
        if not isinstance(model, str) or not isinstance(siblings, list):
            raise NoVoteError("data has no model_id, or sibling_model_ids is no list")
        siblings = [name for name in siblings if name != model]
        meta = _object(row.get("meta"), "meta") if row.get("meta") else {}
        asked = meta.get("message_id")
        prompt_id = None if asked is None else str(asked)
        if not siblings:
            found.notes["of them thumbs, on one answer alone; `rate` takes them"] += 1
            found.thumb(model, rating > 0, row.get("user_id"), prompt_id)
            return
        for sibling in siblings:
            found.vote(
                model,
                str(sibling),
                "model_a" if rating > 0 else "model_b",
                user_id=row.get("user_id"),
                prompt_id=prompt_id,
                weight=1 / len(siblings),
            )

    found.take(tables.read(path, ("data",), ("user_id", "type", "meta")), add)
    return found


def _object(text: str | None, what: str) -> dict[str, Any]:
    try:
        content = json.loads(text or "")
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise NoVoteError(f"{what} is not an object")
    return content


def _rating(data: dict[str, Any]) -> int:
    rating = data.get("rating")
    if str(rating) not in ("1", "-1", "1.0", "-1.0"):
        raise NoVoteError(f"rating is {rating!r}, not 1 or -1")
    return int(float(str(rating)))
