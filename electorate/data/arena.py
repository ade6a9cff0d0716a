"""The official Chatbot Arena ratings, as published on 2025-12-11 (category: all prompts).

Source: lmarena/arena-catalog at c9558b60. Ratings are facts; the table here is trimmed to them.
"""

import csv
import difflib
from collections.abc import Sequence
from importlib.resources import files
from typing import Literal

import numpy as np

from electorate.base.errors import ElectorateError
from electorate.base.scale import Floats

DATE = "2025-12-11"
Kind = Literal["raw", "style_control"]


def ratings(arena_names: Sequence[str | None], kind: Kind) -> Floats:
    """Ratings in Elo points, shape (len(arena_names),); NaN where the name is None.

    `raw` is the leaderboard as people voted; `style_control` has the effect of length and markdown
    taken out. Raises ElectorateError for a name that the table does not hold.
    """
    table = _table(kind)
    for name in arena_names:
        if name is not None and name not in table:
            close = difflib.get_close_matches(name, table, n=3)
            hint = f"; close to it: {', '.join(close)}" if close else ""
            raise ElectorateError(
                f"arena_name: {name!r} is not in the Chatbot Arena table of {DATE}{hint}; leave it "
                "out if the model has no rating"
            )
    return np.array([np.nan if name is None else table[name] for name in arena_names])


def _table(kind: Kind) -> dict[str, float]:
    text = (files("electorate") / "data" / f"arena_{DATE}.csv").read_text(encoding="utf-8")
    return {
        row["arena_name"]: float(row["rating"])
        for row in csv.DictReader(text.splitlines())
        if row["kind"] == kind
    }
