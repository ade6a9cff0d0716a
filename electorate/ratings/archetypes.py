"""The archetypes' means of System A, by one Newton step at a time.

    mean_k = R + mu + nu_k,   mu ~ N(0, MEAN_SCALE^2 I),   nu_k ~ N(0, D)

with D = diag(tau_k^2, ..., tau_k_eta^2) as far as the data ask for. R is the global fit; mu is what
the mean user has beyond it, as global ratings are closer together the more users differ.
"""

import numpy as np
from scipy.optimize import minimize_scalar

from electorate.base.scale import Floats, to_nats
from electorate.ratings.bradley_terry import HELD, Fit
from electorate.ratings.prior import Prior

MEAN_SCALE = 3.0  # nats, of mu
SPREAD_SCALE = 1.0  # nats, of the half-normal priors on tau, tau_eta and tau_k
APART_FLOOR = to_nats(0.05)
APART_CEILING = to_nats(1000.0)
LONGEST_STEP = 1.0  # nats, of a mean in one pass


def means(prior: Prior, start: Fit, score: Floats, information: Floats) -> tuple[Floats, Floats]:
    """One Newton step on the posterior of every archetype's mean (K, M+1).

    score, information: (K, M+1) and (K, M+1, M+1), of the marginal likelihood at prior.mean.
    Returns the means and their covariances (K, M+1, M+1). Where nobody tied, the tie parameter
    stays.
    """
    centre = np.append(start.strength, start.eta)
    # What the score would be at the centre, were the log likelihood quadratic.
    natural = score + np.einsum("kij,kj->ki", information, prior.mean - centre)
    wide = np.full(len(centre), MEAN_SCALE**-2.0)
    apart = np.full(len(centre), _apart(information[:, :-1, :-1], natural[:, :-1]) ** -2.0)
    apart[-1] = _apart(information[:, -1:, -1:], natural[:, -1:]) ** -2.0
    if start.ties == 0:
        wide[-1] = HELD
        apart[-1] = HELD
    own = np.linalg.inv(information + np.diag(apart))
    # Without nu_k the information on mu is I_k (I_k + D^-1)^-1 D^-1.
    of_common = np.diag(wide) + (information @ own * apart).sum(axis=0)
    common = np.linalg.inv((of_common + of_common.T) / 2)
    mu = common @ (apart * np.einsum("kij,kj->ki", own, natural)).sum(axis=0)
    found = centre + np.einsum("kij,kj->ki", own, natural + apart * mu)
    shared = own * apart
    covariance = own + shared @ common @ np.swapaxes(shared, 1, 2)
    # Votes say nothing of the level, so what noise says of it is taken out.
    found[:, :-1] -= found[:, :-1].mean(axis=1, keepdims=True)
    step = found - prior.mean
    found = prior.mean + step * min(1.0, LONGEST_STEP / max(float(np.abs(step).max()), 1e-12))
    level = np.eye(len(centre))
    level[:-1, :-1] -= 1 / prior.models
    return found, level @ covariance @ level


def _apart(information: Floats, natural: Floats) -> float:
    """How far archetypes' means are apart (nats): the sd of nu_k with the highest posterior.

    information: (K, p, p) on each archetype's p parameters; pull: (K, p), I_k times the means. In
    the eigenbasis of all archetypes' information, of which each is taken to have its share.
    """
    archetype_count = len(information)
    if archetype_count == 1:
        return APART_FLOOR
    total = information.sum(axis=0)
    share = np.trace(information, axis1=1, axis2=2) / max(float(np.trace(total)), 1e-12)
    eigenvalues, vectors = np.linalg.eigh(total)
    there = eigenvalues > 1e-6 * max(float(eigenvalues.max(initial=0.0)), 1e-12)
    precision = np.maximum(share, 1e-6)[:, None] * eigenvalues[there]
    away = (natural @ vectors[:, there]) / precision

    def minus_log_posterior(log_sd: float) -> float:
        weight = 1 / (np.exp(2 * log_sd) + 1 / precision)
        mean = (weight * away).sum(axis=0) / weight.sum(axis=0)
        of_each = float((weight * (away - mean) ** 2 - np.log(weight)).sum())
        of_mean = float(np.log(weight.sum(axis=0)).sum())
        return of_each + of_mean + float(np.exp(2 * log_sd)) / SPREAD_SCALE**2

    bounds = (np.log(APART_FLOOR), np.log(APART_CEILING))
    found = minimize_scalar(minus_log_posterior, bounds=bounds, method="bounded")
    return float(np.exp(found.x))
