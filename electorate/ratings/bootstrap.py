"""Bootstrap intervals of Bradley-Terry ratings: votes, or whole clusters of them, drawn anew
with replacement (Efron, 1979).
"""

from collections.abc import Iterator, Sequence

import numpy as np

from electorate.base.draws import Stream, generator
from electorate.base.scale import Floats, Ints
from electorate.base.votes import OUTCOMES
from electorate.ratings import bradley_terry
from electorate.ratings.ties import TieModel

RESAMPLES = 500


def strengths(
    place: Ints,
    weight: Floats,
    groups: Sequence[Ints],
    models: int,
    ties: TieModel,
    prior_sd_elo: float,
    seed: int = 0,
) -> Floats:
    """(RESAMPLES, M) ratings in nats, mean 0 each, of resampled votes.

    place: (n,) where in (M, M, 3) each vote counts; weight: (n,). groups: (n,) each; votes of one
    number are drawn together, by two groupings as often as both are drawn (Owen, 2007); none draws
    each vote alone. A resample that no longer links all models leans on a prior of prior_sd_elo.
    """
    found = []
    for resampled in _resamples(place, weight, groups, models**2 * OUTCOMES, seed):
        counted = resampled.reshape(models, models, OUTCOMES)
        prior = None if bradley_terry.estimable(counted) else prior_sd_elo
        found.append(bradley_terry.fit(counted, ties, prior).strength)
    return np.array(found)


def _resamples(
    place: Ints, weight: Floats, groups: Sequence[Ints], size: int, seed: int
) -> Iterator[Floats]:
    random = generator(seed, Stream.BOOTSTRAP_VOTES)
    if not groups and np.all(weight == 1):
        # Votes that are alike are counted, not drawn one by one.
        counts = np.bincount(place, minlength=size)
        cells = np.flatnonzero(counts)
        for _ in range(RESAMPLES):
            drawn = np.zeros(size)
            drawn[cells] = random.multinomial(len(place), counts[cells] / len(place))
            yield drawn
        return
    for _ in range(RESAMPLES):
        times = weight
        for group in groups or [np.arange(len(place))]:
            count = int(group.max()) + 1
            times = times * np.bincount(random.integers(0, count, count), minlength=count)[group]
        yield np.bincount(place, times, size).astype(float, copy=False)
