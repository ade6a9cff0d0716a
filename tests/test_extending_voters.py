"""The recipe of docs/extending.md for a kind of voters: one declaration, and it votes, is compared
and is served.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from electorate.base.draws import Stream, generator
from electorate.base.pairs import pair_indices
from electorate.base.scale import Floats, Ints
from electorate.config.run import Config
from electorate.config.voters import VOTERS, VoterSettings, VotersSpec
from electorate.data import run_files
from electorate.data.features import AXES
from electorate.online import base as bases
from electorate.population import pairing
from electorate.population.judges import Ballots
from electorate.population.pairing import Pairs
from electorate.population.voters import Casting, PromptTruth, Users
from electorate.ratings.ties import MODELS
from electorate.storage.run_folder import RunFolder
from serve.gallery import Gallery
from tests.conftest import in_process

TIES = MODELS["davidson"]
LOWEST = np.array(-1.0)


class TerseVoters(VoterSettings):
    """Users who like short responses, all alike."""

    kind: Literal["terse"]
    size: int = 100

    def count(self, config: Config) -> int:
        return self.size


@dataclass(frozen=True)
class Terse(Casting):
    """Their utility of a response: utility (P, M), nats."""

    config: Config
    training_prompts: Ints
    prompt_weights: Floats
    utility: Floats

    archetypes = ("everyone",)
    shares = np.ones(1)

    def ballots(self, round_: int, block: int, chosen: Pairs | None = None) -> pa.Table:
        random = generator(self.seed, Stream.VOTES, block, round_)
        users = self.block(block).user_id
        first, votes = self.steps(round_)
        shape = (len(users), votes)
        pairs = pairing.uniform(random, shape, self.models) if chosen is None else chosen
        prompt = random.choice(self.training_prompts, shape)
        odds = TIES.probabilities(
            self.utility[prompt, pairs.a] - self.utility[prompt, pairs.b], LOWEST
        )
        outcome = (random.random((*shape, 1)) > odds.cumsum(axis=-1)[..., :2]).sum(axis=-1)
        return Ballots(prompt, pairs, odds, outcome).table(users, first, "terse")

    def truths(self, users: Users, prompts: Ints) -> Iterator[PromptTruth]:
        a, b = pair_indices(self.models)
        for prompt in prompts:
            utility = np.tile(self.utility[prompt], (len(users), 1))
            yield PromptTruth(utility, TIES.probabilities(utility[:, a] - utility[:, b], LOWEST))

    def truth_prompts(self, test: Ints) -> Ints:
        return test

    def overall(self, users: Users) -> Floats:
        return np.tile(self.utility.mean(axis=0), (len(users), 1))


def of_run(folder: RunFolder) -> Terse:
    config = run_files.read_config(folder)
    prompts = run_files.read_prompts(folder)
    z = run_files.read_features(folder, len(prompts), config.contestant_names)
    even = np.full((1, len(prompts)), 1 / len(prompts))
    return Terse(config, prompts.ids("train"), even, -2.0 * z[..., AXES.index("length")])


@pytest.fixture
def terse() -> Iterator[None]:
    VOTERS.register(VotersSpec("terse", "users who like short responses", TerseVoters, of_run))
    yield
    VOTERS.unregister("terse")


def test_a_kind_of_voters_votes_is_compared_and_served(
    terse: None, stored: Callable[..., Path], tmp_path: Path
) -> None:
    changes: dict[str, Any] = {
        "voters": {"kind": "terse", "size": 300},
        "population": None,
        "votes": {"checkpoints": [5, 30]},
        "evaluation": {"users": 60, "bootstrap": 50},
    }
    config = stored(**changes)
    run = RunFolder(tmp_path / "run")
    done = in_process("run", config, "--out", run.path)
    assert done.returncode == 0, done.stderr
    assert pq.read_table(run.personas).num_rows == 300
    at = {
        row["system"]: row["value"]
        for row in pq.read_table(run.metrics).to_pylist()
        if (row["votes_per_user"], row["prompts"], row["metric"]) == (30, "overall", "kendall_tau")
        and row["segment"] == "all"
    }
    # They are all alike, so one ranking has it, and is no worse than anybody's own.
    assert at["global_bt"] > 0.8
    assert at["elo_offset"] > at["global_bt"] - 0.1
    assert {"segment_bt", "oracle"} <= set(at)
    assert "oracle_features" not in at
    assert run.report.exists()
    assert Gallery(bases.of_folder(Path(run.path))).curves
    # Pairs may be chosen by what is known, as planted voters' are.
    active = RunFolder(tmp_path / "active")
    done = in_process("run", config, "--set", "votes.pairing=active", "--out", active.path)
    assert done.returncode == 0, done.stderr
    shown = in_process("run", "--help").stdout
    assert "terse" in shown
    assert "users who like short responses" in shown
    done = in_process("run", config, "--set", "voters.sise=3", "--out", tmp_path / "no")
    assert done.returncode == 2
    assert "voters.sise: unknown key; did you mean size? allowed are kind, size" in done.stderr
