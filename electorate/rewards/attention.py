"""Attention within a pack: a segment sees itself and the prompt that it follows, nothing else.

Registered with transformers under the name PACKED, so that a model's own code runs unchanged and
hands its queries, keys and values to `attend` (transformers' AttentionInterface).
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 its usual name
from torch import Tensor, nn
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface

from electorate.rewards.packing import NO_PREFIX, Pack, segments

PACKED = "electorate_packed"
# Architectures whose layers take positions and an attention function from outside, and whether
# they are causal. tests/electorate/rewards/test_packing.py holds each to the padded pass; any
# other model is read padded.
ARCHITECTURES = {
    "bert": False,
    "llama": True,
    "mistral": True,
    "phi3": True,
    "qwen2": True,
    "qwen3": True,
}
HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True, eq=False)
class Segments:
    """Where a pack's segments lie, on the device.

    Attributes:
        lengths, prefix: as of Pack.
        keys: indices of all keys, segment by segment, each behind its prompt's.
        queries_at, keys_at: (segments + 1,) where they begin.
        most_queries, most_keys: of a segment.
        masks: by their shape and window, for all layers.
    """

    lengths: list[int]
    prefix: list[int]
    keys: Tensor
    queries_at: Tensor
    keys_at: Tensor
    most_queries: int
    most_keys: int
    masks: dict[tuple[int, int, int | None], Tensor] = field(default_factory=dict)


def on_device(pack: Pack, device: torch.device) -> Segments:
    """The same pack on a device."""
    spans = list(segments(pack))
    keys = [
        np.concatenate([np.arange(*spans[before]), np.arange(*span)])
        if before != NO_PREFIX
        else np.arange(*span)
        for span, before in zip(spans, pack.prefix, strict=True)
    ]
    counts = [len(own) for own in keys]
    queries_at = np.concatenate([[0], np.cumsum(pack.lengths)]).astype(np.int32)
    keys_at = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return Segments(
        pack.lengths,
        pack.prefix,
        torch.as_tensor(np.concatenate(keys), device=device),
        torch.as_tensor(queries_at, device=device),
        torch.as_tensor(keys_at, device=device),
        max(pack.lengths),
        max(counts),
    )


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    _mask: Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    packed: Segments | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """One layer's attention over a pack.

    Args:
        query: (1, heads, T, d).
        key, value: (1, key heads, T, d).
        sliding_window: how many keys a query sees at most.

    Returns:
        (1, T, heads, d), and None for the weights that transformers' interface asks for.
    """
    if packed is None:
        raise ValueError("a packed model was run without its pack")
    causal = getattr(module, "is_causal", True)
    by_kernel = query.is_cuda and query.dtype in HALF
    attention = _by_kernel if by_kernel else _by_segment
    return attention(query, key, value, scaling, causal, sliding_window, packed), None


def _by_kernel(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scaling: float | None,
    causal: bool,
    window: int | None,
    packed: Segments,
) -> Tensor:
    """By the variable-length kernel of a GPU, all segments at once."""
    sees = (window - 1 if window else -1, 0) if causal else (-1, -1)
    found: Tensor = varlen_attn(
        query[0].transpose(0, 1),
        key[0].transpose(0, 1)[packed.keys],
        value[0].transpose(0, 1)[packed.keys],
        packed.queries_at,
        packed.keys_at,
        packed.most_queries,
        packed.most_keys,
        scale=scaling,
        window_size=sees,
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return found[None]


@torch.compiler.disable
def _by_segment(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scaling: float | None,
    causal: bool,
    window: int | None,
    packed: Segments,
) -> Tensor:
    """A segment after the other, wherever there is no such kernel."""
    grouped = query.shape[1] != key.shape[1]
    # Split once: the gradient of a split is one concatenation, that of n slices n sums of T.
    queries = query.split(packed.lengths, dim=2)
    keys = key.split(packed.lengths, dim=2)
    values = value.split(packed.lengths, dim=2)
    found = []
    for i, before in enumerate(packed.prefix):
        own_key = keys[i]
        own_value = values[i]
        if before != NO_PREFIX:
            own_key = torch.cat([keys[before], own_key], dim=2)
            own_value = torch.cat([values[before], own_value], dim=2)
        shape = (queries[i].shape[2], own_key.shape[2], window)
        if causal and shape not in packed.masks:
            packed.masks[shape] = _mask_of(*shape, query.device)
        mask = packed.masks[shape] if causal else None
        found.append(
            F.scaled_dot_product_attention(
                queries[i], own_key, own_value, mask, scale=scaling, enable_gqa=grouped
            )
        )
    return torch.cat(found, dim=2).transpose(1, 2)


def _mask_of(queries: int, keys: int, window: int | None, device: torch.device) -> Tensor:
    """(queries, keys) which keys each query sees; the last query sees the last key."""
    whole = torch.ones(queries, keys, dtype=torch.bool, device=device)
    seen = whole.tril(keys - queries)
    return seen if window is None else seen.triu(keys - queries - window + 1)


AttentionInterface.register(PACKED, attend)
