"""A poll and a cache of judgements that version 69abeea left are read, gone on with and used."""

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from electorate.config.engines import OpenAIModel
from electorate.data import old_polls
from electorate.storage import files
from electorate.storage.run_folder import RunFolder
from simulations import cli
from tests.conftest import ROOT, in_process
from tests.simulations.judging_server import JudgingServer

HERE = ROOT / "tests" / "simulations"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    with tarfile.open(HERE / "poll_format_1.tar.gz") as packed:
        packed.extractall(tmp_path, filter="data")
    return tmp_path


def poll(old: Path, out: Path, *more: str) -> Any:
    settings = ("--set", f"cluster.cache_dir={old / 'cache'}", "--set", "cluster.cohorts=0")
    return in_process("poll", old / "poll.yaml", *settings, "--out", out, *more)


def stop(old: Path) -> None:
    manifest = json.loads((old / "poll" / "manifest.json").read_text())
    (old / "poll" / "manifest.json").write_text(json.dumps(manifest | {"status": "stopped"}))


def rows(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return found


def test_it_is_reported_and_rated(old: Path) -> None:
    report = (old / "poll" / "report.html").read_bytes()
    for done in (in_process("report", old / "poll"), poll(old, old / "poll")):
        assert done.returncode == 0, done.stderr
        assert "agreement of judges" in done.stdout
        assert "electorate human " in done.stdout
    assert (old / "poll" / "report.html").read_bytes() == report
    done = in_process("rate", old / "poll" / "votes.parquet", "--out", old / "board.parquet")
    assert done.returncode == 0, done.stderr
    assert len(rows(old / "board.parquet")) == 4


def requests(folder: Path) -> int:
    stages = json.loads((folder / "manifest.json").read_text())["stages"]
    return sum(stages[name]["requests"] for name in ("votes", "truth", "checks"))


def test_one_that_was_stopped_is_gone_on_with_as_a_run(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = JudgingServer()
    # Nothing listens any more where its judge was, which is part of what answers are kept by.
    monkeypatch.setattr(OpenAIModel, "url", lambda self, served_at: judge.url)
    stop(old)
    done = poll(old, old / "poll")
    assert done.returncode == 2
    assert "holds an unfinished poll of this config; add --resume to go on with it" in done.stderr
    done = poll(old, old / "poll", "--resume")
    assert done.returncode == 0, done.stderr
    assert "Systems A and B" in done.stdout
    assert len(rows(old / "poll" / "votes.parquet")) == 6 * 8
    assert json.loads((old / "poll" / "manifest.json").read_text())["kind"] == "run"
    # Without the old poll's judgements more would have been asked.
    (old / "cache").rename(old / "old cache")
    done = poll(old, old / "anew")
    assert done.returncode == 0, done.stderr
    assert requests(old / "poll") < requests(old / "anew")


def test_one_that_was_killed_as_it_made_way_is_gone_on_with(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what is not the poll's own stays, and is named."""
    stop(old)
    notes = old / "poll" / "notes.txt"
    notes.write_text("mine")
    with monkeypatch.context() as patched:
        patched.setattr(files, "remove", dying(files.remove, "config.yaml"))
        arguments = ["poll", old / "poll.yaml", "--out", old / "poll", "--resume"]
        assert cli.main([*map(str, arguments)]) == 130
    assert old_polls.is_one(RunFolder(old / "poll"))
    done = poll(old, old / "poll", "--resume")
    assert done.returncode == 2
    assert "holds files that are no run's" in done.stderr
    assert notes.read_text() == "mine"


def dying(remove: Callable[[Path], None], name: str) -> Callable[[Path], None]:
    """Removes, until it has removed the file of this name."""

    def removing(place: Path) -> None:
        remove(place)
        if place.name == name:
            raise KeyboardInterrupt

    return removing


def test_another_config_is_refused(old: Path) -> None:
    stop(old)
    done = poll(old, old / "poll", "--resume", "--set", "seed=1")
    assert done.returncode == 2
    assert "holds a poll of another config" in done.stderr
    assert (old / "poll" / "votes.parquet").exists()


@pytest.mark.parametrize("name", ["config.yaml", "manifest.json"])
def test_one_that_cannot_be_read_is_one_line(old: Path, name: str) -> None:
    damage: Callable[[str], str] = str.upper
    file = old / "poll" / name
    file.write_text(damage(file.read_text()))
    done = poll(old, old / "poll", "--resume")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
