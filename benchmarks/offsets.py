"""System A's per-user step beside scipy's L-BFGS-B called for each user: the time of each, and
how far the ratings differ.

A million users x 24 models x 50 votes is 245 such blocks shared out among the cores; each core's
share is timed on a few.
"""

import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from benchmarks import made
from electorate.base.scale import ELO_PER_NAT, Floats, Ints, to_nats
from electorate.ratings import posteriors
from electorate.ratings.prior import Prior
from electorate.ratings.ties import MODELS
from electorate.ratings.user_votes import UserVotes
from electorate.storage.run_folder import RunFolder
from electorate.study.cohort import Cohort

MODELS_N = 24
VOTES = 50
USERS = 1_000_000
BLOCKS = 12
SAMPLED = 300
FASTER = 60
AIM = 100
CLOSER = 0.1
DAVIDSON = MODELS["davidson"]


def votes_of(block: int) -> UserVotes:
    """A block's votes."""
    with tempfile.TemporaryDirectory() as folder:
        cohort = Cohort(
            made.electorate(made.config(BLOCKS * 4096, MODELS_N, [VOTES])), RunFolder(Path(folder))
        )
        cohort.judge(0, block)
        return cohort.user_votes(0, block, "true")


def prior() -> Prior:
    """As a run finds it, near enough: what is timed does not hang on it."""
    return Prior(np.zeros((6, MODELS_N + 1)) - np.eye(MODELS_N + 1)[-1], to_nats(80.0), 0.3)


def seconds_of_blocks(blocks: list[int]) -> float:
    """Seconds that one process takes for these blocks, once it has compiled and has their votes."""
    there = [votes_of(block) for block in blocks]
    posteriors.posterior(there[0], prior(), DAVIDSON)
    start = time.perf_counter()
    for votes in there:
        posteriors.posterior(votes, prior(), DAVIDSON)
    return time.perf_counter() - start


def by_scipy(votes: UserVotes, users: Ints) -> tuple[Floats, float]:
    """Modes of these users by L-BFGS-B with the analytic gradient, and the seconds it took."""
    of = prior()
    precision = 1 / np.diag(prior().covariance)
    modes = []
    own = [np.flatnonzero(votes.user == user) for user in users]
    start = time.perf_counter()
    for user, rows in zip(users, own, strict=True):
        a = votes.a[rows]
        b = votes.b[rows]
        outcome = votes.outcome[rows]
        mean = of.mean[votes.archetype[user]]

        def minus(
            beta: Floats, a: Ints = a, b: Ints = b, outcome: Ints = outcome, mean: Floats = mean
        ) -> tuple[float, Floats]:
            d = beta[a] - beta[b]
            eta = beta[-1:]
            away = beta - mean
            root = np.exp(d / 2)
            nu = np.exp(eta)
            total = root + 1 / root + nu
            won = outcome == 0
            tied = outcome == 2
            value = np.log(total) - np.where(tied, eta, np.where(won, d, -d) / 2)
            slope = np.where(tied, 0.0, np.where(won, 0.5, -0.5)) - (root - 1 / root) / (2 * total)
            gradient = (
                precision * away
                - np.bincount(a, slope, len(beta))
                + np.bincount(b, slope, len(beta))
            )
            gradient[-1] -= (tied - nu / total).sum()
            return float(value.sum() + (precision * away**2).sum() / 2), gradient

        modes.append(
            minimize(
                minus, mean, jac=True, method="L-BFGS-B", options={"ftol": 1e-12, "gtol": 1e-7}
            ).x
        )
    return np.array(modes), time.perf_counter() - start


def main() -> None:
    """Print the ratio for all cores beside one scipy, and the difference."""
    os.environ["OMP_NUM_THREADS"] = "1"
    votes = votes_of(0)
    users = np.random.default_rng(0).choice(votes.users, SAMPLED, replace=False)
    modes, seconds = by_scipy(votes, users)
    by_user = seconds / SAMPLED
    away = (
        np.abs(
            posteriors.posterior(votes, prior(), DAVIDSON).mode[users, :-1] - modes[:, :-1]
        ).max()
        * ELO_PER_NAT
    )
    cores = os.cpu_count() or 1
    with ProcessPoolExecutor(cores, get_context("spawn")) as pool:
        shares = list(
            pool.map(seconds_of_blocks, [list(range(BLOCKS))[i::cores] for i in range(cores)])
        )
    one = max(shares) / (BLOCKS * 4096)
    print(
        f"System A, {MODELS_N} models x {VOTES} votes a user, {BLOCKS * 4096:,} users on {cores} "
        "cores:"
    )
    print(
        f"  {1e6 * one:.1f} us a user ({USERS * one:.0f} s a million); L-BFGS-B for each user "
        f"{1e6 * by_user:.0f} us"
    )
    print(
        f"  {by_user / one:.0f} times as fast (at least {FASTER} asked, aim {AIM}); ratings within "
        f"{away:.4f} Elo (bound {CLOSER})"
    )


if __name__ == "__main__":
    main()
