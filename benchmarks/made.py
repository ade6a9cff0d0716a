"""What several benchmarks need: an electorate over made answers, and who its blocks' votes are."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from electorate.base.scale import Floats
from electorate.config.config_file import dump
from electorate.config.run import Config
from electorate.data import prompts, run_files
from electorate.data.features import AXES, standardise
from electorate.evaluation import findings
from electorate.evaluation.user_report import NULLS, OWN
from electorate.population import planted
from electorate.population.personas import Electorate
from electorate.population.planted import Planted
from electorate.population.tally import Tally
from electorate.ratings import offsets, prompt_sample
from electorate.ratings.bradley_terry import Fit
from electorate.ratings.prior import Prior
from electorate.ratings.summed import in_order
from electorate.ratings.ties import MODELS
from electorate.ratings.user_votes import UserVotes
from electorate.storage import files
from electorate.storage.run_folder import RunFolder
from electorate.study.cohort import Cohort

Differing = dict[str, float | int | None]  # what findings.differing returns
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


def electorate(of: Config) -> Planted:
    """Founded on made answers."""
    return planted.plant(of, prompts.select(of), measures(of))


class Fitted(NamedTuple):
    """A population's votes, and System A's fits to them."""

    electorate: Electorate
    cohort: Cohort
    global_fit: Fit
    plain: Prior
    low_rank: Prior

    def votes(self, block: int) -> UserVotes:
        """A block's."""
        return self.cohort.user_votes(0, block, "true")

    def differing(self, rate: float) -> list[Differing]:
        """Who is said to differ at a false discovery rate, by user_report.NULLS."""
        priors = doubtful(self.cohort, self.low_rank, self.global_fit)
        blocks = [
            self.cohort.report_users(0, block, self.low_rank, priors, self.global_fit.strength)
            for block in range(self.electorate.blocks)
        ]
        draws = np.concatenate([block.null_draws for block in blocks]) / OWN
        null = np.concatenate([block.null for block in blocks if block.null is not None])
        return [findings.differing(draws[:, i], null[:, i], rate) for i in range(len(NULLS))]


@contextmanager
def fitted(of: Planted) -> Iterator[Fitted]:
    """The first round's votes of a population, cast and fitted in this process."""
    ties = MODELS[of.config.ratings.ties]
    with tempfile.TemporaryDirectory() as folder:
        cohort = Cohort(of, RunFolder(Path(folder)))
        tally = Tally(of)
        for block in range(of.blocks):
            tally.ingest(0, block, cohort.judge(0, block))
        global_fit, _ = tally.rate(0, ties, of.config.ratings.prior_sd)
        votes = [cohort.user_votes(0, block, "true") for block in range(of.blocks)]
        users = offsets.InMemory(votes, ties)
        plain = offsets.fit(users, global_fit, len(of.archetypes))
        yield Fitted(
            of, cohort, global_fit, plain, offsets.with_factors(users, global_fit, plain, 8)
        )


def doubtful(cohort: Cohort, prior: Prior, global_fit: Fit) -> tuple[Prior, Prior]:
    """The priors by all of which a user must differ; of all votes of the first round."""
    of = cohort.voters
    users = [cohort.user_votes(0, block, "true") for block in range(of.blocks)]
    ties = MODELS[of.config.ratings.ties]
    in_memory = offsets.InMemory(users, ties)
    prompts = of.prompt_weights.shape[1]
    scores = [prompt_sample.block_scores(one, prior, ties, prompts) for one in users]
    return prompt_sample.doubtful(
        prior,
        global_fit,
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
