"""Bootstrap intervals of Bradley-Terry ratings: votes, or whole clusters of them, drawn anew with replacement (Efron, 1979)."""

from collections.abc import Iterator

import numpy as np

from electorate.draws import Stream, generator
from electorate.ratings import bradley_terry
from electorate.ratings.ties import TieModel
from electorate.scale import Floats, Ints

RESAMPLES = 500


def strengths(place: Ints, weight: Floats, cluster: Ints | None, models: int, ties: TieModel, prior_sd_elo: float, seed: int = 0) -> Floats:
    """(RESAMPLES, M) ratings in nats, mean 0 each, of resampled votes.

    place: (n,) where in (M, M, 3) each vote counts; weight: (n,); cluster: (n,) votes of one number are drawn together, None
    draws each alone. A resample that no longer links all models leans on a prior of prior_sd_elo.
    """
    found = []
    for resampled in _resamples(place, weight, cluster, models**2 * bradley_terry.OUTCOMES, seed):
        counted = resampled.reshape(models, models, bradley_terry.OUTCOMES)
        prior = None if bradley_terry.estimable(counted) else prior_sd_elo
        found.append(bradley_terry.fit(counted, ties, prior).strength)
    return np.array(found)


def _resamples(place: Ints, weight: Floats, cluster: Ints | None, size: int, seed: int) -> Iterator[Floats]:
    random = generator(seed, Stream.BOOTSTRAP_VOTES)
    if cluster is None and np.all(weight == 1):
        # Votes that are alike are counted, not drawn one by one.
        counts = np.bincount(place, minlength=size)
        cells = np.flatnonzero(counts)
        for _ in range(RESAMPLES):
            drawn = np.zeros(size)
            drawn[cells] = random.multinomial(len(place), counts[cells] / len(place))
            yield drawn
        return
    groups = np.arange(len(place)) if cluster is None else cluster
    clusters = int(groups.max()) + 1
    for _ in range(RESAMPLES):
        times = np.bincount(random.integers(0, clusters, clusters), minlength=clusters)
        yield np.bincount(place, weight * times[groups], size).astype(float, copy=False)
