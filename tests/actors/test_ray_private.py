"""What is used of Ray's private names is there, and used in one module alone."""

import re
import time
from collections.abc import AsyncIterator

import ray
from ray.serve import context
from ray.serve._private import replica
from ray.train import ScalingConfig
from ray.train.v2._internal.execution.scaling_policy.autoscaling_coordinator_client import (
    TrainAutoscalingCoordinatorClient,
)

from actors import ray_private
from tests.conftest import ROOT, RayCluster

PRIVATE = re.compile(r"\bray(\.\w+)*\._[a-z]|\bfrom ray\S* import _|_get_global_client\(")


def test_private_names_are_in_one_module() -> None:
    found = set()
    for package in ("actors", "cluster", "electorate", "serve", "simulations"):
        for path in (ROOT / package).rglob("*.py"):
            if PRIVATE.search(path.read_text()):
                found.add(str(path.relative_to(ROOT)))
    assert found == {"actors/ray_private.py"}


def test_the_names_are_there() -> None:
    assert ray.__version__ == "2.60.0"
    assert callable(ray_private.authentication_token_setup._enable_token_auth)
    assert isinstance(ray_private.ray_constants.ENABLE_RAY_CLUSTER, bool)
    before = ray_private.ray_constants.ENABLE_RAY_CLUSTER
    with ray_private.listening_on_loopback():
        assert ray_private.ray_constants.ENABLE_RAY_CLUSTER is False
    assert before is ray_private.ray_constants.ENABLE_RAY_CLUSTER
    assert callable(replica.add_port_to_grpc_server)
    assert callable(ray_private.tls_utils.add_port_to_grpc_server)
    assert callable(context._get_global_client)
    assert callable(ray_private.packaging._dir_travel)
    assert ray_private.largest_package() == 100 * 1024**2


def test_they_do_what_they_are_used_for(on_ray: None, ray_cluster: RayCluster) -> None:
    found = ray_private.bootstrap_address(ray_cluster.address)
    assert found is not None
    assert found.rpartition(":")[2] == str(ray_cluster.gcs)
    assert ray_private.node_groups() == []


def test_what_a_killed_training_had_reserved_is_free_at_once(
    on_ray: None, ray_cluster: RayCluster
) -> None:
    ray_private.give_up_reservation("of nobody")
    client = TrainAutoscalingCoordinatorClient("train-killed")
    client.send_resource_request(ScalingConfig(), 2)
    coordinator = ray.get_actor("AutoscalingCoordinator", "AutoscalingCoordinator")
    reserved = coordinator.get_reserved_resources
    assert ray.get(reserved.remote("train-killed"))
    TrainAutoscalingCoordinatorClient("train-next").send_resource_request(ScalingConfig(), 2)
    assert not any(of.get("CPU") for of in ray.get(reserved.remote("train-next")).values())
    ray_private.give_up_reservation("killed")
    assert sum(of["CPU"] for of in ray.get(reserved.remote("train-next")).values()) == 2
    ray_private.give_up_reservation("next")


@ray.remote
class Counting:
    """An asynchronous actor that counts how far its generator got."""

    def __init__(self) -> None:
        self.counted = 0

    async def count(self, most: int) -> AsyncIterator[int]:
        for self.counted in range(1, most + 1):
            yield self.counted

    async def so_far(self) -> int:
        return self.counted


def test_a_generator_is_no_further_ahead_than_it_may_be(on_ray: None) -> None:
    actor = Counting.remote()
    numbers = actor.count.options(**{ray_private.MOST_UNREAD: 3}).remote(1000)
    assert ray.get(next(numbers)) == 1
    time.sleep(1.0)
    assert ray.get(actor.so_far.remote()) <= 1 + 3 + 1
    assert [ray.get(number) for number in numbers] == list(range(2, 1001))
