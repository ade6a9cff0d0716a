"""The files that start clusters: as far as can be told without one, they say what Ray and this
project take.
"""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.serve.schema import ServeDeploySchema

from electorate.config import config_file
from serve.settings import Settings
from simulations.arguments import parser
from tests.conftest import ROOT

JOB, SERVICE = (
    yaml.safe_load((ROOT / "cluster" / "kuberay" / name).read_text())
    for name in ("rayjob.yaml", "rayservice.yaml")
)

IMAGE = "/home/ray/electorate"  # where the container file puts the project


def test_the_launchers_file_is_what_ray_takes() -> None:
    config = prepare_config(yaml.safe_load((ROOT / "ray_cluster.yaml").read_text()))
    validate_config(config)
    nodes = config["available_node_types"]
    assert config["max_workers"] >= sum(
        nodes[kind]["max_workers"] for kind in ("cohorts", "engines")
    )
    # What may be taken away holds nothing that has to stay.
    assert "InstanceMarketOptions" not in nodes[config["head_node_type"]]["node_config"]
    starts = [
        line
        for line in config["head_start_ray_commands"] + config["worker_start_ray_commands"]
        if "ray start" in line
    ]
    assert len(starts) == 2
    assert all(line.startswith("RAY_AUTH_MODE=token ") for line in starts)


def test_the_jobs_command_is_one_of_ours(tmp_path: Path) -> None:
    python, module, name, *arguments = shlex.split(JOB["spec"]["entrypoint"])
    assert (python, module, name) == ("python", "-m", "simulations")
    chosen = parser().parse_args(arguments)
    assert (chosen.command, chosen.resume, chosen.out.is_absolute()) == ("run", True, True)
    config = config_file.load(ROOT / chosen.config.relative_to(IMAGE), chosen.settings)
    assert config.cluster.cohorts * config.cluster.cpus_per_cohort <= sum(
        group["maxReplicas"] * int(pod(group)["resources"]["limits"]["cpu"])
        for group in JOB["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    )


def test_the_service_is_what_serve_takes() -> None:
    config = ServeDeploySchema.model_validate(yaml.safe_load(SERVICE["spec"]["serveConfigV2"]))
    (application,) = config.applications
    assert application.import_path == "serve.app:app"
    # It listens on the network, so nobody may come without a key.
    assert Settings.model_validate(application.args).keys is not None


def pod(group: dict[str, Any]) -> dict[str, Any]:
    (container,) = group["template"]["spec"]["containers"]
    return container


def groups() -> Iterator[tuple[str, dict[str, Any]]]:
    for kind, cluster in (
        ("job", JOB["spec"]["rayClusterSpec"]),
        ("service", SERVICE["spec"]["rayClusterConfig"]),
    ):
        yield f"{kind} head", cluster["headGroupSpec"]
        for group in cluster["workerGroupSpecs"]:
            yield f"{kind} {group['groupName']}", group


@pytest.mark.parametrize(
    ("name", "group"), list(groups()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_node_sees_the_runs_and_knows_its_size(name: str, group: dict[str, Any]) -> None:
    mounts = {mount["name"]: mount["mountPath"] for mount in pod(group)["volumeMounts"]}
    assert mounts == {"runs": "/runs"}
    assert {volume["name"] for volume in group["template"]["spec"]["volumes"]} == {"runs"}
    # Ray takes a node's size from its limits; a node that asks for less than it may take is moved
    # away first.
    assert pod(group)["resources"]["limits"] == pod(group)["resources"]["requests"]


@pytest.mark.parametrize(
    "cluster", [JOB["spec"]["rayClusterSpec"], SERVICE["spec"]["rayClusterConfig"]]
)
def test_clusters_are_of_our_ray_and_ask_for_a_token(cluster: dict[str, Any]) -> None:
    assert cluster["rayVersion"] == ray.__version__
    assert cluster["authOptions"] == {"mode": "token"}


def test_the_image_copies_what_is_there() -> None:
    lines = (ROOT / "cluster" / "Containerfile").read_text().splitlines()
    assert f"WORKDIR {IMAGE}" in lines
    assert (
        ROOT
        / next(line.removeprefix("ARG LOCK=") for line in lines if line.startswith("ARG LOCK="))
    ).exists()
    torch = next(
        line
        for line in (ROOT / "locks" / "gpu.txt").read_text().splitlines()
        if line.startswith("torch==")
    )
    assert any(torch.split(" ")[0] in line for line in lines)
