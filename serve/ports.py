"""Where things listen."""

import socket

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """One that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
