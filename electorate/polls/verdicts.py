"""From what a judge says of a battle in both orders to a vote, with the judge's position bias
found and taken out.

A judge that favours the place shown first by a constant adds it to one order's log odds and takes
it from the other's: their mean is free of it, and half their difference is what it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from electorate.base.pairs import pair_indices
from electorate.base.scale import Floats, Ints
from electorate.base.votes import BOTH_BAD, TIE
from electorate.polls.reading import Reading, Unread, normalised

SWAPPED = [1, 0, 2]


@dataclass(frozen=True)
class Judged:
    """What a judge says of n battles. forward, backward: (n, 3) log-probabilities of A, B and tie,
    with A and with B shown first, NaN where an answer could not be read; both_bad: (n,) the part
    of the tie that says neither will do.
    """

    forward: Floats
    backward: Floats
    both_bad: Floats

    @property
    def whole(self) -> Ints:
        """Battles with both orders read."""
        return np.flatnonzero(~np.isnan(self.forward[:, 0] + self.backward[:, 0]))

    @property
    def odds(self) -> Floats:
        """(n, 3) log-probabilities without position bias; NaN where an order is missing: half a
        battle is no vote.
        """
        return normalised((self.forward + self.backward) / 2)

    @property
    def bias(self) -> Floats:
        """(n,) log odds that the place shown first has over the second, by battle."""
        first_forward = self.forward[:, 0] - self.forward[:, 1]
        first_backward = self.backward[:, 1] - self.backward[:, 0]
        halved: Floats = (first_forward + first_backward) / 2
        return halved


def judged(readings: Sequence[Reading | Unread]) -> Judged:
    """Of two readings a battle, as `battles.questions` asks."""
    odds = np.array(
        [r.odds if isinstance(r, Reading) else np.full(3, np.nan) for r in readings]
    ).reshape(-1, 2, 3)
    bad = np.array([r.both_bad if isinstance(r, Reading) else np.nan for r in readings]).reshape(
        -1, 2
    )
    return Judged(odds[:, 0], odds[:, 1][:, SWAPPED], bad.mean(axis=1))


def panel(of_judges: Sequence[Judged]) -> tuple[Floats, Floats]:
    """(n, 3) log-probabilities and (n,) both-bad parts: the mean, in log odds, of the judges
    that could be read; NaN where none could.
    """
    odds = np.stack([one.odds for one in of_judges])
    bad = np.stack([one.both_bad for one in of_judges])
    there = ~np.isnan(odds[:, :, 0])
    count = np.where(there.any(axis=0), there.sum(axis=0), np.nan)
    return normalised(np.nansum(odds, axis=0) / count[:, None]), np.nansum(
        np.where(there, bad, 0.0), axis=0
    ) / count


def choice(odds: Floats) -> Ints:
    """(n,) the likeliest of A, B and tie; equal ones are a tie, as neither is preferred. -1
    where nothing was said.
    """
    level = odds[:, 0] == odds[:, 1]
    chosen = np.where(
        level & (odds[:, 2] <= odds[:, 0]),
        2,
        np.where(np.isnan(odds[:, 0]), 0, np.argmax(odds, axis=1)),
    )
    return np.where(np.isnan(odds[:, 0]), -1, chosen)


def outcome(odds: Floats, both_bad: Floats) -> Ints:
    """(n,) what a vote is, as the log has it: the likeliest of A, B and tie, and 3 for a tie that
    says that neither will do. -1 where nothing was said.
    """
    chosen = choice(odds)
    return np.where((chosen == TIE) & (both_bad > 0.5), BOTH_BAD, chosen)


def expected_wins(odds: Floats, contestants: int) -> Floats:
    """(groups, M) each contestant's expected wins of a round robin, a tie half a win. odds:
    (groups, pairs, 3), pairs in order.
    """
    a, b = pair_indices(contestants)
    p = np.exp(odds)
    of_a = np.eye(contestants)[a]
    of_b = np.eye(contestants)[b]
    wins: Floats = (p[..., 0] + p[..., 2] / 2) @ of_a + (p[..., 1] + p[..., 2] / 2) @ of_b
    return wins


def listwise(
    readings: Sequence[Reading | Unread], shown: Sequence[Ints], contestants: int
) -> Floats:
    """(groups, M) mean log-probability of being first, over all places an answer was shown at; NaN
    where one could not be read.
    """
    odds = np.full((len(readings), contestants), np.nan)
    for row, (reading, order) in enumerate(zip(readings, shown, strict=True)):
        if isinstance(reading, Reading):
            odds[row, order] = reading.odds
    mean: Floats = odds.reshape(-1, contestants, contestants).mean(axis=1)
    return mean
