"""Bradley-Terry ratings from aggregated votes, with sandwich intervals."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse.csgraph import connected_components

from electorate.ratings.ties import TieModel
from electorate.scale import Floats, Ints, to_nats

TIE_PRIOR_SD = 3.0


@dataclass(frozen=True)
class Fit:
    """strength: (M,) nats, mean 0. eta: the tie parameter. covariance: (M+1, M+1) of both (sandwich).

    votes: (M,) battles each model was in. connected: whether the battles link all models; if not,
    the distance between the parts comes from the prior alone.
    """

    strength: Floats
    eta: float
    covariance: Floats
    votes: Ints
    connected: bool


def fit(counts: Ints, ties: TieModel, prior_sd_elo: float) -> Fit:
    """Maximum a posteriori by Newton's method on counts[a, b, outcome], shape (M, M, 3), any orientation.

    The prior N(0, prior_sd_elo^2) on each strength keeps all-win and disconnected records finite.
    The covariance is H^-1 B H^-1 with B the sum of the votes' squared scores (White, 1982).
    """
    models = len(counts)
    a, b, outcome = np.nonzero(counts)
    weight = counts[a, b, outcome].astype(float)
    design = _design(a, b, models)
    precision = np.append(np.full(models, to_nats(prior_sd_elo) ** -2.0), TIE_PRIOR_SD**-2.0)
    centre = np.append(np.zeros(models), ties.start)
    parameters = centre.copy()
    objective, score, information, _ = _posterior(parameters, centre, precision, design, outcome, weight, ties)
    for _ in range(100):
        step = np.linalg.solve(information, score)
        scale = 1.0
        while True:
            proposal = parameters + scale * step
            new = _posterior(proposal, centre, precision, design, outcome, weight, ties)
            if new[0] >= objective - 1e-9 * abs(objective) or scale < 1e-6:
                break
            scale /= 2
        parameters, (objective, score, information, _) = proposal, new
        if np.abs(scale * step).max() < 1e-10:
            break
    scores = _posterior(parameters, centre, precision, design, outcome, weight, ties)[3]
    bread = np.linalg.inv(information)
    # The prior fixes the level only weakly, so take it out: differences are what votes speak of.
    contrast = np.eye(models + 1)
    contrast[:models, :models] -= 1 / models
    covariance = contrast @ bread @ (scores.T * weight @ scores) @ bread @ contrast.T
    return Fit(
        strength=parameters[:models] - parameters[:models].mean(),
        eta=float(parameters[models]),
        covariance=covariance,
        votes=counts.sum(axis=(1, 2)) + counts.sum(axis=(0, 2)),
        connected=connected_components(counts.sum(axis=2), directed=False)[0] == 1,
    )


def _design(a: Ints, b: Ints, models: int) -> Floats:
    design = np.zeros((len(a), models))
    design[np.arange(len(a)), a] = 1.0
    design[np.arange(len(a)), b] -= 1.0
    return design


def _posterior(
    parameters: Floats, centre: Floats, precision: Floats, design: Floats, outcome: Ints, weight: Floats, ties: TieModel
) -> tuple[float, Floats, Floats, Floats]:
    """Log posterior, its score and information, and the score of each distinct vote (n, M+1)."""
    away = parameters - centre
    of = ties.derivatives(design @ parameters[:-1], parameters[-1], outcome)
    scores = np.column_stack([design * of.d[:, None], of.eta])
    models = design.shape[1]
    information = np.diag(precision)
    information[:models, :models] += design.T * (weight * of.info_dd) @ design
    information[:models, models] += design.T @ (weight * of.info_de)
    information[models, :models] = information[:models, models]
    information[models, models] += weight @ of.info_ee
    objective = float(weight @ of.log_likelihood - away @ (precision * away) / 2)
    return objective, weight @ scores - precision * away, information, scores
