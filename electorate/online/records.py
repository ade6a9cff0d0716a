"""What stands behind a board: who met whom, what a user's votes were beside what everyone's ranking
expects of them, and how sure the first place is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from electorate.base.scale import Floats, Ints
from electorate.online.sent import NO_MODEL
from electorate.online.snapshot import Snapshot
from electorate.population.cast import Cast
from electorate.ratings import first_place
from electorate.ratings.bradley_terry import Fit
from electorate.ratings.ties import TieModel

MOST_VOTES = 200_000  # that the first place is looked at on: more take seconds


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
class Sureness:
    """How sure the first place is.

    Attributes:
        first, second: models; empty where there are fewer than two.
        lead: of the first over the second, Elo points.
        votes: that the board rests on.
        needed: votes in all with which that lead would be shown, at 95% with a chance of 80%; None
            where they are as good as tied.
        flipped_by: without how few votes `rival` would be first; None if it takes more than half,
            or there are too many to look.
    """

    first: str
    second: str
    lead: float
    votes: int
    needed: int | None
    flipped_by: int | None
    rival: str


def matrix(snapshot: Snapshot, counts: Floats, strength: Floats) -> Matrix:
    """Of these counts (M, M, 3), the models that are ranked alone, by strength (M,)."""
    place = {name: m for m, name in enumerate(snapshot.models)}
    ranked = np.array([place[name] for name in snapshot.ranked], dtype=np.int64)
    order = ranked[np.argsort(-strength[ranked], kind="stable")]
    battles = counts.sum(axis=2)
    points = counts[:, :, 0] + counts[:, :, 2] / 2
    won = points + (battles - points).T
    both = battles + battles.T
    cut = np.ix_(order, order)
    return Matrix(tuple(snapshot.models[m] for m in order), won[cut], both[cut])


def record(models: Sequence[str], votes: Cast, fit: Fit, ties: TieModel) -> list[Record]:
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


def sureness(models: Sequence[str], counts: Floats, fit: Fit, ties: TieModel) -> Sureness | None:
    """Of the first place on a board by these counts (M, M, 3) and their fit; None of fewer than two
    models with votes.
    """
    whole = np.round(counts).astype(np.int64)
    votes = int(whole.sum())
    if len(models) < 2 or not votes:
        return None
    second, first = np.argsort(fit.strength, kind="stable")[-2:].tolist()
    lead = float(fit.strength[first] - fit.strength[second])
    needed = first_place.votes_needed(fit, votes)
    flipped = None
    if votes <= MOST_VOTES:
        a, b, outcome = (np.repeat(of.ravel(), whole.ravel()) for of in np.indices(whole.shape))
        flipped = first_place.flip(fit, ties, a, b, outcome, np.ones(votes))
    return Sureness(
        models[first],
        models[second],
        lead,
        votes,
        None if needed is None or not np.isfinite(needed) else int(np.ceil(needed)),
        None if flipped is None else len(flipped.votes),
        "" if flipped is None else models[flipped.rival],
    )
