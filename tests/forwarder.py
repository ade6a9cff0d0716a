"""`python tests/forwarder.py PORT TO`: a port of this machine's that leads to another, until a
line on stdin cuts or mends it.

A process of its own, as whoever waits for an answer through it may hold this interpreter's lock
meanwhile.
"""

import socket
import sys
import threading
from contextlib import suppress


class Forwarder:
    """Listening from the start."""

    def __init__(self, port: int, to: int) -> None:
        self._port = port
        self._to = to
        self._open: set[socket.socket] = set()
        self.mend()

    def mend(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", self._port))
        threading.Thread(target=self._accept, args=(self._listening,), daemon=True).start()

    def cut(self) -> None:
        for one in (self._listening, *self._open):
            close(one)
        self._open.clear()

    def _accept(self, listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listening.accept()
                server = socket.create_connection(("127.0.0.1", self._to))
                self._open |= {client, server}
                for a, b in ((client, server), (server, client)):
                    threading.Thread(target=self._pass, args=(a, b), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while content := source.recv(1 << 16):
                target.sendall(content)
        for one in (source, target):
            close(one)
            self._open.discard(one)


def close(one: socket.socket) -> None:
    """Closing alone would not wake a thread that waits for it."""
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


if __name__ == "__main__":
    forwarder = Forwarder(*map(int, sys.argv[1:]))
    print("ready", flush=True)
    for command in sys.stdin:
        {"cut": forwarder.cut, "mend": forwarder.mend}[command.strip()]()
        print("done", flush=True)
