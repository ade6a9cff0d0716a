"""System A, Elo Offset: a rating for every user, drawn toward its archetype's and the global one.

    rating_um = R_m + delta_um,   delta_u ~ N(mu_k(u), tau^2 I),   mu_k ~ N(0, tau_k^2 I)

Here is the global step: what the population is like, m_k = (R + mu_k, eta_k), tau and the ties' spread
tau_eta, from the users' posteriors (ratings/posteriors.py). The archetypes' means follow by Newton on
the marginal likelihood, and tau, tau_eta and tau_k by empirical Bayes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize_scalar

from electorate.ratings.bradley_terry import Fit
from electorate.ratings.posteriors import Prior, UserVotes, evidence, first_users, mean_shift, posterior
from electorate.ratings.ties import TieModel
from electorate.scale import Floats, to_nats

TAU_START, TAU_FLOOR, TAU_CEILING = to_nats(80.0), to_nats(0.5), to_nats(1000.0)
TIE_SD_START, TIE_SD_FLOOR, TIE_SD_CEILING = 0.3, 0.02, 3.0
# Prior sds tried in one pass, as factors on the current ones: (tau, tau_eta).
GRID = ((1.0, 1.0), (0.5, 1.0), (0.8, 1.0), (1.25, 1.0), (2.0, 1.0), (1.0, 0.6), (1.0, 1.6))
EVIDENCE_USERS = 1024  # of each block: twice as many found the same spread at twice the cost


@dataclass(frozen=True)
class Sums:
    """A block's part of the archetypes' step. score: (K, M+1); information: (K, M+1, M+1); evidence: (len(GRID),)."""

    score: Floats
    information: Floats
    evidence: Floats


MapBlocks = Callable[[Prior], Sequence[Sums]]


def block_sums(votes: UserVotes, prior: Prior, ties: TieModel) -> Sums:
    """What the global step needs of a block: by archetype the marginal likelihood's score and information in its
    mean, and the evidence at each prior of GRID, modes found anew at each. Sums of blocks add up in block order.
    """
    at, precision = posterior(votes, prior, ties), prior.precision
    covariance = np.linalg.inv(at.information).astype(float, copy=False)
    mean = at.mode + mean_shift(votes, at, covariance, ties)
    kinds, parameters = prior.mean.shape
    score, information = np.zeros((kinds, parameters)), np.zeros((kinds, parameters, parameters))
    np.add.at(score, votes.label, precision * (mean - prior.mean[votes.label]))
    np.add.at(information, votes.label, np.diag(precision) - precision[:, None] * covariance * precision)
    few = first_users(votes, EVIDENCE_USERS)
    tried = []
    for factors in GRID:
        other = scaled(prior, *factors)
        tried.append(evidence(few, posterior(few, other, ties, at.mode[: few.users], tolerance=1e-3), other, ties))
    return Sums(score, information, np.array(tried))


def fit(map_blocks: MapBlocks, start: Fit, kinds: int, lambda_reg: float | None = None, iterations: int = 12) -> Prior:
    """The prior of System A from the votes behind map_blocks, which returns block_sums in block order.

    start: the global Bradley-Terry fit, the R that archetypes are drawn toward. lambda_reg: 1/tau^2 if it is
    given rather than found.
    """
    centre = np.append(start.strength, start.eta)
    prior = Prior(np.tile(centre, (kinds, 1)), TAU_START if lambda_reg is None else lambda_reg**-0.5, TIE_SD_START)
    for _ in range(iterations):
        blocks = map_blocks(prior)
        score = _in_order([block.score for block in blocks])
        information = _in_order([block.information for block in blocks])
        tried = _in_order([block.evidence for block in blocks])
        moved = _archetype_means(prior.mean, centre, score, information)
        by_tau, by_tie = _best_factor(tried, 0), _best_factor(tried, 1)
        new = replace(scaled(prior, by_tau, by_tie), mean=moved)
        if lambda_reg is not None:
            new = replace(new, sd=prior.sd)
        settled = np.abs(moved - prior.mean).max() < to_nats(0.1)
        settled &= abs(np.log(new.sd / prior.sd)) < 0.03 and abs(np.log(new.tie_sd / prior.tie_sd)) < 0.05
        prior = new
        if settled:
            break
    return prior


def scaled(prior: Prior, tau_factor: float, tie_factor: float) -> Prior:
    """The prior with its standard deviations times these factors, within their bounds."""
    return replace(
        prior,
        sd=float(np.clip(prior.sd * tau_factor, TAU_FLOOR, TAU_CEILING)),
        tie_sd=float(np.clip(prior.tie_sd * tie_factor, TIE_SD_FLOOR, TIE_SD_CEILING)),
    )


def _in_order(parts: Sequence[Floats]) -> Floats:
    """Sum in block order, so that floats round the same way whoever computed the parts."""
    total = parts[0].copy()
    for part in parts[1:]:
        total += part
    return total


def _archetype_means(mean: Floats, centre: Floats, score: Floats, information: Floats) -> Floats:
    """One Newton step of every archetype's mean, shrunk toward the global one by the tau_k the data ask for.

    Without the shrinkage the step would end at target_k with precision information_k; tau_k maximises
    the evidence of target_k - centre ~ N(0, tau_k^2 I + information_k^-1) over the archetypes.
    """
    jitter = 1e-9 * np.eye(len(centre))
    target = mean + np.linalg.solve(information + jitter, score[..., None])[..., 0]
    eigenvalues, vectors = np.linalg.eigh(information + jitter)
    # In each archetype's eigenbasis the evidence is a product of one-dimensional normals.
    away = np.einsum("kij,ki->kj", vectors, target - centre)
    noise = 1 / np.maximum(eigenvalues, 1e-9)

    def minus_evidence(log_sd: float) -> float:
        variance = np.exp(2 * log_sd) + noise
        return float((np.log(variance) + away**2 / variance).sum())

    found = minimize_scalar(minus_evidence, bounds=(np.log(to_nats(0.05)), np.log(TAU_CEILING)), method="bounded")
    variance = np.exp(2 * found.x)
    shrunk = away * variance / (variance + noise)
    return centre + np.einsum("kij,kj->ki", vectors, shrunk)


def _best_factor(evidence: Floats, which: int) -> float:
    """The factor on one prior sd with the highest evidence, by a parabola in its logarithm through the best three."""
    tried = sorted((f[which], e) for f, e in zip(GRID, evidence, strict=True) if f[1 - which] == 1.0)
    factors, values = np.log([f for f, _ in tried]), np.array([e for _, e in tried])
    best = int(values.argmax())
    if best in (0, len(values) - 1):
        return float(np.exp(factors[best]))
    near = slice(best - 1, best + 2)
    curve, slope, _ = np.polyfit(factors[near] - factors[best], values[near], 2)
    step = -slope / (2 * curve) if curve < 0 else 0.0
    return float(np.exp(np.clip(factors[best] + step, factors[best - 1], factors[best + 1])))
