"""A run whose System A does not converge: the row has the global ranking, and every place that
prints it says so.
"""

import numpy as np
import pytest

from electorate.evaluation.results import NOT_CONVERGED
from electorate.evaluation.selection import PriorFit
from electorate.evaluation.systems import built
from electorate.population import voters
from electorate.population.logged_votes import LoggedVotes
from electorate.ratings.bradley_terry import Fit
from electorate.ratings.offsets import NotConvergedError
from electorate.ratings.prior import Prior
from electorate.study import systems
from electorate.study.systems import AfterRound
from simulations import sweep
from simulations.report import summary
from tests.conftest import made_config
from tests.electorate.population.test_personas import made_electorate, population

WHY = "System A did not converge in 60 passes"
WHOLE = Fit(np.zeros(6), -0.5, np.eye(7), np.eye(7), np.ones(6), True, 1.0, np.ones(7))


def after_a_round() -> AfterRound:
    config = made_config(population=population(size=50))
    electorate = made_electorate(config)
    people = voters.with_ids(electorate, np.arange(5))
    nobody = np.zeros(0, dtype=np.int64)
    votes = LoggedVotes(
        user=nobody, a=nobody, b=nobody, outcome=nobody, prompt=nobody, round_=nobody
    )
    archetypes = [WHOLE] * len(electorate.archetypes)
    # Neither the pool nor the folder is asked for anything here.
    return AfterRound(electorate, None, None, 0, people, votes, WHOLE, archetypes, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("fails", [("true",), ("none",), ("true", "none")])
def test_forms_that_do_not_converge_are_told_apart_from_those_that_do(
    fails: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked = list[str]()

    def plain(_: PriorFit, labels: str) -> Prior:
        asked.append(labels)
        if labels in fails:
            raise NotConvergedError(WHY)
        return Prior(np.zeros((6, 7)), 0.3, 0.3)

    monkeypatch.setattr(PriorFit, "plain", plain)
    monkeypatch.setattr(PriorFit, "low_rank", lambda _, prior: prior)
    at = after_a_round()
    said, not_converged = built(
        at, ("global_bt", "elo_offset", systems.LOW_RANK, "elo_offset_no_labels")
    )
    # The low-rank form starts from the plain one, which is fitted once.
    expected = {"elo_offset", systems.LOW_RANK} if "true" in fails else set()
    expected |= {"elo_offset_no_labels"} if "none" in fails else set()
    assert set(not_converged) == expected
    assert set(at.priors) == {"elo_offset", systems.LOW_RANK, "elo_offset_no_labels"} - expected
    assert len(said) == 4
    assert sorted(asked) == ["none", "true"]
    assert WHY in caplog.text


def test_tables_mark_the_row_and_say_why() -> None:
    values = {
        ("elo_offset", "overall", "kendall_tau"): {"version": NOT_CONVERGED},
        ("global_bt", "overall", "kendall_tau"): {"version": None},
    }
    assert summary.marks(values) == {"elo_offset": " *", "global_bt": ""}
    lines = summary.not_converged_lines({"not_converged": {"50": {"elo_offset": WHY}}})
    assert lines == [f"* elo_offset at 50 votes a persona has the global ranking: {WHY}"]
    assert summary.not_converged_lines({}) == []


def test_sweeps_say_in_how_many_runs() -> None:
    rows = [
        {
            "system": "elo_offset",
            "value": value,
            "seed": seed,
            "version": NOT_CONVERGED if seed else None,
        }
        for value in ("0", "1")
        for seed in (0, 1, 1)
    ]
    assert list(sweep._not_converged(rows)) == [
        "* elo_offset did not converge in 2 runs, which count the global ranking for it; their "
        "log.jsonl says why"
    ]
