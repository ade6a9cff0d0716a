"""Keeps what Serve starts on a Ray of our own to this machine.

Serve's replicas take calls from each other at a port that is open to every interface, without a
token (Ray 2.60). Where Ray itself is on loopback alone, so is that.
"""

import ray

from actors import ray_private

LOOPBACK = "127.0.0.1"
EVERYWHERE = "[::]:0"


def stay() -> None:
    """Call in the constructor of a deployment, which Serve runs before it opens the port."""
    if ray.util.get_node_ip_address() == LOOPBACK:
        ray_private.serve_replicas_listen_by(_add_port)


def staying(kind: type) -> type:
    """The class, as a deployment that stays there."""

    class Staying(kind):
        def __init__(self, *arguments: object) -> None:
            stay()
            super().__init__(*arguments)

    return Staying


def _add_port(server: object, address: str) -> int:
    if address == EVERYWHERE:
        address = f"{LOOPBACK}:0"
    return ray_private.add_port(server, address)
