"""Pretrained reward models and encoders: found, checked, loaded, given an adapter, and the adapter
kept.
"""

import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from electorate.base.errors import ElectorateError
from electorate.config.reward import TOKENS_PER_PASS, Reward
from electorate.rewards.attention import ARCHITECTURES, PACKED
from electorate.rewards.encoder import LORA_SCALE, Encoder
from electorate.rewards.states import layers_of

COMPILERS = ("g++", "clang++")
SCORED = "ForSequenceClassification"


def check(source: str, layers: int | None, score_head: bool) -> None:
    """ElectorateError if there is no such model, or it lacks the score head or the layers that
    are asked of it; reads no weights.
    """
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(source)
    except (OSError, ValueError) as error:
        raise _unloadable(source, error) from None
    architectures = config.architectures or ["nothing"]
    if score_head and not any(name.endswith(SCORED) for name in architectures):
        known = ", ".join(architectures)
        raise ElectorateError(
            f"reward.model: {source} has no score head ({known}); set reward.score_head: false to "
            "do without"
        )
    # Where nothing is said of labels, transformers assumes two; loading tells what there are.
    labels = config.to_diff_dict().get("id2label", {})
    if score_head and len(labels) > 1:
        raise _several_outputs(source, f"{len(labels)} outputs")
    if layers is not None and layers > config.num_hidden_layers:
        raise ElectorateError(
            f"reward.layers: {source} has {config.num_hidden_layers} layers, not {layers}"
        )


def load(
    source: str,
    layers: int | None,
    score_head: bool,
    lora_rank: int,
    seed: int,
    precision: str = "float32",
    tokens_per_pass: int = TOKENS_PER_PASS,
    adapted_layers: int | None = None,
) -> tuple[Encoder, Any]:
    """An encoder with LoRA on its layers, and its tokenizer, from a folder or a hub id;
    safetensors only, no code of the model's own.

    layers: how many run; 0 looks up embeddings alone, None runs all. precision: of the model's
    weights and of what it computes; the adapter's own are float32. tokens_per_pass: that one pass
    holds at most. adapted_layers: how many of the last have LoRA; None: all. Raises
    ElectorateError as `check` does.
    """
    check(source, layers, score_head)
    torch.manual_seed(seed)
    whole, tokenizer = _loaded(source, layers, score_head, precision)
    for parameter in whole.parameters():
        parameter.requires_grad_(False)
    score = getattr(whole, "score", None) if score_head else None
    if score_head and score is None:
        raise ElectorateError(
            f"reward.model: {source} scores elsewhere than at the last token; set "
            "reward.score_head: false to do without"
        )
    layers = whole.config.num_hidden_layers
    model = adapted(whole.base_model if score_head else whole, lora_rank, adapted_layers)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    context = _context(whole.config, tokenizer)
    encoder = Encoder(model, score, layers, context, tokens_per_pass, pad or 0, precision)
    return encoder, tokenizer


def layers_run(source: str, layers: int | None) -> int:
    """How many of a model's layers run where the config asks for so many."""
    from transformers import AutoConfig

    has: int = AutoConfig.from_pretrained(source).num_hidden_layers
    return has if layers is None else layers


def unloaded(source: str, settings: Reward, layers: int | None) -> Encoder:
    """The encoder that the settings name with so many layers, its weights not read: to count on
    PyTorch's meta device what it would hold.
    """
    from transformers import AutoConfig, AutoModel

    config = AutoConfig.from_pretrained(source)
    if layers is not None:
        config.num_hidden_layers = layers
        if getattr(config, "layer_types", None):
            config.layer_types = config.layer_types[:layers]
    config.dtype = getattr(torch, settings.precision)
    backbone = AutoModel.from_config(config, dtype=config.dtype).eval()
    for parameter in backbone.parameters():
        parameter.requires_grad_(False)
    score = None
    if settings.score_head:
        score = nn.Linear(config.hidden_size, 1, bias=False, dtype=config.dtype)
        score.weight.requires_grad_(False)
    return Encoder(
        adapted(backbone, settings.lora_rank, settings.adapted_layers),
        score,
        config.num_hidden_layers,
        config.max_position_embeddings,
        settings.tokens_per_pass,
        0,
        settings.precision,
    )


def adapted(backbone: Any, lora_rank: int, layers: int | None = None) -> Any:
    """A model without its head as it is trained: packed where it can be, with LoRA where a rank
    is given, on the last so many layers or on all.
    """
    if getattr(backbone, "pooler", None) is not None:
        backbone.pooler = None  # nothing reads it, and what nothing reads cannot learn
    if backbone.config.model_type in ARCHITECTURES:
        backbone.set_attn_implementation(PACKED)
    runs = backbone.config.num_hidden_layers > 0
    return _with_lora(backbone, lora_rank, layers) if runs and lora_rank else backbone


def compile_layers(encoder: Encoder) -> None:
    """Have the layers compiled when they first run. All share what is compiled of one, for passes
    of any size.

    Raises:
        ElectorateError: there is no C++ compiler.
    """
    if not any(map(shutil.which, COMPILERS)):
        raise ElectorateError(
            "reward.compile_layers: no C++ compiler is installed here (g++ or clang); install one, "
            "or set it to false"
        )
    if not encoder.runs_layers:
        return
    own = layers_of(encoder.model)
    compiled = torch.compile(type(own[0]).forward, dynamic=True)
    for layer in own:
        # A bound method is copied with its layer; a function would run the layer copied from.
        layer.forward = MethodType(compiled, layer)


def recompute(encoder: Encoder) -> None:
    """Have layers keep their inputs alone, and run again when gradients are asked for."""
    if not encoder.runs_layers:
        return
    for layer in layers_of(encoder.model):
        # transformers does the same in training mode alone, which would switch dropout on.
        layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)


def _loaded(source: str, layers: int | None, score_head: bool, precision: str) -> tuple[Any, Any]:
    """A pretrained model and its tokenizer."""
    from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    depth = {} if layers is None else {"num_hidden_layers": layers}
    kind, heads = (
        (AutoModelForSequenceClassification, {"num_labels": 1}) if score_head else (AutoModel, {})
    )
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
        whole = kind.from_pretrained(
            source, use_safetensors=True, dtype=getattr(torch, precision), **depth, **heads
        )
    except (OSError, ValueError) as error:
        raise _unloadable(source, error) from None
    except RuntimeError as error:
        if score_head and "mismatch" in str(error):
            raise _several_outputs(source, "more than one output") from None
        raise _unloadable(source, error) from None
    return whole, tokenizer


def _several_outputs(source: str, outputs: str) -> ElectorateError:
    return ElectorateError(
        f"reward.model: the score head of {source} has {outputs}; one is needed, which is the "
        "reward. Choose another model, or set reward.score_head: false to do without the head"
    )


def _unloadable(source: str, error: Exception) -> ElectorateError:
    reason = " ".join(str(error).split())[:200]
    return ElectorateError(
        f"reward.model: {source}: cannot be loaded: {reason}; give a hub id, a folder or "
        "package:NAME/PATH"
    )


def _with_lora(model: Any, rank: int, layers: int | None) -> Any:
    from peft import LoraConfig, get_peft_model
    from peft.tuners.tuners_utils import BaseTunerLayer

    found = get_peft_model(
        model,
        LoraConfig(
            r=rank,
            lora_alpha=LORA_SCALE * rank,
            target_modules="all-linear" if layers is None else _linear_names(model, layers),
            lora_dropout=0.0,
        ),
    )
    for module in found.modules():
        # Autocast gives the adapter the layers' precision; a copy of its input in its own would
        # be kept for the gradients of every matrix.
        if isinstance(module, BaseTunerLayer):
            module.cast_input_dtype_enabled = False
    return found


def _linear_names(model: Any, layers: int) -> list[str]:
    """Of the matrices of the last so many layers."""
    own = layers_of(model)
    last = {m for layer in own[max(0, len(own) - layers) :] for m in layer.modules()}
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module in last
    ]


def _context(config: Any, tokenizer: Any) -> int:
    """Tokens a sequence may have; some tokenizers say 1e30 for not knowing."""
    return int(min(config.max_position_embeddings, tokenizer.model_max_length))


def load_adapter(encoder: Encoder, folder: Path) -> None:
    """Put what `save_adapter` wrote back into an encoder of the same model."""
    if hasattr(encoder.model, "peft_config"):
        from peft import load_peft_weights, set_peft_model_state_dict

        set_peft_model_state_dict(
            encoder.model, load_peft_weights(str(folder), device=str(encoder.counter.device))
        )


def save_adapter(encoder: Encoder, trained: Mapping[str, Tensor], folder: Path) -> None:
    """The LoRA adapter as peft's files, if there is one. trained: the encoder's trained tensors
    by name, whole.
    """
    if hasattr(encoder.model, "peft_config"):
        own = {
            name.removeprefix("model."): value
            for name, value in trained.items()
            if name.startswith("model.")
        }
        encoder.model.save_pretrained(folder, state_dict=own)


def of_settings(settings: Reward, source: str, seed: int) -> tuple[Encoder, Any]:
    """The encoder that the settings name, untrained, and its tokenizer.

    Args:
        source: where the model's files lie.
        seed: of the adapter's and the counters' first values.

    Raises:
        ElectorateError: the model is not there, or cannot be what the settings ask of it.
    """
    encoder, tokenizer = load(
        source,
        settings.layers,
        settings.score_head,
        settings.lora_rank,
        seed,
        settings.precision,
        settings.tokens_per_pass,
        settings.adapted_layers,
    )
    if settings.compile_layers:
        compile_layers(encoder)
    if settings.checkpoint_activations:
        recompute(encoder)
    return encoder, tokenizer
