"""What a run answers first, from tables made by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from electorate.evaluation.results import GAINS, METRICS, NOT_CONVERGED
from electorate.storage import files
from electorate.storage.run_folder import RunFolder
from simulations.report import verdict

COLUMNS = [
    ("kendall tau", "overall", "kendall_tau", 3),
    ("regret", "unseen", "regret", 1),
]
VALUES = {"global_bt": 0.5, "elo_offset": 0.6, "low_rank_rm": 0.55, "hybrid": 0.7}


def folder(
    path: Path,
    over_global: dict[tuple[str, str, int], tuple[float, float, float]],
    pairs: dict[tuple[str, str], tuple[float, float, float]],
    n_users: int = 100,
    version: dict[str, str] | None = None,
) -> RunFolder:
    """Gains in Kendall tau of (system, segment, votes) over global_bt, and of systems over others
    at the last checkpoint; regret's are the same with the other sign.
    """
    run = RunFolder(path)
    last = max(votes for _, _, votes in over_global)
    at = {"users": "seen", "n_users": n_users, "version": None}
    found = [
        (system, "global_bt", segment, votes, gain)
        for (system, segment, votes), gain in over_global.items()
    ] + [(system, other, "all", last, gain) for (system, other), gain in pairs.items()]
    gains = [
        at
        | {"system": system, "baseline": baseline, "segment": segment, "votes_per_user": votes}
        | {"prompts": prompts, "metric": metric, "version": (version or {}).get(system)}
        | dict(zip(("value", "ci_low", "ci_high"), ends, strict=True))
        for system, baseline, segment, votes, gain in found
        for prompts, metric, ends in (
            ("overall", "kendall_tau", gain),
            ("unseen", "kendall_tau", gain),
            ("unseen", "regret", (-10 * gain[0], -10 * gain[2], -10 * gain[1])),
        )
    ]
    metrics = [
        at
        | {"system": system, "segment": "all", "votes_per_user": last, "prompts": prompts}
        | {"metric": metric, "value": value, "ci_low": value, "ci_high": value}
        for system in {"global_bt", *(system for system, _, _ in over_global)}
        for prompts, metric, value in (
            ("overall", "kendall_tau", VALUES[system]),
            ("unseen", "regret", 10 * (1 - VALUES[system])),
        )
    ]
    files.write_table(run.gains, pa.Table.from_pylist(gains, schema=GAINS))
    files.write_table(run.metrics, pa.Table.from_pylist(metrics, schema=METRICS))
    return run


def curve(system: str, *ends: tuple[float, float, float]) -> dict[Any, Any]:
    return {(system, "all", votes): end for votes, end in zip((5, 10, 20), ends, strict=False)}


CLEAR = (0.1, 0.05, 0.15)
OPEN = (0.01, -0.02, 0.04)


@pytest.mark.parametrize(
    ("ends", "first", "second"),
    [
        ((CLEAR, CLEAR, CLEAR), "Yes: System A ranks", "From 5 votes a persona on, the fewest"),
        ((OPEN, CLEAR, CLEAR), "Yes: System A ranks", "From 10 votes a persona on ("),
        ((CLEAR, OPEN, CLEAR), "Yes: System A ranks", "From 20 votes a persona on ("),
        ((CLEAR, CLEAR, OPEN), "Not yet known: the interval of the best", None),
        ((CLEAR, CLEAR, (-0.1, -0.2, -0.05)), "No: System A, the best personal ranking,", None),
    ],
)
def test_it_says_yes_no_or_not_yet_known_and_from_when_on(
    ends: Any, first: str, second: str | None, tmp_path: Path
) -> None:
    lines = verdict.lines(folder(tmp_path, curve("elo_offset", *ends), {}))
    assert lines[0].startswith(first)
    assert lines[1:2] == [line for line in lines[1:2] if second and line.startswith(second)]
    assert len(lines) == (2 if second else 1)


def test_it_says_for_whom(tmp_path: Path) -> None:
    by_segment = {
        ("elo_offset", segment, 20): end
        for segment, end in (("coder", CLEAR), ("poet", OPEN), ("miller", (-0.2, -0.3, -0.1)))
    }
    lines = verdict.lines(
        folder(tmp_path, curve("elo_offset", CLEAR, CLEAR, CLEAR) | by_segment, {})
    )
    assert lines[-1] == "By archetype, gain: coder; lose: miller; not clear: poet"


def test_one_persona_is_no_answer_and_has_no_interval(tmp_path: Path) -> None:
    nothing = (0.3, np.nan, np.nan)
    run = folder(tmp_path, curve("elo_offset", nothing, nothing, nothing), {}, n_users=1)
    (line,) = verdict.lines(run)
    assert line.startswith("Not yet known: one persona alone is compared")
    assert "[" not in line
    assert {row[-1] for row in verdict.two_systems(run, COLUMNS).rows} == {"not clear"}


def test_gains_that_are_all_the_same_have_no_interval(tmp_path: Path) -> None:
    for name, gain in (("none", 0.0), ("some", 0.1)):
        # Resamples that are all alike differ in rounding.
        gains = (gain, gain, gain + (1e-16 if gain else 0.0))
        over_global = {("elo_offset", who, 50): gains for who in ("all", "x", "y")}
        run = folder(tmp_path / name, over_global, {}, n_users=4)
        (headline,) = verdict.lines(run)
        assert headline.startswith("Not yet known: all 4 personas that are compared gain the same")
        assert f"a gain of {gain:+.3f})" in headline
        assert "[" not in headline
        winners = {row[-1] for row in verdict.two_systems(run, COLUMNS).rows}
        assert winners == {"not clear" if gain else "tie"}


def test_what_did_not_converge_answers_nothing(tmp_path: Path) -> None:
    run = folder(
        tmp_path,
        curve("elo_offset", CLEAR, CLEAR, CLEAR),
        {},
        version={"elo_offset": NOT_CONVERGED},
    )
    assert verdict.lines(run) == []


def both(path: Path, of_both: tuple[float, float, float]) -> RunFolder:
    last = {(s, "all", 20): CLEAR for s in ("low_rank_rm",)} | {
        ("hybrid", "all", 20): (0.2, 0.1, 0.3)
    }
    return folder(
        path,
        curve("elo_offset", CLEAR, CLEAR, CLEAR) | last,
        {
            ("low_rank_rm", "elo_offset"): (-0.05, -0.08, -0.02),
            ("hybrid", "elo_offset"): of_both,
            ("hybrid", "low_rank_rm"): (0.15, 0.1, 0.2),
        },
    )


def test_the_systems_stand_beside_each_other_with_a_winner(tmp_path: Path) -> None:
    found = verdict.two_systems(both(tmp_path, (0.1, 0.05, 0.15)), COLUMNS)
    assert found.headings == (
        "metric",
        "global_bt",
        "Elo Offset (A)",
        "Reward Model (B)",
        "A + B",
        "B over A",
        "winner",
    )
    assert found.rows == (
        ("kendall tau", "0.500", "0.600", "0.550", "0.700", "-0.050 [-0.080, -0.020]", "A + B"),
        ("regret", "5.0", "4.0", "4.5", "3.0", "+0.5 [+0.2, +0.8]", "A + B"),
    )


def test_where_a_gain_is_open_nobody_wins(tmp_path: Path) -> None:
    found = verdict.two_systems(both(tmp_path, (0.1, -0.05, 0.15)), COLUMNS)
    assert [row[-1] for row in found.rows] == ["not clear", "not clear"]


def test_trained_once_the_curve_is_system_as(tmp_path: Path) -> None:
    lines = verdict.lines(both(tmp_path, (0.1, 0.05, 0.15)))
    assert lines[0].startswith("Yes: Systems A and B together rank contestants better")
    assert lines[1] == (
        "Systems A and B together: compared at 20 votes a persona alone. System A: from 5 votes a "
        "persona on, the fewest that were compared (+0.100 [+0.050, +0.150])"
    )


def test_what_falls_back_to_a_simpler_one_is_not_told_apart_from_it(tmp_path: Path) -> None:
    nothing = (0.0, 0.0, 0.0)
    last = {("low_rank_rm", "all", 20): CLEAR, ("hybrid", "all", 20): CLEAR}
    pairs = {
        ("low_rank_rm", "elo_offset"): (-0.05, -0.08, -0.02),
        ("hybrid", "elo_offset"): nothing,
        ("hybrid", "low_rank_rm"): CLEAR,
    }
    run = folder(tmp_path / "a", curve("elo_offset", CLEAR, CLEAR, CLEAR) | last, pairs)
    assert {row[-1] for row in verdict.two_systems(run, COLUMNS).rows} == {"A + B"}
    level = folder(tmp_path / "b", curve("elo_offset", nothing, nothing, nothing), {})
    assert {row[-1] for row in verdict.two_systems(level, COLUMNS).rows} == {"tie"}
