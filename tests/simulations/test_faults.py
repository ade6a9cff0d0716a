"""What a machine does to a run: a disk that is full, a folder that may not be written, a damaged
file, a clock that jumps.
"""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from electorate.storage.run_folder import RunFolder
from tests.conftest import in_process, run_electorate
from tests.electorate.population.test_personas import population
from tests.simulations.test_kills import votes_of

SMALL = {
    "evaluation": {"bootstrap": 50, "users": 50, "systems": ["global_bt", "oracle"]},
    "votes": {"checkpoints": [5, 20]},
    "population": population(size=12_000),
}
JUMPS = """
import time
real, start = time.time, time.monotonic()
jumps = (0.0, 3e7, -3e7, 7200.0)  # seconds
time.time = lambda: real() + jumps[int(time.monotonic() - start) // 6 % 4]
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], check=False, capture_output=True
    ).returncode:
        pytest.skip("a file system of its own can be mounted by root alone")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def remount(disk: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", disk], check=True)


@pytest.fixture
def whole(stored: Callable[..., Path], tmp_path: Path) -> tuple[Path, RunFolder]:
    """The config, and an undisturbed run of it."""
    config = stored(**SMALL)
    run = RunFolder(tmp_path / "whole")
    done = in_process("run", config, "--out", run.path)
    assert done.returncode == 0, done.stderr[-2000:]
    return config, run


def one_line(done: subprocess.CompletedProcess[str], says: str) -> None:
    assert done.returncode == 2, done.stderr[-2000:]
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    (_,) = [line for line in done.stderr.splitlines() if line.startswith("electorate:")]


def test_a_full_disk_and_one_that_is_read_only_lose_nothing(
    whole: tuple[Path, RunFolder], disk: Path
) -> None:
    config, expected = whole
    run = RunFolder(disk / "run")
    command = ("run", config, "--out", disk / "run", "--resume")
    one_line(in_process(*command), "No space left on device")
    kept = votes_of(run)
    assert 0 < len(kept) < len(votes_of(expected))
    remount(disk, "ro")
    one_line(in_process(*command), "Read-only file system")
    remount(disk, "rw,size=60m")
    (run.votes / "round=1" / ".block=9.parquet.1.tmp").write_bytes(b"of a writer that was killed")
    done = in_process(*command)
    assert done.returncode == 0, done.stderr[-2000:]
    assert votes_of(run) == votes_of(expected)
    assert run.leaderboard.read_bytes() == expected.leaderboard.read_bytes()
    assert not list(run.path.rglob(".*.tmp"))


@pytest.mark.parametrize("damage", ["cut", "flipped", "another"])
def test_a_damaged_vote_file_is_named_and_made_again(
    stored: Callable[..., Path], tmp_path: Path, damage: str
) -> None:
    """As a crash of the machine may leave it: the driver had not come to its end."""
    config = stored(**SMALL)
    run = RunFolder(tmp_path / "run")
    done = in_process("run", config, "--out", run.path)
    assert done.returncode == 0, done.stderr[-2000:]
    expected = votes_of(run)
    victim = run.votes / "round=1" / "block=1.parquet"
    whole = victim.read_bytes()
    middle = bytes(byte ^ 0xFF for byte in whole[1000:3000])
    other = run.personas.read_bytes()
    victim.write_bytes(
        {
            "cut": whole[: len(whole) // 2],
            "flipped": whole[:1000] + middle + whole[3000:],
            "another": other,
        }[damage]
    )
    run.write_manifest(run.read_manifest() | {"status": "stopped"})
    one_line(in_process("run", config, "--out", run.path, "--resume"), f"{victim}: ")
    victim.unlink()
    done = in_process("run", config, "--out", run.path, "--resume")
    assert done.returncode == 0, done.stderr[-2000:]
    assert votes_of(run) == expected


def test_a_clock_that_jumps_changes_nothing(whole: tuple[Path, RunFolder], tmp_path: Path) -> None:
    """The driver's, by a year there and two years back, every six seconds."""
    config, expected = whole
    (tmp_path / "jumps").mkdir()
    (tmp_path / "jumps" / "sitecustomize.py").write_text(JUMPS)
    run = RunFolder(tmp_path / "jumped")
    done = run_electorate("run", config, "--out", run.path, PYTHONPATH=str(tmp_path / "jumps"))
    assert done.returncode == 0, done.stderr[-2000:]
    assert votes_of(run) == votes_of(expected)
    assert all(0 <= stage["seconds"] < 600 for stage in run.read_manifest()["stages"].values())
