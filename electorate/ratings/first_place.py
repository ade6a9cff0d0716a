"""How sure the first place is: on how few votes it hangs, and how many more would settle it.

Dropping a vote of score s moves the ratings by -H^-1 s, to first order. So the fewest votes whose
loss puts another model first are about those with the largest effect on its distance to the first
one (Broderick, Giordano and Meager, 2020). Here their number is found by fitting anew.
"""

from dataclasses import dataclass

import numpy as np

from electorate.base.scale import Floats, Ints
from electorate.ratings import bradley_terry
from electorate.ratings.bradley_terry import OUTCOMES, Fit
from electorate.ratings.ties import TieModel

RIVALS = 10  # models that are looked at: the highest rated
TRIED = 3  # of those, that are fitted anew: to whom the approximation gives the fewest votes
PRIOR_SD = 1000.0  # Elo points, where what is left of the votes cannot be rated without a prior
SIGNIFICANT = 1.96  # standard errors, at 95%
POWER = 0.84  # standard errors more, for a chance of 80%


@dataclass(frozen=True)
class Flip:
    """The fewest votes found without which another model is first.

    first, rival: models. votes: rows. approximate: how many the first-order approximation says.
    """

    first: int
    rival: int
    votes: Ints
    approximate: int


def flip(fit: Fit, ties: TieModel, a: Ints, b: Ints, outcome: Ints, weight: Floats) -> Flip | None:
    """The fewest votes without which another model comes first; None if it takes more than half.

    Args:
        fit: of these votes.
        ties: its tie model.
        a, b, outcome, weight: (votes,); outcome 0 A, 1 B, 2 tie.
    """
    strength = fit.strength
    first, *rivals = np.argsort(-strength, kind="stable")[: 1 + RIVALS].tolist()
    of = ties.derivatives(strength[a] - strength[b], np.array(fit.eta), outcome)
    inverse = np.linalg.pinv(fit.information)
    candidates = []
    for rival in rivals:
        toward = inverse[first] - inverse[rival]
        effect = weight * (of.d * (toward[a] - toward[b]) + of.eta * toward[-1])
        order = np.argsort(-effect, kind="stable")
        enough = np.flatnonzero(np.cumsum(effect[order]) > strength[first] - strength[rival])
        if len(enough):
            candidates.append((int(enough[0]) + 1, rival, order))
    best: Flip | None = None
    for approximate, rival, order in sorted(candidates, key=lambda one: one[:2])[:TRIED]:
        refits = _Refits(ties, len(strength), a[order], b[order], outcome[order], weight[order])
        votes = refits.fewest(first, approximate)
        if votes is not None and (best is None or votes < len(best.votes)):
            best = Flip(first, rival, order[:votes], approximate)
    return best


@dataclass(frozen=True)
class _Refits:
    """Fits to what is left of votes when the first of them are gone."""

    ties: TieModel
    models: int
    a: Ints
    b: Ints
    outcome: Ints
    weight: Floats

    def fewest(self, first: int, approximate: int) -> int | None:
        """How many have to go until `first` is first no more, by bisection about the approximation,
        to half a per cent; None if more than half.
        """
        low = 0
        high = approximate
        while high <= len(self.a) // 2 and self._leader(high) == first:
            low = high
            high = max(high + 1, round(1.2 * high))
        if high > len(self.a) // 2:
            return None
        while high - low > max(1, high // 200):
            middle = (low + high) // 2
            if self._leader(middle) == first:
                low = middle
            else:
                high = middle
        return high

    def _leader(self, gone: int) -> int:
        """The first model without so many votes."""
        cell = (self.a * self.models + self.b) * OUTCOMES + self.outcome
        counts = np.bincount(cell[gone:], self.weight[gone:], self.models**2 * OUTCOMES)
        counts = counts.reshape(self.models, self.models, OUTCOMES)
        prior_sd = None if bradley_terry.estimable(counts) else PRIOR_SD
        return int(bradley_terry.fit(counts, self.ties, prior_sd).strength.argmax())


def votes_needed(fit: Fit, votes: float) -> float | None:
    """Votes in all, cast like these, with which the first model's lead over the second is
    significant at 95% with a chance of 80%, if it is as large as it seems; None if there is none.

    fit: with covariances of the ratings. votes: how many it rests on.
    """
    second, first = np.argsort(fit.strength, kind="stable")[-2:]
    lead = fit.strength[first] - fit.strength[second]
    covariance = fit.covariance
    variance = covariance[first, first] + covariance[second, second] - 2 * covariance[first, second]
    if lead <= 0:
        return None
    return float(votes * variance * ((SIGNIFICANT + POWER) / lead) ** 2)
