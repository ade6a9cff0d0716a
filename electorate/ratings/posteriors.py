"""The per-user step of System A: every user's posterior, given what the population is like.

All users of a block at once, each over the models it voted on (user_votes.py). What a user's votes
say of the other models follows from the prior, exactly: with C the prior covariance, S the user's
own models, g = Pi_S (beta_S - m_S) and G = Pi_S - Pi_S Sigma_S Pi_S at the mode,

    mean = m + C[:, S] g          covariance = C - C[:, S] G C[S, :]
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from electorate.base.draws import Stream, generator
from electorate.base.scale import Floats, Ints
from electorate.ratings import dependence, kernels
from electorate.ratings.prior import OwnPrior, Prior
from electorate.ratings.ties import TieModel
from electorate.ratings.user_votes import UserVotes

ITERATIONS = 100
# Along a step that moves no two log odds of a vote apart by more than this many nats, the curvature
# of its log-likelihood changes so little that Newton's full step raises a user's posterior; a
# longer one is damped so that it does (self-concordance: Bach, 2010; Sun and Tran-Dinh, 2019,
# theorem 2).
FULL_STEP = 1.79
STEP = 1e-3  # nats, for the derivative of the information; a share of a step, for its slope
RAISED = 0.3
HALVINGS = 30
ROUNDING = 1e-10  # nats of log posterior


@dataclass(frozen=True)
class Posterior:
    """The posteriors of n users, over P own parameters in all (user_votes.OwnModels).

    votes: what they follow from, by user, each by its weight. own_mode: (P,). root: upper Cholesky
    factors of the users' information, the prior's included, as flat as OwnModels.square says.
    log_likelihood: (n,) at the mode. converged: (n,) whether the mode was reached.
    """

    votes: UserVotes
    prior: Prior
    own_prior: OwnPrior
    own_mode: Floats
    root: Floats
    log_likelihood: Floats
    converged: npt.NDArray[np.bool_]

    @cached_property
    def own_covariance(self) -> Floats:
        """The users' covariances by Laplace's approximation, as flat as root."""
        found: Floats = kernels.covariances(*self._places, self.root)
        return found

    @cached_property
    def learned(self) -> Floats:
        """G of every user, as flat as root: the information on its prior mean."""
        prior = self.own_prior
        found: Floats = kernels.learned(
            *self._places, prior.precision, prior.reduction, self.own_covariance
        )
        return found

    @cached_property
    def mode(self) -> Floats:
        """(n, M+1) of all models and the tie parameter."""
        own = self.votes.own
        dense = self.prior.mean[self.votes.archetype]
        if len(self.prior.directions):
            directions = np.vstack([self.prior.directions.T, np.zeros(len(self.prior.directions))])
            gradient = -self.own_prior.gradient(self.votes, self.own_mode)
            along = np.add.reduceat(directions[own.parameter] * gradient[:, None], own.start[:-1])
            dense = dense + along @ directions.T
        dense[own.user, own.parameter] = self.own_mode
        return dense

    @cached_property
    def covariance(self) -> Floats:
        """(n, M+1, M+1) of all models and the tie parameter."""
        prior = self.own_prior
        found: Floats = kernels.dense_covariances(
            *self._places,
            self.votes.own.parameter,
            prior.precision,
            prior.reduction,
            self.own_covariance,
            self.prior.covariance,
        )
        return found

    @cached_property
    def total_covariance(self) -> Floats:
        """(n, M+1, M+1) `covariance` with the uncertainty of the archetypes' means added.

        A user's mode moves with its archetype's mean by C P, with C its covariance and P the
        prior's precision. Where users are alike or few, this is nearly all of the uncertainty.
        """
        of_means = self.prior.mean_covariance
        if of_means is None:
            return self.covariance
        follows = self.covariance @ np.linalg.inv(self.prior.covariance)
        total: Floats = self.covariance + follows @ of_means[self.votes.archetype] @ np.swapaxes(
            follows, 1, 2
        )
        return total

    def differences(self, user: Ints, a: Ints, b: Ints) -> "Differences":
        """What the posteriors say of pairs of models (n,), voted on or not, for these users."""
        own = self.votes.own
        prior = self.prior
        variance, across, of_ties = kernels.difference_moments(
            *self._places,
            own.parameter,
            self.learned,
            prior.sd,
            prior.tie_sd,
            prior.directions,
            user,
            a,
            b,
        )
        mode = self.mode
        d = mode[user, a] - mode[user, b]
        return Differences(d, mode[user, -1], variance, across, of_ties)

    @property
    def log_determinant(self) -> Floats:
        """(n,) The log determinant of each user's information."""
        own = self.votes.own
        size = np.diff(own.start)[own.user]
        place = np.arange(len(own.user)) - own.start[own.user]
        logs = np.log(self.root[own.square[own.user] + place * (size + 1)])
        total: Floats = 2 * np.add.reduceat(logs, own.start[:-1])
        return total

    @property
    def _places(self) -> tuple[Ints, Ints]:
        return self.votes.own.start, self.votes.own.square


class Differences(NamedTuple):
    """Joint normals of n differences d (nats) and tie parameters eta."""

    d: Floats
    eta: Floats
    variance: Floats
    across: Floats
    eta_variance: Floats


def posterior(
    votes: UserVotes,
    prior: Prior,
    ties: TieModel,
    start: Floats | None = None,
    tolerance: float = 1e-4,
) -> Posterior:
    """Every user's mode and Laplace posterior by Newton's method.

    start: (P,) own parameters to begin from; None: the prior mean. Stops after a step shorter than
    tolerance (nats); the error left is about its square. Each step raises a user's posterior.
    """
    votes = dependence.weighted(votes.by_user(), prior.prompt_correlation)
    own = votes.own
    own_prior = prior.on_own_models(votes)
    mode = (own_prior.mean if start is None else start).copy()
    root = np.empty(int(own.square[-1]))
    log_likelihood = np.empty(votes.users)
    converged = np.empty(votes.users, dtype=bool)
    for first, some in votes.chunks():
        users = slice(first, first + some.users)
        parameters = slice(int(own.start[users.start]), int(own.start[users.stop]))
        square = slice(int(own.square[users.start]), int(own.square[users.stop]))
        of_some = own_prior.of_users(users, parameters)
        at = mode[parameters]
        converged[users] = _climb(some, of_some, ties, at, root[square], tolerance)
        log_likelihood[users] = _Likelihood(some, ties).value(at)
    return Posterior(votes, prior, own_prior, mode, root, log_likelihood, converged)


def by_chunk(votes: UserVotes, prior: Prior, ties: TieModel) -> Iterator[tuple[int, Posterior]]:
    """The first user and the posteriors of a few users at a time, so that memory stays bounded."""
    weighted = dependence.weighted(votes.by_user(), prior.prompt_correlation)
    for first, own in weighted.chunks():
        yield first, posterior(own, prior, ties)


def _climb(
    votes: UserVotes,
    own_prior: OwnPrior,
    ties: TieModel,
    at: Floats,
    root: Floats,
    tolerance: float,
) -> npt.NDArray[np.bool_]:
    """(n,) whether each user's mode was reached; at and root are filled with modes and factors."""
    own = votes.own
    likelihood = _Likelihood(votes, ties)
    longest = np.full(votes.users, np.inf)
    for _ in range(ITERATIONS):
        of = likelihood.derivatives(at)
        step = kernels.newton(
            votes.starts,
            own.start,
            own.square,
            own.a,
            own.b,
            *of,
            own_prior.precision,
            own_prior.reduction,
            own_prior.gradient(votes, at),
            root,
        )
        longest = np.maximum.reduceat(np.abs(step), own.start[:-1])
        if 2 * longest.max(initial=0.0) > FULL_STEP:
            moved = kernels.longest_moves(votes.starts, own.start, own.a, own.b, step)
            damped = np.log1p(moved) / np.maximum(moved, FULL_STEP)
            step *= np.where(moved < FULL_STEP, 1.0, damped)[own.user]
        if ties.compiled is None:
            step = _raising(votes, own_prior, likelihood, at, step)
        at += step
        if longest.max(initial=0.0) < tolerance:
            break
    return longest < max(tolerance, 1e-3)


def _raising(
    votes: UserVotes, own_prior: OwnPrior, likelihood: "_Likelihood", at: Floats, step: Floats
) -> Floats:
    """(P,) each user's step, halved until it raises the user's posterior by RAISED of what its
    slope promises (Armijo, 1966).

    A tie model's information need not be the whole curvature: Rao-Kupper's on the tie parameter of
    a user who never ties is half of it or less, and full steps go to and fro.
    """
    user = votes.own.user

    def posterior_at(beta: Floats) -> Floats:
        return likelihood.value(beta) + own_prior.log_density(votes, beta)

    here = posterior_at(at)
    slope = (posterior_at(at + STEP * step) - posterior_at(at - STEP * step)) / (2 * STEP)
    share = np.ones(votes.users)
    for _ in range(HALVINGS):
        short = posterior_at(at + share[user] * step) < here + RAISED * share * slope - ROUNDING
        if not short.any():
            break
        share[short] /= 2
    found: Floats = share[user] * step
    return found


def mean_shift(at: Posterior, ties: TieModel) -> Floats:
    """(P,) posterior mean minus mode, to first order in the likelihood's skewness.

    The mode lies nearer to the prior than the mean does (Tierney and Kadane, 1986); over thousands
    of users with few votes each, that would shrink the archetypes' means.
    """
    votes = at.votes
    own = at.votes.own
    d, eta = _places(votes, at.own_mode)
    more, less = (ties.derivatives(d + step, eta, votes.outcome).info_dd for step in (STEP, -STEP))
    push = -own_variances(at) * (more - less) / (4 * STEP) * votes.weights
    begin = own.start[votes.user]
    size = len(own.parameter)
    pushed = _add(begin + own.a, push, size) - _add(begin + own.b, push, size)
    shift: Floats = kernels.products(own.start, own.square, at.own_covariance, pushed)
    return shift


def own_variances(at: Posterior) -> Floats:
    """(votes,) posterior variance of the difference that each vote is about."""
    votes = at.votes
    own = at.votes.own
    size = np.diff(own.start)[votes.user]
    square = own.square[votes.user]
    covariance = at.own_covariance
    of_a = covariance[square + own.a * (size + 1)]
    of_b = covariance[square + own.b * (size + 1)]
    variance: Floats = of_a + of_b - 2 * covariance[square + own.a * size + own.b]
    return variance


def evidence(at: Posterior, ties: TieModel, normal: Floats) -> tuple[Floats, Floats]:
    """(n,) log marginal likelihood of each user's votes, and (P,) its posterior mean minus mode.

    By Laplace's approximation at the mode, corrected by importance sampling from it. Laplace alone
    is off by a few thousandths of a nat a user, which over thousands of users with ten votes each
    puts the most likely spread at three quarters of the true one. normal: (draws, P) standard
    normal, each used with both signs.
    """
    votes = at.votes
    own = at.votes.own
    likelihood = _Likelihood(votes, ties)
    slope = at.own_prior.gradient(votes, at.own_mode)
    steps = []
    log_weights = []
    for z in normal:
        step = kernels.unwhitened(own.start, own.square, at.root, z)
        squares = np.add.reduceat(z**2, own.start[:-1]) / 2
        # The log prior is quadratic, so its change along a step is known on both sides of the mode.
        along = np.add.reduceat(slope * step, own.start[:-1])
        bent = at.own_prior.log_density(votes, at.own_prior.mean + step)
        above, below = likelihood.values(at.own_mode, step)
        for signed, value, rise in ((step, above, along), (-step, below, -along)):
            steps.append(signed)
            log_weights.append(value - at.log_likelihood + rise + bent + squares)
    most = np.max(log_weights, axis=0)
    weights = np.exp(np.array(log_weights) - most)
    shares = weights / weights.sum(axis=0)
    mean = sum(share[own.user] * step for share, step in zip(shares, steps, strict=True))
    return laplace(at) + most + np.log(weights.mean(axis=0)), np.asarray(mean)


def standard_normal(votes: UserVotes, draws: int) -> Floats:
    """(draws, P) for `evidence`: the same for the same votes, whatever the prior."""
    return generator(0, Stream.EVIDENCE).standard_normal((draws, len(votes.own.parameter)))


def laplace(at: Posterior) -> Floats:
    """(n,) log marginal likelihood of each user's votes by Laplace's approximation alone."""
    volume = (at.own_prior.log_determinant - at.log_determinant) / 2
    density: Floats = at.own_prior.log_density(at.votes, at.own_mode)
    return at.log_likelihood + density + volume


class _Likelihood:
    """The users' log-likelihood and its derivatives."""

    def __init__(self, votes: UserVotes, ties: TieModel) -> None:
        self._votes = votes
        self._ties = ties

    def derivatives(self, beta: Floats) -> tuple[Floats, ...]:
        """Of each vote at beta (P,): score in (d, eta), and information (dd, de, ee)."""
        if self._ties.compiled is not None:
            return self._ties.compiled.derivatives(*self._columns, beta)
        of = self._ties.derivatives(*_places(self._votes, beta), self._votes.outcome)
        weight = self._votes.weight
        return tuple(
            np.ascontiguousarray(x if weight is None else weight * x, dtype=float) for x in of
        )

    def value(self, beta: Floats) -> Floats:
        """(n,) log-likelihood of each user alone."""
        if self._ties.compiled is not None:
            return self.values(beta, np.zeros_like(beta))[0]
        votes = self._votes
        fit = self._ties.log_likelihood(*_places(votes, beta), votes.outcome)
        return _add(votes.user, votes.weights * fit, votes.users)

    def values(self, beta: Floats, step: Floats) -> tuple[Floats, Floats]:
        """(n,) log-likelihood of each user at beta + step, and at beta - step, both (P,)."""
        if self._ties.compiled is not None:
            return self._ties.compiled.values(*self._columns, beta, step)
        return self.value(beta + step), self.value(beta - step)

    @property
    def _columns(self) -> tuple[Ints | Floats, ...]:
        """What a compiled loop takes of the votes."""
        votes = self._votes
        own = votes.own
        return votes.starts, own.start, own.a, own.b, votes.outcome, votes.weights


def _places(votes: UserVotes, beta: Floats) -> tuple[Floats, Floats]:
    """Difference and tie parameter of each vote at beta (P,)."""
    own = votes.own
    begin = own.start[votes.user]
    tie = own.start[votes.user + 1] - 1
    return beta[begin + own.a] - beta[begin + own.b], beta[tie]


def _add(place: Ints, value: Floats, size: int) -> Floats:
    return np.bincount(place, weights=value, minlength=size).astype(float, copy=False)
