"""The states of answers' tokens in the layers of a Hugging Face model that are pooled.

Two ways to run one pass over answers: packed, for the architectures of attention.ARCHITECTURES,
and padded to the longest, for any other.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from electorate.rewards import packing
from electorate.rewards.attention import on_device
from electorate.rewards.frozen import FrozenStates
from electorate.rewards.packing import Pack
from electorate.rewards.texts import Answer


class States(NamedTuple):
    """Of n answers with B tokens together.

    Attributes:
        layers: for each pooled layer (B, width), answer by answer.
        sizes: how many tokens each answer has.
        last: (n, width) the last layer's states of the last token of each answer's last sequence.
    """

    layers: list[Tensor]
    sizes: list[int]
    last: Tensor


def packed(
    model: nn.Module,
    answers: Sequence[Answer],
    pooled: Sequence[int],
    context: int,
    causal: bool,
    frozen: FrozenStates | None = None,
) -> States:
    """By one pass without padding, in which a causal model reads a prompt once for its answers.

    Args:
        pooled: layers, ascending; 0 are the embeddings, and the last is the model's last.
        context: tokens that a sequence may have.
        frozen: states of the layers below the first that learns, where they are kept.
    """
    pack = packing.pack(answers, context, causal)
    device = next(model.parameters()).device
    below = None if frozen is None else frozen.of(pack, device)
    if frozen is None or below is None:
        of = entering(model, pack, pooled, causal)
    else:
        of = below | _above(model, pack, pooled, frozen.first, below, causal)
    states = [of[layer][0] for layer in pooled]
    body = torch.as_tensor(pack.body, device=device)
    last = torch.as_tensor(pack.last, device=device)
    return States([state[body] for state in states], pack.sizes, states[-1][last])


def entering(
    model: nn.Module, pack: Pack, layers: Sequence[int], causal: bool
) -> dict[int, Tensor]:
    """(1, T, width) what enters these layers, by one pass over a pack; as many as the model has
    layers is what leaves the last.
    """
    device = next(model.parameters()).device
    ids = torch.as_tensor(pack.ids, device=device)[None]
    # A BERT looks up as many token types as its context has tokens; a pack may have more.
    extra = {} if causal else {"token_type_ids": torch.zeros_like(ids)}
    own = layers_of(model)
    with _entering(own, layers) as entered:
        out = model(input_ids=ids, **_places(pack, device), **extra)
    return entered | {len(own): out.last_hidden_state}


def _above(
    model: nn.Module,
    pack: Pack,
    pooled: Sequence[int],
    first: int,
    below: dict[int, Tensor],
    causal: bool,
) -> dict[int, Tensor]:
    """What enters the pooled layers above `first`, from what enters `first`."""
    base: Any = model.get_base_model() if hasattr(model, "get_base_model") else model
    own = layers_of(base)
    if first == len(own):
        return {}
    runs = base if causal else base.encoder
    places = _places(pack, below[first].device)
    upper = [layer for layer in pooled if layer > first]
    with _entering(own, upper) as entered, _only(base, own, first):
        if causal:
            out = runs(inputs_embeds=below[first], **places)
        else:
            out = runs(below[first], packed=places["packed"])
    return entered | {len(own): out.last_hidden_state}


def _places(pack: Pack, device: torch.device) -> dict[str, Any]:
    """What a model is told of a pack beside its tokens."""
    positions = torch.as_tensor(pack.positions, device=device)[None]
    return {"position_ids": positions, "packed": on_device(pack, device), "use_cache": False}


def padded(
    model: nn.Module, answers: Sequence[Answer], pooled: Sequence[int], context: int, pad: int
) -> States:
    """By one pass over a rectangle as wide as the longest sequence.

    Args:
        pooled, context: see `packed`.
        pad: the token to fill up with.
    """
    own = [packing.windows(answer, context) for answer in answers]
    rows = [window for windows in own for window in windows]
    longest = max(map(len, rows))
    ids = np.full((len(rows), longest), pad)
    mask = np.zeros((len(rows), longest), dtype=np.int64)
    body = list[np.ndarray]()
    for row, window in enumerate(rows):
        # Padded on the right, and masked there, whatever the token is that pads.
        ids[row, : len(window)] = np.concatenate([window.before, window.body, window.after])
        mask[row, : len(window)] = 1
        body.append(row * longest + len(window.before) + np.arange(len(window.body)))
    device = next(model.parameters()).device
    out = model(
        input_ids=torch.as_tensor(ids, device=device),
        attention_mask=torch.as_tensor(mask, device=device),
        output_hidden_states=True,
    )
    at = torch.as_tensor(np.concatenate(body), device=device)
    states = [out.hidden_states[layer].flatten(0, 1) for layer in pooled]
    last_row = np.cumsum([len(windows) for windows in own]) - 1
    ends = last_row * longest + np.array([len(rows[row]) for row in last_row]) - 1
    last = states[-1][torch.as_tensor(ends, device=device)]
    return States([state[at] for state in states], [len(a.answer) for a in answers], last)


def layers_of(model: nn.Module) -> nn.ModuleList:
    """The layers of a Hugging Face model, with or without an adapter around it."""
    count = model.config.num_hidden_layers
    return next(
        module
        for module in model.modules()
        if isinstance(module, nn.ModuleList) and len(module) == count
    )


@contextmanager
def _only(model: nn.Module, own: nn.ModuleList, first: int) -> Iterator[None]:
    """A model that begins with its layer `first`, for the length of the block."""
    holder, name = next(
        (module, name)
        for module in model.modules()
        for name, child in module.named_children()
        if child is own
    )
    setattr(holder, name, nn.ModuleList(own[first:]))
    try:
        yield
    finally:
        setattr(holder, name, own)


@contextmanager
def _entering(own: nn.ModuleList, layers: Sequence[int]) -> Iterator[dict[int, Tensor]]:
    """What enters these of a model's layers while this thread runs it: no other layer's states
    are kept, nor those of passes that other threads run meanwhile.
    """
    entered = dict[int, Tensor]()
    thread = threading.get_ident()

    def keeping(layer: int) -> Any:
        def keep(_: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            if threading.get_ident() == thread:
                entered[layer] = arguments[0]

        return keep

    there = [layer for layer in layers if layer < len(own)]
    hooks = [own[layer].register_forward_pre_hook(keeping(layer)) for layer in there]
    try:
        yield entered
    finally:
        for hook in hooks:
            hook.remove()
