"""What an engine of vLLM holds on each of its GPUs, before anything is loaded: its weights, counted
on PyTorch's meta device, and the keys and values of one sequence of the longest it takes.
"""

from dataclasses import dataclass
from typing import Any

from electorate.config.engines import VllmModel

UTILIZATION = 0.9  # of a GPU's memory that vLLM takes where nothing else is asked
# Activations of a prefill, CUDA's own context and its graphs; vLLM measures them when it starts.
BESIDE = 2**30
HALF = 2  # bytes of a number; vLLM takes the model's own precision, which is half nearly always


@dataclass(frozen=True)
class EngineMemory:
    """Bytes on one GPU.

    Attributes:
        weights: of the model, as far as this GPU has them.
        keys: of the keys and values of one sequence of `longest` tokens.
        beside: what else vLLM needs.
        longest: tokens.
    """

    weights: int
    keys: int
    beside: int
    longest: int

    @property
    def total(self) -> int:
        """The least that the engine starts with."""
        return self.weights + self.keys + self.beside


def of_engine(model: VllmModel, source: str) -> EngineMemory | None:
    """Of a model in a folder, or on the hub; None where it is not known: quantised weights, or an
    architecture that transformers cannot build or whose keys are compressed.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    asked = model.engine_kwargs
    try:
        config = AutoConfig.from_pretrained(source)
        quantised = getattr(config, "quantization_config", None) or asked.get("quantization")
        if quantised or hasattr(config, "kv_lora_rank"):
            return None
        with torch.device("meta"):
            numbers = sum(p.numel() for p in AutoModelForCausalLM.from_config(config).parameters())
        a_token = _numbers_a_token(config)
    except (OSError, ValueError, AttributeError, ImportError):
        return None
    size = 2 * HALF if asked.get("dtype") in ("float32", "float") else HALF
    of_key = 1 if str(asked.get("kv_cache_dtype", "")).startswith("fp8") else size
    longest = int(asked.get("max_model_len") or config.max_position_embeddings)
    keys = longest * a_token * of_key
    return EngineMemory(numbers * size // model.gpus, keys // model.gpus, BESIDE, longest)


def _numbers_a_token(config: Any) -> int:
    """That a token's keys and values in all layers are."""
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * heads * width)
