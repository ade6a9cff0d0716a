from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from electorate.evaluation import findings
from electorate.evaluation.user_report import NULLS, OWN, BlockReport
from electorate.population.tally import Tally
from electorate.population.voters import ADVERSARIAL, BLOCK, CARELESS, CONDUCTS, SINCERE
from electorate.ratings import fixed_point, offsets, prompt_sample
from electorate.ratings.ties import MODELS
from electorate.storage.run_folder import RunFolder
from electorate.study.cohort import Cohort
from tests.conftest import made_config
from tests.electorate.population.test_personas import made_electorate, population


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[BlockReport, Path]]:
    """A block's user report by kind of population; each is made once."""

    @cache
    def once(**changes: float) -> tuple[BlockReport, Path]:
        return take(tmp_path_factory.mktemp("report"), **changes)

    return once


def take(folder: Path, votes: int = 50, **changes: float) -> tuple[BlockReport, Path]:
    """A block's user report after so many votes, by the prior that its votes show."""
    config = made_config(
        population=population(size=BLOCK, **changes), votes={"checkpoints": [votes // 2, votes]}
    )
    electorate = made_electorate(config)
    cohort = Cohort(electorate, RunFolder(folder))
    tally = Tally(electorate)
    ties = MODELS[config.ratings.ties]
    for round_ in (0, 1):
        tally.ingest(round_, 0, cohort.judge(round_, 0))
    whole, _ = tally.rate(1, ties, 1000.0)

    users = offsets.InMemory([cohort.user_votes(1, 0, "true")], ties)
    plain = offsets.fit(users, whole, len(electorate.archetypes))
    prior = offsets.with_factors(users, whole, plain, 8)
    sums = cohort.offset_sums(1, 0, 1, "true", prior, [], True)
    scores = cohort.prompt_scores(1, 0, "true", prior)
    moments = cohort.moments(1, 0, "true", prior)
    doubtful = prompt_sample.doubtful(prior, whole, sums, scores, moments, electorate.unseen)
    found = cohort.report_users(1, 0, prior, doubtful, whole.strength)
    return found, RunFolder(folder).users / "block=0.parquet"


def test_every_persona_has_a_row_with_what_is_known_of_it(
    taken: Callable[..., tuple[BlockReport, Path]],
) -> None:
    found, path = taken(heterogeneity=1.0)
    table = pq.read_table(path)
    assert table.num_rows == BLOCK
    assert table["votes"].to_pylist() == [50] * BLOCK
    first = np.column_stack([table[f"c{m}_first"].to_numpy() for m in range(6)])
    rating = np.column_stack([table[f"c{m}"].to_numpy() for m in range(6)])
    assert first.sum(axis=1) == pytest.approx(1.0, abs=1e-5)
    assert (first.argmax(axis=1) == rating.argmax(axis=1)).mean() > 0.95
    assert np.all(table["c0_sd"].to_numpy() > 0)
    for i, null in enumerate(NULLS):
        probability = found.null_draws[:, i].mean(axis=1) / OWN
        assert np.array_equal(table[f"p_same_{null}"].to_numpy(), probability.astype(np.float32))


@pytest.mark.parametrize("heterogeneity", [0.0, 0.5, 1.0])
def test_no_more_false_discoveries_than_allowed(
    taken: Callable[..., tuple[BlockReport, Path]], heterogeneity: float
) -> None:
    found, _ = taken(heterogeneity=heterogeneity)
    for i, null in enumerate(NULLS):
        said = findings.differing(found.null_draws[:, i] / OWN, found.null[:, i], 0.1)
        # Few said to differ are few to judge the rate by.
        assert said["realised_fdr"] <= 0.1 + 2 * np.sqrt(0.09 / max(1, said["said_to_differ"])), (
            null
        )
        if heterogeneity == 0:
            assert said["said_to_differ"] == 0
        if heterogeneity == 1 and null == "order":
            assert said["power"] > 0.3


def test_planted_careless_and_adversarial_voters_are_found(
    taken: Callable[..., tuple[BlockReport, Path]],
) -> None:
    found, _ = taken(careless=0.1, adversarial=0.05, heterogeneity=0.5)
    for kind, least in ((CARELESS, 0.8), (ADVERSARIAL, 0.8)):
        own = (found.conduct == kind) | (found.conduct == SINCERE)
        assert findings.auc(found.suspicion[own], found.conduct[own] == kind) > least, CONDUCTS[
            kind
        ]


def test_votes_are_counted_by_conduct_and_suspicion(
    taken: Callable[..., tuple[BlockReport, Path]],
) -> None:
    found, _ = taken(careless=0.1, adversarial=0.05, heterogeneity=0.5)
    assert found.counts.votes == 50 * BLOCK
    group = found.counts.place // (6 * 6 * 3)
    by_group = np.bincount(group, fixed_point.real(found.counts.weight), 6).reshape(3, 2)
    assert by_group[CARELESS].sum() == 50 * (found.conduct == CARELESS).sum()
    assert by_group[:, 1].sum() == 50 * (found.suspicion > 0).sum()
