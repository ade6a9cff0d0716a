"""The null: when personas do not differ, System A must not seem to gain, nor anybody be found to
differ.

At heterogeneity 0 the mean gain in Kendall tau over global_bt, over population seeds, must lie in
[-0.005, +0.002], and be significantly positive in at most 3 of 20; realised false discoveries must
stay under the nominal rate at any heterogeneity. In one process, on made answers; the parts are
those that cohorts run.
"""

import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks import made
from electorate.base.scale import Floats
from electorate.evaluation import findings, metrics, user_report
from electorate.evaluation.metrics import Standing
from electorate.evaluation.user_report import OWN
from electorate.population import judges, personas
from electorate.population.personas import Electorate
from electorate.population.tally import Tally
from electorate.ratings import offsets, posteriors
from electorate.ratings.ties import MODELS
from electorate.storage.run_folder import RunFolder
from electorate.study.cohort import Cohort

BOUNDS = (-0.005, 0.002)
SIGNIFICANT = 3
RATE = 0.1
DAVIDSON = MODELS["davidson"]


class Found(NamedTuple):
    """gains: (2, n) of elo_offset and elo_offset_low_rank over global_bt, by persona. said, false:
    (2,) by user_report.NULLS.
    """

    gains: Floats
    said: list[int]
    false: list[float]


def found(
    seed: int, heterogeneity: float, size: int = 3000, contestants: int = 6, votes: int = 50
) -> Found:
    """After so many votes a persona."""
    electorate = made.electorate(
        made.config(size, contestants, [votes], seed, heterogeneity=heterogeneity)
    )
    with tempfile.TemporaryDirectory() as folder:
        return _found(electorate, Cohort(electorate, RunFolder(Path(folder))))


def _found(electorate: Electorate, cohort: Cohort) -> Found:
    tally = Tally(electorate)
    blocks = range(electorate.blocks)
    for block in blocks:
        tally.ingest(0, block, cohort.judge(0, block))
    whole, _ = tally.rate(0, DAVIDSON, 1000.0)

    users = offsets.InMemory([cohort.user_votes(0, block, "true") for block in blocks], DAVIDSON)
    plain = offsets.fit(users, whole, len(electorate.archetypes))
    low_rank = offsets.with_factors(users, whole, plain, 8)
    gains = []
    doubtful = made.doubtful(cohort, low_rank, whole)
    taken = [cohort.report_users(0, block, low_rank, doubtful, whole.strength) for block in blocks]
    for block in blocks:
        truth = Standing(judges.mean_utilities(electorate, personas.draw(electorate, block)))
        of_all = metrics.kendall_tau(Standing(whole.strength), truth)
        own = [
            posteriors.posterior(cohort.user_votes(0, block, "true"), p, DAVIDSON).mode[:, :-1]
            for p in (plain, low_rank)
        ]
        gains.append([metrics.kendall_tau(Standing(mode), truth) - of_all for mode in own])
    p, null = (
        np.concatenate([getattr(block, name) for block in taken]) for name in ("null_draws", "null")
    )
    said = [findings.differing(p[:, i] / OWN, null[:, i], RATE) for i in range(2)]
    return Found(
        np.concatenate(gains, axis=1),
        [s["said_to_differ"] for s in said],
        [s["realised_fdr"] for s in said],
    )


def gain(seed: int, heterogeneity: float) -> float:
    """Mean over personas of tau(elo_offset) - tau(global_bt) after 50 votes."""
    return float(found(seed, heterogeneity).gains[0].mean())


def main(seeds: int = 20) -> None:
    """Print the null beside its bounds, and the false discoveries beside their rate."""
    null = [found(seed, 0.0) for seed in range(seeds)]
    print(
        f"null (heterogeneity 0), gain over global_bt in Kendall tau, {seeds} seeds x 3,000 "
        "personas x 50 votes:"
    )
    for i, system in enumerate(("elo_offset", "elo_offset_low_rank")):
        means = np.array([one.gains[i].mean() for one in null])
        errors = np.array([one.gains[i].std() / np.sqrt(one.gains.shape[1]) for one in null])
        inside = BOUNDS[0] <= means.mean() <= BOUNDS[1]
        clear = int((means > 1.96 * errors + 1e-12).sum())
        print(
            f"  {system}: mean {means.mean():+.5f}, reference [{BOUNDS[0]:+.3f}, "
            f"{BOUNDS[1]:+.3f}] {'inside' if inside else 'OUTSIDE'}; ",
            end="",
        )
        print(f"significantly positive in {clear} of {seeds} (at most {SIGNIFICANT})")
    print(
        f"personas said to differ by mistake, at most {RATE:.0%} allowed (24 contestants, 8,192 "
        "personas, 50 votes, 2 seeds):"
    )
    in_order, first = (sum(one.said[i] for one in null) for i in range(2))
    print(
        f"  heterogeneity 0 (the seeds above): {in_order} said to differ in order, {first} in "
        "first model"
    )
    for heterogeneity in (0.5, 1.0):
        both = [found(seed, heterogeneity, 8192, 24) for seed in range(2)]
        for i, name in enumerate(user_report.NULLS):
            said = sum(one.said[i] for one in both)
            false = sum(one.said[i] * one.false[i] for one in both) / max(1, said)
            print(
                f"  heterogeneity {heterogeneity:g}, {name}: {said:,} said to differ, {false:.1%} "
                "of them by mistake"
            )
    differing = [found(seed, 1.0).gains.mean(axis=1) for seed in range(5)]
    for i, system in enumerate(("elo_offset", "elo_offset_low_rank")):
        own = [gains[i] for gains in differing]
        print(
            f"heterogeneity 1, 5 seeds, {system}: mean {np.mean(own):+.4f}, from {min(own):+.4f} "
            f"to {max(own):+.4f}"
        )


if __name__ == "__main__":
    main()
