"""What the gateway adds to a chat completion: the same request sent straight to the contestant, and
through `electorate serve`, in turns; whole answers, the first token of streams, and 100 streams at
once.

    python -m benchmarks.gateway
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import numpy as np
import yaml
from aiohttp import web

from electorate.storage import tables
from serve.ports import free_port

REQUESTS = 400
WARM = 50
STREAMS = 100
WORDS = 20
MODELS = [f"m{i}" for i in range(6)]
USERS = 50
ASK = [{"role": "user", "content": "Which river is longest?"}]


async def answer(request: web.Request) -> web.StreamResponse:
    """A stand-in contestant, which answers at once."""
    body = await request.json()
    if not body.get("stream"):
        message = {"role": "assistant", "content": "word " * WORDS}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return web.json_response({"choices": [choice], "usage": {"completion_tokens": WORDS}})
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    for i in range(WORDS):
        choice = {"index": 0, "delta": {"content": f"word{i} "}, "finish_reason": None}
        await response.write(f"data: {json.dumps({'choices': [choice]})}\n\n".encode())
        await asyncio.sleep(0.01)
    await response.write(b"data: [DONE]\n\n")
    return response


@asynccontextmanager
async def contestant() -> AsyncIterator[str]:
    """Its base URL."""
    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def gateway(folder: Path, upstream: str) -> AsyncIterator[str]:
    """The base URL of `serve` on people's votes, with that contestant behind every model."""
    import pyarrow as pa

    random = np.random.default_rng(0)
    n = USERS * 40
    a = random.integers(0, len(MODELS), n)
    b = (a + random.integers(1, len(MODELS), n)) % len(MODELS)
    columns = {
        "user_id": [f"u{i % USERS}" for i in range(n)],
        "prompt_id": (np.arange(n) % 50).astype(str),
        "model_a": [MODELS[i] for i in a],
        "model_b": [MODELS[i] for i in b],
        "winner": np.where(random.random(n) < 0.5 + 0.08 * (a - b), "model_a", "model_b"),
    }
    tables.write(folder / "votes.parquet", pa.table(columns))
    config = {
        "models": {m: {"engine": "openai", "base_url": upstream, "model": m} for m in MODELS},
        "contestants": [{"name": m, "model": m} for m in MODELS],
    }
    (folder / "contestants.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    electorate = [sys.executable, "-m", "simulations"]
    people = str(folder / "people")
    made = [*electorate, "human", str(folder / "votes.parquet"), "--out", people]
    await asyncio.to_thread(subprocess.run, made, check=True, capture_output=True)
    port = free_port()
    files = ["--contestants", str(folder / "contestants.yaml")]
    serving = subprocess.Popen(
        [*electorate, "serve", people, *files, "--port", str(port)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert serving.stdout is not None
        while "serving" not in await asyncio.to_thread(serving.stdout.readline):
            if serving.poll() is not None:
                raise RuntimeError("serve ended")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        serving.terminate()
        await asyncio.to_thread(serving.wait, 60)


async def one(
    client: aiohttp.ClientSession, url: str, model: str, user: int, stream: bool
) -> float:
    """Milliseconds to the whole answer, or to the first token of a stream."""
    body: dict[str, Any] = {"model": model, "messages": ASK, "stream": stream}
    if model == "electorate":
        body["user"] = f"u{user % USERS}"
    start = time.perf_counter()
    async with client.post(f"{url}/chat/completions", json=body) as response:
        response.raise_for_status()
        if not stream:
            await response.read()
            return 1e3 * (time.perf_counter() - start)
        first = 0.0
        async for _ in response.content.iter_any():
            first = first or time.perf_counter()
        return 1e3 * (first - start)


def row(what: str, straight: list[float], through: list[float]) -> str:
    """Medians and 99th percentiles beside each other."""
    ends = [np.percentile(times, [50, 99]) for times in (straight, through)]
    cells = [f"{median:.1f} / {most:.1f}" for median, most in ends]
    return f"| {what} | {' | '.join(cells)} | {ends[1][0] - ends[0][0]:+.1f} |"


def main() -> None:
    """Print the table."""
    asyncio.run(_main())


async def _main() -> None:
    with TemporaryDirectory() as folder:
        async with (
            contestant() as upstream,
            gateway(Path(folder), upstream) as url,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client,
        ):
            await _compare(client, upstream, url)


async def _compare(client: aiohttp.ClientSession, upstream: str, url: str) -> None:
    print("| ms, median / 99% | straight | through the gateway | median added |")
    print("|---|---|---|---|")
    for what, stream in (("whole answer", False), ("first token", True)):
        straight = list[float]()
        through = list[float]()
        for i in range(WARM + (REQUESTS if not stream else REQUESTS // 4)):
            straight.append(await one(client, upstream, "m0", i, stream))
            through.append(await one(client, url, "electorate", i, stream))
        print(row(what, straight[WARM:], through[WARM:]), flush=True)
    at_once = []
    for to, model in ((upstream, "m0"), (url, "electorate")):
        streams = (one(client, to, model, i, True) for i in range(STREAMS))
        at_once.append(await asyncio.gather(*streams))
    print(row(f"first token, {STREAMS} streams at once", *at_once))


if __name__ == "__main__":
    main()
