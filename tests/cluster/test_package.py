"""What is too large to be sent is named before anything is."""

import os
import subprocess
from pathlib import Path

import pytest

from actors import ray_private
from cluster.package import require_sendable
from electorate.base.errors import ElectorateError
from tests.conftest import ROOT

MOST = 1_000_000


@pytest.fixture(autouse=True)
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_private, "largest_package", lambda: MOST)


def test_the_largest_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "votes.parquet").write_bytes(os.urandom(MOST))
    (tmp_path / "small.yaml").write_text("a: 1")
    with pytest.raises(ElectorateError) as error:
        require_sendable(tmp_path)
    said = str(error.value)
    assert "\n" not in said
    assert "are sub/votes.parquet (1.0 MiB), small.yaml (0.0 MiB); name in .rayignore" in said


def test_what_is_ignored_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "votes.parquet").write_bytes(os.urandom(2 * MOST))
    (tmp_path / ".rayignore").write_text((ROOT / ".rayignore").read_text())
    require_sendable(tmp_path)


def test_a_job_is_sent_every_file_that_it_runs() -> None:
    """What .rayignore names must be no part of the project, such as electorate/data."""
    listed = subprocess.run(
        ["git", "ls-files", "actors", "cluster", "configs", "electorate", "serve", "simulations"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    tracked = {ROOT / name for name in listed.stdout.split()}
    assert len(tracked) > 200
    assert tracked - set(ray_private.packaged(ROOT)) == set()
