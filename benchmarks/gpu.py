"""System B on a GPU, with fresh weights in the shape of Skywork-Reward-V2-Qwen3-0.6B: the gradient
steps of a training beside TRL's RewardTrainer and beside the rate at which this GPU multiplies
matrices, a whole run of configs/reward_gpu.yaml, and its endpoint reading texts on the GPU.

    python -m benchmarks.gpu [--part steps|run] [--small]     # small: a few layers on the CPU

Weights drawn at random are as fast as trained ones; how well they rank says nothing.
"""

import argparse
import gc
import json
import signal
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
from benchmarks.load import load, post
from benchmarks.training import decided, text, trl
from electorate.config.reward import TOKENS_PER_PASS, Reward
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
LARGE_PASS = 32_768  # tokens; a GPU of 80 GB holds them
WAYS = [(TOKENS_PER_PASS, False), (LARGE_PASS, False), (LARGE_PASS, True)]
LARGER = 65_536, True  # on a GPU with more than ROOMY bytes
ROOMY = 100 * 2**30
EPOCHS = 2
RANKED = 8
READS = 64
PORT = 8474
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


def cast(folder: Path, small: bool) -> RunFolder:
    """A run whose personas have voted, without a training."""
    config = (ROOT / "configs" / "reward_gpu.yaml").read_text()
    ours_alone = config[: config.index("\nreward:")]
    return run_of(folder / "votes", ours_alone, folder, small, ["--cohorts", "0"])


def whole_run(folder: Path, model: Path, small: bool) -> RunFolder:
    """The preset, with this model and these answers."""
    config = (ROOT / "configs" / "reward_gpu.yaml").read_text()
    settings = {"model": model, "max_tokens": MAX_TOKENS, "epochs": EPOCHS} | (
        {"accelerator": "cpu", "workers": 1, "precision": "float32"}
        if small
        else {"tokens_per_pass": LARGE_PASS}
    )
    settings_given = [f"--set=reward.{name}={value}" for name, value in settings.items()]
    start = time.perf_counter()
    run = run_of(folder / "run", config, folder, small, settings_given)
    seconds = [epoch["seconds"] for epoch in store.read_history(store.of_round(run, 1))]
    print(f"whole run {time.perf_counter() - start:.0f} s; its epochs {seconds} s", flush=True)
    return run


def run_of(
    out: Path, config: str, folder: Path, small: bool, settings_given: list[str]
) -> RunFolder:
    """Run a config on the recording."""
    path = folder / f"{out.name}.yaml"
    path.write_text(config.replace("responses.parquet", str(folder / "responses.parquet")))
    command = [
        sys.executable,
        "-m",
        "simulations",
        "run",
        str(path),
        "--out",
        str(out),
        *settings_given,
    ]
    command += [
        f"--set=population.size={200 if small else 2048}",
        "--set=votes.checkpoints=[10,20]",
    ]
    subprocess.run(command, cwd=ROOT, check=True)
    return RunFolder(out)


class Alone:
    """A training of one form in this process, to time the gradient steps of an epoch."""

    def __init__(
        self, run: RunFolder, model: Path, device: torch.device, tokens: int, compiled: bool
    ) -> None:
        reward = Reward(
            model=str(model),
            max_tokens=MAX_TOKENS,
            precision="float32" if device.type == "cpu" else "bfloat16",
            tokens_per_pass=tokens,
            compile_layers=compiled,
        )
        reader, tokenizer = pretrained.of_settings(reward, str(model), 0)
        self.votes = decided(corpus.of_run(run, planted.of_run(run), reward, 1, tokenizer))
        network = Network(reader, {"pooled_rm": FORMS["pooled_rm"]}, 1, CONTESTANTS, 1, "davidson")
        network.to(device)
        standardise(network, self.votes, 0)
        plan = Plan.of(reward)
        self.training = Training(network, network, self.votes, MODELS["davidson"], 0, plan)
        self.device = device

    def timed(self) -> dict[str, float]:
        """The gradient steps of an epoch, after those of one that is not counted."""
        start = time.perf_counter()
        self.training._learn()
        first = time.perf_counter() - start
        forget(self.device)
        start = time.perf_counter()
        self.training._learn()
        seconds = time.perf_counter() - start
        learned = int(np.isin(self.votes.battles.prompt, self.votes.learned).sum())
        tokens = self._tokens()
        model = self.training.network.encoder.model
        layers = sum(p.numel() for n, p in model.named_parameters() if "embed" not in n)
        return {
            "votes": learned,
            "first": first,
            "seconds": seconds,
            "tokens": tokens,
            "flops": float(TRAINED) * layers * tokens,
            "gib": peak(self.device),
        }

    def _tokens(self) -> int:
        """That an epoch reads; a prompt once for all its answers."""
        reader = self.training.network.encoder
        context = int(reader.model.config.max_position_embeddings)
        rows = [self.votes.rows(np.array([p])) for p in self.votes.learned]
        asked = [[self.votes.answers[row] for row in own] for own in rows]
        passes = [part for answers in asked for part in reader.passes(answers)]
        return sum(len(packing.pack(part, context, True).ids) for part in passes)


def ours(run: RunFolder, model: Path, device: torch.device) -> tuple[float, Corpus]:
    """Print the steps' figures by how they are computed; the most votes a second, and the votes."""
    most = multiplied(device) if device.type == "cuda" else float("nan")
    best = 0.0
    roomy = device.type == "cuda" and torch.cuda.mem_get_info()[1] > ROOMY
    for tokens, compiled in [*WAYS, LARGER] if roomy else WAYS:
        alone = Alone(run, model, device, tokens, compiled)
        found = alone.timed()
        rate = found["votes"] / found["seconds"]
        best = max(best, rate)
        used = found["flops"] / found["seconds"]
        print(
            f"{tokens:,} tokens a pass{', compiled' if compiled else ''}: {rate:,.0f} votes/s, "
            f"{found['tokens'] / found['seconds']:,.0f} tokens/s of {found['tokens']:,}, "
            f"{found['gib']:.1f} GiB; {used / 1e12:.0f} TFLOP/s without attention, "
            f"{used / most:.0%} of the {most / 1e12:.0f} at which matrices are multiplied; first "
            f"epoch {found['first']:.0f} s",
            flush=True,
        )
        votes = alone.votes
        del alone
        gc.collect()
        forget(device)
    return best, votes


def texts_read(run: RunFolder, small: bool) -> None:
    """Rankings of answers to a request's own prompt, by the reward model behind the endpoint."""
    random = np.random.default_rng(1)
    where = "0" if small else "1"
    command = [sys.executable, "-m", "simulations", "serve", str(run.path)]
    command += ["--port", str(PORT), "--reward-gpus", where]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert child.stdout
    try:
        if not any(line.startswith("to try") for line in child.stdout):
            raise RuntimeError("the endpoint ended")
        bodies = [asked(random, small) for _ in range(READS)]
        load(PORT, lambda i: post("/v1/rankings", bodies[i]), 8, 8)
        for connections in (1, 8):
            done = load(PORT, lambda i: post("/v1/rankings", bodies[i]), len(bodies), connections)
            print(
                f"rankings of {RANKED} answers to a prompt of their own, {connections} at once: "
                f"{done.rate:.1f}/s, median {np.median(done.latency) * 1e3:.0f} ms, p99 "
                f"{done.p99_ms:.0f} ms, statuses {done.statuses}",
                flush=True,
            )
    finally:
        child.send_signal(signal.SIGINT)
        child.wait(60)


def asked(random: np.random.Generator, small: bool) -> bytes:
    """A request for a ranking of answers to a new prompt."""
    lines = 2 if small else LINES_AN_ANSWER
    responses = [{"model": f"m{i}", "response": text(random, i % 8, lines)} for i in range(RANKED)]
    return json.dumps({"prompt": text(random, 1, lines), "responses": responses}).encode()


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


def trl_rate(folder: Path, run: RunFolder, model: Path, votes: Corpus, small: bool) -> float:
    """Print what TRL's RewardTrainer makes of the same votes; its votes a second."""
    measured = {
        "model": str(model),
        "threads": torch.get_num_threads(),
        "learning_rate": 2e-4,
        "max_tokens": MAX_TOKENS,
        "lora_rank": 16,
        "gpu": not small,
        "max_steps": TRL_STEPS,
    }
    python = PEER if PEER.exists() else sys.executable
    peer = trl(folder / "trl", run, votes, measured, TRL_BATCH * TRL_STEPS, python)
    rate: float = peer["votes"] / peer["seconds"]
    print(f"TRL: {peer['votes']:,} votes, {rate:,.1f} votes/s, {peer['gib']:.1f} GiB", flush=True)
    return rate


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--small", action="store_true", help="a few layers on the CPU")
    parser.add_argument("--part", choices=("steps", "run"), help="one part alone; default: both")
    chosen = parser.parse_args()
    small = chosen.small
    device = torch.device("cpu" if small else "cuda")
    print("device:", "CPU" if small else torch.cuda.get_device_name(), flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = folder / "model"
        model.mkdir()
        texts = recording(folder / "responses.parquet", small)
        make_model(model, SMALL if small else QWEN3, texts[:200])
        if chosen.part != "run":
            run = cast(folder, small)
            rate, votes = ours(run, model, device)
            theirs = trl_rate(folder, run, model, votes, small)
            print(f"ours {rate / theirs:.0f} times TRL's votes a second", flush=True)
        if chosen.part != "steps":
            texts_read(whole_run(folder, model, small), small)


if __name__ == "__main__":
    main()
