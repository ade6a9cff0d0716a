"""Bradley-Terry ratings from aggregated votes, with sandwich intervals."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from electorate.ratings.ties import Derivatives, TieModel
from electorate.scale import Floats, Ints, to_nats

TIE_PRIOR_SD = 3.0
OUTCOMES = 3
ITERATIONS = 100


@dataclass(frozen=True)
class Fit:
    """strength: (M,) nats, mean 0. eta: the tie parameter. information: (M+1, M+1) of both, the prior's included.

    covariance: (M+1, M+1), the sandwich, with the common level of the strengths taken out.
    votes: (M,) battles each model was in, or the sum of their weights.
    connected: whether the battles link all models; if not, the distance between the parts comes
    from the prior alone.
    """

    strength: Floats
    eta: float
    information: Floats
    covariance: Floats
    votes: Floats | Ints
    connected: bool


def estimable(weight: Floats | Ints) -> bool:
    """Whether finite ratings maximise the likelihood: no group of models won all its battles with the rest (Ford, 1957)."""
    beat = weight[..., 0] + weight[..., 1].T + weight[..., 2] + weight[..., 2].T
    return bool(connected_components(beat, directed=True, connection="strong")[0] == 1)


def fit(weight: Floats | Ints, ties: TieModel, prior_sd_elo: float | None, squared: Floats | None = None) -> Fit:
    """Ratings by Newton's method from weight[a, b, outcome], shape (M, M, 3): votes counted, or their weights summed.

    prior_sd_elo: of the prior N(0, sd^2) on each strength, which keeps all-win and disconnected
    records finite; None is maximum likelihood, for votes that are `estimable`. squared: the sums of
    squared weights, where votes have any but 1. The covariance is H^-1 B H^-1 with B the sum of the
    votes' squared scores (White, 1982).
    """
    models = len(weight)
    precision = np.full(models + 1, TIE_PRIOR_SD**-2.0)
    precision[:models] = 0.0 if prior_sd_elo is None else to_nats(prior_sd_elo) ** -2.0
    posterior = _Posterior(np.asarray(weight, float), ties, precision)
    parameters = posterior.centre.copy()
    objective, score, information = posterior(parameters)
    for _ in range(ITERATIONS):
        step, scale = np.linalg.solve(information, score), 1.0
        while True:
            proposal = parameters + scale * step
            new = posterior(proposal)
            if new[0] >= objective - 1e-9 * abs(objective) or scale < 1e-6:
                break
            scale /= 2
        parameters, (objective, score, information) = proposal, new
        if np.abs(scale * step).max() < 1e-10:
            break
    middle = posterior.squared_scores(parameters, np.asarray(weight if squared is None else squared, float))
    return Fit(
        strength=parameters[:models] - parameters[:models].mean(),
        eta=float(parameters[models]),
        information=information,
        covariance=sandwich(information, middle),
        votes=weight.sum(axis=(1, 2)) + weight.sum(axis=(0, 2)),
        connected=connected_components(weight.sum(axis=2), directed=False)[0] == 1,
    )


def sandwich(information: Floats, middle: Floats) -> Floats:
    """H^-1 B H^-1 without the strengths' common level, which votes say nothing of: they speak of differences."""
    models = len(information) - 1
    contrast = np.eye(models + 1)
    contrast[:models, :models] -= 1 / models
    bread = contrast @ np.linalg.inv(information)
    covariance: Floats = bread @ middle @ bread.T
    return covariance


def clustered(fit: Fit, ties: TieModel, a: Ints, b: Ints, outcome: Ints, weight: Floats, cluster: Ints) -> Floats:
    """The sandwich with votes of one cluster taken as dependent (Liang and Zeger, 1986), times G/(G-1) for G clusters.

    a, b, outcome, weight, cluster: (n,) columns of the votes that were fitted.
    """
    of = ties.derivatives(fit.strength[a] - fit.strength[b], np.array(fit.eta), outcome)
    models, clusters = len(fit.strength), int(cluster.max()) + 1
    place = np.concatenate([a, b, np.full(len(a), models)])
    values = np.concatenate([weight * of.d, -weight * of.d, weight * of.eta])
    scores = coo_matrix((values, (np.tile(cluster, 3), place)), shape=(clusters, models + 1)).tocsr()
    middle = (scores.T @ scores).toarray()
    return sandwich(fit.information, middle * clusters / max(1, clusters - 1))


class _Posterior:
    """Log posterior of (strengths, eta) and its derivatives, summed over pairs rather than votes."""

    def __init__(self, weight: Floats, ties: TieModel, precision: Floats) -> None:
        self._weight, self._ties, self._precision = weight, ties, precision
        self.centre = np.append(np.zeros(len(weight)), ties.start)

    def __call__(self, parameters: Floats) -> tuple[float, Floats, Floats]:
        """Its value, its gradient (M+1,) and minus its second derivatives (M+1, M+1)."""
        of, weight, away = self._derivatives(parameters), self._weight, parameters - self.centre
        score = np.append(_by_model(weight * of.d), (weight * of.eta).sum()) - self._precision * away
        information = _bordered(weight * of.info_dd, weight * of.info_de, weight * of.info_ee)
        information[np.diag_indices_from(information)] += self._precision
        # Without a prior nothing holds the level; holding the mean at zero changes no difference.
        models = len(weight)
        information[:models, :models] += information.diagonal()[:models].mean() / models
        seen = np.where(weight > 0, weight * of.log_likelihood, 0.0)
        return float(seen.sum() - away @ (self._precision * away) / 2), score, information

    def squared_scores(self, parameters: Floats, squared: Floats) -> Floats:
        """(M+1, M+1): the sum over votes of score times score, each vote by its squared weight."""
        of = self._derivatives(parameters)
        return _bordered(squared * of.d**2, squared * of.d * of.eta, squared * of.eta**2)

    def _derivatives(self, parameters: Floats) -> Derivatives:
        strength, eta = parameters[:-1], parameters[-1]
        difference = (strength[:, None] - strength)[..., None]
        return self._ties.derivatives(difference, eta, np.arange(OUTCOMES))


def _by_model(by_pair: Floats) -> Floats:
    """(M,): what each pair (a, b) holds, summed over outcomes, added to a and taken from b."""
    summed = by_pair.sum(axis=2)
    of: Floats = summed.sum(axis=1) - summed.sum(axis=0)
    return of


def _bordered(by_pair: Floats, across: Floats, corner: Floats) -> Floats:
    """(M+1, M+1): the sum over pairs of x (e_a - e_b)(e_a - e_b)^T, bordered by the tie parameter's row."""
    models = len(by_pair)
    matrix = np.empty((models + 1, models + 1))
    both = by_pair.sum(axis=2)
    both = both + both.T
    matrix[:models, :models] = np.diag(both.sum(axis=1)) - both
    matrix[:models, models] = matrix[models, :models] = _by_model(across)
    matrix[models, models] = corner.sum()
    return matrix
