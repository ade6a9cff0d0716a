"""A load generator that costs little beside what it loads: keep-alive connections, each with one
request at a time.
"""

import asyncio
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Load:
    """seconds: all requests took together; latency: (n,) of each, seconds; statuses: how often each
    came; largest: bytes of a body.
    """

    seconds: float
    latency: np.ndarray
    statuses: dict[int, int]
    largest: int

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.latency) / self.seconds

    @property
    def p99_ms(self) -> float:
        """Milliseconds that 99 of 100 took at most."""
        return float(np.quantile(self.latency, 0.99) * 1e3)


def get(path: str) -> bytes:
    """A request as it goes out."""
    return f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()


def post(path: str, body: bytes) -> bytes:
    """The same with a JSON body."""
    return (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n".encode()
        + body
    )


def load(
    port: int,
    request: Callable[[int], bytes],
    count: int,
    connections: int,
    seconds: float = float("inf"),
) -> Load:
    """Send request(0) to request(count - 1) over so many connections, or as many as fit into so
    many seconds.
    """
    return asyncio.run(_load(port, request, count, connections, seconds))


async def _load(
    port: int, request: Callable[[int], bytes], count: int, connections: int, seconds: float
) -> Load:
    latency = []
    statuses = dict[int, int]()
    largest = 0
    give_up = time.monotonic() + seconds
    turns = itertools.takewhile(lambda _: time.monotonic() < give_up, range(count))

    async def send() -> None:
        nonlocal largest
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for turn in turns:
            start = time.perf_counter()
            writer.write(request(turn))
            head = await reader.readuntil(b"\r\n\r\n")
            lowered = head.lower()
            size = int(lowered.split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(size)
            latency.append(time.perf_counter() - start)
            status = int(head[9:12])
            statuses[status] = statuses.get(status, 0) + 1
            largest = max(largest, size)
            if b"connection: close" in lowered:
                writer.close()
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()

    start = time.perf_counter()
    await asyncio.gather(*(send() for _ in range(connections)))
    return Load(time.perf_counter() - start, np.array(latency), statuses, largest)
