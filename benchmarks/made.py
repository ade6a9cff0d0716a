"""What several benchmarks need: an electorate over made answers, and who its blocks' votes are."""

import numpy as np
import pyarrow as pa

from electorate import founding, prompts
from electorate.config import Config
from electorate.config_file import dump
from electorate.features import AXES, standardise
from electorate.personas import Electorate
from electorate.scale import Floats
from electorate.storage import files
from electorate.storage.run_folder import RunFolder

ARCHETYPES = ("coder", "academic", "creative_writer", "student", "business", "everyday")


def config(size: int, contestants: int, checkpoints: list[int], seed: int = 0, **population: object) -> Config:
    """A config whose answers are made, not asked for."""
    return Config.model_validate(
        {
            "seed": seed,
            "models": {"m": {"engine": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "m"}},
            "contestants": [{"name": f"c{i}", "model": "m"} for i in range(contestants)],
            "population": {"size": size, "archetypes": {name: {} for name in ARCHETYPES}, **population},
            "votes": {"checkpoints": checkpoints},
        }
    )


def measures(of: Config) -> Floats:
    """(P, M, D) measures of made answers: each contestant has a manner, and each answer its own."""
    random, chosen = np.random.default_rng(of.seed), prompts.select(of)
    manner = random.normal(size=(1, len(of.contestants), len(AXES)))
    return standardise(manner + 0.7 * random.normal(size=(len(chosen), len(of.contestants), len(AXES))))


def electorate(of: Config) -> Electorate:
    """Founded on made answers."""
    return founding.found(of, prompts.select(of), measures(of))


def run_folder(of: Config, folder: RunFolder) -> RunFolder:
    """A run's folder as it is once the answers are in."""
    flat = measures(of).reshape(-1, len(AXES))
    files.write_text(folder.config, dump(of))
    files.write_table(folder.prompts, prompts.select(of).table())
    files.write_table(folder.features, pa.table({axis: flat[:, i] for i, axis in enumerate(AXES)}))
    return folder
