"""The null: when personas do not differ, System A must not seem to gain, nor anybody be found to
differ.

At heterogeneity 0 the mean gain in Kendall tau over global_bt, over population seeds, must lie in
[-0.005, +0.002], and be significantly positive in at most 3 of 20; realised false discoveries must
stay under the nominal rate at any heterogeneity. In one process, on made answers; the parts are
those that cohorts run.
"""

from contextlib import AbstractContextManager

import numpy as np

from benchmarks import made
from benchmarks.made import Differing, Fitted
from electorate.base.scale import Floats
from electorate.evaluation import metrics, user_report
from electorate.evaluation.metrics import Standing
from electorate.population import judges, personas
from electorate.ratings import posteriors
from electorate.ratings.ties import MODELS

BOUNDS = (-0.005, 0.002)
SIGNIFICANT = 3
RATE = 0.1
DAVIDSON = MODELS["davidson"]


def drawn(
    seed: int, heterogeneity: float, size: int = 3000, contestants: int = 6, votes: int = 50
) -> AbstractContextManager[Fitted]:
    """A population after so many votes a persona."""
    config = made.config(size, contestants, [votes], seed, heterogeneity=heterogeneity)
    return made.fitted(made.electorate(config))


def gains(of: Fitted) -> Floats:
    """(2, n) of elo_offset and elo_offset_low_rank over global_bt in Kendall tau, by persona."""
    found = []
    for block in range(of.electorate.blocks):
        people = personas.draw(of.electorate, block)
        truth = Standing(judges.mean_utilities(of.electorate, people))
        of_all = metrics.kendall_tau(Standing(of.global_fit.strength), truth)
        own = [
            posteriors.posterior(of.votes(block), prior, DAVIDSON).mode[:, :-1]
            for prior in (of.plain, of.low_rank)
        ]
        found.append([metrics.kendall_tau(Standing(mode), truth) - of_all for mode in own])
    return np.concatenate(found, axis=1)


def gain(seed: int, heterogeneity: float) -> float:
    """Mean over personas of tau(elo_offset) - tau(global_bt) after 50 votes."""
    with drawn(seed, heterogeneity) as of:
        return float(gains(of)[0].mean())


def both(
    seed: int, heterogeneity: float, size: int = 3000, contestants: int = 6
) -> tuple[Floats, list[Differing]]:
    """The gains in a population, and who is said to differ in it, by user_report.NULLS."""
    with drawn(seed, heterogeneity, size, contestants) as of:
        return gains(of), of.differing(RATE)


def _count(found: Differing) -> int:
    return int(found["said_to_differ"] or 0)


def main(seeds: int = 20) -> None:
    """Print the null beside its bounds, and the false discoveries beside their rate."""
    null = [both(seed, 0.0) for seed in range(seeds)]
    print(
        f"null (heterogeneity 0), gain over global_bt in Kendall tau, {seeds} seeds x 3,000 "
        "personas x 50 votes:"
    )
    for i, system in enumerate(("elo_offset", "elo_offset_low_rank")):
        means = np.array([own[i].mean() for own, _ in null])
        errors = np.array([own[i].std() / np.sqrt(own.shape[1]) for own, _ in null])
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
    in_order, first = (sum(_count(found_by_seed[i]) for _, found_by_seed in null) for i in range(2))
    print(
        f"  heterogeneity 0 (the seeds above): {in_order} said to differ in order, {first} in "
        "first model"
    )
    for heterogeneity in (0.5, 1.0):
        found_by_seed = [both(seed, heterogeneity, 8192, 24)[1] for seed in range(2)]
        for i, name in enumerate(user_report.NULLS):
            count = sum(_count(one[i]) for one in found_by_seed)
            mistakes = sum(
                _count(one[i]) * float(one[i]["realised_fdr"] or 0) for one in found_by_seed
            )
            false = mistakes / max(1, count)
            print(
                f"  heterogeneity {heterogeneity:g}, {name}: {count:,} said to differ, {false:.1%} "
                "of them by mistake"
            )
    differing = [both(seed, 1.0)[0].mean(axis=1) for seed in range(5)]
    for i, system in enumerate(("elo_offset", "elo_offset_low_rank")):
        own = [one[i] for one in differing]
        print(
            f"heterogeneity 1, 5 seeds, {system}: mean {np.mean(own):+.4f}, from {min(own):+.4f} "
            f"to {max(own):+.4f}"
        )


if __name__ == "__main__":
    main()
