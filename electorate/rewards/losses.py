"""Tie models in torch: log-probabilities that gradients flow through.

The same formulas as electorate/ratings/ties.py.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 its usual name
from torch import Tensor

from electorate.base.registry import load
from electorate.ratings.ties import MODELS


def davidson(d: Tensor, eta: Tensor) -> Tensor:
    """(..., 3) log-probabilities of A, B and tie."""
    return F.log_softmax(torch.stack(torch.broadcast_tensors(d / 2, -d / 2, eta), dim=-1), dim=-1)


def rao_kupper(d: Tensor, eta: Tensor) -> Tensor:
    """(..., 3) log-probabilities of A, B and tie."""
    t = eta.exp()
    a = F.logsigmoid(d - t)
    b = F.logsigmoid(-d - t)
    return torch.stack([a, b, a + b + torch.expm1(2 * t).log()], dim=-1)


def half(d: Tensor, eta: Tensor) -> Tensor:
    """(..., 3) log-likelihoods: a tie is half a win for each side, and its odds do not hang on
    d.
    """
    a = F.logsigmoid(d)
    b = F.logsigmoid(-d)
    decided = F.logsigmoid(-eta)
    return torch.stack([a + decided, b + decided, (a + b) / 2 + F.logsigmoid(eta)], dim=-1)


def log_odds(ties: str) -> Callable[[Tensor, Tensor], Tensor]:
    """The log-probabilities of a registered tie model."""
    return load(MODELS[ties].log_odds)
