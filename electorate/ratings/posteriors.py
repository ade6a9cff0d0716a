"""The per-user step of System A: every user's posterior given what the population is like, all users of a block at once.

A user's parameters are beta_u = (strengths in nats, tie parameter), with prior mean m_k of its archetype and

    covariance diag(tau^2, ..., tau_eta^2) + F^T F,

where the factors F, on the strengths alone, are what offsets have in common over users; System A's plain form has none.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from electorate.draws import Stream, generator
from electorate.ratings import kernels
from electorate.ratings.ties import TieModel
from electorate.scale import Floats, Ints

ITERATIONS = 30
CHUNK = 256  # users whose votes stay in the processor's cache through all steps
DRAWS = 4  # antithetic pairs a user: 16 gave the same spread of users to 0.1 Elo
STEP = 1e-3  # nats, for the derivative of the information


@dataclass(frozen=True)
class Prior:
    """What a user is before it votes. mean: (K, M+1) by archetype. sd, tie_sd: of strengths (nats) and tie parameter,
    apart from the factors, (r, M) nats. mean_covariance: (K, M+1, M+1), how sure the means are; None: given.
    """

    mean: Floats
    sd: float
    tie_sd: float
    factors: Floats | None = None
    mean_covariance: Floats | None = None

    @cached_property
    def covariance(self) -> Floats:
        """(M+1, M+1)."""
        models = self.mean.shape[1] - 1
        matrix: Floats = np.diag(np.append(np.full(models, self.sd**2.0), self.tie_sd**2.0)).astype(float, copy=False)
        if self.factors is not None:
            matrix[:models, :models] += self.factors.T @ self.factors
        return matrix

    @cached_property
    def precision(self) -> Floats:
        """(M+1, M+1)."""
        inverse: Floats = np.linalg.inv(self.covariance).astype(float, copy=False)
        return (inverse + inverse.T) / 2


@dataclass(frozen=True)
class UserVotes:
    """Votes of n users: user is a row in 0..n-1; label the archetype each user is said to have. outcome in 0..2.

    weight: of each vote in the likelihood; None is 1. prompt: what each vote was about; None: all on different prompts.
    """

    users: int
    label: Ints
    user: Ints
    a: Ints
    b: Ints
    outcome: Ints
    weight: Floats | None = None
    prompt: Ints | None = None

    def by_user(self) -> "UserVotes":
        """The same votes, user by user, each user's in the order they had."""
        if np.all(self.user[1:] >= self.user[:-1]):
            return self
        order = np.argsort(self.user, kind="stable")
        weight = None if self.weight is None else self.weight[order]
        prompt = None if self.prompt is None else self.prompt[order]
        return UserVotes(self.users, self.label, self.user[order], self.a[order], self.b[order], self.outcome[order], weight, prompt)

    def take(self, users: slice, votes: slice) -> "UserVotes":
        """These users, whose votes lie there."""
        weight = None if self.weight is None else self.weight[votes]
        columns = (self.user[votes] - users.start, self.a[votes], self.b[votes], self.outcome[votes])
        return UserVotes(users.stop - users.start, self.label[users], *columns, weight)


@dataclass(frozen=True)
class Posterior:
    """mode: (n, M+1). root: (n, M+1, M+1), upper Cholesky factors of the information, the prior's included.
    log_likelihood: (n,) at the mode.
    """

    mode: Floats
    root: Floats
    log_likelihood: Floats

    @cached_property
    def covariance(self) -> Floats:
        """(n, M+1, M+1) of Laplace's approximation."""
        inverse: Floats = kernels.covariances(self.root)
        return inverse

    @property
    def log_determinant(self) -> Floats:
        """(n,) of the information."""
        logs: Floats = 2 * np.log(np.diagonal(self.root, axis1=1, axis2=2)).sum(axis=1)
        return logs


def posterior(votes: UserVotes, prior: Prior, ties: TieModel, start: Floats | None = None, tolerance: float = 1e-5) -> Posterior:
    """Every user's mode and Laplace posterior by Newton's method, from the prior mean or from `start` (n, M+1).

    Stops after a step shorter than tolerance (nats); the error left is about its square.
    """
    mode = (prior.mean[votes.label] if start is None else start).copy()
    root, log_likelihood = np.empty((*mode.shape, mode.shape[1])), np.empty(votes.users)
    for users, own in _chunks(votes.by_user()):
        likelihood, at, mean = _Likelihood(own, ties), mode[users], prior.mean[own.label]
        first = np.searchsorted(own.user, np.arange(own.users + 1))
        for _ in range(ITERATIONS):
            of = likelihood.derivatives(at)
            step = kernels.newton(first, own.a, own.b, *of, at - mean, prior.precision, root[users])
            longest = np.abs(step).max(axis=1, keepdims=True, initial=0.0)
            at += step * np.minimum(1.0, 2.0 / np.maximum(longest, 1e-12))
            if longest.max(initial=0.0) < tolerance:
                break
        log_likelihood[users] = likelihood.value(at)
    return Posterior(mode, root, log_likelihood)


def mean_shift(votes: UserVotes, at: Posterior, ties: TieModel) -> Floats:
    """(n, M+1) posterior mean minus mode, to first order in the likelihood's skewness (Tierney and Kadane, 1986).

    The mode lies nearer to the prior than the mean does; over thousands of users with few votes each,
    that would shrink the archetypes' means.
    """
    user, a, b, covariance = votes.user, votes.a, votes.b, at.covariance
    d, eta = at.mode[user, a] - at.mode[user, b], at.mode[user, -1]
    more, less = (ties.derivatives(d + step, eta, votes.outcome).info_dd for step in (STEP, -STEP))
    variance = covariance[user, a, a] + covariance[user, b, b] - 2 * covariance[user, a, b]
    push = -variance * (more - less) / (4 * STEP) * (1.0 if votes.weight is None else votes.weight)
    n, parameters = at.mode.shape
    pushed = _add(user * parameters + a, push, n * parameters) - _add(user * parameters + b, push, n * parameters)
    return np.einsum("npq,nq->np", covariance, pushed.reshape(n, parameters))


def evidence(votes: UserVotes, at: Posterior, prior: Prior, ties: TieModel) -> tuple[Floats, Floats]:
    """(n,) log marginal likelihood of each user's votes under this prior, and (n, M+1) its posterior mean minus mode: by
    Laplace's approximation at its mode, corrected by importance sampling from it.

    Laplace alone is off by a few thousandths of a nat a user, which over thousands of users with ten votes
    each puts the most likely spread at three quarters of the true one.
    """
    normal = generator(0, Stream.EVIDENCE).standard_normal((DRAWS, *at.mode.shape))
    likelihood, at_mode = _Likelihood(votes, ties), at.log_likelihood + _log_prior(at.mode, votes.label, prior)
    steps, log_weights = [], []
    for z in normal:
        step = kernels.unwhitened(at.root, z)
        for sign in (1, -1):
            beta = at.mode + sign * step
            steps.append(sign * step)
            log_weights.append(likelihood.value(beta) + _log_prior(beta, votes.label, prior) - at_mode + (z**2).sum(axis=1) / 2)
    most = np.max(log_weights, axis=0)
    weights = np.exp(np.array(log_weights) - most)
    mean = sum(w[:, None] * step for w, step in zip(weights / weights.sum(axis=0), steps, strict=True))
    return laplace(at, votes.label, prior) + most + np.log(weights.mean(axis=0)), np.asarray(mean)


def laplace(at: Posterior, label: Ints, prior: Prior) -> Floats:
    """(n,) log marginal likelihood of each user's votes by Laplace's approximation alone."""
    volume: Floats = (np.linalg.slogdet(prior.precision)[1] - at.log_determinant) / 2
    return at.log_likelihood + _log_prior(at.mode, label, prior) + volume


def _log_prior(beta: Floats, label: Ints, prior: Prior) -> Floats:
    away = beta - prior.mean[label]
    density: Floats = -((away @ prior.precision) * away).sum(axis=1) / 2
    return density


def first_users(votes: UserVotes, users: int) -> UserVotes:
    """The votes of the first so many users."""
    if votes.users <= users:
        return votes
    ordered = votes.by_user()
    return ordered.take(slice(0, users), slice(0, int(np.searchsorted(ordered.user, users))))


def _chunks(votes: UserVotes) -> Iterator[tuple[slice, UserVotes]]:
    """Votes ordered by user, CHUNK users at a time."""
    for start in range(0, votes.users, CHUNK):
        users = slice(start, min(start + CHUNK, votes.users))
        yield users, votes.take(users, slice(*np.searchsorted(votes.user, (users.start, users.stop))))


class _Likelihood:
    """The users' log-likelihood and its derivatives."""

    def __init__(self, votes: UserVotes, ties: TieModel) -> None:
        self._votes, self._ties = votes, ties

    def derivatives(self, beta: Floats) -> tuple[Floats, ...]:
        """Of each vote at beta (n, M+1): score in (d, eta), and information (dd, de, ee)."""
        of = self._ties.derivatives(*self._place(beta), self._votes.outcome)
        weight = self._votes.weight
        return tuple(np.ascontiguousarray(x if weight is None else weight * x, dtype=float) for x in of)

    def value(self, beta: Floats) -> Floats:
        """(n,) log-likelihood of each user alone."""
        votes, fit = self._votes, self._ties.log_likelihood(*self._place(beta), self._votes.outcome)
        return _add(votes.user, fit if votes.weight is None else votes.weight * fit, votes.users)

    def _place(self, beta: Floats) -> tuple[Floats, Floats]:
        """Difference and tie parameter of each vote."""
        votes, flat, at = self._votes, beta.ravel(), self._votes.user * beta.shape[1]
        return flat[at + votes.a] - flat[at + votes.b], flat[at + beta.shape[1] - 1]


def _add(place: Ints, value: Floats, size: int) -> Floats:
    return np.bincount(place, weights=value, minlength=size).astype(float, copy=False)
