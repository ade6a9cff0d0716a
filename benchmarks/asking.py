"""Asking models: requests a second of HttpAsker against a local stand-in that answers at once,
beside a plain aiohttp loop, and how its memory grows with the number of calls.

Asker and stand-in share the machine, so the rate is of both.
"""

import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import aiohttp
from aiohttp import web

from electorate.inference.completions import Call
from electorate.inference.endpoints import Connection, HttpAsker

CALLS = 6000
IN_FLIGHT = 256
SERVER = "import sys; from benchmarks.asking import serve; serve(int(sys.argv[1]))"
ANSWER = json.dumps(
    {
        "choices": [{"message": {"content": "A"}, "finish_reason": "stop"}],
        "usage": {"completion_tokens": 1},
    }
).encode()


def serve(port: int) -> None:
    """Answer every completion at once, until killed."""

    async def complete(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=ANSWER, content_type="application/json")

    app = web.Application()
    app.router.add_post("/v1/chat/completions", complete)
    app.router.add_get("/v1/models", complete)
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


def calls(count: int) -> list[Call]:
    """Of the size of a judge's question."""
    text = "Which answer is better? " * 40
    body = {"messages": [{"role": "user", "content": text}], "max_tokens": 1}
    return [Call(str(i), "m", body) for i in range(count)]


def ask(port: int, count: int) -> tuple[float, float]:
    """Seconds, and MB of this process at its most."""
    reached = {"m": Connection(f"http://127.0.0.1:{port}/v1", "m", None, IN_FLIGHT, 60.0, 3)}

    async def all_() -> int:
        found = 0
        async for _, answer in HttpAsker(reached).ask(asked):
            found += answer.text == "A"
        return found

    asked = calls(count)
    begun = time.monotonic()
    answered = asyncio.run(all_())
    seconds = time.monotonic() - begun
    if answered != count:
        raise RuntimeError(f"{count - answered} of {count} calls were not answered")
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def plain(port: int, count: int) -> tuple[float, float]:
    """The same by a loop of workers and nothing else."""

    async def all_() -> None:
        left = iter(asked)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:

            async def work() -> None:
                for call in left:
                    body = {"model": "m", **call.body}
                    async with session.post(url, json=body) as response:
                        json.loads(await response.read())

            await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))

    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    asked = calls(count)
    begun = time.monotonic()
    asyncio.run(all_())
    return time.monotonic() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(counts: Sequence[int] = (CALLS,)) -> None:
    """Print a row a way to ask."""
    from serve.ports import free_port

    port = free_port()
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(port)])
    try:
        wait(port)
        for count in counts:
            for name, way in (("plain aiohttp", plain), ("HttpAsker", ask)):
                for processes in (1, 2):
                    # A fresh process each, so that its memory is its own.
                    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
                        jobs = [pool.submit(way, port, count) for _ in range(processes)]
                        found = [job.result() for job in jobs]
                    seconds = max(took for took, _ in found)
                    rate = processes * count / seconds
                    memory = max(most for _, most in found)
                    print(
                        f"{name}, {processes} x {count:,} calls: {rate:,.0f} requests/s, at most "
                        f"{memory:.0f} MB a process",
                        flush=True,
                    )
    finally:
        server.kill()
        server.wait()


def wait(port: int) -> None:
    """Until the stand-in answers."""
    import httpx

    for _ in range(200):
        try:
            httpx.get(f"http://127.0.0.1:{port}/v1/models", timeout=1.0)
            return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise RuntimeError("the stand-in did not come up")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main([int(count) for count in sys.argv[1:]] or (CALLS,))
