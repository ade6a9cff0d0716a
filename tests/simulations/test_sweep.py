"""Sweeps by the command line, from stored answers."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from electorate.storage.run_folder import RunFolder
from simulations import sweep
from tests.conftest import ARCHETYPES, in_process

SMALL = {
    "population": {"size": 500, "archetypes": {name: {} for name in ARCHETYPES}},
    "votes": {"checkpoints": [10, 30]},
    "evaluation": {
        "bootstrap": 50,
        "users": 200,
        "systems": ["global_bt", "segment_bt", "elo_offset", "oracle"],
    },
}


@pytest.mark.timeout(900)
def test_a_sweep_says_who_wins_where_and_goes_on_where_it_stopped(
    stored: Callable[..., Path], tmp_path: Path
) -> None:
    # A folder's name wider than a log's line: what is printed of it must not be broken.
    config = stored(**SMALL)
    out = tmp_path / "/".join(["a-long-way-down"] * 8)
    over = ("--over", "population.heterogeneity=0,2", "--seeds", 2, "--out", out)
    # The answers are those of seed 0; other seeds ask the same prompts, so they are stored too.
    process = in_process("sweep", config, *over)
    assert process.returncode == 0, process.stderr[-3000:]
    assert "best system by Kendall tau, overall ranking, 2 seeds" in process.stdout
    runs = sorted(out.glob("population.heterogeneity=*/seed=*"))
    assert len(runs) == 4
    assert all(RunFolder(path).read_manifest()["status"] == "complete" for path in runs)

    wins = pq.read_table(out / "wins.parquet").to_pylist()
    at = {(w["value"], w["votes_per_user"], w["prompts"], w["metric"]): w for w in wins}
    assert len(at) == 2 * 2 * 4
    assert at["2", 30, "overall", "kendall_tau"]["winner"] in ("segment_bt", "elo_offset")
    # Nobody differs: whoever is named first is ahead by chance, of a swapped neighbour or so.
    assert abs(at["0", 30, "overall", "kendall_tau"]["ahead"]) < 0.1
    metrics = pq.read_table(out / "metrics.parquet").to_pylist()
    assert {row["seed"] for row in metrics} == {0, 1}
    page = (out / "report.html").read_text()
    assert page.count("<svg") == 5

    # Done runs are not done again; one that is missing is.
    before = {path: (path / "manifest.json").read_bytes() for path in runs}
    again = in_process("sweep", config, *over)
    assert again.stdout.count("holds this run already, complete") == 4
    assert before == {path: (path / "manifest.json").read_bytes() for path in runs}


def rows(value: str, taus: list[float], cast: list[int]) -> list[dict[str, object]]:
    place = {
        "system": "elo_offset",
        "prompts": "overall",
        "metric": "kendall_tau",
        "value": value,
        "seed": 0,
    }
    return [
        place | {"votes_per_user": c, "cast": c, "estimate": tau}
        for c, tau in zip(cast, taus, strict=True)
    ]


def test_votes_saved_are_read_off_the_curves() -> None:
    both = rows("uniform", [0.4, 0.5, 0.6], [10, 20, 40]) + rows(
        "active", [0.4, 0.6, 0.7], [10, 20, 40]
    )
    (saved,) = sweep._saved(both, ["uniform", "active"])
    assert saved["votes"] == pytest.approx(20)
    assert saved["instead_of"] == 40
    (never,) = sweep._saved(both, ["active", "uniform"])
    assert never["votes"] is None


def test_the_interval_over_seeds_is_students() -> None:
    low, high = sweep.interval(np.array([1.0, 2.0, 3.0]))
    assert (low + high) / 2 == pytest.approx(2)
    assert high - 2 == pytest.approx(4.303 / np.sqrt(3), rel=1e-3)
    assert sweep.interval(np.array([1.0])) == (-np.inf, np.inf)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--over", "population.heterogeneity"], "not of the form KEY=VALUE"),
        (["--over", "population.heterogeneity=1,1"], "each value once"),
        (["--over", "seed=1,2"], "say how many with --seeds"),
        (
            ["--over", "population.heterogeneity=1,-1"],
            "population.heterogeneity: -1 is not allowed",
        ),
        (["--over", "population.heterogenety=1"], "did you mean"),
        (["--seeds", "0"], "at least 1"),
    ],
)
def test_bad_input_is_one_line_and_runs_nothing(
    arguments: list[str], expected: str, tmp_path: Path
) -> None:
    process = in_process("sweep", "configs/quickstart.yaml", *arguments, "--out", tmp_path / "out")
    assert process.returncode == 2
    assert expected in process.stderr
    assert not (tmp_path / "out").exists()
    assert json.dumps(process.stdout) == '""'
