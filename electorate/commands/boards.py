"""Boards of a file of votes: everybody's, and those of the values of a column."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from electorate.base.errors import ElectorateError
from electorate.base.scale import Floats, to_elo
from electorate.data.votes import NamedVotes, compact
from electorate.evaluation import rating
from electorate.evaluation.rating import CONFIDENCE, Options, Rated
from electorate.ratings import leaderboard
from electorate.ratings.bradley_terry import Fit

FEWEST_VOTES = 20  # of a group that gets a board
Row = dict[str, Any]


@dataclass(frozen=True)
class Board:
    """A leaderboard. group: whose votes; empty for everybody's. rows: best first, with the win
    rate of each model beside.
    """

    group: str
    votes: NamedVotes
    rated: Rated
    rows: list[Row]
    win_rate: Floats

    def rank(self, model: str) -> tuple[int, float] | None:
        """A model's place and rating; None where it is not on the board."""
        places = {row["model"]: (i, row["rating"]) for i, row in enumerate(self.rows, start=1)}
        return places.get(model)


def board(
    votes: NamedVotes, rated: Rated, options: Options, anchor: str | None, group: str = ""
) -> Board:
    """Of rated votes. anchor: MODEL=RATING, that every rating is shifted by; None: their mean is
    1000.

    Raises:
        ElectorateError: the anchor is none of a model here.
    """
    shift = 0.0 if anchor is None else _shift(anchor, votes.models, rated.fit)
    rows = leaderboard.rows(
        votes.models, rated.fit, CONFIDENCE, shift, rated.draws, options.simultaneous
    )
    best_first = np.argsort([-row["rating"] for row in rows], kind="stable")
    win_rate = rating.win_rates(votes)[best_first]
    return Board(group, votes, rated, [rows[m] for m in best_first], win_rate)


def by_group(
    votes: NamedVotes, options: Options, anchor: str | None
) -> tuple[list[Board], list[str]]:
    """A board for each value of the column that votes are grouped by, the most votes first; and
    the values whose votes are too few, in words.
    """
    assert votes.group is not None  # noqa: S101 it was asked for
    counts = np.bincount(votes.group, minlength=len(votes.group_names))
    boards = []
    few = []
    for g in np.argsort(-counts, kind="stable").tolist():
        if not counts[g]:
            continue
        own = compact(votes.take(np.flatnonzero(votes.group == g)))
        name = votes.group_names[g]
        if counts[g] < FEWEST_VOTES:
            few.append(f"{name} ({counts[g]:,})")
            continue
        here = anchor if anchor and anchor.rpartition("=")[0] in own.models else None
        boards.append(board(own, rating.fit(own, options), options, here, name))
    return boards, few


def _shift(anchor: str, models: Sequence[str], fit: Fit) -> float:
    """What `MODEL=RATING` adds to every rating."""
    name, _, value = anchor.rpartition("=")
    try:
        wanted = float(value)
    except ValueError:
        wanted = float("nan")
    if not name or not np.isfinite(wanted):
        raise ElectorateError(
            f"--anchor {anchor}: not of the form MODEL=RATING, such as --anchor {models[0]}=1000"
        )
    if name not in models:
        raise ElectorateError(
            f"--anchor {anchor}: {name!r} is in no vote; models are {', '.join(models[:20])}"
        )
    return wanted - float(to_elo(fit.strength)[models.index(name)])
