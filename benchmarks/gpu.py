"""System B on a GPU, with fresh weights in the shape of Skywork-Reward-V2-Qwen3-0.6B: one whole
run of configs/reward_gpu.yaml, then its training alone beside TRL's RewardTrainer and beside the
rate at which this GPU multiplies matrices.

    python -m benchmarks.gpu [--small]     # small: a few layers on the CPU, to try the script

Weights drawn at random are as fast as trained ones; how well they rank says nothing.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks.leaderboards import PEER, ROOT
from benchmarks.training import decided, text, trl
from electorate.config import config_file
from electorate.population import planted
from electorate.ratings.ties import MODELS
from electorate.rewards import corpus, packing, pretrained, store
from electorate.rewards.corpus import Corpus
from electorate.rewards.forms import FORMS
from electorate.rewards.network import Network
from electorate.rewards.training import Plan, Training, standardise
from electorate.storage.run_folder import RunFolder

CONTESTANTS = 24
PROMPTS = 72
SMALL_PROMPTS = 12
LINES_A_PROMPT = 34  # of about 9 tokens
LINES_AN_ANSWER = 22
TRL_STEPS = 20
TRL_BATCH = 32
MAX_TOKENS = 1024
LARGEST = 8192  # rows of the matrices whose product says what the GPU can do
TRAINED = 4  # FLOPs a parameter and token: forward, and gradients of activations but not of weights
QWEN3 = {
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 151_936,
    "max_position_embeddings": 40_960,
    "tie_word_embeddings": True,
    "num_labels": 1,
}
SMALL = QWEN3 | {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
)


def make_model(folder: Path, shape: dict[str, Any], texts: list[str]) -> None:
    """A reward model of fresh weights, and a tokenizer learned from the texts."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForSequenceClassification

    bpe = ByteLevelBPETokenizer()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    bpe.train_from_iterator(texts, vocab_size=2000, special_tokens=special, show_progress=False)
    bpe.save(str(folder / "bpe.json"))
    PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "bpe.json"),
        pad_token=special[0],
        eos_token=special[2],
        chat_template=TEMPLATE,
    ).save_pretrained(folder)
    torch.manual_seed(0)
    model = Qwen3ForSequenceClassification(Qwen3Config(**shape, pad_token_id=0))
    model.to(torch.bfloat16).save_pretrained(folder)


def recording(path: Path, small: bool) -> list[str]:
    """Answers of all contestants to all prompts as a Parquet file; returns the texts."""
    random = np.random.default_rng(0)
    prompts = SMALL_PROMPTS if small else PROMPTS
    lines_a_prompt = 2 if small else LINES_A_PROMPT
    lines_an_answer = 2 if small else LINES_AN_ANSWER
    asked = [text(random, 1, lines_a_prompt) for _ in range(prompts)]
    rows = [
        {"prompt": prompt, "model": f"m{i}", "response": text(random, i % 8, lines_an_answer)}
        for prompt in asked
        for i in range(CONTESTANTS)
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return [row[name] for row in rows for name in ("prompt", "response")]


def whole_run(folder: Path, model: Path, small: bool) -> RunFolder:
    """The preset, with this model and these answers."""
    config = (ROOT / "configs" / "reward_gpu.yaml").read_text()
    written = folder / "config.yaml"
    written.write_text(config.replace("responses.parquet", str(folder / "responses.parquet")))
    settings = [
        f"reward.model={model}",
        f"reward.max_tokens={MAX_TOKENS}",
        "reward.epochs=3",
        f"population.size={200 if small else 2048}",
        "votes.checkpoints=[10, 20]",
    ]
    if small:
        settings += ["reward.accelerator=cpu", "reward.workers=1", "reward.precision=float32"]
    out = folder / "run"
    start = time.perf_counter()
    command = [sys.executable, "-m", "simulations", "run", written, "--out", out]
    for setting in settings:
        command += ["--set", setting]
    subprocess.run(command, cwd=ROOT, check=True)
    run = RunFolder(out)
    history = store.read_history(store.of_round(run, 1))
    seconds = [epoch["seconds"] for epoch in history]
    print(f"whole run {time.perf_counter() - start:.0f} s; its epochs {seconds} s", flush=True)
    return run


def ours(run: RunFolder, model: Path, device: torch.device) -> tuple[dict[str, float], Corpus]:
    """The gradient steps of an epoch, after those of one that is not counted."""
    config = config_file.load(run.config)
    reward = config.reward
    assert reward is not None
    reader, tokenizer = pretrained.load(
        str(model), None, True, reward.lora_rank, 0, reward.precision
    )
    votes = decided(corpus.of_run(run, planted.of_run(run), reward, 1, tokenizer))
    network = Network(reader, {"pooled_rm": FORMS["pooled_rm"]}, 1, CONTESTANTS, 1, "davidson")
    network.to(device)
    standardise(network, votes, 0)
    training = Training(network, network, votes, MODELS["davidson"], 0, Plan.of(reward))
    training._learn()
    forget(device)
    start = time.perf_counter()
    training._learn()
    seconds = time.perf_counter() - start
    # A prompt is read once for all its answers.
    asked = [[votes.answers[row] for row in votes.rows(np.array([p]))] for p in votes.learned]
    context = int(reader.model.config.max_position_embeddings)
    passes = [part for answers in asked for part in reader.passes(answers)]
    tokens = sum(len(packing.pack(part, context, True).ids) for part in passes)
    layers = sum(p.numel() for n, p in reader.model.named_parameters() if "embed" not in n)
    learned = int(np.isin(votes.battles.prompt, votes.learned).sum())
    found = {
        "votes": learned,
        "seconds": seconds,
        "tokens": tokens,
        "flops": float(TRAINED) * layers * tokens,
        "gib": peak(device),
    }
    return found, votes


def multiplied(device: torch.device) -> float:
    """FLOP/s of a large product of bfloat16 matrices."""
    a = torch.randn(LARGEST, LARGEST, device=device, dtype=torch.bfloat16)
    for _ in range(3):
        a @ a
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(20):
        a @ a
    torch.cuda.synchronize()
    return 20 * 2 * float(LARGEST) ** 3 / (time.perf_counter() - start)


def forget(device: torch.device) -> None:
    """What was the most memory so far."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak(device: torch.device) -> float:
    """GiB held at most since `forget`; NaN without a GPU."""
    return torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else float("nan")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--small", action="store_true", help="a few layers on the CPU")
    small = parser.parse_args().small
    device = torch.device("cpu" if small else "cuda")
    print("device:", "CPU" if small else torch.cuda.get_device_name(), flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = folder / "model"
        model.mkdir()
        texts = recording(folder / "responses.parquet", small)
        make_model(model, SMALL if small else QWEN3, texts[:200])
        run = whole_run(folder, model, small)
        found, votes = ours(run, model, device)
        forget(device)
        told = {
            "model": str(model),
            "threads": torch.get_num_threads(),
            "learning_rate": 2e-4,
            "max_tokens": MAX_TOKENS,
            "lora_rank": 16,
            "gpu": not small,
            "max_steps": TRL_STEPS,
        }
        python = PEER if PEER.exists() else sys.executable
        peer = trl(folder / "trl", run, votes, told, TRL_BATCH * TRL_STEPS, python)
    rate = found["votes"] / found["seconds"]
    print(
        f"training alone: {found['votes']:,.0f} votes in {found['seconds']:.1f} s, {rate:,.0f} "
        f"votes/s; {found['tokens'] / found['seconds']:,.0f} tokens/s of "
        f"{found['tokens']:,.0f}; {found['gib']:.1f} GiB"
    )
    if not small:
        most = multiplied(device)
        used = found["flops"] / found["seconds"]
        print(
            f"  {used / 1e12:.0f} TFLOP/s without attention, {used / most:.0%} of the "
            f"{most / 1e12:.0f} this GPU multiplies matrices at"
        )
    theirs = peer["votes"] / peer["seconds"]
    print(
        f"TRL: {peer['votes']:,} votes in {peer['seconds']:.1f} s, {theirs:,.1f} votes/s, "
        f"{peer['gib']:.1f} GiB; ours {rate / theirs:.0f} times"
    )


if __name__ == "__main__":
    main()
