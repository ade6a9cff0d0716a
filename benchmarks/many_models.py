"""System A on 2,000 models beside 24: 10,000 users of 50 votes each, in bounded memory.

A pass is what the global step needs of every user: its posterior, its part in the archetypes' means
and the evidence at the prior. Each size runs in a process of its own, which tells its peak memory.
"""

import os
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np

from electorate.population.voters import BLOCK
from electorate.ratings import bradley_terry, offsets, posteriors
from electorate.ratings.summed import in_order
from electorate.ratings.ties import DEFAULT, MODELS
from electorate.ratings.user_votes import UserVotes

USERS = 10_000
EACH = 50
FEW = 24
MANY = 2_000
TIES = MODELS[DEFAULT]


def blocks_of(models: int) -> list[UserVotes]:
    """Users who differ, in blocks."""
    random = np.random.default_rng(0)
    found = []
    for first in range(0, USERS, BLOCK):
        users = min(BLOCK, USERS - first)
        strength = random.normal(size=models) + 0.5 * random.normal(size=(users, models))
        user = np.repeat(np.arange(users), EACH)
        a = random.integers(0, models, len(user))
        b = (a + random.integers(1, models, len(user))) % models
        d = strength[user, a] - strength[user, b]
        odds = TIES.probabilities(d, np.full(len(user), -0.5))
        outcome = (random.random(len(user))[:, None] > odds.cumsum(axis=1)[:, :2]).sum(axis=1)
        found.append(
            UserVotes(
                archetype=np.zeros(users, dtype=np.int64), user=user, a=a, b=b, outcome=outcome
            )
        )
    return found


def measured(models: int) -> dict[str, float]:
    """Seconds of the ratings, of a pass and of predicting a pair for each user; and peak GB."""
    blocks = blocks_of(models)
    weight = np.zeros((models, models, 3))
    for block in blocks:
        np.add.at(weight, (block.a, block.b, block.outcome), 1)
    start = time.perf_counter()
    global_fit = bradley_terry.fit(weight, TIES, 1000.0)
    found = {"ratings": time.perf_counter() - start}
    prior = offsets.first_prior(global_fit, 1)
    posteriors.posterior(blocks[0].of_users(0, 8), prior, TIES)
    users = offsets.InMemory(blocks, TIES)
    start = time.perf_counter()
    sums = in_order(users.sums(prior, [], everybody=True))
    found["pass"] = time.perf_counter() - start
    start = time.perf_counter()
    for block in blocks:
        for _, at in posteriors.by_chunk(block, prior, TIES):
            who = np.arange(at.votes.users)
            at.differences(who, np.zeros_like(who), np.ones_like(who))
    found["predict"] = time.perf_counter() - start
    found["stuck"] = float(sums.stuck)
    found["GB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return found


def main() -> None:
    """Print both sizes and their ratio."""
    os.environ["OMP_NUM_THREADS"] = "1"
    rows = {}
    for models in (FEW, MANY):
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            rows[models] = pool.submit(measured, models).result()
    print(
        f"System A, {USERS:,} users x {EACH} votes, one core: {FEW} models, {MANY:,} models, ratio"
    )
    for name in ("ratings", "pass", "predict", "GB"):
        few = rows[FEW][name]
        many = rows[MANY][name]
        print(f"  {name:8s} {few:8.2f} {many:8.2f} {many / few:8.1f}")
    dense = USERS * (MANY + 1) ** 2 * 8 / 1e9
    stuck = int(rows[FEW]["stuck"] + rows[MANY]["stuck"])
    print(
        f"  a matrix over all models for each user would take {dense:.0f} GB; users not converged: "
        f"{stuck}"
    )


if __name__ == "__main__":
    main()
