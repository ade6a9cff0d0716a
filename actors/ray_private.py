"""Every private name of Ray (2.60) that is used, with what it is used for.

tests/actors/test_ray_private.py fails when Ray moves one of them.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import ray
from ray._common import tls_utils
from ray._private import ray_constants, services, state
from ray._private.authentication import authentication_token_setup
from ray._private.runtime_env import packaging
from ray.exceptions import RayError

if TYPE_CHECKING:
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

LOG = logging.getLogger("electorate.training")
COORDINATOR_S = 5.0  # that Ray Train gives its coordinator of resources to answer
# An option of an actor's method: how many values of its generator may wait for who reads them.
MOST_UNREAD = "_generator_backpressure_num_objects"


def enable_token_auth() -> None:
    """Have a Ray of our own ask for a token, whatever Ray's default is."""
    authentication_token_setup._enable_token_auth()


@contextmanager
def listening_on_loopback() -> Iterator[None]:
    """A Ray that is started in the block listens on this machine's loopback alone.

    Ray listens on every interface, but where it knows of no cluster.
    """
    with patch.object(ray_constants, "ENABLE_RAY_CLUSTER", new=False):
        yield


def bootstrap_address(address: str) -> str | None:
    """HOST:PORT of the cluster that an address such as `auto` leads to, None if there is none."""
    found: str | None = services.canonicalize_bootstrap_address(address)
    return found


def node_groups() -> list[Any]:
    """Groups of nodes that the cluster's autoscaler may start: resources and max_count of each."""
    config = state.state.get_cluster_config()
    return [] if config is None else list(config.node_group_configs)


def serve_port() -> int:
    """The HTTP port of Serve on the cluster that this process is connected to."""
    from ray.serve.context import _get_global_client

    port: int = _get_global_client().http_config.port
    return port


def delete_application(name: str) -> None:
    """Have a Serve application removed, without waiting until it is."""
    from ray.serve.context import _get_global_client

    _get_global_client().delete_apps([name], blocking=False)


def serve_replicas_listen_by(listen: Callable[[object, str], int]) -> None:
    """Have Serve's replicas in this process open the port they call each other at by `listen`."""
    from ray.serve._private import replica

    replica.add_port_to_grpc_server = listen


def add_port(server: object, address: str) -> int:
    """Open a gRPC server's port as Ray does. Returns the port."""
    port: int = tls_utils.add_port_to_grpc_server(server, address)
    return port


def training_id(trainer: "DataParallelTrainer") -> str:
    """What Ray Train calls a training that has not begun."""
    found: str = trainer.train_run_context.run_id
    return found


def give_up_reservation(training: str) -> None:
    """Free the CPUs and GPUs that are reserved for a training of this id, which is over.

    Ray Train keeps them for 3 minutes after a driver is killed, and a training that takes as many
    workers as there is room for waits for them as long, at the cost of a core.
    """
    try:
        coordinator = ray.get_actor("AutoscalingCoordinator", "AutoscalingCoordinator")
        ray.get(coordinator.cancel_request.remote(f"train-{training}"), timeout=COORDINATOR_S)
    except ValueError:  # nobody trained on this cluster
        return
    except RayError as error:
        # It may be on a node that is lost; the next training then waits at most.
        LOG.warning("what a training had reserved is not given up: %s", type(error).__name__)


def packaged(folder: Path) -> list[Path]:
    """The files and folders that a job with this working directory is sent."""
    found = list[Path]()
    packaging._dir_travel(folder, [], found.append, include_gitignore=True)
    return found


def largest_package() -> int:
    """Bytes of the largest package that a cluster's Jobs API takes."""
    most: int = ray_constants.DASHBOARD_CLIENT_MAX_SIZE
    return most
