"""A million personas' 50 votes each, drawn, judged, logged and counted by two cohorts on Ray:
beside a bare NumPy loop that computes the same votes' utilities and outcomes and keeps
nothing, beside a tenth of them, and in how much memory. And the evaluation, beside SciPy's
rank correlations called one by one.
"""

import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import ray
from scipy.stats import kendalltau, spearmanr

from actors.cohort import CohortActor
from actors.pool import CohortPool
from actors.ranking import RankingActor
from benchmarks import made
from cluster.session import connected
from electorate.evaluation import predictions, scoring
from electorate.population import judges, personas, planted
from electorate.population.personas import Electorate
from electorate.population.voters import BLOCK
from electorate.ratings.ties import MODELS
from electorate.storage.run_folder import RunFolder

SIZES = (100_000, 1_000_000)
VOTES = 50
MODELS_N = 24
SLOWER = 3.0
GROWTH = 1.3
MEMORY_GB = 8.0


class Memory:
    """The most memory this process and its children had together (proportional set size),
    sampled twice a second.
    """

    def __init__(self) -> None:
        self.peak = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        own = psutil.Process()
        while not self._over.wait(0.5):
            total = 0
            for process in [own, *own.children(recursive=True)]:
                try:
                    total += process.memory_full_info().pss
                except psutil.Error:
                    continue
            self.peak = max(self.peak, total / 1e9)


def bare(electorate: Electorate, blocks: int) -> float:
    """Seconds of a plain NumPy loop over so many blocks: random battles, utilities,
    probabilities, outcomes.
    """
    random = np.random.default_rng(0)
    z = electorate.z
    theta = electorate.strength
    start = time.perf_counter()
    for _ in range(blocks):
        taste = random.normal(size=(BLOCK, z.shape[2]))
        scale = np.exp(0.3 * random.normal(size=(BLOCK, 1)))
        threshold = 0.8 * np.exp(0.3 * random.normal(size=(BLOCK, 1)))
        bias = 0.2 * random.normal(size=(BLOCK, 1))
        prompt = random.choice(electorate.training_prompts, (BLOCK, VOTES))
        a = random.integers(0, MODELS_N, (BLOCK, VOTES))
        b = (a + random.integers(1, MODELS_N, (BLOCK, VOTES))) % MODELS_N
        difference = 2 * (
            scale * (theta[a] - theta[b])
            + ((z[prompt, a] - z[prompt, b]) * taste[:, None]).sum(axis=-1)
        )
        shift = np.where(random.integers(0, 2, (BLOCK, VOTES)) == 0, bias, -bias)
        p_a = 1 / (1 + np.exp(threshold - difference - shift))
        p_b = 1 / (1 + np.exp(threshold + difference + shift))
        luck = random.random((BLOCK, VOTES))
        _ = (luck >= p_a).astype(np.int8) + (luck >= p_a + p_b)
    return time.perf_counter() - start


def voted(folder: Path, size: int) -> float:
    """Seconds that two cohorts take for everybody's votes, once they are up."""
    run = made.run_folder(made.config(size, MODELS_N, [VOTES]), RunFolder(folder))
    ranking = RankingActor.remote(run.path)
    blocks = planted.of_run(run).blocks
    pool = CohortPool([CohortActor.options(num_cpus=0.5).remote(run.path) for _ in range(2)])
    ray.get([actor.ping.remote() for actor in pool.actors])
    start = time.perf_counter()
    for _ in pool.run(
        [(0, block) for block in range(blocks)],
        lambda actor, places: actor.vote.remote("judge", ranking, places, None),
    ):
        pass
    assert ray.get(ranking.votes.remote()) == size * VOTES
    return time.perf_counter() - start


def evaluation() -> tuple[float, float]:
    """Seconds a ranking (of a user, on a prompt): all metrics by ours; Kendall's tau and Spearman's
    rho alone by SciPy.
    """
    electorate = made.electorate(made.config(256, MODELS_N, [VOTES]))
    people = personas.draw(electorate, 0)
    prompts = np.arange(electorate.z.shape[0])
    system = predictions.Strengths(
        electorate.strength + np.zeros((256, 1)), np.full(256, -0.5), MODELS["davidson"]
    )
    scoring.score({"one": system}, electorate, people, prompts[:2])
    start = time.perf_counter()
    scoring.score({"one": system}, electorate, people, prompts)
    ours = (time.perf_counter() - start) / (2 * 256 * len(prompts))  # the oracle is scored too
    truth = judges.utilities(electorate, people.take(np.arange(20)), prompts[:20]).reshape(
        -1, MODELS_N
    )
    start = time.perf_counter()
    for own in truth:
        kendalltau(electorate.strength, own)
        spearmanr(electorate.strength, own)
    return ours, (time.perf_counter() - start) / len(truth)


def main() -> None:
    """Print each figure beside its reference."""
    electorate = made.electorate(made.config(BLOCK, MODELS_N, [VOTES]))
    blocks = -(-SIZES[-1] // BLOCK)
    alone = bare(electorate, blocks)
    with tempfile.TemporaryDirectory() as scratch, connected(None, 2.0), Memory() as memory:
        seconds = [voted(Path(scratch) / str(size), size) for size in SIZES]
    per_vote = [1e9 * s / (size * VOTES) for s, size in zip(seconds, SIZES, strict=True)]
    print(
        f"{SIZES[-1]:,} personas x {VOTES} votes, {MODELS_N} contestants, 2 cohorts: "
        f"drawn, judged, logged and counted in {seconds[-1]:.0f} s"
    )
    print(
        f"  {seconds[-1] / alone:.2f} times a bare NumPy loop in one process, {alone:.0f} s (at "
        f"most {SLOWER:g} asked)"
    )
    print(
        f"  {per_vote[1]:.0f} ns a vote; {per_vote[1] / per_vote[0]:.2f} times that of "
        f"{SIZES[0]:,} personas (at most {GROWTH:g} asked)"
    )
    print(f"  peak memory of all processes {memory.peak:.1f} GB (at most {MEMORY_GB:g} asked)")
    ours, scipy_ = evaluation()
    print(
        f"evaluation: {1e6 * ours:.0f} us a ranking for all metrics and odds, {1e6 * scipy_:.0f} "
        "us by SciPy for tau and rho alone"
    )


if __name__ == "__main__":
    main()
