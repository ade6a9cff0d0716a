"""Object stores on this machine, each a server of its own behind a connection that can be cut."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from electorate.storage.places import ObjectPath, place
from tests.conftest import BIN, ROOT, free_port

BUCKET = "electorate"


class Connection:
    """See tests/forwarder.py."""

    def __init__(self, to: int) -> None:
        self.port = free_port()
        command = [sys.executable, ROOT / "tests" / "forwarder.py", self.port, to]
        self._process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._read()

    def cut(self) -> None:
        self._say("cut")

    def mend(self) -> None:
        self._say("mend")

    def stop(self) -> None:
        self._process.kill()
        self._process.wait(30)

    def _say(self, command: str) -> None:
        assert self._process.stdin is not None
        print(command, file=self._process.stdin, flush=True)
        self._read()

    def _read(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline()


class Store:
    """An object store with one empty bucket, and how it is reached."""

    def __init__(self, scheme: str, port: int, connection: Connection) -> None:
        self._scheme = scheme
        self._port = port
        self.connection = connection

    def uri(self, key: str) -> str:
        """By way of the connection."""
        return self._uri(key, self.connection.port)

    def _uri(self, key: str, port: int) -> str:
        at = f"127.0.0.1:{port}"
        if self._scheme == "s3":
            return f"s3://{BUCKET}/{key}?scheme=http&region=us-east-1&endpoint_override={at}"
        return f"gs://anonymous@{BUCKET}/{key}?scheme=http&retry_limit_seconds=2&endpoint_override={at}"

    def place(self, key: str) -> ObjectPath:
        return _object(self.uri(key))

    def direct(self, key: str) -> ObjectPath:
        """Whatever becomes of the connection."""
        return _object(self._uri(key, self._port))


def _object(uri: str) -> ObjectPath:
    found = place(uri)
    assert isinstance(found, ObjectPath)
    return found


@contextmanager
def serving(scheme: str, folder: Path) -> Iterator[Store]:
    """moto for S3, gcp-storage-emulator for Google's."""
    port = free_port()
    command = {
        "s3": [BIN / "moto_server", "-H", "127.0.0.1", "-p", port],
        "gs": [
            BIN / "gcp-storage-emulator",
            "start",
            "--host=127.0.0.1",
            f"--port={port}",
            "--in-memory",
            f"--default-bucket={BUCKET}",
        ],
    }[scheme]
    with (folder / f"{scheme}.log").open("w") as log:
        server = subprocess.Popen(
            list(map(str, command)), stdout=log, stderr=subprocess.STDOUT, cwd=folder
        )
        try:
            _wait(f"http://127.0.0.1:{port}/", server)
            if scheme == "s3":
                httpx.put(f"http://127.0.0.1:{port}/{BUCKET}").raise_for_status()
            connection = Connection(port)
            try:
                yield Store(scheme, port, connection)
            finally:
                connection.stop()
        finally:
            server.terminate()
            server.wait(30)


def _wait(url: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(150):
        with suppress(httpx.HTTPError):
            httpx.get(url, timeout=2)
            return
        assert server.poll() is None
        time.sleep(0.2)
    raise TimeoutError(url)
