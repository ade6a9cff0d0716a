"""System A on a table of votes: every user's own ratings, with intervals."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy.special import ndtri

from electorate.base.draws import Stream, generator
from electorate.base.errors import ElectorateError
from electorate.base.scale import ELO_PER_NAT, Floats, Ints, to_elo
from electorate.config.run import RatingSettings
from electorate.data.vote_files import USER
from electorate.data.votes import NamedVotes
from electorate.evaluation.held_out import Split
from electorate.evaluation.systems import SYSTEM_A
from electorate.ratings import posteriors
from electorate.ratings.ties import DEFAULT

CONFIDENCE = 0.95
DRAWS = 1024  # of each user's posterior: a chance of a half is known to 1.6%


@dataclass(frozen=True)
class UserRatings:
    """Ratings of n users on the Elo scale, about the mean of all models.

    Attributes:
        user: (n,) codes of the users, as in the votes.
        votes: (n,) how many each cast.
        rating, ci_low, ci_high: (n, M) Elo points.
        first: (n, M) the probability that a model is the user's first.
    """

    user: Ints
    votes: Ints
    rating: Floats
    ci_low: Floats
    ci_high: Floats
    first: Floats


def ratings(votes: NamedVotes, ties: str = DEFAULT) -> Iterator[UserRatings]:
    """Every user's ratings, a few hundred users at a time.

    Args:
        votes: which must name their users.
        ties: the tie model.

    Raises:
        ElectorateError: the votes name no users.
        NotConvergedError: the fit did not converge; use the global ratings.
    """
    if not votes.names_users:
        raise ElectorateError(f"votes: have no column {' or '.join(USER)}")
    split = Split(votes, votes, RatingSettings(ties=ties))
    prior = split.prior(SYSTEM_A)
    normal = generator(0, Stream.EVIDENCE).standard_normal((DRAWS, len(votes.models) + 1))
    cast = np.bincount(votes.user, minlength=len(split.archetype))
    begin = 0
    for block in split.known("true"):
        for first, at in posteriors.by_chunk(block, prior, split.ties):
            user = begin + first + np.arange(at.votes.users)
            yield _rated(user, cast[user], at.mode, at.total_covariance, normal)
        begin += block.users


def table(votes: NamedVotes, ties: str = DEFAULT) -> pa.Table:
    """A row for each user and model: user_id, model, rating (Elo points), ci_low, ci_high (95%),
    p_first, and votes, the user's. See `ratings`.
    """
    names = np.array(votes.user_names, dtype=object)
    parts = []
    for few in ratings(votes, ties):
        users, models = few.rating.shape
        columns = {
            "user_id": pa.array(np.repeat(names[few.user], models)),
            "model": pa.array(list(votes.models) * users),
            "rating": few.rating.ravel(),
            "ci_low": few.ci_low.ravel(),
            "ci_high": few.ci_high.ravel(),
            "p_first": few.first.ravel(),
            "votes": np.repeat(few.votes, models),
        }
        parts.append(pa.table(columns))
    return pa.concat_tables(parts)


def _rated(
    user: Ints, votes: Ints, mode: Floats, covariance: Floats, normal: Floats
) -> UserRatings:
    """Ratings from posteriors: mode (n, M + 1), covariance (n, M + 1, M + 1); the last is ties."""
    strength = mode[:, :-1]
    models = strength.shape[1]
    # About the mean of all models, as ratings are.
    centre = np.eye(models) - 1 / models
    of_ratings = centre @ covariance[:, :-1, :-1] @ centre
    sd = np.sqrt(np.maximum(np.diagonal(of_ratings, axis1=1, axis2=2), 0.0))
    half = float(ndtri((1 + CONFIDENCE) / 2)) * ELO_PER_NAT * sd
    first = np.empty_like(strength)
    for i, root in enumerate(np.linalg.cholesky(covariance)):
        drawn = mode[i] + normal @ root.T
        best = drawn[:, :-1].argmax(axis=1)
        first[i] = np.bincount(best, minlength=models) / len(drawn)
    rating = to_elo(strength - strength.mean(axis=1, keepdims=True))
    return UserRatings(user, votes, rating, rating - half, rating + half, first)
