"""Style control: Bradley-Terry ratings with the style of the answers held equal (Li, Angelopoulos
and Chiang, 2024), or which of them was shown first.

    logit P(a beats b) = theta_a - theta_b + beta . x,   x = (style of a's answer - style of b's) /
    its root mean square over votes

The penalty on beta is a prior in Elo points a standard deviation, so it means the same in any unit
of a measure, for any number of votes and beside any prior on the ratings.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_matrix, hstack

from electorate.base.scale import ELO_PER_NAT, Floats, Ints, to_nats
from electorate.ratings import bradley_terry, newton
from electorate.ratings.bradley_terry import Fit, sandwich, with_prior
from electorate.ratings.clustering import middle
from electorate.ratings.ties import TieModel

STYLE_SD_ELO = 200.0
ITERATIONS = 50


class Style(NamedTuple):
    """effect, sd: (F,) Elo points that one root mean square more of each measure is worth, and
    their standard errors.
    """

    effect: Floats
    sd: Floats


def fit(
    start: Fit,
    a: Ints,
    b: Ints,
    outcome: Ints,
    weight: Floats,
    contrast: Floats,
    ties: TieModel,
    prior_sd_elo: float | None,
    groups: Sequence[Ints],
) -> tuple[Fit, Style]:
    """Ratings by Newton's method from `start`, the ratings without style, with intervals
    clustered by one or two groupings.

    a, b, outcome, weight: (n,) votes; contrast: (n, F) style of a's answer less b's; groups: (n,)
    each, see clustering.py.
    """
    models = len(start.strength)
    # About 0 and not about the mean, as what is A and what is B means nothing.
    spread = np.sqrt((contrast**2).mean(axis=0))
    x = np.divide(contrast, spread, out=np.zeros_like(contrast), where=spread > 0)
    design = _design(a, b, x, models)
    parameters = np.concatenate([start.strength, np.zeros(x.shape[1]), [start.eta]])
    precision = np.full(len(parameters), to_nats(STYLE_SD_ELO) ** -2.0)
    precision[:models] = 0.0 if prior_sd_elo is None else to_nats(prior_sd_elo) ** -2.0
    precision[-1] = bradley_terry.TIE_PRIOR_SD**-2.0
    centre = np.append(np.zeros(len(parameters) - 1), ties.start)
    if start.ties == 0:
        precision[-1] = bradley_terry.HELD
        parameters[-1] = bradley_terry.NO_TIES
        centre[-1] = bradley_terry.NO_TIES

    def derivatives(at: Floats) -> tuple[Floats, Floats, Floats]:
        of = ties.derivatives(design @ at[:-1], at[-1], outcome)
        score = np.append(design.T @ (weight * of.d), weight @ of.eta) - precision * (at - centre)
        information = np.diag(precision)
        information[:-1, :-1] += (
            design.T @ design.multiply((weight * of.info_dd)[:, None]).tocsr()
        ).toarray()
        information[:-1, -1] += design.T @ (weight * of.info_de)
        information[-1, :-1] = information[:-1, -1]
        information[-1, -1] += weight @ of.info_ee
        # Without a prior nothing holds the level; holding the mean at zero changes no difference.
        information[:models, :models] += information.diagonal()[:models].mean() / models
        return score, information, np.column_stack([weight * of.d, weight * of.eta])

    def of_one(at: Floats) -> tuple[Floats, Floats]:
        score, information, _ = derivatives(at[0])
        return score[None], information[None]

    found, _ = newton.bounded(of_one, parameters[None], 1.0, 1e-9, ITERATIONS)
    parameters = found[0]
    _, information, by_vote = derivatives(parameters)
    of_votes = hstack([design.multiply(by_vote[:, :1]), by_vote[:, 1:]]).tocsr()
    by_votes = middle(of_votes, groups)
    covariance = sandwich(information, with_prior(by_votes, precision, start.connected), models)
    kept = [*range(models), len(parameters) - 1]
    strength = parameters[:models] - parameters[:models].mean()
    fitted = replace(
        start,
        strength=strength,
        eta=float(parameters[-1]) if start.ties > 0 else start.eta,
        information=information[np.ix_(kept, kept)],
        covariance=covariance[np.ix_(kept, kept)],
    )
    sd = np.sqrt(np.diag(covariance)[models:-1])
    return fitted, Style(ELO_PER_NAT * parameters[models:-1], ELO_PER_NAT * sd)


def _design(a: Ints, b: Ints, x: Floats, models: int) -> csr_matrix:
    """(n, M + F): what each vote's logit is linear in."""
    n, measures = x.shape
    columns = np.column_stack([a, b, np.broadcast_to(models + np.arange(measures), (n, measures))])
    values = np.column_stack([np.ones(n), -np.ones(n), x])
    return csr_matrix(
        (values.ravel(), columns.ravel(), np.arange(0, values.size + 1, values.shape[1])),
        shape=(n, models + measures),
    )
