"""Bradley-Terry ratings from aggregated votes, with sandwich intervals."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse.csgraph import connected_components

from electorate.base.scale import Floats, Ints, to_nats
from electorate.base.votes import OUTCOMES
from electorate.ratings import newton
from electorate.ratings.ties import Derivatives, TieModel

TIE_PRIOR_SD = 3.0
NO_TIES = -30.0  # a tie parameter by which nobody ties
HELD = 1e12  # precision of what is not to move
ITERATIONS = 100


@dataclass(frozen=True)
class Fit:
    """strength: (M,) nats, mean 0. eta: the tie parameter. information: (M+1, M+1) of both, the
    prior's included.

    covariance: (M+1, M+1), the sandwich, with the common level of the strengths taken out. votes:
    (M,) battles each model was in, or the sum of their weights. ties: how many were tied, or the
    sum of their weights. connected: whether the battles link all models; if not, the distance
    between the parts comes from the prior alone, and is as uncertain as the prior. prior: (M+1,)
    precisions.
    """

    strength: Floats
    eta: float
    information: Floats
    covariance: Floats
    votes: Floats | Ints
    connected: bool
    ties: float
    prior: Floats

    def covariance_by(self, middle: Floats) -> Floats:
        """(M+1, M+1) the sandwich with B = `middle` (M+1, M+1)."""
        return sandwich(self.information, with_prior(middle, self.prior, self.connected))


def estimable(weight: Floats | Ints) -> bool:
    """Whether finite ratings maximise the likelihood: no group of models won all its battles
    with the rest (Ford, 1957).
    """
    beat = weight[..., 0] + weight[..., 1].T + weight[..., 2] + weight[..., 2].T
    return bool(connected_components(beat, directed=True, connection="strong")[0] == 1)


def fit(
    weight: Floats | Ints, ties: TieModel, prior_sd_elo: float | None, squared: Floats | None = None
) -> Fit:
    """Ratings by Newton's method from weight[a, b, outcome], shape (M, M, 3): votes counted, or
    their weights summed.

    prior_sd_elo: of the prior N(0, sd^2) on each strength, which keeps all-win and disconnected
    records finite; None is maximum likelihood, for votes that are `estimable`. squared: the sums of
    squared weights, where votes have any but 1. The covariance is H^-1 B H^-1 with B the sum of the
    votes' squared scores (White, 1982). Where nobody tied there is no tie parameter to fit: the
    strengths are those of Bradley-Terry alone, and eta expects half a tie among all votes.
    """
    posterior = posterior_of(weight, ties, prior_sd_elo)
    parameters, information = newton.searched(posterior, posterior.centre, 1e-10, ITERATIONS)
    middle = posterior.squared_scores(parameters, weight if squared is None else squared)
    prior = posterior.precision
    connected = linked(weight.sum(axis=2))
    covariance = sandwich(information, with_prior(middle, prior, connected))
    found = (parameters, weight, information, covariance)
    return at_parameters(*found, prior, connected)


def posterior_of(weight: Floats | Ints, ties: TieModel, prior_sd_elo: float | None) -> "Posterior":
    """The log posterior that `fit` maximises, of the same arguments."""
    models = len(weight)
    precision = np.full(models + 1, TIE_PRIOR_SD**-2.0)
    precision[:models] = 0.0 if prior_sd_elo is None else to_nats(prior_sd_elo) ** -2.0
    has_ties = bool(weight[..., 2].sum() > 0)
    if not has_ties:
        precision[-1] = HELD
    return Posterior(weight, ties, precision, ties.start if has_ties else NO_TIES)


def linked(battles: Floats | Ints) -> bool:
    """Whether battles (M, M) link all models."""
    return bool(connected_components(battles, directed=False)[0] == 1)


def at_parameters(
    parameters: Floats,
    weight: Floats | Ints,
    information: Floats,
    covariance: Floats,
    prior: Floats,
    connected: bool,
) -> Fit:
    """The fit with these (M+1,) parameters, of battles weight[a, b, outcome]. prior: (M+1,)
    precisions.
    """
    strength = parameters[:-1]
    tied = float(weight[..., 2].sum())
    return Fit(
        strength=strength - strength.mean(),
        eta=float(parameters[-1]) if tied > 0 else -float(np.log1p(weight.sum())),
        information=information,
        covariance=covariance,
        votes=weight.sum(axis=(1, 2)) + weight.sum(axis=(0, 2)),
        connected=connected,
        ties=tied,
        prior=prior,
    )


def with_prior(middle: Floats, prior: Floats, connected: bool) -> Floats:
    """B of a sandwich H^-1 B H^-1, where H includes a prior of these precisions (p,).

    Votes say nothing of the distance between models that they do not link, and their scores nothing
    of how uncertain it is. There the prior counts as one more observation, so that H^-1 B H^-1 is
    the prior's own variance.
    """
    return middle if connected else middle + np.diag(prior)


def sandwich(information: Floats, middle: Floats, models: int | None = None) -> Floats:
    """H^-1 B H^-1 without the strengths' common level, which votes say nothing of: they speak of
    differences.

    models: how many of the parameters are strengths, the first ones; None: all but the last.
    """
    models = len(information) - 1 if models is None else models
    contrast = np.eye(len(information))
    contrast[:models, :models] -= 1 / models
    bread = contrast @ np.linalg.inv(information)
    covariance: Floats = bread @ middle @ bread.T
    return covariance


class Posterior:
    """Log posterior of (strengths, eta) and its derivatives, summed over the pairs i < j that
    met rather than over votes.
    """

    def __init__(
        self, weight: Floats | Ints, ties: TieModel, precision: Floats, centre: float
    ) -> None:
        self._models = len(weight)
        self._ties = ties
        self.precision = precision
        self._i, self._j = np.nonzero(np.triu((weight.sum(axis=2) + weight.sum(axis=2).T) > 0, 1))
        self._weight = self._folded(weight)
        self.centre = np.append(np.zeros(len(weight)), centre)

    def __call__(self, parameters: Floats) -> tuple[float, Floats, Floats]:
        """Its value, its gradient (M+1,) and minus its second derivatives (M+1, M+1)."""
        of = self._derivatives(parameters)
        weight = self._weight
        away = parameters - self.centre
        score = (
            np.append(self._by_model(_total(weight * of.d)), (weight * of.eta).sum())
            - self.precision * away
        )
        information = self._bordered(weight * of.info_dd, weight * of.info_de, weight * of.info_ee)
        information[np.diag_indices_from(information)] += self.precision
        # Without a prior nothing holds the level; holding the mean at zero changes no difference.
        information[:-1, :-1] += information.diagonal()[:-1].mean() / self._models
        seen = np.where(weight > 0, weight * self._log_likelihood(parameters), 0.0)
        return float(seen.sum() - away @ (self.precision * away) / 2), score, information

    def squared_scores(self, parameters: Floats, squared: Floats | Ints) -> Floats:
        """(M+1, M+1): the sum over votes of score times score, each vote by its squared weight."""
        of = self._derivatives(parameters)
        folded = self._folded(squared)
        return self._bordered(folded * of.d**2, folded * of.d * of.eta, folded * of.eta**2)

    def _folded(self, weight: Floats | Ints) -> Floats:
        """(pairs, 3): what was seen of i and j, whichever was called a; the tie models know no
        difference.
        """
        turned = weight[self._j, self._i][:, [1, 0, 2]]
        return np.asarray(weight[self._i, self._j] + turned, float)

    def _log_likelihood(self, parameters: Floats) -> Floats:
        return self._ties.log_likelihood(*self._place(parameters), np.arange(OUTCOMES))

    def _derivatives(self, parameters: Floats) -> Derivatives:
        return self._ties.derivatives(*self._place(parameters), np.arange(OUTCOMES))

    def _place(self, parameters: Floats) -> tuple[Floats, Floats]:
        """Differences (pairs, 1) and the tie parameter."""
        strength = parameters[:-1]
        eta = parameters[-1]
        return (strength[self._i] - strength[self._j])[:, None], eta

    def _by_model(self, of_pair: Floats) -> Floats:
        """(M,): what each pair holds, added to i and taken from j."""
        up, down = (
            np.bincount(place, of_pair, self._models).astype(float, copy=False)
            for place in (self._i, self._j)
        )
        return up - down

    def _bordered(self, by_pair: Floats, across: Floats, corner: Floats) -> Floats:
        """(M+1, M+1): the sum over pairs of x (e_i - e_j)(e_i - e_j)^T, bordered by the tie
        parameter's row.
        """
        models = self._models
        of_pair = _total(by_pair)
        matrix: Floats = np.zeros((models + 1, models + 1))
        matrix[self._i, self._j] = matrix[self._j, self._i] = -of_pair
        matrix[np.diag_indices(models)] = -matrix[:models, :models].sum(axis=1)
        matrix[:models, models] = matrix[models, :models] = self._by_model(_total(across))
        matrix[models, models] = corner.sum()
        return matrix


def _total(by_outcome: Floats) -> Floats:
    """(pairs,): summed over outcomes."""
    return by_outcome @ np.ones(OUTCOMES)
