"""Everybody in a block after the last round: each persona's ranking with what is sure of it,
whether it truly differs from everybody's, and whether its votes look like those of somebody
who does not look, or votes against its own taste.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from scipy.special import gammaln, ndtri

from electorate.base.scale import ELO_PER_NAT, Bytes, Floats, Ints, to_elo
from electorate.base.votes import TIE
from electorate.evaluation import metrics
from electorate.evaluation.metrics import Standing
from electorate.population.logged_votes import LoggedVotes
from electorate.population.tally import Counts
from electorate.population.voters import Users, Voters
from electorate.ratings import order_kernels, posteriors
from electorate.ratings.posteriors import Posterior
from electorate.ratings.prior import Prior
from electorate.ratings.ties import MODELS, TieModel
from electorate.ratings.user_votes import UserVotes

SHARED = 32  # draws of what the users of an archetype have in common; powers of two
OWN = 8  # draws of a user's own for each of these
NORMALS = 4096  # draws that users take theirs from
SAME_ORDER = 0.9  # Kendall tau with everybody's ranking from which a persona's is the same
NULLS = (
    "order",
    "first",
)  # that the persona ranks as everybody does; that it has the same first model
SUSPECT = 0.0  # log odds of not voting by its own taste from which a persona is


class BlockReport(NamedTuple):
    """n users.

    Attributes:
        null_draws: (n, 2, SHARED) by NULLS, in how many of OWN posterior draws of the user it is
            true, for each draw of what users have in common.
        null: (n, 2) the truth, None where that is not known of everybody.
        suspicion: (n,) log odds against voting by its own taste.
        conduct: (n,).
        counts: the block's votes by (conduct, suspect, a, b, outcome).
    """

    null_draws: Bytes
    null: Ints | None
    suspicion: Floats
    conduct: Ints
    counts: Counts


def take(
    voters: Voters,
    drawn: Users,
    votes: LoggedVotes,
    prior: Prior,
    doubtful: Sequence[Prior],
    ranking: Floats,
) -> tuple[pa.Table, BlockReport]:
    """The block's columns of ratings/users, and what is said of the whole population.

    Args:
        voters: whom the block is of.
        drawn: the block's users.
        votes: theirs.
        prior: System A's.
        doubtful: priors by all of which a user must differ; see prompt_sample.doubtful.
        ranking: (M,) everybody's strengths.
    """
    ties = MODELS[voters.config.ratings.ties]
    own = votes.user_votes(drawn.archetype, voters.config.ratings.forgetting)
    at = posteriors.posterior(own, prior, ties)
    first_share = order_kernels.first_shares(*_draws(at, prior), OWN)
    agree = np.zeros((len(drawn), len(NULLS), SHARED), dtype=np.uint8)
    for one in doubtful:
        doubted = posteriors.posterior(own, one, ties, start=at.own_mode, tolerance=1e-3)
        draws = _draws(doubted, one)
        same_order = order_kernels.posterior_orders(*draws, OWN, ranking, SAME_ORDER)
        agree = np.maximum(agree, same_order)
    suspicion = _suspicion(own, at, prior, ties)
    found = BlockReport(
        agree,
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


def _draws(at: Posterior, prior: Prior) -> tuple[Floats, Floats, Floats, Ints, Floats]:
    """What order_kernels draw users' strengths from, about draws of the archetypes' means as far as
    they are known.
    """
    size = at.mode.shape[1]
    sure = (
        np.zeros((len(prior.mean), size, size))
        if prior.mean_covariance is None
        else prior.mean_covariance
    )
    values, vectors = np.linalg.eigh(sure)
    along = np.sqrt(np.maximum(values, 0.0))[:, :, None] * _of_means(len(sure), size)
    half = np.linalg.cholesky(at.covariance).astype(float, copy=False)
    shift: Floats = vectors @ along
    return at.mode, half, _normal(size), at.votes.archetype, shift


@lru_cache(4)
def _normal(size: int) -> Floats:
    """(size, NORMALS) standard normal quasi-random draws."""
    return _quasi_random(size, NORMALS, 0)


@lru_cache(4)
def _of_means(archetypes: int, size: int) -> Floats:
    """(archetypes, size, SHARED) the same for archetypes' means, each of its own."""
    return np.array([_quasi_random(size, SHARED, 1 + k) for k in range(archetypes)])


def _quasi_random(size: int, draws: int, seed: int) -> Floats:
    # Imported here, as it takes a process half a second to.
    from scipy.stats import qmc

    uniform = qmc.Sobol(size, rng=seed).random(draws)
    return np.ascontiguousarray(ndtri(uniform).T)


def _suspicion(votes: UserVotes, at: Posterior, prior: Prior, ties: TieModel) -> Floats:
    """(n,) log odds of each user's votes under the likelier of careless and adversarial to those
    under its own taste.

    Careless: outcomes by the place of the answer on the page (first, second, tie), at rates of the
    user's own, all equally likely before. Adversarial: System A's prior with the better models for
    the worse.
    """
    # Of an unknown place A's is taken: which response is called A is drawn evenly.
    place = np.where(votes.outcome == TIE, TIE, votes.outcome ^ (votes.side < 0))
    seen = np.bincount(3 * votes.user + place, votes.weight, 3 * votes.users).reshape(-1, 3)
    careless = gammaln(3) + gammaln(seen + 1).sum(axis=1) - gammaln(seen.sum(axis=1) + 3)
    mirrored = prior.mean.copy()
    mirrored[:, :-1] *= -1
    against = replace(prior, mean=mirrored, mean_covariance=None)
    adversarial = posteriors.laplace(posteriors.posterior(votes, against, ties, tolerance=1e-3))
    return np.maximum(careless, adversarial) - posteriors.laplace(at)


def _counts(conduct: Ints, suspect: Ints, votes: LoggedVotes, models: int) -> Counts:
    place = ((2 * conduct + suspect)[votes.user] * models + votes.a) * models + votes.b
    return Counts.of(3 * place + votes.outcome)


def _table(
    voters: Voters,
    drawn: Users,
    votes: LoggedVotes,
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
    probability = (found.null_draws.mean(axis=2) / OWN).astype(np.float32)
    columns |= {f"p_same_{null}": probability[:, i] for i, null in enumerate(NULLS)}
    columns |= {"suspicion": found.suspicion}
    for suffix, values in (("", rating), ("_sd", sd), ("_first", first_share)):
        columns |= {
            f"{name}{suffix}": values[:, m].astype(np.float32) for m, name in enumerate(names)
        }
    return pa.table(columns)
