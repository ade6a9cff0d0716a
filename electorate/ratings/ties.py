"""Tie models: how a rating difference d (nats) and a tie parameter eta give A, B or tie.

Each model gives probabilities and, for observed outcomes (0 A, 1 B, 2 tie), the log-likelihood's
derivatives in d and eta, from which every fit in this package is built.
"""

from collections.abc import Callable
from typing import Annotated, NamedTuple, Protocol

import numpy as np
from pydantic import AfterValidator, WithJsonSchema
from scipy.special import expit, log_expit

from electorate.base.registry import Registry
from electorate.base.scale import Floats, Ints
from electorate.ratings import tie_kernels


class Derivatives(NamedTuple):
    """Of the log-likelihood, per observation: score in (d, eta), and information (minus the
    second derivatives).
    """

    d: Floats
    eta: Floats
    info_dd: Floats
    info_de: Floats
    info_ee: Floats


class Compiled(NamedTuple):
    """A tie model's loops over users' votes. See tie_kernels for their arguments.

    values: log-likelihoods of users, as `davidson_values`.
    derivatives: of votes, as `davidson_derivatives`.
    averaged: probabilities over differences, as `davidson_averaged`.
    """

    values: Callable[..., tuple[Floats, Floats]]
    derivatives: Callable[..., tuple[Floats, ...]]
    averaged: Callable[..., None]


class TieModel(Protocol):
    """A distribution over (A, B, tie) given d and eta.

    Attributes:
        compiled: the same in loops, which System A's fit is faster with; None: it uses the methods
            below.
        name: as users choose it.
        label: what it is, for `--help`.
        start: a sensible first eta.
        log_odds: "module:function", the same model in torch: (d, eta) tensors to (..., 3)
            log-probabilities of A, B and tie, for training the reward model.
    """

    name: str
    label: str
    start: float
    log_odds: str
    compiled: Compiled | None

    def probabilities(self, d: Floats, eta: Floats) -> Floats:
        """(..., 3) probabilities of A, B and tie; d and eta broadcast together."""
        ...

    def log_likelihood(self, d: Floats, eta: Floats, outcome: Ints) -> Floats:
        """Log P(outcome); d, eta and outcome broadcast together."""
        ...

    def derivatives(self, d: Floats, eta: Floats, outcome: Ints) -> Derivatives:
        """Of log P(outcome); d, eta and outcome broadcast together."""
        ...


class Davidson:
    """P(A) : P(B) : P(tie) = e^(d/2) : e^(-d/2) : e^eta (Davidson, 1970; nu = e^eta)."""

    name = "davidson"
    label = "Davidson (1970): ties are likelier between equals"
    start = -0.5
    log_odds = "electorate.rewards.losses:davidson"
    compiled: Compiled | None = Compiled(
        tie_kernels.davidson_values,
        tie_kernels.davidson_derivatives,
        tie_kernels.davidson_averaged,
    )

    def probabilities(self, d: Floats, eta: Floats) -> Floats:
        """(..., 3) probabilities of A, B and tie; d and eta broadcast together."""
        return averaged(self, d, np.zeros(()), eta, np.zeros(1), np.ones(1))

    def log_likelihood(self, d: Floats, eta: Floats, outcome: Ints) -> Floats:
        """Log P(outcome); d, eta and outcome broadcast together."""
        half = np.clip(d, -200, 200) / 2
        total = np.log(np.exp(half) + np.exp(-half) + np.exp(eta))
        seen: Floats = np.where(outcome == 2, eta, np.where(outcome == 0, half, -half)) - total
        return seen

    def derivatives(self, d: Floats, eta: Floats, outcome: Ints) -> Derivatives:
        """Of log P(outcome); d, eta and outcome broadcast together."""
        root = np.exp(np.clip(d, -200, 200) / 2)
        nu = np.exp(eta)
        total = root + 1 / root + nu
        a = root / total
        b = 1 / (root * total)
        tie = nu / total
        won = outcome == 0
        lost = outcome == 1
        half = (a - b) / 2
        return Derivatives(
            d=(won * 0.5) - (lost * 0.5) - half,
            eta=(outcome == 2) - tie,
            info_dd=(a + b) / 4 - half**2,
            info_de=-half * tie,
            info_ee=tie * (1 - tie),
        )


class RaoKupper:
    """P(A) = logistic(d - t), P(B) = logistic(-d - t), tie the rest, t = e^eta (Rao and Kupper,
    1967).

    The information in eta leaves out the curvature of t = e^eta, which keeps it positive and
    vanishes at the optimum's first order; Newton steps stay ascent steps.
    """

    name = "rao_kupper"
    label = "Rao and Kupper (1967): a tie is a difference too small to notice"
    start = -0.5
    log_odds = "electorate.rewards.losses:rao_kupper"
    compiled: Compiled | None = None

    def probabilities(self, d: Floats, eta: Floats) -> Floats:
        """(..., 3) probabilities of A, B and tie; d and eta broadcast together."""
        t = np.exp(eta)
        a = expit(d - t)
        b = expit(-d - t)
        return np.stack([a, b, np.maximum(1 - a - b, 1e-300)], axis=-1)

    def log_likelihood(self, d: Floats, eta: Floats, outcome: Ints) -> Floats:
        """Log P(outcome); d, eta and outcome broadcast together."""
        t = np.exp(eta)
        tied = outcome == 2
        has_a = (outcome == 0) | tied
        has_b = (outcome == 1) | tied
        seen: Floats = (
            has_a * log_expit(d - t)
            + has_b * log_expit(-d - t)
            + tied * (2 * t + np.log(-np.expm1(-2 * t)))
        )
        return seen

    def derivatives(self, d: Floats, eta: Floats, outcome: Ints) -> Derivatives:
        """Of log P(outcome); d, eta and outcome broadcast together."""
        t = np.exp(eta)
        a = expit(d - t)
        b = expit(-d - t)
        won = outcome == 0
        lost = outcome == 1
        tied = outcome == 2
        has_a = won | tied
        has_b = lost | tied
        growth = 2 / -np.expm1(-2 * t)
        info_a = has_a * a * (1 - a)
        info_b = has_b * b * (1 - b)
        tie_curvature = tied * growth * (growth - 2)
        return Derivatives(
            d=has_a * (1 - a) - has_b * (1 - b),
            eta=t * (tied * growth - has_a * (1 - a) - has_b * (1 - b)),
            info_dd=info_a + info_b,
            info_de=t * (info_b - info_a),
            info_ee=t**2 * (info_a + info_b + tie_curvature),
        )


class Half:
    """A tie is half a win for each side; eta is the log odds of a tie, whatever d."""

    name = "half"
    label = "a tie is half a win for each side"
    start = -1.0
    log_odds = "electorate.rewards.losses:half"
    compiled: Compiled | None = None

    def probabilities(self, d: Floats, eta: Floats) -> Floats:
        """(..., 3) probabilities of A, B and tie; d and eta broadcast together."""
        d, tie = np.broadcast_arrays(d, expit(eta))
        return np.stack([(1 - tie) * expit(d), (1 - tie) * expit(-d), tie], axis=-1)

    def log_likelihood(self, d: Floats, eta: Floats, outcome: Ints) -> Floats:
        """Log P(outcome); d, eta and outcome broadcast together."""
        win = (outcome == 0) + 0.5 * (outcome == 2)
        tied = outcome == 2
        seen: Floats = (
            win * log_expit(d)
            + (1 - win) * log_expit(-d)
            + np.where(tied, log_expit(eta), log_expit(-eta))
        )
        return seen

    def derivatives(self, d: Floats, eta: Floats, outcome: Ints) -> Derivatives:
        """Of log P(outcome); d, eta and outcome broadcast together."""
        win = (outcome == 0) + 0.5 * (outcome == 2)
        tied = outcome == 2
        p = expit(d)
        tie = expit(eta)
        return Derivatives(
            d=win - p,
            eta=tied - tie,
            info_dd=p * (1 - p),
            info_de=np.zeros(np.broadcast(d, eta).shape),
            info_ee=np.broadcast_to(tie * (1 - tie), np.broadcast(d, eta).shape),
        )


def averaged(
    ties: TieModel, d: Floats, sd: Floats, eta: Floats, nodes: Floats, weights: Floats
) -> Floats:
    """(..., 3) probabilities of A, B and tie, averaged over differences d + node sd.

    Args:
        d, sd, eta: which broadcast together.
        nodes, weights: of a quadrature rule; weights sum to 1.
    """
    if ties.compiled is None:
        found: Floats = sum(
            weight * ties.probabilities(d + node * sd, eta)
            for node, weight in zip(nodes, weights, strict=True)
        )
        return found
    shape = np.broadcast_shapes(np.shape(d), np.shape(sd), np.shape(eta))
    columns = [np.asarray(one, dtype=float) for one in (d, sd, eta)]
    if len(shape) != 2:
        columns = [np.broadcast_to(one, shape).ravel() for one in columns]
    columns = [np.atleast_2d(one) for one in columns]
    odds = np.empty((*np.broadcast_shapes(*(one.shape for one in columns)), 3))
    ties.compiled.averaged(*columns, nodes, weights, odds)
    return odds.reshape(*shape, 3)


MODELS: Registry[TieModel] = Registry("tie model", Half(), Davidson(), RaoKupper())
DEFAULT = "davidson"  # wherever no other is asked for
# In configs and in the API's schema.
Name = Annotated[
    str, AfterValidator(MODELS.check), WithJsonSchema({"type": "string", "enum": list(MODELS)})
]
