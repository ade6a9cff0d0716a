"""Runs as jobs on a real cluster: sent, followed, fetched, refused, killed, and looked at from
outside.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ray.util.state import list_actors

from electorate.storage import files
from electorate.storage.run_folder import RunFolder
from tests.conftest import ROOT, RayCluster, free_port, run_electorate
from tests.stores import Store, serving

SMALL = {
    "evaluation": {"bootstrap": 50, "users": 50, "systems": ["global_bt", "elo_offset", "oracle"]},
    "cluster": {"cpus_per_cohort": 0},
}


def submit(
    cluster: RayCluster, config: Path, *arguments: object, **environment: str
) -> subprocess.Popen[str]:
    """From the config's folder, which is what is sent."""
    address = f"http://127.0.0.1:{cluster.dashboard}"
    command = [
        sys.executable,
        "-m",
        "simulations",
        "submit",
        config.name,
        "--address",
        address,
        *map(str, arguments),
    ]
    env = {**os.environ, "PYTHONPATH": str(ROOT), **cluster.environment, **environment}
    return subprocess.Popen(
        command,
        cwd=config.parent,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def finished(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=300)
    assert "Traceback" not in err, err[-3000:]
    return process.returncode, out, err


@pytest.fixture
def two_raylets() -> Iterator[RayCluster]:
    """Two nodes on this machine, a CPU each."""
    folder = Path("/tmp") / f"els{os.getpid()}"
    folder.mkdir()
    cluster = RayCluster(folder, cpus=1)
    cluster.add_raylet()
    try:
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with serving("s3", tmp_path) as found:
        yield found


@pytest.mark.timeout(600)
def test_a_run_is_sent_followed_and_its_report_fetched(
    stored: Callable[..., Path], tmp_path: Path, two_raylets: RayCluster, store: Store
) -> None:
    """Into an object store, so that the nodes need no folder in common."""
    config = stored(**SMALL)
    uri = store.uri("runs/there")
    there = store.place("runs/there")
    here = tmp_path / "here"
    # The persona count by config alone.
    code, out, err = finished(
        submit(
            two_raylets,
            config,
            "--out",
            uri,
            "--to",
            here,
            "--set",
            "population.size=9000",
            "--set",
            "cluster.cpus_per_cohort=0.5",
        )
    )
    assert code == 0, err[-2000:] + out[-2000:]
    assert files.read_table(there / "personas.parquet").num_rows == 9000
    places = [
        out.index(said)
        for said in ("plan: 2 nodes with 2 CPU", "Voting (blocks) 12/12", "elo_offset", "report: ")
    ]
    assert places == sorted(places)
    actors = list_actors(
        f"http://127.0.0.1:{two_raylets.dashboard}", filters=[("class_name", "=", "CohortActor")]
    )
    assert len({actor.node_id for actor in actors}) == 2
    # Shown once each, though the log was streamed in parts.
    assert out.count("Voting (blocks) 12/12") == 1
    for name in ("report.html", "summary.json", "metrics.parquet", "config.yaml"):
        assert (here / name).read_bytes() == (there / name).read_bytes()

    told = run_electorate("status", uri)
    assert told.returncode == 0, told.stderr
    assert f"{there}: run, complete" in told.stdout
    assert "to 50 votes a persona: 3 of 3 blocks" in told.stdout
    jobs = run_electorate(
        "status", f"http://127.0.0.1:{two_raylets.dashboard}", **two_raylets.environment
    )
    assert jobs.returncode == 0, jobs.stderr
    assert f"python -m simulations run config.yaml --out '{uri}'" in jobs.stdout
    assert "succeeded" in jobs.stdout


@pytest.mark.timeout(1500)
def test_a_follower_that_stops_leaves_its_job_alone(
    stored: Callable[..., Path], tmp_path: Path, ray_cluster: RayCluster
) -> None:
    config = stored(**SMALL)
    there = RunFolder(tmp_path / "there")
    here = tmp_path / "here"
    sizes = ("--set", "population.size=30000", "--out", there.path, "--to", here)
    follower = submit(ray_cluster, config, *sizes)
    wait_for(lambda: len(list(there.votes.rglob("block=*.parquet"))) >= 3, follower)
    follower.send_signal(signal.SIGINT)
    code, _, err = finished(follower)
    assert (code, "interrupted" in err) == (130, True), err
    known = {path: path.stat().st_mtime_ns for path in there.votes.rglob("block=*.parquet")}
    wait_for(lambda: len(list(there.votes.rglob("block=*.parquet"))) > len(known))
    wait_for(lambda: there.read_manifest()["status"] == "complete")

    # The same again finds everything done, and fetches it.
    code, out, err = finished(submit(ray_cluster, config, *sizes, "--resume"))
    assert code == 0, err[-2000:]
    assert "complete" in out
    assert json.loads((here / "manifest.json").read_text())["stages"]["votes"]["votes"] == 1_500_000


def wait_for(there: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    """However long a busy machine takes: the test's own time limit ends what never comes."""
    while not there():
        assert process is None or process.poll() is None, process.communicate() if process else ""
        time.sleep(0.1)


def test_what_cannot_be_sent_is_one_line(
    stored: Callable[..., Path], tmp_path: Path, ray_cluster: RayCluster
) -> None:
    config = stored(**SMALL)
    cases: list[tuple[tuple[Any, ...], dict[str, str], str]] = [
        (("--out", "runs/here"), {}, "working directory is temporary; give an absolute folder"),
        (("--out", tmp_path / "a", "--set", "population.sise=9"), {}, "did you mean size?"),
        (
            ("--out", tmp_path / "b"),
            {"RAY_AUTH_TOKEN": "0" * 64},
            "if it asks for a token, set RAY_AUTH_MODE=token",
        ),
        (
            ("--out", tmp_path / "c", "--address", "127.0.0.1:6379"),
            {},
            "the Jobs API is at the dashboard",
        ),
        (
            ("--out", tmp_path / "d", "--address", f"http://127.0.0.1:{free_port()}"),
            {},
            "Connection refused",
        ),
    ]
    for arguments, environment, says in cases:
        code, _, err = finished(submit(ray_cluster, config, *arguments, **environment))
        assert code == 2, err
        assert says in err, err
        assert len(err.strip().splitlines()) == 1, err
    # What the config's folder holds is sent. A hole in a file is no less to send.
    with (config.parent / "votes.dat").open("wb") as large:
        large.truncate(101 * 2**20)
    code, _, err = finished(submit(ray_cluster, config, "--out", tmp_path / "e"))
    (line,) = err.strip().splitlines()
    assert code == 2
    assert "The largest files are votes.dat (101.0 MiB)" in line
    assert not any((tmp_path / name).exists() for name in "abcde")


def test_a_job_that_fails_says_so_and_leaves_nothing_behind(
    stored: Callable[..., Path], tmp_path: Path, ray_cluster: RayCluster
) -> None:
    config = stored(**SMALL, votes={"checkpoints": [2]})
    code, out, err = finished(
        submit(
            ray_cluster, config, "--out", tmp_path / "there", "--set", "cluster.cpus_per_cohort=3"
        )
    )
    assert code == 2
    assert "cluster: 6 CPUs are asked for and the cluster has 2" in out
    assert "failed" in err
    assert "--resume" in err


def test_a_folder_that_is_no_runs_has_no_status(tmp_path: Path) -> None:
    for what, says in (
        (tmp_path, "not a run's folder"),
        (tmp_path / "none", "neither a run's folder nor a cluster's address"),
    ):
        told = run_electorate("status", what)
        assert (told.returncode, says in told.stderr) == (2, True), told.stderr
