"""Everybody in a block after the last round: each persona's ranking with what is sure of it,
whether it truly differs from everybody's, and whether its votes look like those of somebody
who does not look, or votes against its own taste.
"""

from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from scipy.special import gammaln, ndtri

from electorate.base.scale import ELO_PER_NAT, Floats, Ints, to_elo
from electorate.evaluation import metrics
from electorate.evaluation.metrics import Standing
from electorate.population.cast import Cast
from electorate.population.tally import Counts
from electorate.population.voters import Users, Voters
from electorate.ratings import offsets, order_kernels, posteriors
from electorate.ratings.posteriors import Posterior
from electorate.ratings.prior import Prior
from electorate.ratings.ties import MODELS, TieModel
from electorate.ratings.user_votes import UserVotes

DRAWS = 256  # of each user's posterior, a power of two
CAUTION = 0.8  # what is left of the factors' lengths, which are estimates, in the cautious prior
SAME_ORDER = 0.9  # Kendall tau with everybody's ranking from which a persona's is the same
NULLS = (
    "order",
    "first",
)  # that the persona ranks as everybody does; that it has the same first model
SUSPECT = 0.0  # log odds of not voting by its own taste from which a persona is


class BlockReport(NamedTuple):
    """n users.

    Attributes:
        null_probability, null: (n, 2) by NULLS, the posterior probability and the truth, None where
            that is not known of everybody.
        suspicion: (n,) log odds against voting by its own taste.
        conduct: (n,).
        counts: the block's votes by (conduct, suspect, a, b, outcome).
    """

    null_probability: Floats
    null: Ints | None
    suspicion: Floats
    conduct: Ints
    counts: Counts


def take(
    voters: Voters, drawn: Users, votes: Cast, prior: Prior, ranking: Floats
) -> tuple[pa.Table, BlockReport]:
    """The block's columns of ratings/users, and what is said of the whole population.

    ranking: (M,) everybody's strengths. prior: System A's.
    """
    ties = MODELS[voters.config.ratings.ties]
    own = votes.user_votes(len(drawn), drawn.archetype, voters.config.ratings.forgetting)
    at = posteriors.posterior(own, prior, ties)
    first_share, agree = _orders(at, drawn.archetype, prior, ranking)
    cautious = _cautious(prior)
    _, agree_cautious = _orders(
        posteriors.posterior(own, cautious, ties, tolerance=1e-3),
        drawn.archetype,
        cautious,
        ranking,
    )
    suspicion = _suspicion(own, votes.first_shown, at, prior, ties)
    found = BlockReport(
        np.maximum(agree, agree_cautious).astype(np.float32),
        _null(voters.overall_of_all(drawn), ranking),
        suspicion.astype(np.float32),
        drawn.conduct,
        _counts(drawn.conduct, (suspicion > SUSPECT).astype(np.int64), votes, len(ranking)),
    )
    return _table(voters, drawn, votes, at, first_share, found), found


def _null(utility: Floats | None, ranking: Floats) -> Ints | None:
    """(n, 2) by NULLS, whether users of these true utilities rank as everybody does."""
    if utility is None:
        return None
    truth = Standing(utility)
    same_order = metrics.kendall_tau(Standing(ranking), truth) >= SAME_ORDER
    same_first = truth.order[:, 0] == ranking.argmax()
    return np.column_stack([same_order, same_first])


def _orders(at: Posterior, label: Ints, prior: Prior, ranking: Floats) -> tuple[Floats, Floats]:
    """See order_kernels.posterior_orders; draws are about the archetype's mean as far as it is
    known.
    """
    parameters = at.mode.shape[1]
    own, of_mean = np.split(_normal(2 * parameters), 2)
    sure = (
        np.zeros((len(prior.mean), parameters, parameters))
        if prior.mean_covariance is None
        else prior.mean_covariance
    )
    values, vectors = np.linalg.eigh(sure)
    shift = (vectors * np.sqrt(np.maximum(values, 0.0))[:, None]) @ of_mean
    half = np.linalg.cholesky(at.covariance)
    return order_kernels.posterior_orders(at.mode, half, own, label, shift, ranking, SAME_ORDER)


@lru_cache(4)
def _normal(parameters: int) -> Floats:
    """(parameters, DRAWS) standard normal quasi-random draws, the same for every user."""
    # Imported here, as it takes a process half a second to.
    from scipy.stats import qmc

    uniform = qmc.Sobol(parameters, rng=0).random(DRAWS)
    return np.ascontiguousarray(ndtri(uniform).T)


def _cautious(prior: Prior) -> Prior:
    """The prior by which nobody differs but along the factors.

    What factors leave of users' spread may be taste in directions not found, or what one strength a
    model cannot say of votes on many prompts; taken as taste it has more users differ than do. A
    null probability is the larger of both.
    """
    factors = None if prior.factors is None else CAUTION * prior.factors
    return replace(prior, sd=offsets.TAU_FLOOR, factors=factors)


def _suspicion(
    votes: UserVotes, first_shown: Ints, at: Posterior, prior: Prior, ties: TieModel
) -> Floats:
    """(n,) log odds of each user's votes under the likelier of careless and adversarial to those
    under its own taste.

    Careless: outcomes by the place of the answer on the page (first, second, tie), at rates of the
    user's own, all equally likely before. Adversarial: System A's prior with the better models for
    the worse.
    """
    # Of an unknown place (-1) A's is taken: which response is called A is drawn evenly.
    place = np.where(votes.outcome == 2, 2, votes.outcome ^ np.maximum(first_shown, 0))
    seen = np.bincount(3 * votes.user + place, votes.weight, 3 * votes.users).reshape(-1, 3)
    careless = gammaln(3) + gammaln(seen + 1).sum(axis=1) - gammaln(seen.sum(axis=1) + 3)
    mirrored = prior.mean.copy()
    mirrored[:, :-1] *= -1
    against = replace(prior, mean=mirrored, mean_covariance=None)
    adversarial = posteriors.laplace(posteriors.posterior(votes, against, ties, tolerance=1e-3))
    return np.maximum(careless, adversarial) - posteriors.laplace(at)


def _counts(conduct: Ints, suspect: Ints, votes: Cast, models: int) -> Counts:
    place = ((2 * conduct + suspect)[votes.user] * models + votes.a) * models + votes.b
    return Counts.of(3 * place + votes.outcome)


def _table(
    voters: Voters,
    drawn: Users,
    votes: Cast,
    at: Posterior,
    first_share: Floats,
    found: BlockReport,
) -> pa.Table:
    """Columns: user_id, votes, null probabilities, suspicion; then of each model rating, sd (Elo
    points) and P(first).
    """
    names = voters.config.contestant_names
    rating = to_elo(at.mode[:, :-1])
    variance = np.diagonal(at.covariance, axis1=1, axis2=2)[:, :-1]
    sd = ELO_PER_NAT * np.sqrt(variance)
    columns = {
        "user_id": drawn.user_id,
        "votes": np.bincount(votes.user, minlength=len(drawn)).astype(np.int32),
    }
    columns |= {f"p_same_{null}": found.null_probability[:, i] for i, null in enumerate(NULLS)}
    columns |= {"suspicion": found.suspicion}
    for suffix, values in (("", rating), ("_sd", sd), ("_first", first_share)):
        columns |= {
            f"{name}{suffix}": values[:, m].astype(np.float32) for m, name in enumerate(names)
        }
    return pa.table(columns)
