"""A fit as a leaderboard: ratings on the Elo scale, their intervals, and the ranks the votes
leave possible.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import ndtri

from electorate.base.draws import Stream, generator
from electorate.base.scale import ELO_PER_NAT, Floats, to_elo
from electorate.ratings.bradley_terry import Fit

DRAWS = 4096  # a quantile of 95% is told to 0.01 standard errors


def rows(
    models: Sequence[str],
    fit: Fit,
    confidence: float,
    shift: float = 0.0,
    draws: Floats | None = None,
    simultaneous: bool = False,
) -> list[dict[str, Any]]:
    """A row a model, in the order given: model, rating, ci_low, ci_high, rank_low, rank_high,
    votes.

    shift: Elo points added to every rating, which anchors them. draws: (resamples, M) bootstrapped
    strengths, whose percentiles are then the intervals. Intervals are about the mean of all models
    (anchored or not). rank_low is the best rank and rank_high the worst: a model is above another
    only where the interval of their difference excludes zero, which is sharper than asking that
    their own intervals do not overlap. simultaneous: all models' ranks lie within their ranges at
    once with this confidence, rather than each one's.
    """
    z = float(ndtri((1 + confidence) / 2))
    rating = to_elo(fit.strength) + shift
    # Where there is no spread rounding may leave it below zero.
    half = z * ELO_PER_NAT * np.sqrt(np.maximum(np.diag(fit.covariance)[:-1], 0.0))
    low = rating - half
    high = rating + half
    if draws is not None:
        low, high = (
            to_elo(np.quantile(draws, ((1 - confidence) / 2, (1 + confidence) / 2), axis=0)) + shift
        )
    above = clearly_above(fit, simultaneous_z(fit, confidence) if simultaneous else z)
    best = 1 + above.sum(axis=0)
    worst = len(models) - above.sum(axis=1)
    return [
        {
            "model": model,
            "rating": float(rating[m]),
            "ci_low": float(low[m]),
            "ci_high": float(high[m]),
            "rank_low": int(best[m]),
            "rank_high": int(worst[m]),
            "votes": int(fit.votes[m]),
        }
        for m, model in enumerate(models)
    ]


def win_matrix(counts: Floats) -> tuple[Floats, Floats]:
    """(M, M) how often the row's model won against the column's, a tie being half a win, and how
    often they met, from counts (M, M, 3) of a, b and the outcome.
    """
    points = counts[:, :, 0] + counts[:, :, 2] / 2
    battles = counts.sum(axis=2)
    return points + (battles - points).T, battles + battles.T


def simultaneous_z(fit: Fit, confidence: float) -> float:
    """How many standard errors all pairs' differences stay within at once, with this confidence
    (Mogstad, Romano, Shaikh and Wilhelm, Review of Economic Studies 2024), by draws of the ratings.
    """
    covariance = fit.covariance[:-1, :-1]
    values, vectors = np.linalg.eigh(covariance)
    drawn = generator(0, Stream.TOP).standard_normal((DRAWS, len(covariance)))
    drawn = drawn @ (vectors * np.sqrt(np.maximum(values, 0.0))).T
    variance = np.diag(covariance)
    error = np.sqrt(np.maximum(variance[:, None] + variance - 2 * covariance, 0.0))
    largest = np.zeros(DRAWS)
    for i in range(len(covariance)):
        others = error[i] > 0
        away = np.abs(drawn[:, [i]] - drawn[:, others]) / error[i, others]
        largest = np.maximum(largest, away.max(axis=1, initial=0.0))
    return float(np.quantile(largest, confidence))


def clearly_above(fit: Fit, z: float) -> Floats:
    """(M, M): whether model i's rating exceeds j's by more than z standard errors of their
    difference.
    """
    covariance = fit.covariance[:-1, :-1]
    variance = np.diag(covariance)
    error = np.sqrt(np.maximum(variance[:, None] + variance - 2 * covariance, 0.0))
    above: Floats = fit.strength[:, None] - fit.strength > np.maximum(z * error, 1e-12)
    return above
