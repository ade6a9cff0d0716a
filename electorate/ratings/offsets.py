"""System A, Elo Offset: a rating for every user, drawn toward its archetype's and the global one.

    rating_um = R_m + delta_um,   delta_u ~ N(mu_k(u), tau^2 I),   mu_k ~ N(0, tau_k^2 I)

A user's parameters are beta_u = (strengths in nats, tie parameter), with prior mean m_k = (R + mu_k,
eta_k) and precision Lambda = diag(1/tau^2, ..., 1/tau_eta^2). Each is the mode of its posterior by
Newton's method, all users of a block at once. Given the modes, the archetypes' means follow by
Newton on the joint posterior (the users eliminated by a Schur complement), and tau, tau_eta and
tau_k by empirical Bayes on the Laplace evidence.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize_scalar

from electorate.ratings.bradley_terry import Fit
from electorate.ratings.ties import TieModel
from electorate.scale import Floats, Ints, to_nats

TAU_START, TAU_FLOOR, TAU_CEILING = to_nats(80.0), to_nats(0.5), to_nats(1000.0)
TIE_SD_START, TIE_SD_FLOOR, TIE_SD_CEILING = 0.3, 0.02, 3.0
# Prior sds tried in one pass, as factors on the current ones: (tau, tau_eta).
GRID = ((1.0, 1.0), (0.5, 1.0), (0.8, 1.0), (1.25, 1.0), (2.0, 1.0), (1.0, 0.6), (1.0, 1.6))
EVIDENCE_USERS = 1024  # of each block: the spread needs fewer users than the means do
ITERATIONS = 30


@dataclass(frozen=True)
class Prior:
    """What a user is before it votes. mean: (K, M+1) by archetype. sd, tie_sd: of strengths (nats) and tie parameter."""

    mean: Floats
    sd: float
    tie_sd: float

    @property
    def precision(self) -> Floats:
        """(M+1,) diagonal of Lambda."""
        return np.append(np.full(self.mean.shape[1] - 1, self.sd**-2.0), self.tie_sd**-2.0)


@dataclass(frozen=True)
class UserVotes:
    """Votes of n users: user is a row in 0..n-1; label the archetype each user is said to have. outcome in 0..2."""

    users: int
    label: Ints
    user: Ints
    a: Ints
    b: Ints
    outcome: Ints


@dataclass(frozen=True)
class Posterior:
    """mode: (n, M+1). information: (n, M+1, M+1), the prior's included. log_likelihood: (n,) at the mode."""

    mode: Floats
    information: Floats
    log_likelihood: Floats


@dataclass(frozen=True)
class Sums:
    """A block's part of the archetypes' step. score: (K, M+1); information: (K, M+1, M+1); evidence: (len(GRID),)."""

    score: Floats
    information: Floats
    evidence: Floats


MapBlocks = Callable[[Prior], Sequence[Sums]]


def posterior(votes: UserVotes, prior: Prior, ties: TieModel, start: Floats | None = None, tolerance: float = 1e-5) -> Posterior:
    """Every user's mode and Laplace posterior by Newton's method, from the prior mean or from `start` (n, M+1).

    Stops after a step shorter than tolerance (nats); the error left is about its square.
    """
    mean, precision = prior.mean[votes.label], prior.precision
    mode = (mean if start is None else start).copy()
    likelihood = _Likelihood(votes, mean.shape[1], ties)
    log_likelihood, score, information = likelihood(mode)
    information += np.diag(precision)
    for _ in range(ITERATIONS):
        step = np.linalg.solve(information, (score - precision * (mode - mean))[..., None])[..., 0]
        longest = np.abs(step).max(axis=1, keepdims=True)
        mode += step * np.minimum(1.0, 2.0 / np.maximum(longest, 1e-12))
        log_likelihood, score, information = likelihood(mode)
        information += np.diag(precision)
        if longest.max(initial=0.0) < tolerance:
            break
    return Posterior(mode, information, log_likelihood)


def evidence(at: Posterior, label: Ints, prior: Prior) -> float:
    """Log marginal likelihood of all users by Laplace's approximation at their modes under this prior."""
    away = at.mode - prior.mean[label]
    log_determinants = len(away) * np.log(prior.precision).sum() - np.linalg.slogdet(at.information)[1].sum()
    return float(at.log_likelihood.sum() + (log_determinants - (prior.precision * away**2).sum()) / 2)


def block_sums(votes: UserVotes, prior: Prior, ties: TieModel) -> Sums:
    """What the global step needs of a block: by archetype the profile score and information of its
    mean, and the evidence at each prior of GRID. Sums of blocks add up in block order.

    The modes are found anew at each prior: with them held the spread comes out too small (on users
    80 Elo apart with 10 votes each, 60; this way 75).
    """
    at, precision = posterior(votes, prior, ties), prior.precision
    kinds, parameters = prior.mean.shape
    score, information = np.zeros((kinds, parameters)), np.zeros((kinds, parameters, parameters))
    np.add.at(score, votes.label, precision * (at.mode - prior.mean[votes.label]))
    np.add.at(information, votes.label, np.diag(precision) - precision[:, None] * np.linalg.inv(at.information) * precision)
    few = _first_users(votes, EVIDENCE_USERS)
    tried = []
    for factors in GRID:
        other = scaled(prior, *factors)
        tried.append(evidence(posterior(few, other, ties, at.mode[: few.users], tolerance=1e-3), few.label, other))
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
        evidence = _in_order([block.evidence for block in blocks])
        moved = _archetype_means(prior.mean, centre, score, information)
        by_tau, by_tie = _best_factor(evidence, 0), _best_factor(evidence, 1)
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


class _Likelihood:
    """The users' log-likelihood and its derivatives; where each vote adds is worked out once."""

    def __init__(self, votes: UserVotes, parameters: int, ties: TieModel) -> None:
        self._votes, self._ties, self._shape = votes, ties, (votes.users, parameters)
        self._at_a = votes.user * parameters + votes.a
        self._at_b = votes.user * parameters + votes.b
        self._at_tie = votes.user * parameters + parameters - 1
        self._at_models = np.concatenate([self._at_a, self._at_b])
        self._at_pair = self._at_a * parameters + votes.b

    def __call__(self, mode: Floats) -> tuple[Floats, Floats, Floats]:
        """Per user: log-likelihood (n,), score (n, M+1) and information (n, M+1, M+1) at mode."""
        (n, parameters), last = self._shape, self._shape[1] - 1
        flat, user = mode.ravel(), self._votes.user
        of = self._ties.derivatives(flat[self._at_a] - flat[self._at_b], flat[self._at_tie], self._votes.outcome)
        by_pair = _add(self._at_pair, of.info_dd, n * parameters**2).reshape(n, parameters, parameters)
        information = by_pair + by_pair.transpose(0, 2, 1)
        diagonal = information.sum(axis=2)
        information *= -1
        across = self._by_model(of.info_de)
        information[:, :, last] = information[:, last, :] = across
        diagonal[:, last] = _add(user, of.info_ee, n)
        information[:, np.arange(parameters), np.arange(parameters)] = diagonal
        score = self._by_model(of.d)
        score[:, last] = _add(user, of.eta, n)
        return _add(user, of.log_likelihood, n), score, information

    def _by_model(self, value: Floats) -> Floats:
        """(n, M+1): value added to each vote's A and taken from its B."""
        n, parameters = self._shape
        return _add(self._at_models, np.concatenate([value, -value]), n * parameters).reshape(n, parameters)


def _add(place: Ints, value: Floats, size: int) -> Floats:
    return np.bincount(place, weights=value, minlength=size).astype(float, copy=False)


def _first_users(votes: UserVotes, users: int) -> UserVotes:
    if votes.users <= users:
        return votes
    own = votes.user < users
    return UserVotes(users, votes.label[:users], votes.user[own], votes.a[own], votes.b[own], votes.outcome[own])


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
