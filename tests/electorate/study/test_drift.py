"""Churn: when tastes drift, votes of old rounds mislead, and a System A that forgets follows
better.
"""

from pathlib import Path

import numpy as np

from electorate.evaluation import metrics
from electorate.evaluation.metrics import Standing
from electorate.population import judges, personas
from electorate.population.tally import Tally
from electorate.ratings import offsets, posteriors
from electorate.ratings.ties import MODELS
from electorate.storage.run_folder import RunFolder
from electorate.study.cohort import Cohort
from tests.conftest import made_config
from tests.electorate.population.test_personas import made_electorate, population

CHECKPOINTS = [15, 30, 45, 60]
LAST = 3


def tau(folder: Path, drift: float, forgetting: float) -> float:
    """Of personal rankings to tastes as they are in the last round."""
    share = population(size=2000, drift=drift, archetype_share=0.0)
    config = made_config(
        population=share, votes={"checkpoints": CHECKPOINTS}, ratings={"forgetting": forgetting}
    )
    electorate = made_electorate(config)
    ties = MODELS["davidson"]
    cohort = Cohort(electorate, RunFolder(folder / f"{drift}-{forgetting}"))
    tally = Tally(electorate)
    for round_ in range(LAST + 1):
        tally.ingest(round_, 0, cohort.judge(round_, 0))
    whole, _ = tally.rate(LAST, ties, 1000.0)

    users = offsets.InMemory([cohort.user_votes(LAST, 0, "true")], ties)
    prior = offsets.fit(users, whole, len(electorate.archetypes))
    mode = posteriors.posterior(cohort.user_votes(LAST, 0, "true"), prior, ties).mode[:, :-1]
    truth = judges.mean_utilities(electorate, personas.draw(electorate, 0, LAST))
    return float(np.mean(metrics.kendall_tau(Standing(mode), Standing(truth))))


def test_forgetting_follows_tastes_that_drift_and_costs_where_they_do_not(tmp_path: Path) -> None:
    assert (
        tau(tmp_path, drift=0.8, forgetting=0.5) > tau(tmp_path, drift=0.8, forgetting=1.0) + 0.01
    )
    assert tau(tmp_path, drift=0.0, forgetting=0.5) < tau(tmp_path, drift=0.0, forgetting=1.0)
