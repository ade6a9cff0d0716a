"""How close a ranking and its predictions come to the truth. Models are on the last axis; all else is batch."""

import numpy as np

from electorate.scale import ELO_PER_NAT, Floats, Ints

ECE_BINS = 15


def pair_indices(models: int) -> tuple[Ints, Ints]:
    """The M(M-1)/2 pairs of models, a < b."""
    a, b = np.triu_indices(models, 1)
    return a, b


def ranking(estimate: Floats, truth: Floats) -> dict[str, Floats]:
    """Every ranking metric of estimates against true utilities, each (...). Shapes (..., M), broadcast.

    regret is U(best) - U(chosen), on the Elo scale: the rating gap that would give the same odds.
    """
    estimate, truth = np.broadcast_arrays(estimate, truth)
    order, true_order = _order(estimate), _order(truth)
    chosen = np.take_along_axis(truth, order[..., :1], axis=-1)[..., 0]
    top = min(3, truth.shape[-1])
    shared = (order[..., :top, None] == true_order[..., None, :top]).any(axis=-1).sum(axis=-1)
    return {
        "regret": ELO_PER_NAT * (truth.max(axis=-1) - chosen),
        "kendall_tau": kendall_tau(estimate, truth),
        "spearman_rho": spearman_rho(estimate, truth),
        "ranking_accuracy": (order == true_order).mean(axis=-1),
        "top1_accuracy": (order[..., 0] == true_order[..., 0]).astype(float),
        "top3_accuracy": shared / top,
    }


def kendall_tau(estimate: Floats, truth: Floats) -> Floats:
    """Tau-b (Kendall, 1945): concordant minus discordant pairs over the root of each side's untied pairs."""
    a, b = pair_indices(truth.shape[-1])
    x, y = np.sign(estimate[..., a] - estimate[..., b]), np.sign(truth[..., a] - truth[..., b])
    return _over((x * y).sum(-1), np.sqrt(np.abs(x).sum(-1) * np.abs(y).sum(-1)))


def spearman_rho(estimate: Floats, truth: Floats) -> Floats:
    """Pearson's correlation of mean ranks."""
    x, y = _mean_ranks(estimate), _mean_ranks(truth)
    x, y = x - x.mean(-1, keepdims=True), y - y.mean(-1, keepdims=True)
    return _over((x * y).sum(-1), np.sqrt((x**2).sum(-1) * (y**2).sum(-1)))


def prediction(predicted: Floats, true: Floats) -> dict[str, Floats]:
    """Expected log loss (nats) and Brier score under the true probabilities, each (...). Shapes (..., 3)."""
    log_loss = -(true * np.log(np.maximum(predicted, 1e-12))).sum(-1)
    # E|e_o - q|^2 over outcomes o drawn from the truth.
    brier = 1 - 2 * (true * predicted).sum(-1) + (predicted**2).sum(-1)
    return {"log_loss": log_loss, "brier": brier}


def calibration_sums(predicted: Floats, true: Floats) -> Floats:
    """(n, ECE_BINS, 3): per user and bin of predicted probability, the sums of prediction, truth and count.

    predicted, true: (n, ..., 3); every outcome of every battle is one prediction.
    """
    n = len(predicted)
    q, p = predicted.reshape(n, -1), true.reshape(n, -1)
    place = np.minimum((q * ECE_BINS).astype(np.int64), ECE_BINS - 1) + ECE_BINS * np.arange(n)[:, None]
    sums: list[Floats] = [
        np.bincount(place.ravel(), weights=w.ravel(), minlength=n * ECE_BINS).astype(float) for w in (q, p, np.ones_like(q))
    ]
    return np.stack(sums, axis=-1).reshape(n, ECE_BINS, 3)


def expected_calibration_error(sums: Floats) -> Floats:
    """ECE (Naeini et al., 2015) from calibration sums added up over users: shape (..., ECE_BINS, 3) to (...)."""
    return np.abs(sums[..., 0] - sums[..., 1]).sum(-1) / sums[..., 2].sum(-1)


def _order(values: Floats) -> Ints:
    """Model indices, best first; equal values in index order."""
    order: Ints = np.argsort(-values, axis=-1, kind="stable")
    return order


def _mean_ranks(values: Floats) -> Floats:
    below = (values[..., None, :] < values[..., :, None]).sum(-1)
    equal = (values[..., None, :] == values[..., :, None]).sum(-1)
    return below + (equal + 1) / 2


def _over(numerator: Floats, denominator: Floats) -> Floats:
    """A correlation; 0 where one side is all ties."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)
