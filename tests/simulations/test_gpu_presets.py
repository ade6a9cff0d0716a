"""The presets for GPUs fit the GPUs that they are named for, by the sizes of their models."""

import json
from pathlib import Path
from typing import Any

import pytest

from cluster import placement
from cluster.placement import Room
from electorate.base.errors import ElectorateError
from electorate.config import config_file
from electorate.config.engines import VllmModel
from electorate.config.run import Config
from electorate.inference.engine_memory import of_engine
from simulations import memory, plan

GIB = 2**30
TOLD = 0.98  # of its nominal size is what the driver tells of a GPU
QWEN3 = {"model_type": "qwen3", "head_dim": 128, "num_key_value_heads": 8, "vocab_size": 151_936}
LLAMA = {"model_type": "llama", "num_key_value_heads": 8, "vocab_size": 128_256}


def shape(of: dict[str, Any], *sizes: int, tied: bool = False, **more: Any) -> dict[str, Any]:
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    own = dict(zip(names, sizes, strict=True))
    return of | own | {"tie_word_embeddings": tied, "max_position_embeddings": 40_960} | more


# As the models' own config.json files have them, with what each is known to weigh, billions of
# parameters.
SHAPES = {
    "Qwen/Qwen3-0.6B": (shape(QWEN3, 1024, 3072, 28, 16, tied=True), 0.6),
    "Qwen/Qwen3-1.7B": (shape(QWEN3, 2048, 6144, 28, 16, tied=True), 1.7),
    "Qwen/Qwen3-4B-Instruct-2507": (shape(QWEN3, 2560, 9728, 36, 32, tied=True), 4.0),
    "Qwen/Qwen3-8B": (shape(QWEN3, 4096, 12_288, 36, 32), 8.2),
    "Qwen/Qwen3-14B": (shape(QWEN3, 5120, 17_408, 40, 40), 14.8),
    "Qwen/Qwen3-32B": (shape(QWEN3, 5120, 25_600, 64, 64), 32.8),
    "meta-llama/Llama-3.2-1B-Instruct": (
        shape(LLAMA, 2048, 8192, 16, 32, tied=True, head_dim=64),
        1.24,
    ),
    "meta-llama/Llama-3.2-3B-Instruct": (
        shape(LLAMA, 3072, 8192, 28, 24, tied=True, head_dim=128),
        3.2,
    ),
    "meta-llama/Llama-3.1-8B-Instruct": (shape(LLAMA, 4096, 14_336, 32, 32), 8.0),
    "meta-llama/Llama-3.3-70B-Instruct": (shape(LLAMA, 8192, 28_672, 80, 64), 70.6),
    "Skywork/Skywork-Reward-V2-Qwen3-0.6B": (shape(QWEN3, 1024, 3072, 28, 16, tied=True), 0.6),
    "Skywork/Skywork-Reward-V2-Llama-3.1-8B": (shape(LLAMA, 4096, 14_336, 32, 32), 7.5),
}
PRESETS = {
    "gpu_24gb": (1, 24),
    "gpu_80gb": (1, 80),
    "gpu_8x80gb": (8, 80),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder a model, with its config alone."""
    folder = tmp_path_factory.mktemp("models")
    for name, (content, _) in SHAPES.items():
        own = folder / name
        own.mkdir(parents=True)
        labels = {"id2label": {"0": "reward"}, "label2id": {"reward": 0}}
        kind = "Qwen3" if content["model_type"] == "qwen3" else "Llama"
        architectures = [f"{kind}ForSequenceClassification"] if "Skywork" in name else []
        full = content | {"architectures": architectures} | (labels if architectures else {})
        (own / "config.json").write_text(json.dumps(full))
    return folder


def preset(name: str, models: Path) -> Config:
    """With the models' files in this folder instead of the hub."""
    config = config_file.load(Path("configs") / f"{name}.yaml")
    content = config.model_dump(mode="json", exclude_unset=True)
    for model in content["models"].values():
        model["source"] = str(models / model["source"])
    content["reward"]["model"] = str(models / content["reward"]["model"])
    return Config.model_validate(content)


def served(config: Config) -> dict[str, VllmModel]:
    return {name: m for name, m in config.models.items() if isinstance(m, VllmModel)}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_fits_the_gpus_it_is_named_for(name: str, models: Path) -> None:
    gpus, gigabytes = PRESETS[name]
    config = preset(name, models)
    needs = memory.of_run(config, served(config))
    assert len(needs) == len(config.models) + 1
    memory.require(needs, int(TOLD * gigabytes * GIB))
    node = {"CPU": 32.0, "GPU": float(gpus), "node:__internal_head__": 1.0}
    placement.require(plan.of_run(config, served(config)), Room([node]))


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_refused_on_half_of_such_a_gpu(name: str, models: Path) -> None:
    _, gigabytes = PRESETS[name]
    config = preset(name, models)
    needs = memory.of_run(config, served(config))
    with pytest.raises(ElectorateError) as error:
        memory.require(needs, gigabytes * GIB // 2)
    assert "GiB of a GPU (weights " in str(error.value)
    assert "max_model_len" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_training_that_does_not_fit_names_what_to_set(models: Path) -> None:
    config = preset("gpu_24gb", models)
    reward = config.reward
    assert reward is not None
    large = config.model_copy(
        update={"reward": reward.model_copy(update={"tokens_per_pass": 65_536})}
    )
    (need,) = memory.of_run(large, {})
    with pytest.raises(ElectorateError) as error:
        memory.require([need], 24 * GIB)
    said = str(error.value)
    assert said.startswith("reward needs about ")
    assert "a pass of 65,536 tokens" in said
    assert "lower reward.tokens_per_pass, or set reward.checkpoint_activations: true" in said
    memory.require([need], None)  # where no GPU tells its size nothing is refused


@pytest.mark.parametrize("name", [name for name in SHAPES if "Skywork" not in name])
def test_an_engines_weights_are_what_the_model_is_known_to_weigh(name: str, models: Path) -> None:
    model = VllmModel(engine="vllm", source=name, engine_kwargs={"max_model_len": 1024})
    found = of_engine(model, str(models / name))
    assert found is not None
    assert found.weights / 2 / 10**9 == pytest.approx(SHAPES[name][1], rel=0.03)
    assert found.longest == 1024


def test_where_the_size_is_not_known_nothing_is_refused(models: Path, tmp_path: Path) -> None:
    quantised = VllmModel(engine="vllm", source="m", engine_kwargs={"quantization": "awq"})
    assert of_engine(quantised, str(models / "Qwen/Qwen3-0.6B")) is None
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "no_such_thing"}))
    assert of_engine(VllmModel(engine="vllm", source="m"), str(tmp_path)) is None
