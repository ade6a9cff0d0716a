"""System A's prior: what a user is like before it votes.

A user's parameters are beta_u = (strengths in nats, tie parameter), normal about the mean m_k of
its archetype with covariance

    C = diag(sd^2, ..., sd^2, tie_sd^2) + F^T F

where the factors F, on the strengths alone, are what offsets have in common over users; System A's
plain form has none. A user's votes are about some models only, so what is worked with is C on
those: the rest of its posterior follows exactly (posteriors.py).
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from electorate.base.scale import Floats
from electorate.ratings import kernels
from electorate.ratings.user_votes import UserVotes


@dataclass(frozen=True)
class Prior:
    """The population that users are drawn from.

    mean: (K, M+1) by archetype, strengths in nats and the tie parameter.
    sd, tie_sd: of strengths (nats) and of the tie parameter, apart from the factors.
    factors: (r, M) nats, or None.
    mean_covariance: (K, M+1, M+1), how uncertain the means are; None: they are given.
    prompt_correlation: how much two votes of one user on one prompt repeat each other
    (dependence.py); 0: not at all.
    """

    mean: Floats
    sd: float
    tie_sd: float
    factors: Floats | None = None
    mean_covariance: Floats | None = None
    prompt_correlation: float = 0.0

    @property
    def models(self) -> int:
        """The number of models M."""
        return self.mean.shape[1] - 1

    @property
    def directions(self) -> Floats:
        """(r, M) the factors, r = 0 where there are none."""
        return np.empty((0, self.models)) if self.factors is None else self.factors

    @cached_property
    def covariance(self) -> Floats:
        """(M+1, M+1) of a user's parameters."""
        matrix = np.diag(np.append(np.full(self.models, self.sd**2.0), self.tie_sd**2.0))
        matrix[:-1, :-1] += self.directions.T @ self.directions
        return matrix

    def on_own_models(self, votes: UserVotes) -> "OwnPrior":
        """The prior of each user's own parameters: the models it voted on, and its ties."""
        own = votes.own
        tied = own.parameter < 0
        precision = np.where(tied, self.tie_sd**-2.0, self.sd**-2.0)
        reduction, log_volume = kernels.prior_reductions(
            own.start, own.parameter, self.sd, self.directions
        )
        strengths = np.diff(own.start) - 1
        log_determinant = -2 * (strengths * np.log(self.sd) + np.log(self.tie_sd)) - log_volume
        return OwnPrior(
            mean=self.mean[votes.archetype[own.user], own.parameter],
            precision=precision,
            reduction=reduction,
            log_determinant=log_determinant,
        )


@dataclass(frozen=True)
class OwnPrior:
    """The prior of n users' own parameters, P of all users one after the other (OwnModels.start).

    mean: (P,). The precision matrix of a user is diag(precision) - reduction @ reduction.T with its
    rows of precision (P,) and reduction (P, r). log_determinant: (n,) of the precision matrices.
    """

    mean: Floats
    precision: Floats
    reduction: Floats
    log_determinant: Floats

    def of_users(self, users: slice, parameters: slice) -> "OwnPrior":
        """Of these users, whose parameters lie there."""
        return OwnPrior(
            self.mean[parameters],
            self.precision[parameters],
            self.reduction[parameters],
            self.log_determinant[users],
        )

    def gradient(self, votes: UserVotes, beta: Floats) -> Floats:
        """(P,) of the log density at beta (P,)."""
        away = beta - self.mean
        return -kernels.prior_products(votes.own.start, self.precision, self.reduction, away)

    def log_density(self, votes: UserVotes, beta: Floats) -> Floats:
        """(n,) at beta (P,), less that at the mean."""
        away = beta - self.mean
        product = kernels.prior_products(votes.own.start, self.precision, self.reduction, away)
        density: Floats = -np.add.reduceat(away * product, votes.own.start[:-1]) / 2
        return density


def without_label(prior: Prior, shares: Floats) -> Prior:
    """The prior of a user who may be of any archetype, (K,) shares summing to 1.

    One archetype, with the mixture's mean, and with what the archetypes' means are apart as
    factors, so that strengths have the mixture's covariance.
    """
    mean: Floats = shares @ prior.mean
    apart = np.sqrt(shares)[:, None] * (prior.mean - mean)[:, :-1]
    factors = np.vstack([prior.directions, apart])
    # As if the means' errors were the same: most of them is what all archetypes have in common.
    uncertain: Floats | None = None
    if prior.mean_covariance is not None:
        uncertain = np.einsum("k,kij->ij", shares, prior.mean_covariance)[None]
    return Prior(mean[None], prior.sd, prior.tie_sd, factors, uncertain, prior.prompt_correlation)


def with_first_models(prior: Prior, models: int) -> Prior:
    """The prior of the first so many models alone."""
    if models == prior.models:
        return prior
    kept = np.append(np.arange(models), prior.models)
    covariance = prior.mean_covariance
    factors = prior.directions[:, :models]
    factors = factors[factors.any(axis=1)]
    return replace(
        prior,
        mean=prior.mean[:, kept],
        factors=factors if len(factors) else None,
        mean_covariance=None if covariance is None else covariance[:, kept][:, :, kept],
    )


def with_models(prior: Prior, strengths: Floats) -> Prior:
    """The prior with further models, behind those it has.

    strengths: (m,) nats of the new ones, about the mean of the others; they are the same for every
    archetype, and taken as given.
    """
    new = len(strengths)
    if not new:
        return prior
    level = prior.mean[:, :-1].mean(axis=1, keepdims=True)
    mean = np.hstack([prior.mean[:, :-1], level + strengths, prior.mean[:, -1:]])
    factors = None if prior.factors is None else np.pad(prior.factors, ((0, 0), (0, new)))
    covariance = prior.mean_covariance
    if covariance is not None:
        old = np.append(np.arange(prior.models), prior.models + new)
        grown = np.zeros((len(mean), mean.shape[1], mean.shape[1]))
        grown[np.ix_(np.arange(len(mean)), old, old)] = covariance
        covariance = grown
    return Prior(mean, prior.sd, prior.tie_sd, factors, covariance, prior.prompt_correlation)
