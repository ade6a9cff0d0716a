"""Finished runs beside each other, of planted personas and of people."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from electorate.storage.run_folder import RunFolder
from simulations import compare
from simulations.compare import verdict
from tests.conftest import in_process
from tests.electorate.commands.test_human import made


def finished(config: Path, out: Path, *settings: str) -> Path:
    given = [word for setting in settings for word in ("--set", setting)]
    done = in_process("run", config, *given, "--out", out)
    assert done.returncode == 0, done.stderr[-2000:]
    return out


@pytest.fixture
def config(stored: Callable[..., Path]) -> Path:
    return stored(
        contestants=[{"name": f"m{i}", "model": "m", "system": f"manner {i}"} for i in range(6)],
        votes={"checkpoints": [5, 20]},
        evaluation={"bootstrap": 50, "users": 60, "systems": ["global_bt", "elo_offset", "oracle"]},
    )


def test_a_run_agrees_with_itself_and_with_another_draw_of_its_population(
    config: Path, tmp_path: Path
) -> None:
    one = finished(config, tmp_path / "one")
    again = finished(config, tmp_path / "again")
    other = finished(config, tmp_path / "other", "seed=1")
    done = in_process("compare", one, again, other)
    assert done.returncode == 0, done.stderr
    assert "one: planted personas voted on 6 contestants" in done.stdout
    runs = [compare.read(folder, folder.name) for folder in (one, again, other)]
    (same, *_) = compare.agreement(runs[0], runs[1])
    assert (same.segment, same.contestants, same.tau) == ("all", 6, 1.0)
    assert 0 < same.ci_low <= same.ci_high <= 1
    (differs, *_) = compare.agreement(runs[0], runs[2])
    assert differs.tau < 1
    assert f"{differs.tau:.2f} [{differs.ci_low:.2f}, {differs.ci_high:.2f}]" in done.stdout
    assert runs[0].gains == runs[1].gains


def test_people_are_compared_with_planted_personas_by_what_both_have(
    config: Path, tmp_path: Path
) -> None:
    made(tmp_path / "votes.parquet", users=8, each=30)
    human = in_process("human", tmp_path / "votes.parquet", "--out", tmp_path / "people")
    assert human.returncode == 0, human.stderr[-2000:]
    people = compare.read(tmp_path / "people", "people")
    assert people.who == "people"
    assert ("elo_offset", "unseen", "log_loss") in people.gains
    planted = compare.read(finished(config, tmp_path / "planted"), "planted")
    (found,) = compare.agreement(planted, people)
    assert (found.segment, found.contestants) == ("all", 6)
    done = in_process("compare", tmp_path / "planted", tmp_path / "people")
    assert done.returncode == 0, done.stderr
    assert "people: people voted on 6 contestants" in done.stdout
    assert f"{found.tau:.2f} [" in done.stdout
    (line,) = (line for line in done.stdout.splitlines() if "log loss, unseen prompts" in line)
    assert line.split()[0] == "elo_offset"


def gain(low: float, high: float) -> dict[str, Any]:
    return {"value": (low + high) / 2, "ci_low": low, "ci_high": high, "n_users": 10}


@pytest.mark.parametrize(
    ("gains", "lower_is_better", "expected"),
    [
        ([gain(0.1, 0.2), gain(0.3, 0.4)], False, "all gain"),
        ([gain(0.1, 0.2), gain(0.3, 0.4)], True, "all lose"),
        ([gain(0.1, 0.2), gain(-0.4, -0.3)], False, "differ"),
        ([gain(0.1, 0.2), gain(-0.4, -0.3), gain(-1, 1)], True, "differ"),
        ([gain(0.1, 0.2), gain(-0.1, 0.3)], False, "not yet known"),
        ([gain(0.1, 0.2), None], False, "all gain"),
        ([gain(0.1, 0.2), gain(float("nan"), float("nan"))], False, "not yet known"),
        ([gain(0.1, 0.2), gain(0.3, 0.3)], False, "not yet known"),
        ([], False, "not yet known"),
    ],
)
def test_gains_agree_only_where_each_is_clear(
    gains: list[dict[str, Any] | None], lower_is_better: bool, expected: str
) -> None:
    assert verdict(gains, lower_is_better) == expected


def test_what_cannot_be_compared_is_one_line(config: Path, tmp_path: Path) -> None:
    one = finished(config, tmp_path / "one")
    others = tmp_path / "others"
    shutil.copytree(one, others)
    board = pq.read_table(RunFolder(others).leaderboard)
    renamed = [f"x{name}" for name in board["model"].to_pylist()]
    place = board.schema.get_field_index("model")
    pq.write_table(
        board.set_column(place, "model", pa.array(renamed)), RunFolder(others).leaderboard
    )
    for folders, expected in (
        ((one,), "compare: at least 2 finished runs are needed"),
        ((one, tmp_path / "nothing"), "nothing"),
        ((one, others), "one and others have fewer than 2 contestants in common"),
    ):
        done = in_process("compare", *folders)
        assert done.returncode == 2
        assert expected in done.stderr
        assert len(done.stderr.splitlines()) == 1
