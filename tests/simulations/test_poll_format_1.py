"""A poll and a cache of judgements that version 69abeea left are read, resumed and used."""

import json
import math
import tarfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.conftest import ROOT, in_process

HERE = ROOT / "tests" / "simulations"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Its judge was at an address where nothing listens now."""
    with tarfile.open(HERE / "poll_format_1.tar.gz") as packed:
        packed.extractall(tmp_path, filter="data")
    return tmp_path


def poll(old: Path, out: Path, *more: str) -> str:
    settings = ("--set", f"cluster.cache_dir={old / 'cache'}", "--set", "cluster.cohorts=0")
    done = in_process("poll", old / "poll.yaml", *settings, "--out", out, *more)
    assert done.returncode == 0, done.stderr
    return done.stdout


def are_the_same(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> bool:
    """Equal, but for the last digits of numbers: processors differ in those of an exponential."""

    def close(a: Any, b: Any) -> bool:
        return math.isclose(a, b, rel_tol=1e-12) if isinstance(b, float) else bool(a == b)

    return len(found) == len(expected) and all(
        one.keys() == other.keys() and all(close(one[name], other[name]) for name in other)
        for one, other in zip(found, expected, strict=True)
    )


def rows(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return found


def test_it_is_reported_and_rated(old: Path) -> None:
    done = in_process("report", old / "poll")
    assert done.returncode == 0, done.stderr
    assert "agreement of judges" in done.stdout
    done = in_process("rate", old / "poll" / "votes.parquet", "--out", old / "board.parquet")
    assert done.returncode == 0, done.stderr
    assert len(rows(old / "board.parquet")) == 4


def test_one_that_was_stopped_is_resumed(old: Path) -> None:
    before = rows(old / "poll" / "votes.parquet")
    manifest = json.loads((old / "poll" / "manifest.json").read_text())
    (old / "poll" / "manifest.json").write_text(json.dumps(manifest | {"status": "stopped"}))
    (old / "poll" / "votes.parquet").unlink()
    (old / "poll" / "report.html").unlink()
    poll(old, old / "poll", "--resume")
    assert are_the_same(rows(old / "poll" / "votes.parquet"), before)
    assert (old / "poll" / "report.html").exists()


def test_what_its_judge_said_is_not_asked_again(old: Path) -> None:
    poll(old, old / "new")
    for table in ("votes", "judgements", "rankings"):
        name = f"{table}.parquet"
        assert are_the_same(rows(old / "new" / name), rows(old / "poll" / name))
