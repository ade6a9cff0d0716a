"""When votes were cast, where a file says so: a user's first votes are the earliest ones."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from electorate.base.scale import Floats
from electorate.data.votes import NamedVotes

TIME = ("tstamp", "timestamp", "time", "created_at")  # the columns that may say so
UNKNOWN = float("nan")


def parsed(texts: Sequence[str]) -> Floats:
    """(len(texts),) times that can be compared: numbers as they are, dates and times of ISO 8601 as
    seconds since 1970, in UTC where no zone is named; NaN for what is neither.
    """
    return np.array([_parsed(text.strip()) for text in texts], dtype=float)


def in_order(votes: NamedVotes) -> NamedVotes:
    """The votes by time, those without one last; in the order they have where none has a time."""
    if votes.time is None or np.isnan(votes.time).all():
        return votes
    return votes.take(np.argsort(votes.time, kind="stable"))


def _parsed(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return UNKNOWN
    zoned = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return zoned.timestamp()
