"""How sure the first place is: on how few votes it hangs, and how many more would settle it.

Dropping a vote of score s moves the ratings by -H^-1 s, to first order. So the fewest votes whose
loss puts another model first are about those with the largest effect on its distance to the first
one (Broderick, Giordano and Meager, 2020). Here their number is found by fitting anew.
"""

from dataclasses import dataclass

import numpy as np

from electorate.base.scale import Floats, Ints
from electorate.base.votes import OUTCOMES
from electorate.ratings import bradley_terry
from electorate.ratings.bradley_terry import Fit
from electorate.ratings.ties import TieModel

NOTHING = 1e-6  # of a vote, that sums of weights are off by
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
    alike = _Alike.of(len(fit.strength), a, b, outcome, weight)
    found = _fewest_of_all(fit, ties, alike, np.arange(len(fit.strength)))
    if found is None:
        return None
    return Flip(found.first, found.rival, alike.rows(found.order, found.votes), found.approximate)


def flip_counts(fit: Fit, ties: TieModel, counts: Floats, among: Ints) -> tuple[int, int] | None:
    """The rival that comes first without the fewest votes, and how many; None if it takes more than
    half.

    Args:
        fit: of these counts.
        counts: (M, M, 3) votes of each pair and outcome.
        among: the models whose first is meant.
    """
    found = _fewest_of_all(fit, ties, _Alike.of_counts(counts), among)
    return None if found is None else (found.rival, found.votes)


@dataclass(frozen=True)
class _Found:
    """order: of votes that are alike, those with the largest effect first."""

    first: int
    rival: int
    votes: int
    order: Ints
    approximate: int


def _fewest_of_all(fit: Fit, ties: TieModel, alike: "_Alike", among: Ints) -> _Found | None:
    strength = fit.strength
    first, *rivals = best_of(strength, among)[: 1 + RIVALS].tolist()
    difference = strength[alike.a] - strength[alike.b]
    of = ties.derivatives(difference, np.array(fit.eta), alike.outcome)
    inverse = np.linalg.pinv(fit.information)
    candidates = []
    for rival in rivals:
        toward = inverse[first] - inverse[rival]
        along = of.d * (toward[alike.a] - toward[alike.b]) + of.eta * toward[-1]
        effect = alike.weight * along
        order = np.argsort(-effect, kind="stable")
        fewest = _approximate(effect[order], alike.votes[order], strength[first] - strength[rival])
        if fewest is not None:
            candidates.append((fewest, rival, order))
    best: _Found | None = None
    for approximate, rival, order in sorted(candidates, key=lambda one: one[:2])[:TRIED]:
        votes = _fewest(alike, order, first, approximate, ties, among)
        if votes is not None and (best is None or votes < best.votes):
            best = _Found(first, rival, votes, order, approximate)
    return best


def best_of(strength: Floats, among: Ints) -> Ints:
    """These models, the best first."""
    found: Ints = among[np.argsort(-strength[among], kind="stable")]
    return found


@dataclass(frozen=True)
class _Alike:
    """Votes that are alike, and so have the same effect, as one row with how many they are.

    models: how many there are. a, b, outcome, weight, votes: (rows,). row: (votes,) of each vote.
    """

    models: int
    a: Ints
    b: Ints
    outcome: Ints
    weight: Floats
    votes: Ints
    row: Ints

    @classmethod
    def of(cls, models: int, a: Ints, b: Ints, outcome: Ints, weight: Floats) -> "_Alike":
        """From votes (n,): those that are alike are counted together."""
        weights, heavy = np.unique(weight, return_inverse=True)
        code = ((heavy * models + a) * models + b) * OUTCOMES + outcome
        if len(weights) * models**2 * OUTCOMES <= len(code):
            # Counted rather than sorted, as votes are many and kinds of them few.
            counts = np.bincount(code)
            codes = np.flatnonzero(counts)
            row = (np.cumsum(counts > 0) - 1)[code]
            votes = counts[codes]
        else:
            codes, row, votes = np.unique(code, return_inverse=True, return_counts=True)
        rest, outcome = np.divmod(codes, OUTCOMES)
        rest, b = np.divmod(rest, models)
        heavy, a = np.divmod(rest, models)
        return cls(models, a, b, outcome, weights[heavy], votes, row)

    @classmethod
    def of_counts(cls, counts: Floats) -> "_Alike":
        """Of votes counted by weight (M, M, 3), the fewest that weigh at most 1 each and alike;
        their rows are not known.
        """
        a, b, outcome = np.nonzero(counts > NOTHING)
        weight = counts[a, b, outcome]
        votes = np.ceil(weight - NOTHING).astype(np.int64)
        nothing = np.zeros(0, dtype=np.int64)
        return cls(len(counts), a, b, outcome, weight / votes, votes, nothing)

    def without(self, order: Ints, gone: int) -> Floats:
        """(M, M, 3) the votes that are left when the first so many in this order are gone."""
        in_order = self.votes[order]
        before = np.cumsum(in_order) - in_order
        left = np.empty(len(order))
        left[order] = in_order - np.clip(gone - before, 0, in_order)
        cell = (self.a * self.models + self.b) * OUTCOMES + self.outcome
        counts = np.bincount(cell, left * self.weight, self.models**2 * OUTCOMES)
        return counts.reshape(self.models, self.models, OUTCOMES).astype(float, copy=False)

    def rows(self, order: Ints, count: int) -> Ints:
        """The first so many votes in this order."""
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        last = int(np.searchsorted(np.cumsum(self.votes[order]), count))
        of_vote = place[self.row]
        within = np.flatnonzero(of_vote <= last)
        found: Ints = within[np.argsort(of_vote[within], kind="stable")][:count]
        return found


def _approximate(effect: Floats, votes: Ints, distance: float) -> int | None:
    """How many votes it takes to go the distance, by their effects, the largest first; None if all
    of them do not.
    """
    gone = np.cumsum(effect * votes)
    enough = np.flatnonzero(gone > distance)
    if not len(enough):
        return None
    last = int(enough[0])
    before = float(gone[last] - effect[last] * votes[last])
    whole = int(votes[:last].sum())
    return whole + max(1, int(np.ceil((distance - before) / effect[last])))


def _fewest(
    alike: _Alike, order: Ints, first: int, approximate: int, ties: TieModel, among: Ints
) -> int | None:
    """How many have to go until `first` is first no more, by bisection about the approximation, to
    half a per cent; None if more than half.
    """

    def leader(gone: int) -> int:
        counts = alike.without(order, gone)
        prior_sd = None if bradley_terry.estimable(counts) else PRIOR_SD
        strength = bradley_terry.fit(counts, ties, prior_sd).strength
        return int(among[strength[among].argmax()])

    low = 0
    high = approximate
    half = int(alike.votes.sum()) // 2
    while high <= half and leader(high) == first:
        low = high
        high = max(high + 1, round(1.2 * high))
    if high > half:
        return None
    while high - low > max(1, high // 200):
        middle = (low + high) // 2
        if leader(middle) == first:
            low = middle
        else:
            high = middle
    return high


def votes_needed(fit: Fit, votes: float, among: Ints | None = None) -> float | None:
    """Votes in all, cast like these, with which the first model's lead over the second is
    significant at 95% with a chance of 80%, if it is as large as it seems; None if there is none.

    fit: with covariances of the ratings. votes: how many it rests on. among: the models whose first
    is meant; None: all.
    """
    models = np.arange(len(fit.strength)) if among is None else among
    first, second = best_of(fit.strength, models)[:2]
    lead = fit.strength[first] - fit.strength[second]
    covariance = fit.covariance
    variance = covariance[first, first] + covariance[second, second] - 2 * covariance[first, second]
    if lead <= 0:
        return None
    return float(votes * variance * ((SIGNIFICANT + POWER) / lead) ** 2)
