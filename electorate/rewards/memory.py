"""What a training of System B holds, before any weight is loaded.

Parameters are counted on PyTorch's meta device, and what autograd keeps is counted by running one
pass of the model's own code on fake tensors, which have shapes and no contents, so the estimate
follows the architecture and not a formula of ours.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from electorate.config.reward import Reward
from electorate.config.run import Config
from electorate.rewards import pretrained
from electorate.rewards.encoder import Encoder
from electorate.rewards.forms import wanted
from electorate.rewards.network import Network
from electorate.rewards.texts import PROMPT_SHARE, Answer

# A trained number, its gradient and Adam's two means, each in float32.
TRAINED_BYTES = 16
FEWEST = 2  # layers of the smaller model that is run; it has a first, a middle and a last layer
SAMPLE = 8  # answers to a prompt in the pass that is run


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes that one worker holds.

    Attributes:
        weights: of the pretrained model, as far as the worker has them.
        trained: adapter, counters and heads, with gradients and the optimiser's means.
        kept: what the largest pass keeps for its gradients.
        working: a layer's own values and gradients while it is worked on.
    """

    weights: int
    trained: int
    kept: int
    working: int

    @property
    def total(self) -> int:
        """The bytes of all parts together."""
        return self.weights + self.trained + self.kept + self.working


@dataclass(frozen=True)
class Kept:
    """Bytes a token that a pass keeps: for the pools and what surrounds the layers, and a layer."""

    around: float
    layer: float


def of_training(config: Config, source: str) -> TrainingMemory:
    """Of the config's training of the model in a folder, or on the hub.

    Raises:
        ElectorateError: as pretrained.check does.
    """
    settings = config.reward
    if settings is None:
        raise ValueError("a config without a reward section")
    layers = pretrained.layers_run(source, settings.layers)
    with torch.device("meta"):
        encoder = pretrained.unloaded(source, settings, settings.layers)
        archetype_count = len(config.archetypes)
        models = len(config.contestants)
        forms = wanted(config.evaluation.systems)
        ties = config.ratings.ties
        network = Network(encoder, forms, archetype_count, models, settings.rank, ties)
    shared = settings.fewest_workers if settings.sharding == "fsdp" else 1
    frozen = [p for p in encoder.model.parameters() if not p.requires_grad]
    weights = sum(p.numel() * p.element_size() for p in frozen) // shared
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    found = kept(source, settings, layers)
    tokens = max(settings.tokens_per_pass, settings.max_tokens)
    learning = min(layers, settings.adapted_layers or layers) if settings.lora_rank else 0
    of_layers = learning * found.layer
    if settings.checkpoint_activations and learning:
        inputs = encoder.model.config.hidden_size * _item(settings)
        of_layers = learning * inputs + found.layer
    return TrainingMemory(
        weights,
        TRAINED_BYTES * trained,
        int(tokens * (found.around + of_layers)),
        int(tokens * found.layer),
    )


def kept(source: str, settings: Reward, layers: int) -> Kept:
    """What autograd keeps a token, without recomputation."""
    if layers < FEWEST:
        return Kept(_bytes_a_token(source, settings, layers), 0.0)
    fewer, more = (_bytes_a_token(source, settings, n) for n in (FEWEST, FEWEST + 1))
    layer = more - fewer
    return Kept(fewer - FEWEST * layer, layer)


def _bytes_a_token(source: str, settings: Reward, layers: int) -> float:
    """That a pass keeps with so many layers, all of them adapted, on a prompt and answers of the
    longest shape.
    """
    settings = settings.model_copy(update={"adapted_layers": None})
    with torch.device("meta"):
        encoder = pretrained.unloaded(source, settings, layers)
    answers = sample(settings.max_tokens)
    return bytes_kept(encoder, answers) / max(1, encoder.cost(answers))


def sample(max_tokens: int) -> list[Answer]:
    """A prompt of its share of the longest sequence, and answers that fill the rest."""
    prompt = np.zeros(max_tokens // PROMPT_SHARE, dtype=np.int64)
    answer = np.zeros(max_tokens - len(prompt), dtype=np.int64)
    return [Answer(prompt, answer, answer[:0])] * SAMPLE


def bytes_kept(encoder: Encoder, answers: Sequence[Answer]) -> int:
    """That autograd keeps of one pass over these answers, its parameters left out.

    Args:
        encoder: on the meta device: its pass is run on fake tensors.
    """
    fake = FakeTensorMode()
    with fake:
        state = {
            name: torch.empty(value.shape, dtype=value.dtype, requires_grad=value.requires_grad)
            for name, value in [*encoder.named_parameters(), *encoder.named_buffers()]
        }
        run = _Pass(encoder)
        own = {f"encoder.{name}": value for name, value in state.items()}
        return count_kept(lambda: torch.func.functional_call(run, own, (answers,)), state.values())


def count_kept(run: Callable[[], Any], parameters: Any) -> int:
    """Bytes of the storages that autograd keeps while `run` runs, each once, without these
    parameters'.
    """
    known = {value.untyped_storage()._cdata for value in parameters}
    storages = dict[int, tuple[Tensor, int]]()

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in known:
            storages[storage._cdata] = tensor, storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        run()
    return sum(size for _, size in storages.values())


class _Pass(nn.Module):
    """One pass as a module, whose parameters functional_call replaces."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, answers: Sequence[Answer]) -> Tensor:
        return self.encoder.one_pass(answers)


def _item(settings: Reward) -> int:
    size: int = getattr(torch, settings.precision).itemsize
    return size
