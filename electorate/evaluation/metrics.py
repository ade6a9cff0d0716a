"""How close a ranking and its predictions come to the truth. Models are on the last axis; all else is batch."""

from functools import cached_property

import numpy as np
import numpy.typing as npt

from electorate.scale import ELO_PER_NAT, Floats, Ints

ECE_BINS = 15


def pair_indices(models: int) -> tuple[Ints, Ints]:
    """The M(M-1)/2 pairs of models, a < b."""
    a, b = np.triu_indices(models, 1)
    return a, b


class Standing:
    """Values of models, (..., M), ranked. What the metrics ask of them is worked out once, however often it is compared."""

    def __init__(self, values: Floats) -> None:
        self.values = values

    @cached_property
    def order(self) -> Ints:
        """Model indices, best first; equal values in index order."""
        order: Ints = np.argsort(-self.values, axis=-1, kind="stable")
        return order

    @cached_property
    def signs(self) -> npt.NDArray[np.float32]:
        """(..., pairs): 1 where a is above b, -1 below, 0 equal."""
        a, b = pair_indices(self.values.shape[-1])
        return np.sign(self.values[..., a] - self.values[..., b]).astype(np.float32)

    @cached_property
    def untied(self) -> Floats:
        """(...): how many pairs are not equal."""
        return np.abs(self.signs).sum(axis=-1).astype(float)

    @cached_property
    def ranks(self) -> Floats:
        """(..., M): mean ranks, centred, with unit norm (all zero where all values are equal)."""
        below = (self.values[..., None, :] < self.values[..., :, None]).sum(-1)
        equal = (self.values[..., None, :] == self.values[..., :, None]).sum(-1)
        mean_rank = below + (equal + 1) / 2
        centred = mean_rank - mean_rank.mean(-1, keepdims=True)
        norm = np.sqrt((centred**2).sum(-1, keepdims=True))
        return np.divide(centred, norm, out=np.zeros_like(centred), where=norm > 0)

    def best_of(self, subsets: Ints) -> Ints:
        """(..., S): the best model of each subset (S, m)."""
        place = self.values[..., subsets].argmax(axis=-1)
        best: Ints = np.take_along_axis(np.broadcast_to(subsets, (*place.shape, subsets.shape[1])), place[..., None], axis=-1)[..., 0]
        return best


def ranking(estimate: Standing, truth: Standing) -> dict[str, Floats]:
    """Every ranking metric of estimates against true utilities, each (...). Batches broadcast.

    regret is U(best) - U(chosen), on the Elo scale: the rating gap that would give the same odds.
    """
    models = truth.values.shape[-1]
    order, true_order = np.broadcast_arrays(estimate.order, truth.order)
    utility = np.broadcast_to(truth.values, order.shape)
    chosen = np.take_along_axis(utility, order[..., :1], axis=-1)[..., 0]
    top = min(3, models)
    shared = (order[..., :top, None] == true_order[..., None, :top]).any(axis=-1).sum(axis=-1)
    return {
        "regret": ELO_PER_NAT * (utility.max(axis=-1) - chosen),
        "kendall_tau": kendall_tau(estimate, truth),
        "spearman_rho": spearman_rho(estimate, truth),
        "ranking_accuracy": (order == true_order).mean(axis=-1),
        "top1_accuracy": (order[..., 0] == true_order[..., 0]).astype(float),
        "top3_accuracy": shared / top,
    }


def subset_regret(chosen: Ints, best: Ints, utility: Floats) -> Floats:
    """(...): mean regret, Elo points, over subsets, from the model each side picks of each, (..., S)."""
    chosen, best = np.broadcast_arrays(chosen, best)
    at_best, at_chosen = (np.take_along_axis(utility, picked, axis=-1) for picked in (best, chosen))
    mean: Floats = ELO_PER_NAT * (at_best - at_chosen).mean(axis=-1)
    return mean


def kendall_tau(estimate: Standing, truth: Standing) -> Floats:
    """Tau-b (Kendall, 1945): concordant minus discordant pairs over the root of each side's untied pairs; 0 where one is all ties."""
    difference, untied = dot(estimate.signs, truth.signs), np.sqrt(estimate.untied * truth.untied)
    return np.divide(difference, untied, out=np.zeros_like(untied), where=untied > 0)


def spearman_rho(estimate: Standing, truth: Standing) -> Floats:
    """Pearson's correlation of mean ranks; 0 where one side is all ties."""
    return dot(estimate.ranks, truth.ranks)


def dot(x: npt.NDArray[np.floating], y: npt.NDArray[np.floating]) -> Floats:
    """(...): the sum of products over the last axis. Batches broadcast."""
    product: Floats = np.einsum("...i,...i->...", x, y).astype(float, copy=False)
    return product


def calibration_sums(predicted: Floats, true: Floats, prompts: int = 1) -> Floats:
    """(n, ECE_BINS, 3): per user and bin of predicted probability, the sums of prediction, truth and count.

    predicted: (n, ...), the same on each of `prompts` prompts; true: (n, ...), summed over them;
    every outcome of every battle is one prediction.
    """
    n = len(true)
    q, p = np.broadcast_to(predicted, true.shape).reshape(n, -1), true.reshape(n, -1)
    place = (np.minimum((q * ECE_BINS).astype(np.int64), ECE_BINS - 1) + ECE_BINS * np.arange(n)[:, None]).ravel()
    sums = [np.bincount(place, weights=w, minlength=n * ECE_BINS) for w in (prompts * q.ravel(), p.ravel(), None)]
    sums[2] = prompts * sums[2]
    return np.stack(sums, axis=-1).reshape(n, ECE_BINS, 3).astype(float, copy=False)


def expected_calibration_error(sums: Floats) -> Floats:
    """ECE (Naeini et al., 2015) from calibration sums added up over users: shape (..., ECE_BINS, 3) to (...)."""
    return np.abs(sums[..., 0] - sums[..., 1]).sum(-1) / sums[..., 2].sum(-1)
