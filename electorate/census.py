"""Everybody in a block after the last round: each persona's ranking with what is sure of it, whether it truly differs
from everybody's, and whether its votes look like those of somebody who does not look, or votes against its own taste.
"""

from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from scipy.special import gammaln, ndtri
from scipy.stats import qmc

from electorate import judges
from electorate.cast import Cast
from electorate.evaluation import metrics
from electorate.evaluation.metrics import Standing
from electorate.personas import Electorate, Personas
from electorate.ratings import kernels, offsets, posteriors
from electorate.ratings.posteriors import Posterior, Prior, UserVotes
from electorate.ratings.tally import Counts
from electorate.ratings.ties import MODELS, TieModel
from electorate.scale import ELO_PER_NAT, Floats, Ints, to_elo

DRAWS = 256  # of each user's posterior, a power of two
CAUTION = 0.8  # what is left of the factors' lengths, which are estimates, in the cautious prior
SAME_ORDER = 0.9  # Kendall tau with everybody's ranking from which a persona's is the same
NULLS = ("order", "first")  # that the persona ranks as everybody does; that it has the same first model
SUSPECT = 0.0  # log odds of not voting by its own taste from which a persona is


class BlockCensus(NamedTuple):
    """n personas. null_probability, null: (n, 2) by NULLS, the posterior probability and the planted truth. suspicion: (n,)
    log odds against voting by its own taste. conduct: (n,). counts: the block's votes by (conduct, suspect, a, b, outcome).
    """

    null_probability: Floats
    null: Floats
    suspicion: Floats
    conduct: Ints
    counts: Counts


def take(electorate: Electorate, drawn: Personas, votes: Cast, prior: Prior, ranking: Floats) -> tuple[pa.Table, BlockCensus]:
    """The block's columns of ratings/users, and what is said of the whole population.

    ranking: (M,) everybody's strengths. prior: System A's.
    """
    ties = MODELS[electorate.config.ratings.ties]
    own = votes.user_votes(len(drawn), drawn.archetype, electorate.config.ratings.forgetting)
    at = posteriors.posterior(own, prior, ties)
    first_share, agree = _orders(at, drawn.archetype, prior, ranking)
    cautious = _cautious(prior)
    _, agree_cautious = _orders(posteriors.posterior(own, cautious, ties, tolerance=1e-3), drawn.archetype, cautious, ranking)
    suspicion = _suspicion(own, votes.first_shown, at, prior, ties)
    truth = Standing(judges.mean_utilities(electorate, drawn))
    same_order = metrics.kendall_tau(Standing(ranking), truth) >= SAME_ORDER
    same_first = truth.order[:, 0] == ranking.argmax()
    found = BlockCensus(
        np.maximum(agree, agree_cautious).astype(np.float32),
        np.column_stack([same_order, same_first]),
        suspicion.astype(np.float32),
        drawn.conduct,
        _counts(drawn.conduct, (suspicion > SUSPECT).astype(np.int64), votes, len(ranking)),
    )
    return _table(electorate, drawn, votes, at, first_share, found), found


def _orders(at: Posterior, label: Ints, prior: Prior, ranking: Floats) -> tuple[Floats, Floats]:
    """See kernels.posterior_orders; draws are about the archetype's mean as far as it is known."""
    parameters = at.mode.shape[1]
    own, of_mean = np.split(_normal(2 * parameters), 2)
    sure = np.zeros((len(prior.mean), parameters, parameters)) if prior.mean_covariance is None else prior.mean_covariance
    values, vectors = np.linalg.eigh(sure)
    shift = (vectors * np.sqrt(np.maximum(values, 0.0))[:, None]) @ of_mean
    return kernels.posterior_orders(at.mode, at.root, own, label, shift, ranking, SAME_ORDER)


@lru_cache(4)
def _normal(parameters: int) -> Floats:
    """(parameters, DRAWS) standard normal quasi-random draws, the same for every user."""
    uniform = qmc.Sobol(parameters, rng=0).random(DRAWS)
    return np.ascontiguousarray(ndtri(uniform).T)


def _cautious(prior: Prior) -> Prior:
    """The prior by which nobody differs but along the factors.

    What factors leave of users' spread may be taste in directions not found, or what one strength a model cannot say
    of votes on many prompts; taken as taste it has more users differ than do. A null probability is the larger of both.
    """
    factors = None if prior.factors is None else CAUTION * prior.factors
    return replace(prior, sd=offsets.TAU_FLOOR, factors=factors)


def _suspicion(votes: UserVotes, first_shown: Ints, at: Posterior, prior: Prior, ties: TieModel) -> Floats:
    """(n,) log odds of each user's votes under the likelier of careless and adversarial to those under its own taste.

    Careless: outcomes by the place of the answer on the page (first, second, tie), at rates of the user's own, all
    equally likely before. Adversarial: System A's prior with the better models for the worse.
    """
    place = np.where(votes.outcome == 2, 2, votes.outcome ^ first_shown)
    seen = np.bincount(3 * votes.user + place, votes.weight, 3 * votes.users).reshape(-1, 3)
    careless = gammaln(3) + gammaln(seen + 1).sum(axis=1) - gammaln(seen.sum(axis=1) + 3)
    mirrored = prior.mean.copy()
    mirrored[:, :-1] *= -1
    against = Prior(mirrored, prior.sd, prior.tie_sd, prior.factors)
    adversarial = posteriors.laplace(posteriors.posterior(votes, against, ties, tolerance=1e-3), votes.label, against)
    return np.maximum(careless, adversarial) - posteriors.laplace(at, votes.label, prior)


def _counts(conduct: Ints, suspect: Ints, votes: Cast, models: int) -> Counts:
    place = ((2 * conduct + suspect)[votes.user] * models + votes.a) * models + votes.b
    times = np.bincount(3 * place + votes.outcome)
    there = np.flatnonzero(times)
    return Counts(there, times[there])


def _table(electorate: Electorate, drawn: Personas, votes: Cast, at: Posterior, first_share: Floats, found: BlockCensus) -> pa.Table:
    """Columns: user_id, votes, null probabilities, suspicion; then of each model rating, sd (Elo points) and P(first)."""
    names = electorate.config.contestant_names
    rating, variance = to_elo(at.mode[:, :-1]), np.diagonal(at.covariance, axis1=1, axis2=2)[:, :-1]
    sd = ELO_PER_NAT * np.sqrt(variance)
    columns = {"user_id": drawn.user_id, "votes": np.bincount(votes.user, minlength=len(drawn)).astype(np.int32)}
    columns |= {f"p_same_{null}": found.null_probability[:, i] for i, null in enumerate(NULLS)}
    columns |= {"suspicion": found.suspicion}
    for suffix, values in (("", rating), ("_sd", sd), ("_first", first_share)):
        columns |= {f"{name}{suffix}": values[:, m].astype(np.float32) for m, name in enumerate(names)}
    return pa.table(columns)
