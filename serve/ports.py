"""Where things listen."""

import socket

from electorate.base.errors import ElectorateError

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """One that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def require_free(host: str, port: int) -> None:
    """Raises ElectorateError if something listens at this address already, or nothing can."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            # As servers do: a connection that just ended does not hold the port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise ElectorateError(
            f"--port {port}: cannot listen at {host}: {error.strerror or error}; give another "
            "--port, or end what listens there"
        ) from None
