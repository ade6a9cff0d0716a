"""Model voters at scale: a run on Ray whose judge is a local stand-in that answers at once. How
many judgements a second, and the driver's memory by the number of personas.

Driver, cohorts and stand-in share the machine, so the rate is of all of them.
"""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import yaml
from aiohttp import web

from benchmarks.asking import wait
from electorate.storage import files
from serve.ports import free_port

PERSONAS = (10_000, 100_000)
PROMPTS = 20
MODELS = 4
SERVER = "import sys; from benchmarks.model_voters import serve; serve(int(sys.argv[1]))"
PATIENCE_S = 3600
ASKED = 2_000  # judgements a second


def serve(port: int) -> None:
    """Prefer the longer answer, by the whole of a token's probability, until killed."""
    letters = {letter: json.dumps(_completion(letter)).encode() for letter in "AB"}

    async def complete(request: web.Request) -> web.Response:
        text = (await request.json())["messages"][0]["content"]
        _, _, answers = text.partition("Answer A:")
        a, _, b = answers.partition("Answer B:")
        b, _, _ = b.rpartition("\n\n")  # what is asked comes last
        body = letters["A" if len(a.strip()) > len(b.strip()) else "B"]
        return web.Response(body=body, content_type="application/json")

    async def models(_: web.Request) -> web.Response:
        return web.json_response({"data": []})

    app = web.Application()
    app.router.add_post("/v1/chat/completions", complete)
    app.router.add_get("/v1/models", models)
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


def _completion(letter: str) -> dict[str, Any]:
    likely = [{"token": one, "logprob": -0.1 if one == letter else -3.0} for one in "ABC"]
    logprobs = {"content": [{"token": letter, "logprob": -0.1, "top_logprobs": likely}]}
    choice = {"message": {"content": letter}, "finish_reason": "stop", "logprobs": logprobs}
    return {"choices": [choice], "usage": {"completion_tokens": 1}}


def _config(folder: Path, port: int, personas: int) -> Path:
    rows = [
        {"prompt": f"Explain matter {p}", "model": f"m{m}", "response": "so " * (4 + m + p % 3)}
        for p in range(PROMPTS)
        for m in range(MODELS)
    ]
    files.write_table(folder / "responses.parquet", pa.Table.from_pylist(rows))
    url = f"http://127.0.0.1:{port}/v1"
    content = {
        "models": {
            "recording": {"engine": "recorded", "responses": str(folder / "responses.parquet")},
            "judge": {"engine": "openai", "base_url": url, "model": "judge", "concurrency": 256},
        },
        "prompts": {"source": "recorded", "per_archetype": None},
        "voters": {
            "kind": "model",
            "personas": {"size": personas},
            "judges": [{"name": "j", "model": "judge"}],
            "rankings": {"personas": 20, "prompts": 2},
            "checks": {"repeats": 0, "injections": 0},
        },
        "votes": {"checkpoints": [2]},
        "evaluation": {"systems": ["global_bt", "elo_offset", "oracle"], "bootstrap": 100},
        "cluster": {"cache_dir": str(folder / "cache"), "cohorts": 2, "cpus_per_cohort": 0.5},
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def measure(port: int, personas: int) -> tuple[float, float, int]:
    """Judgements a second while votes are cast, MB of the driver at its most, and votes."""
    with TemporaryDirectory() as place:
        folder = Path(place)
        out = folder / "run"
        command = [sys.executable, "-m", "simulations", "run", str(_config(folder, port, personas))]
        driver = subprocess.Popen([*command, "--out", str(out)], stdout=subprocess.DEVNULL)
        most = 0.0
        end = time.monotonic() + PATIENCE_S
        while driver.poll() is None and time.monotonic() < end:
            most = max(most, _memory(driver.pid))
            time.sleep(0.5)
        if driver.poll() != 0:
            driver.kill()
            raise RuntimeError("the run failed")
        stages = json.loads((out / "manifest.json").read_text())["stages"]
        votes = stages["votes"]
        return 2 * votes["votes"] / votes["seconds"], most, votes["votes"]


def _memory(pid: int) -> float:
    """MB that a process has used at its most; 0 of one that has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    lines = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return float(lines[0].split()[1]) / 1024 if lines else 0.0


def main(sizes: Sequence[int] = PERSONAS) -> None:
    """Print a row a number of personas."""
    port = free_port()
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(port)])
    try:
        wait(port)
        for personas in sizes:
            rate, most, votes = measure(port, personas)
            print(
                f"{personas:,} personas, {votes:,} votes: {rate:,.0f} judgements/s (at least "
                f"{ASKED:,} asked), the driver at most {most:.0f} MB (equal asked)",
                flush=True,
            )
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or PERSONAS)
