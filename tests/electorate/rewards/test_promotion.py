"""A training is promoted only if it predicts held-out votes better than what is in force."""

from pathlib import Path

import numpy as np
import pytest

from electorate.config.reward import Reward
from electorate.population.personas import Electorate
from electorate.ratings.ties import MODELS
from electorate.rewards import corpus, promotion, store
from electorate.rewards.weights import Read
from electorate.storage.run_folder import RunFolder
from electorate.study.cohort import Cohort
from tests.conftest import made_config
from tests.electorate.population.test_personas import made_electorate, population

SETTINGS = Reward(model="unused", voters=300)


@pytest.fixture
def voted(tmp_path: Path) -> tuple[RunFolder, Electorate]:
    """A run whose votes of three rounds are in."""
    changes = {
        "reward": {"model": "unused"},
        "evaluation": {"systems": ["global_bt", "pooled_rm"]},
        "votes": {"checkpoints": [5, 10, 20]},
    }
    run = RunFolder(tmp_path)
    electorate = made_electorate(made_config(population=population(), **changes))
    for round_ in range(3):
        Cohort(electorate, run).judge(round_, 0)
    return run, electorate


def trained(run: RunFolder, electorate: Electorate, round_: int, noise: float) -> None:
    """What a training left that found the models' planted strengths, but for noise."""
    folder = store.of_round(run, round_)
    folder.mkdir(parents=True)
    random = np.random.default_rng(round_)
    prompts = electorate.z.shape[0]
    strength = electorate.config.judge.decisiveness * electorate.strength + noise * random.normal(
        size=len(electorate.strength)
    )
    store.write_reads(
        folder, {"pooled_rm": Read(np.tile(strength, prompts)[None], np.full(1, -0.5))}
    )


def test_what_is_worse_is_not_promoted(voted: tuple[RunFolder, Electorate]) -> None:
    run, electorate = voted
    for round_, noise in enumerate((0.5, 3.0, 0.0)):
        trained(run, electorate, round_, noise)
    versions: promotion.Versions = {}
    for round_ in range(3):
        versions = promotion.promoted(run, electorate, SETTINGS, round_, versions)
    assert versions == {0: 0, 1: 0, 2: 2}
    store.write_versions(run, versions)
    assert store.read_versions(run) == versions


def test_what_is_as_good_is_not_promoted(voted: tuple[RunFolder, Electorate]) -> None:
    run, electorate = voted
    for round_ in range(2):
        trained(run, electorate, round_, 0.0)
    assert promotion.promoted(run, electorate, SETTINGS, 1, {0: 0}) == {0: 0, 1: 0}


def test_the_loss_is_of_held_out_votes_alone(voted: tuple[RunFolder, Electorate]) -> None:
    run, electorate = voted
    trained(run, electorate, 0, 0.0)
    votes = corpus.votes_of_run(run, electorate, SETTINGS, 1)
    read = store.read(store.of_round(run, 0), "pooled_rm")
    held_out = np.arange(len(votes)) % 3 == 0
    d = read.base[0, votes.answer_a] - read.base[0, votes.answer_b]
    odds = MODELS["davidson"].probabilities(d, np.full(len(d), -0.5))[
        np.arange(len(d)), votes.outcome
    ]
    assert promotion.loss(
        {"pooled_rm": read}, votes, held_out, MODELS["davidson"]
    ) == pytest.approx(-np.log(odds[held_out]).mean())
