"""A connection to Ray: a fresh one on this machine, or a running cluster's, never one left
behind.
"""

import logging
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import ray
from ray.exceptions import RayError

from actors import ray_private
from cluster.placement import Room
from electorate.base.errors import ElectorateError

CONNECT_SECONDS = 5.0
PROXY_START_S = 60
LOOPBACK = "127.0.0.1"


@contextmanager
def connected(address: str | None, cpus_needed: float, gpus_needed: float = 0.0) -> Iterator[None]:
    """Ray for the length of the block.

    address: a cluster's, `auto`, or None for RAY_ADDRESS if it is set and else a Ray of our own on
    this machine (whatever address file an earlier cluster left). cpus_needed: the CPUs that actors
    and engines ask for together; a Ray of our own is told it has them, a cluster must. gpus_needed:
    by the engines and a reward model; this machine must have them, a cluster may start them when
    they are asked for.

    Raises ElectorateError if no cluster answers, the token is refused, or it can never have the
    CPUs or GPUs.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Serve's processes inherit it from a Ray of our own: fewer hops a request, at no cost to a run.
    os.environ.setdefault("RAY_SERVE_THROUGHPUT_OPTIMIZED", "1")
    # Serve kills a proxy that is not up within 5 s, which a busy machine does not manage, and
    # then fails to start at all.
    os.environ.setdefault("RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S", str(PROXY_START_S))
    address = address or os.environ.get("RAY_ADDRESS")
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None or address == "local":
        cpus = max(os.cpu_count() or 1, int(-(-cpus_needed // 1)))
        if "RAY_AUTH_MODE" not in os.environ:
            # Whoever reaches Ray's ports runs code here: never without a token, whatever Ray's
            # default is.
            ray_private.enable_token_auth()
        with ray_private.listening_on_loopback():
            ray.init(
                address="local",
                num_cpus=cpus,
                include_dashboard=False,
                _node_ip_address=LOOPBACK,
                **quiet,
            )
        there = int(ray.cluster_resources().get("GPU", 0))
        if gpus_needed > there:
            ray.shutdown()
            raise ElectorateError(
                f"the engines and the reward model ask for {gpus_needed:g} GPUs and this machine "
                f"has {there}; give --address of a cluster that has them, set accelerator: cpu "
                "(models, reward), name fewer models, or serve without --reward-gpus"
            )
    else:
        _connect(address, quiet)
    try:
        _require_cpus(cpus_needed)
        yield
    finally:
        ray.shutdown()


def _connect(address: str, quiet: Mapping[str, object]) -> None:
    if not address.startswith("ray://"):
        _require_listening(address)
    try:
        ray.init(address=address, **quiet)
    except (RayError, ConnectionError, ValueError, RuntimeError, OSError) as error:
        # Ray reports a refused token as any other failure to connect, so the hint goes with all of
        # them.
        reason = " ".join(str(error).split())[:300]
        hint = (
            "if it asks for a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN or "
            "RAY_AUTH_TOKEN_PATH"
        )
        raise ElectorateError(f"cluster.address: {address}: {reason}; {hint}") from None


def _require_listening(address: str) -> None:
    """ray.init waits for minutes on a cluster that is gone; one TCP connection says so at once."""
    found = ray_private.bootstrap_address(address)
    if found is None:
        raise ElectorateError(
            f"cluster.address: {address} finds no running Ray; start one with `ray start --head`, "
            "or leave the address out"
        )
    host, _, port = found.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, ValueError):
        raise ElectorateError(
            f"cluster.address: {address} leads to {found}, where nothing listens; if a dead "
            "cluster left it behind, `ray stop` clears it"
        ) from None


def _require_cpus(needed: float) -> None:
    room = Room.of_cluster()
    there = room.total("CPU", to_come=False)
    to_come = room.total("CPU", to_come=True)
    if needed > there + to_come:
        raise ElectorateError(
            f"cluster: {needed:g} CPUs are asked for and the cluster has "
            f"{there:g}{f' and may grow by {to_come:g}' * bool(to_come)}; "
            "lower cluster.cohorts or cluster.cpus_per_cohort, or start a larger cluster"
        )
