"""What a training is estimated to hold, beside what autograd keeps of it."""

from pathlib import Path

import pytest
import torch

from electorate.config.reward import Reward
from electorate.config.run import Config
from electorate.rewards import memory, pretrained
from tests.conftest import plain_config
from tests.electorate.rewards.test_packing import ARCHITECTURES, CONFIGS, DECODER

LAYERS = 5
MAX_TOKENS = 80


def saved(kind: str, folder: Path) -> str:
    config = CONFIGS[kind].__class__(
        **(CONFIGS[kind].to_diff_dict() | {"num_hidden_layers": LAYERS, "layer_types": None})
    )
    config.save_pretrained(folder)
    return str(folder)


def reward(source: str, kind: str, **changes: object) -> Reward:
    own = {
        "model": source,
        "score_head": ARCHITECTURES[kind],
        "lora_rank": 4,
        "max_tokens": MAX_TOKENS,
        "tokens_per_pass": 4000,
    }
    return Reward.model_validate(own | changes)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", ["bert", "llama", "phi3", "qwen3"])
def test_the_estimate_is_what_autograd_keeps(kind: str, precision: str, tmp_path: Path) -> None:
    """Within 20% a token and layer, on real tensors, whatever the architecture."""
    settings = reward(saved(kind, tmp_path), kind, precision=precision)
    estimated = memory.kept(settings.model, settings, LAYERS)
    encoder = pretrained.unloaded(settings.model, settings, LAYERS)
    answers = memory.sample(MAX_TOKENS)
    own = [*encoder.parameters(), *encoder.buffers()]
    kept = memory.count_kept(lambda: encoder.one_pass(answers), own) / encoder.cost(answers)
    assert estimated.around + LAYERS * estimated.layer == pytest.approx(kept, rel=0.2)
    assert estimated.layer > 0


def test_parameters_are_counted_to_the_last(tmp_path: Path) -> None:
    source = saved("qwen3", tmp_path)
    settings = reward(source, "qwen3", precision="bfloat16")
    config = Config.model_validate(plain_config(reward=settings.model_dump(mode="json")))
    found = memory.of_training(config, source)
    encoder = pretrained.unloaded(source, settings, LAYERS)
    model = encoder.model
    assert found.weights == sum(
        p.numel() * p.element_size() for p in model.parameters() if not p.requires_grad
    )
    adapter = sum(p.numel() for p in encoder.parameters() if p.requires_grad)
    assert found.trained >= memory.TRAINED_BYTES * adapter
    assert found.total == found.weights + found.trained + found.kept + found.working


def test_what_one_sets_to_need_less_makes_it_need_less(tmp_path: Path) -> None:
    source = saved("llama", tmp_path)

    def total(**changes: object) -> int:
        settings = reward(source, "llama", **changes).model_dump(mode="json")
        return memory.of_training(Config.model_validate(plain_config(reward=settings)), source).kept

    assert total(tokens_per_pass=1000) == pytest.approx(total() / 4, rel=0.01)
    assert total(checkpoint_activations=True) < total() / 2


def test_recomputed_layers_keep_as_much_as_is_said(tmp_path: Path) -> None:
    """The inputs of the layers, and one layer while it is run again."""
    source = saved("llama", tmp_path)
    settings = reward(source, "llama", checkpoint_activations=True)
    config = Config.model_validate(plain_config(reward=settings.model_dump(mode="json")))
    encoder = pretrained.unloaded(source, settings, LAYERS)
    pretrained.recompute(encoder)
    answers = memory.sample(MAX_TOKENS)
    own = [*encoder.parameters(), *encoder.buffers()]
    tokens = settings.tokens_per_pass / encoder.cost(answers)
    kept = memory.count_kept(lambda: encoder.one_pass(answers), own) * tokens
    plain = memory.kept(source, settings, LAYERS)
    of_one_layer = plain.layer * settings.tokens_per_pass
    said = memory.of_training(config, source).kept - of_one_layer
    assert said == pytest.approx(kept, rel=0.2)


def test_of_some_adapted_layers_their_own_are_counted(tmp_path: Path) -> None:
    """Those below keep nothing, and the estimate does not take them for the others."""
    source = saved("llama", tmp_path)
    settings = reward(source, "llama", adapted_layers=1)
    config = Config.model_validate(plain_config(reward=settings.model_dump(mode="json")))
    encoder = pretrained.unloaded(source, settings, LAYERS)
    answers = memory.sample(MAX_TOKENS)
    own = [*encoder.parameters(), *encoder.buffers()]
    tokens = settings.tokens_per_pass / encoder.cost(answers)
    found = memory.of_training(config, source)
    kept = memory.count_kept(lambda: encoder.one_pass(answers), own) * tokens
    assert found.kept == pytest.approx(kept, rel=0.2)
    assert found.working > 0


def test_no_weight_is_made(tmp_path: Path) -> None:
    """A model of a trillion parameters is counted in a moment."""
    from transformers import LlamaConfig

    huge = DECODER | {"hidden_size": 65_536, "intermediate_size": 262_144}
    huge |= {"num_attention_heads": 64, "num_hidden_layers": 10}
    LlamaConfig(**huge).save_pretrained(tmp_path)
    settings = reward(str(tmp_path), "llama", precision="bfloat16")
    config = Config.model_validate(plain_config(reward=settings.model_dump(mode="json")))
    assert memory.of_training(config, str(tmp_path)).weights > 10**12
    assert torch.get_default_device().type == "cpu"
