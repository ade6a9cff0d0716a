"""System B's per-user step beside reading the votes it rests on: a million users' own weights,
the network untouched.

A million users x 50 votes is 245 such blocks shared out among the cores; each core's share is timed
on a few.
"""

import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from benchmarks import made
from electorate.population.logged_votes import COLUMNS, LoggedVotes
from electorate.ratings.ties import MODELS
from electorate.rewards import weights
from electorate.rewards.answer_votes import AnswerVotes
from electorate.rewards.weights import PersonalRead
from electorate.storage.run_folder import RunFolder
from electorate.storage.vote_log import VoteLog
from electorate.study.cohort import Cohort

MODELS_N = 24
VOTES = 50
RANK = 16
USERS = 1_000_000
BLOCKS = 8
DAVIDSON = MODELS["davidson"]


def read(prompts: int, tau: float) -> PersonalRead:
    """As a training leaves it, near enough: what is timed does not hang on it."""
    random = np.random.default_rng(0)
    base = random.normal(0, 0.5, (6, prompts * MODELS_N))
    taste = random.normal(0, 0.2, (prompts * MODELS_N, RANK))
    return PersonalRead(
        base, np.full(6, -0.5), taste, random.normal(0, 0.5, (6, RANK)), 0.2, tau, 0.4, MODELS_N
    )


def seconds_of_blocks(blocks: list[int]) -> tuple[float, float, float]:
    """Seconds that one process takes for these blocks: to read their votes, to solve weights
    alone, and weights and offsets.
    """
    electorate = made.electorate(made.config(BLOCKS * 4096, MODELS_N, [VOTES]))
    text, both = (read(electorate.z.shape[0], tau) for tau in (0.0, 0.3))
    with tempfile.TemporaryDirectory() as folder:
        cohort = Cohort(electorate, RunFolder(Path(folder)))
        log = VoteLog(Path(folder) / "votes", electorate.config.contestant_names)
        for block in blocks:
            cohort.judge(0, block)
        start = time.perf_counter()
        parts = [
            LoggedVotes.of_block(log.read(0, block, COLUMNS), block * 4096, 0) for block in blocks
        ]
        reading = time.perf_counter() - start
    battles = [AnswerVotes.of_run(own, np.arange(4096) % 6, MODELS_N) for own in parts]
    found = []
    for model in (text, both):
        weights.solve(model, battles[0].of_users(0, 256), DAVIDSON)
        start = time.perf_counter()
        for own in battles:
            weights.solve(model, own, DAVIDSON)
        found.append(time.perf_counter() - start)
    return reading, found[0], found[1]


def main() -> None:
    """Print seconds a million users, and each as a ratio to reading their votes."""
    os.environ["OMP_NUM_THREADS"] = "1"
    cores = os.cpu_count() or 1
    with ProcessPoolExecutor(cores, get_context("spawn")) as pool:
        shares = list(
            pool.map(seconds_of_blocks, [list(range(BLOCKS))[i::cores] for i in range(cores)])
        )
    reading, text, both = (
        max(times) * USERS / (BLOCKS * 4096) for times in zip(*shares, strict=True)
    )
    print(
        f"System B, own weights of {USERS:,} users from {VOTES} votes each on {cores} cores, from "
        f"{BLOCKS * 4096:,} timed:"
    )
    print(f"  reading their votes {reading:.0f} s")
    print(f"  {RANK} weights {text:.0f} s, {text / reading:.1f} times reading")
    print(
        f"  {RANK} weights and {MODELS_N} offsets {both:.0f} s, {both / reading:.1f} times reading"
    )


if __name__ == "__main__":
    main()
