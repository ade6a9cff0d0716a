"""A board's details: who met whom, how sure the first place is, and a user's own votes beside what
everyone's ranking expects of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from electorate.base.scale import Floats, Ints
from electorate.online.sent import NO_MODEL
from electorate.online.snapshot import Snapshot
from electorate.population.logged_votes import LoggedVotes
from electorate.ratings import first_place, leaderboard
from electorate.ratings.bradley_terry import Fit
from electorate.ratings.ties import TieModel


@dataclass(frozen=True)
class Matrix:
    """Battles between models, best first. won: (M, M) by weight, row over column, a tie being half
    a win; battles: (M, M).
    """

    models: tuple[str, ...]
    won: Floats
    battles: Floats


@dataclass(frozen=True)
class Record:
    """A user's battles with a model. expected: wins, a tie being half of one, by everyone's
    ranking of the two.
    """

    model: str
    won: int
    tied: int
    lost: int
    expected: float


@dataclass(frozen=True)
class FirstPlace:
    """How sure the first place is.

    Attributes:
        first, second: models.
        lead: of the first over the second, nats.
        votes: that the board rests on, by weight.
        needed: votes in all with which that lead would be shown, at 95% with a chance of 80%; None
            where they are as good as tied.
        flipped_by: without how few votes `rival` would be first; None if it takes more than half.
    """

    first: str
    second: str
    lead: float
    votes: int
    needed: int | None
    flipped_by: int | None
    rival: str | None


def ranked(snapshot: Snapshot) -> Ints:
    """Places of the models that are ranked: retired ones keep their votes and are none."""
    there = set(snapshot.ranked)
    return np.array([m for m, name in enumerate(snapshot.models) if name in there], dtype=np.int64)


def matrix(snapshot: Snapshot, counts: Floats, strength: Floats) -> Matrix:
    """Of these counts (M, M, 3), the models that are ranked alone, by strength (M,)."""
    order = first_place.best_of(strength, ranked(snapshot))
    won, battles = leaderboard.win_matrix(counts)
    cut = np.ix_(order, order)
    return Matrix(tuple(snapshot.models[m] for m in order), won[cut], battles[cut])


def record(models: Sequence[str], votes: LoggedVotes, fit: Fit, ties: TieModel) -> list[Record]:
    """A user's, by model, those it met most first; thumbs are no battles."""
    votes = votes.take(votes.b != NO_MODEL)
    odds = ties.probabilities(
        fit.strength[votes.a] - fit.strength[votes.b], np.full(len(votes.a), fit.eta)
    )
    expected_a = odds[:, 0] + odds[:, 2] / 2
    size = len(models)
    expected = np.bincount(votes.a, expected_a, size) + np.bincount(votes.b, 1 - expected_a, size)

    def count(a_outcome: int, b_outcome: int) -> Ints:
        of_a = np.bincount(votes.a[votes.outcome == a_outcome], minlength=size)
        return of_a + np.bincount(votes.b[votes.outcome == b_outcome], minlength=size)

    won = count(0, 1)
    lost = count(1, 0)
    tied = count(2, 2)
    met = won + lost + tied
    return [
        Record(models[m], int(won[m]), int(tied[m]), int(lost[m]), round(float(expected[m]), 2))
        for m in np.argsort(-met, kind="stable")
        if met[m]
    ]


def first_of(snapshot: Snapshot, counts: Floats, fit: Fit, ties: TieModel) -> FirstPlace | None:
    """Of a board by these counts (M, M, 3) and their fit; None of fewer than two ranked models, or
    without votes.
    """
    among = ranked(snapshot)
    votes = round(float(counts.sum()))
    if len(among) < 2 or not votes:
        return None
    first, second = first_place.best_of(fit.strength, among)[:2].tolist()
    needed = first_place.votes_needed(fit, votes, among)
    flipped = first_place.flip_counts(fit, ties, counts, among)
    return FirstPlace(
        snapshot.models[first],
        snapshot.models[second],
        float(fit.strength[first] - fit.strength[second]),
        votes,
        None if needed is None or not np.isfinite(needed) else int(np.ceil(needed)),
        None if flipped is None else flipped[1],
        None if flipped is None else snapshot.models[flipped[0]],
    )
