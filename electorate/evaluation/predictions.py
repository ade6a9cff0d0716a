"""What a system says: a rating of every model for every user, and the odds of every pair."""

from dataclasses import dataclass

import numpy as np

from electorate.evaluation.metrics import pair_indices
from electorate.ratings.bradley_terry import Fit
from electorate.ratings.ties import TieModel
from electorate.scale import Floats

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(9)


@dataclass(frozen=True)
class Prediction:
    """strength: (n or 1, M). odds: (n or 1, pairs, 3), probabilities of A, B, tie for pairs a < b."""

    strength: Floats
    odds: Floats


def from_strength(strength: Floats, eta: Floats, ties: TieModel) -> Prediction:
    """Plug-in prediction of strengths (n, M) with tie parameters (n,)."""
    a, b = pair_indices(strength.shape[1])
    return Prediction(strength, ties.probabilities(strength[:, a] - strength[:, b], eta[:, None]))


def from_fits(fits: list[Fit], ties: TieModel) -> Prediction:
    """One row a Bradley-Terry fit."""
    return from_strength(np.array([fit.strength for fit in fits]), np.array([fit.eta for fit in fits]), ties)


def from_posterior(mode: Floats, covariance: Floats, ties: TieModel) -> Prediction:
    """Posterior predictive of System A: the odds averaged over the difference's posterior, by Gauss-Hermite.

    mode: (n, M+1); covariance: (n, M+1, M+1), in nats.
    """
    strength, eta = mode[:, :-1], mode[:, -1:]
    a, b = pair_indices(strength.shape[1])
    variance = np.diagonal(covariance, axis1=1, axis2=2)
    sd = np.sqrt(np.maximum(variance[:, a] + variance[:, b] - 2 * covariance[:, a, b], 0.0))
    d = strength[:, a] - strength[:, b]
    weights = _WEIGHTS / _WEIGHTS.sum()
    odds = sum(w * ties.probabilities(d + node * sd, eta) for node, w in zip(_NODES, weights, strict=True))
    return Prediction(strength, np.asarray(odds))
