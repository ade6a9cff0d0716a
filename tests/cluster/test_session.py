import subprocess
import sys
import time
from pathlib import Path

import pytest

from cluster.session import connected
from electorate.base.errors import ElectorateError
from tests.conftest import ROOT, RayCluster, free_port

CONNECT = """
import sys
from cluster.session import connected
from electorate.base.errors import ElectorateError
import ray
try:
    with connected(sys.argv[1] or None, *map(float, sys.argv[2:])):
        print("CPUs", ray.cluster_resources()["CPU"])
except ElectorateError as error:
    print("refused:", error)
"""


def connect(address: str, cpus: float, environment: dict[str, str], gpus: float = 0.0) -> str:
    """Connect in a process of its own, as Ray keeps an address and a token for a process's life."""
    command = [sys.executable, "-c", CONNECT, address, str(cpus), str(gpus)]
    path = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(Path.home())}
    done = subprocess.run(
        command, env=path | environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout.strip()


def test_a_local_ray_is_not_led_astray_by_a_dead_clusters_address(tmp_path: Path) -> None:
    """ray.init() would take the address from this file and wait for minutes."""
    stale = Path("/tmp/ray/ray_current_cluster")
    stale.parent.mkdir(exist_ok=True)
    kept = stale.read_text() if stale.exists() else None
    stale.write_text(f"127.0.0.1:{free_port()}")
    try:
        start = time.monotonic()
        assert connect("", 3.5, {}) == "CPUs 4.0"
        assert time.monotonic() - start < 60
        # `auto` may find the session's cluster by its processes instead; without its token that is
        # a refusal too.
        stale.write_text(f"127.0.0.1:{free_port()}")
        said = connect("auto", 1.0, {})
        assert said.startswith("refused: cluster.address: auto")
        assert "\n" not in said
    finally:
        stale.unlink(missing_ok=True)
        if kept is not None:
            stale.write_text(kept)


def test_gpus_that_a_machine_lacks_are_one_line() -> None:
    assert connect("", 1.0, {}, 0.5).startswith(
        "refused: the engines and the reward model ask for 0.5 GPUs and this machine has 0; give"
    )


def test_an_address_where_nothing_listens_is_one_line_at_once() -> None:
    start = time.monotonic()
    with (
        pytest.raises(ElectorateError, match="nothing listens") as caught,
        connected(f"127.0.0.1:{free_port()}", 1.0),
    ):
        pass
    assert "\n" not in str(caught.value)
    assert time.monotonic() - start < 10


def test_a_cluster_is_joined_with_its_token_and_refused_without(ray_cluster: RayCluster) -> None:
    assert connect(ray_cluster.address, 1.0, ray_cluster.environment) == "CPUs 2.0"
    wrong = {**ray_cluster.environment, "RAY_AUTH_TOKEN": "0" * 64}
    said = connect(ray_cluster.address, 1.0, wrong)
    assert said.startswith("refused: cluster.address")
    assert "\n" not in said


def test_a_cluster_that_is_too_small_is_refused_before_anything_starts(
    ray_cluster: RayCluster,
) -> None:
    said = connect(ray_cluster.address, 64.0, ray_cluster.environment)
    assert said.startswith("refused: cluster: 64 CPUs are asked for and the cluster has 2")
