"""Who differs from everybody: the false discovery proportion on the answers of finished runs.

Anew for each seed and heterogeneity, personas are drawn on a run's answers, vote 50 times each,
System A is fitted to their votes, and who differs is said at a nominal false discovery rate of
10%. Printed are the realised proportion among those said to differ, and the power.
"""

import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from benchmarks import made
from benchmarks.made import Differing
from electorate.config.run import Config
from electorate.data import run_files
from electorate.evaluation.user_report import NULLS
from electorate.population import planted
from electorate.population.planted import Planted
from electorate.storage.run_folder import RunFolder

SEEDS = 5
HETEROGENEITIES = (0.5, 1.0, 2.0)
PERSONAS = 8192
VOTES = 50
RATE = 0.1
POWER = 0.38  # at heterogeneity 1


def plant(answers: Path, seed: int, heterogeneity: float) -> Planted:
    """Personas of the answers in a finished run's folder."""
    folder = RunFolder(answers)
    config = run_files.read_config(folder)
    content = config.model_dump(mode="json", exclude_unset=True)
    content["seed"] = seed
    content["population"] |= {"size": PERSONAS, "heterogeneity": heterogeneity}
    content["votes"] = {"checkpoints": [VOTES]}
    content.pop("reward", None)
    content["evaluation"] = {}
    config = Config.model_validate(content)
    prompts = run_files.read_prompts(folder)
    z = run_files.read_features(folder, len(prompts), config.contestant_names)
    return planted.plant(config, prompts, z)


def measure(answers: Path, seed: int, heterogeneity: float) -> list[Differing]:
    """For each null, what is found of one draw."""
    with made.fitted(plant(answers, seed, heterogeneity)) as of:
        return of.differing(RATE)


def main(runs: Sequence[Path]) -> None:
    """Print a row a run, heterogeneity and null: the mean over seeds, and each seed's."""
    cells = [(run, h, seed) for run in runs for h in HETEROGENEITIES for seed in range(SEEDS)]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        done = [pool.submit(measure, run, seed, h) for run, h, seed in cells]
        for first in range(0, len(cells), SEEDS):
            run, heterogeneity, _ = cells[first]
            draws = [one.result() for one in done[first : first + SEEDS]]
            for i, null in enumerate(NULLS):
                of = [draw[i] for draw in draws]
                realised = [float(one["realised_fdr"] or 0.0) for one in of]
                powers = [float(one["power"] or 0.0) for one in of]
                print(
                    f"{run.name}, H = {heterogeneity}, {null}: false discoveries "
                    f"{np.mean(realised):.1%} (at most {RATE:.0%}; "
                    f"{', '.join(f'{x:.1%}' for x in realised)}), power {np.mean(powers):.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main([Path(run) for run in sys.argv[1:]])
