"""How close a ranking and its predictions come to the truth.

Models are on the last axis; all else is batch.
"""

from functools import cached_property

import numpy as np
import numpy.typing as npt

from electorate.base.registry import load
from electorate.base.scale import ELO_PER_NAT, Floats, Ints
from electorate.config.metrics import METRICS
from electorate.evaluation import kernels

ECE_BINS = 15


class Standing:
    """Values of models, (..., M), ranked.

    What the metrics ask of them is worked out once, however often it is compared.
    """

    def __init__(self, values: Floats) -> None:
        self.values = values
        self._best: tuple[Ints, Ints] | None = None  # the subsets asked for last, and their best

    @cached_property
    def order(self) -> Ints:
        """Model indices, best first; equal values in index order."""
        order: Ints = np.argsort(-self.values, axis=-1, kind="stable")
        return order

    @cached_property
    def untied(self) -> Floats:
        """(...): how many pairs are not equal."""
        return kernels.untied(_rows(self.values)).reshape(self.values.shape[:-1])

    @cached_property
    def ranks(self) -> Floats:
        """(..., M): mean ranks, centred, with unit norm (all zero where all values are equal)."""
        mean_rank = kernels.mean_ranks(_rows(self.values)).reshape(self.values.shape)
        centred = mean_rank - mean_rank.mean(-1, keepdims=True)
        norm = np.sqrt((centred**2).sum(-1, keepdims=True))
        return np.divide(centred, norm, out=np.zeros_like(centred), where=norm > 0)

    def best_of(self, subsets: Ints) -> Ints:
        """(..., S): the best model of each subset (S, m)."""
        if self._best is not None and self._best[0] is subsets:
            return self._best[1]
        found = kernels.best_of(_rows(self.values), subsets)
        best: Ints = found.reshape(*self.values.shape[:-1], len(subsets))
        self._best = subsets, best
        return best


def ranking(estimate: Standing, truth: Standing, subsets: Ints | None = None) -> dict[str, Floats]:
    """Every registered metric of a ranking. Batches broadcast.

    Args:
        estimate: values by which a system ranks, (..., M).
        truth: true utilities, (..., M) nats.
        subsets: (S, 6) models, for the metrics of subsets; None leaves those out.

    Returns:
        metric to (...).
    """
    found = dict[str, Floats]()
    for name, spec in METRICS.items():
        if spec.of == "ranking" and spec.compute is not None:
            found[name] = load(spec.compute)(estimate, truth)
        if spec.of == "subsets" and spec.compute is not None and subsets is not None:
            found[name] = load(spec.compute)(estimate, truth, subsets)
    return found


def regret(estimate: Standing, truth: Standing) -> Floats:
    """U(best) - U(chosen), Elo points: the rating gap that would give the same odds."""
    utility = np.broadcast_to(truth.values, np.broadcast_shapes(*_shapes(estimate, truth)))
    first = np.broadcast_to(estimate.order[..., :1], (*utility.shape[:-1], 1))
    chosen = np.take_along_axis(utility, first, axis=-1)[..., 0]
    lost: Floats = ELO_PER_NAT * (utility.max(axis=-1) - chosen)
    return lost


def subset_regret(estimate: Standing, truth: Standing, subsets: Ints) -> Floats:
    """Mean regret, Elo points, over subsets (S, 6) of the models."""
    chosen, best = np.broadcast_arrays(estimate.best_of(subsets), truth.best_of(subsets))
    utility = truth.values
    at_best, at_chosen = (np.take_along_axis(utility, picked, axis=-1) for picked in (best, chosen))
    mean: Floats = ELO_PER_NAT * (at_best - at_chosen).mean(axis=-1)
    return mean


def ranking_accuracy(estimate: Standing, truth: Standing) -> Floats:
    """Share of models at their exact rank."""
    share: Floats = (estimate.order == truth.order).mean(axis=-1)
    return share


def top1_accuracy(estimate: Standing, truth: Standing) -> Floats:
    """1 where the first model is the true first, else 0."""
    return (estimate.order[..., 0] == truth.order[..., 0]).astype(float)


def top3_accuracy(estimate: Standing, truth: Standing) -> Floats:
    """Share of the first three models that are among the true first three."""
    top = min(3, truth.values.shape[-1])
    same = estimate.order[..., :top, None] == truth.order[..., None, :top]
    share: Floats = same.any(axis=-1).sum(axis=-1) / top
    return share


def _rows(values: Floats) -> Floats:
    """(n, M) of (..., M)."""
    return np.ascontiguousarray(values, dtype=float).reshape(-1, values.shape[-1])


def _shapes(estimate: Standing, truth: Standing) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return estimate.values.shape, truth.values.shape


def kendall_tau(estimate: Standing, truth: Standing) -> Floats:
    """Tau-b (Kendall, 1945): concordant minus discordant pairs over the root of each side's
    untied pairs; 0 where one is all ties.
    """
    shape = np.broadcast_shapes(*_shapes(estimate, truth))
    rows = [_rows(np.broadcast_to(one.values, shape)) for one in (estimate, truth)]
    difference = kernels.concordance(*rows).reshape(shape[:-1])
    untied = np.sqrt(estimate.untied * truth.untied)
    return np.divide(difference, untied, out=np.zeros_like(untied), where=untied > 0)


def spearman_rho(estimate: Standing, truth: Standing) -> Floats:
    """Pearson's correlation of mean ranks; 0 where one side is all ties."""
    return dot(estimate.ranks, truth.ranks)


def dot(x: npt.NDArray[np.floating], y: npt.NDArray[np.floating]) -> Floats:
    """(...): the sum of products over the last axis. Batches broadcast."""
    product: Floats = np.einsum("...i,...i->...", x, y).astype(float, copy=False)
    return product


def calibration_sums(predicted: Floats, true: Floats, prompts: int = 1) -> Floats:
    """(n, ECE_BINS, 3): per user and bin of predicted probability, the sums of prediction, truth
    and count.

    predicted: (n, ...), the same on each of `prompts` prompts; true: (n, ...), summed over them;
    every outcome of every battle is one prediction.
    """
    n = len(true)
    q = predicted.reshape(len(predicted), -1)
    return kernels.calibration_sums(q, true.reshape(n, -1), prompts, ECE_BINS)


def expected_calibration_error(sums: Floats) -> Floats:
    """ECE (Naeini et al., 2015) from calibration sums added up over users: shape (..., ECE_BINS,
    3) to (...).
    """
    return np.abs(sums[..., 0] - sums[..., 1]).sum(-1) / sums[..., 2].sum(-1)
