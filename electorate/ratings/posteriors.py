"""The per-user step of System A: every user's posterior given what the population is like, all users of a block at once.

A user's parameters are beta_u = (strengths in nats, tie parameter), with prior mean m_k of its
archetype and precision Lambda = diag(1/tau^2, ..., 1/tau_eta^2).
"""

from dataclasses import dataclass

import numpy as np

from electorate.draws import Stream, generator
from electorate.ratings.ties import TieModel
from electorate.scale import Floats, Ints

ITERATIONS = 30
DRAWS = 4  # antithetic pairs a user: 16 gave the same spread of users to 0.1 Elo
STEP = 1e-3  # nats, for the derivative of the information


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


def mean_shift(votes: UserVotes, at: Posterior, covariance: Floats, ties: TieModel) -> Floats:
    """(n, M+1) posterior mean minus mode, to first order in the likelihood's skewness (Tierney and Kadane, 1986).

    The mode lies nearer to the prior than the mean does; over thousands of users with few votes each,
    that would shrink the archetypes' means.
    """
    user, a, b = votes.user, votes.a, votes.b
    d, eta = at.mode[user, a] - at.mode[user, b], at.mode[user, -1]
    more, less = (ties.derivatives(d + step, eta, votes.outcome).info_dd for step in (STEP, -STEP))
    variance = covariance[user, a, a] + covariance[user, b, b] - 2 * covariance[user, a, b]
    push = -variance * (more - less) / (4 * STEP)
    n, parameters = at.mode.shape
    pushed = _add(user * parameters + a, push, n * parameters) - _add(user * parameters + b, push, n * parameters)
    return np.einsum("npq,nq->np", covariance, pushed.reshape(n, parameters))


def evidence(votes: UserVotes, at: Posterior, prior: Prior, ties: TieModel) -> float:
    """Log marginal likelihood of all users under this prior: Laplace's approximation at their modes, corrected by
    importance sampling from it.

    Laplace alone is off by a few thousandths of a nat a user, which over thousands of users with ten votes
    each puts the most likely spread at three quarters of the true one.
    """
    away = at.mode - prior.mean[votes.label]
    log_determinants = len(away) * np.log(prior.precision).sum() - np.linalg.slogdet(at.information)[1].sum()
    at_mode = at.log_likelihood - (prior.precision * away**2).sum(axis=1) / 2
    return float(at_mode.sum() + log_determinants / 2 + _log_mean_weight(votes, at, at_mode, prior, ties).sum())


def _log_mean_weight(votes: UserVotes, at: Posterior, at_mode: Floats, prior: Prior, ties: TieModel) -> Floats:
    """(n,) log of the mean ratio of the posterior to its normal approximation, over DRAWS antithetic pairs of the latter."""
    n, parameters = at.mode.shape
    root = np.linalg.cholesky(np.linalg.inv(at.information))
    normal = generator(0, Stream.EVIDENCE).standard_normal((DRAWS, n, parameters))
    likelihood = _Likelihood(votes, parameters, ties)
    log_weights = []
    for z in normal:
        step = np.einsum("npq,nq->np", root, z)
        for beta in (at.mode + step, at.mode - step):
            log_prior = -(prior.precision * (beta - prior.mean[votes.label]) ** 2).sum(axis=1) / 2
            log_weights.append(likelihood.value(beta) + log_prior - at_mode + (z**2).sum(axis=1) / 2)
    most = np.max(log_weights, axis=0)
    mean: Floats = most + np.log(np.exp(np.array(log_weights) - most).mean(axis=0))
    return mean


def first_users(votes: UserVotes, users: int) -> UserVotes:
    """The votes of the first so many users."""
    if votes.users <= users:
        return votes
    own = votes.user < users
    return UserVotes(users, votes.label[:users], votes.user[own], votes.a[own], votes.b[own], votes.outcome[own])


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

    def value(self, beta: Floats) -> Floats:
        """(n,) log-likelihood of each user alone."""
        flat = beta.ravel()
        of = self._ties.derivatives(flat[self._at_a] - flat[self._at_b], flat[self._at_tie], self._votes.outcome)
        return _add(self._votes.user, of.log_likelihood, self._shape[0])

    def _by_model(self, value: Floats) -> Floats:
        """(n, M+1): value added to each vote's A and taken from its B."""
        n, parameters = self._shape
        return _add(self._at_models, np.concatenate([value, -value]), n * parameters).reshape(n, parameters)


def _add(place: Ints, value: Floats, size: int) -> Floats:
    return np.bincount(place, weights=value, minlength=size).astype(float, copy=False)
