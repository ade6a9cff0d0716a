"""What is found about a population's members from their votes: who truly differs from everybody,
who does not look before voting, and how far the votes could carry any ranking at all. Beside
each, how often it was so in the planted truth.
"""

import numpy as np

from electorate.base.draws import Stream, generator
from electorate.base.scale import Floats, Ints
from electorate.evaluation import metrics
from electorate.evaluation.metrics import Standing
from electorate.population.logged_votes import LoggedVotes
from electorate.ratings import dependence, posteriors
from electorate.ratings.prior import Prior
from electorate.ratings.ties import TieModel

SURE = 0.75  # of the draws of what users have in common that keep false discoveries to the rate


def discoveries(null_draws: Floats, rate: float) -> Ints:
    """(n,) whether each user is said to differ: those of the lowest null probability, as many as
    have at most `rate` false discoveries among them both on average (Newton et al., 2004) and with
    probability SURE.

    Users share what is not known of them all, as their archetype's mean. So the false discovery
    proportion varies, and its mean alone would allow ten mistakes in ten to be made every tenth
    time: its exceedance is controlled too (Genovese and Wasserman, 2004), by the posterior.

    Args:
        null_draws: (n, S) each user's probability of not differing, given each of S draws of what
            users have in common.
        rate: the most false discoveries, of all.
    """
    probability = null_draws.mean(axis=1)
    order = np.argsort(probability, kind="stable")
    most = rate * np.arange(1, len(order) + 1) + 1e-9
    kept = np.zeros(len(order), dtype=np.int64)
    for drawn in null_draws.T:
        kept += np.cumsum(drawn[order], dtype=float) <= most
    # Users of the same probability are said to differ together, whatever their order.
    last = np.append(np.diff(probability[order]) > 0, True)
    on_average = np.cumsum(probability[order]) <= most
    enough = np.flatnonzero(last & on_average & (kept >= SURE * null_draws.shape[1]))
    discovered = np.zeros(len(order), dtype=bool)
    discovered[order[: enough[-1] + 1 if len(enough) else 0]] = True
    return discovered


def differing(null_draws: Floats, null: Ints | None, rate: float) -> dict[str, float | int | None]:
    """How many users are said to differ, the false discovery rate expected of them, and the
    realised one by the truth, None where that is not known. most_null: the highest null probability
    of those said to.

    null_draws: (n, S) as for `discoveries`.
    """
    discovered = discoveries(null_draws, rate)
    found = int(discovered.sum())
    known: dict[str, float | int | None] = {
        "truly_differ": None,
        "realised_fdr": None,
        "power": None,
    }
    if null is not None:
        known = {
            "truly_differ": int((~null.astype(bool)).sum()),
            "realised_fdr": float(null[discovered].mean()) if found else 0.0,
            "power": None if null.all() else float(discovered[~null.astype(bool)].mean()),
        }
    return {
        "users": len(discovered),
        "said_to_differ": found,
        "nominal_fdr": rate,
        "expected_fdr": float(null_draws[discovered].mean()) if found else 0.0,
        "most_null": float(null_draws[discovered].mean(axis=1).max()) if found else None,
        **known,
    }


def auc(score: Floats, positive: Ints) -> float | None:
    """The chance that a positive scores above a negative, ties half (Mann and Whitney, 1947); None
    if there are not both.
    """
    # Imported here, as it takes a process half a second to.
    from scipy.stats import rankdata

    n = int(positive.sum())
    if n in (0, len(positive)):
        return None
    ranks = rankdata(score)
    return float((ranks[positive.astype(bool)].sum() - n * (n + 1) / 2) / (n * (len(positive) - n)))


def split_half(
    votes: LoggedVotes, archetype: Ints, seed: int, prior: Prior, ties: TieModel
) -> tuple[float, float]:
    """Kendall tau between the personal rankings that two random halves of each user's votes
    make; and the ceiling it sets, the correlation that a ranking from all the votes can have
    with the truth, by Spearman (1910) and Brown (1910).

    prior: System A's; what the halves share through it is taken out, so that it is the users' own
    offsets that must agree. A user's votes on one prompt fall into one half, as what they share on
    that prompt alone is no agreement.
    """
    cluster = dependence.clusters(votes.user, votes.prompt)
    drawn = generator(seed, Stream.HALVES).integers(0, 2, 2 * len(votes.user))
    half = drawn[: len(votes.user)] if cluster is None else drawn[cluster]
    modes = []
    for which in (0, 1):
        own = votes.take(half == which).user_votes(archetype, 1.0)
        modes.append(posteriors.posterior(own, prior, ties).mode[:, :-1])
    tau = float(metrics.kendall_tau(Standing(modes[0]), Standing(modes[1])).mean())
    one, two = ((mode - prior.mean[archetype, :-1]).ravel() for mode in modes)
    scale = np.sqrt((one**2).mean() * (two**2).mean())
    reliability = float((one * two).mean() / scale) if scale > 0 else 0.0
    whole = 2 * reliability / (1 + reliability) if reliability > 0 else 0.0
    return tau, float(np.sqrt(whole))
