"""What several benchmarks need: an electorate over made answers, and who its blocks' votes are."""

import numpy as np

from electorate.base.scale import Floats
from electorate.config.config_file import dump
from electorate.config.run import Config
from electorate.data import prompts, run_files
from electorate.data.features import AXES, standardise
from electorate.population import planted
from electorate.population.personas import Electorate
from electorate.ratings import offsets, prompt_sample
from electorate.ratings.bradley_terry import Fit
from electorate.ratings.prior import Prior
from electorate.ratings.summed import in_order
from electorate.ratings.ties import MODELS
from electorate.storage import files
from electorate.storage.run_folder import RunFolder
from electorate.study.cohort import Cohort

ARCHETYPES = ("coder", "academic", "creative_writer", "student", "business", "everyday")


def config(
    size: int, contestants: int, checkpoints: list[int], seed: int = 0, **population: object
) -> Config:
    """A config whose answers are made, not asked for."""
    return Config.model_validate(
        {
            "seed": seed,
            "models": {
                "m": {"engine": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "m"}
            },
            "contestants": [{"name": f"c{i}", "model": "m"} for i in range(contestants)],
            "population": {
                "size": size,
                "archetypes": {name: {} for name in ARCHETYPES},
                **population,
            },
            "votes": {"checkpoints": checkpoints},
        }
    )


def measures(of: Config) -> Floats:
    """(P, M, D) measures of made answers: each contestant has a manner, and each answer its own."""
    random = np.random.default_rng(of.seed)
    chosen = prompts.select(of)
    manner = random.normal(size=(1, len(of.contestants), len(AXES)))
    return standardise(
        manner + 0.7 * random.normal(size=(len(chosen), len(of.contestants), len(AXES)))
    )


def electorate(of: Config) -> Electorate:
    """Founded on made answers."""
    return planted.plant(of, prompts.select(of), measures(of))


def doubtful(cohort: Cohort, prior: Prior, whole: Fit) -> tuple[Prior, Prior]:
    """The priors by all of which a user must differ; of all votes of the first round."""
    of = cohort.voters
    users = [cohort.user_votes(0, block, "true") for block in range(of.blocks)]
    ties = MODELS[of.config.ratings.ties]
    in_memory = offsets.InMemory(users, ties)
    prompts = of.prompt_weights.shape[1]
    scores = [prompt_sample.block_scores(one, prior, ties, prompts) for one in users]
    return prompt_sample.doubtful(
        prior,
        whole,
        in_order(in_memory.sums(prior, [], everybody=True)),
        in_order(scores),
        in_order(in_memory.moments(prior)),
        of.unseen,
    )


def run_folder(of: Config, folder: RunFolder) -> RunFolder:
    """A run's folder as it is once the answers are in."""
    files.write_text(folder.config, dump(of))
    files.write_table(folder.prompts, prompts.select(of).table())
    features = run_files.features_table(measures(of), of.contestant_names)
    files.write_table(folder.features, features)
    return folder
