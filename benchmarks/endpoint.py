"""Ranking reads a second beside a FastAPI deployment that does nothing, and votes a second with
each on disk.

Everything in a comparison is behind the same Serve, takes turns, and sends answers of the same
size; the median of 3 passes counts.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import httpx
import numpy as np
import pyarrow as pa
import yaml

from benchmarks.load import Load, get, load, post
from electorate.storage import files

ROOT = Path(__file__).parent.parent
MODELS = 6
PERSONAS = 2000
CONNECTIONS = 32
READS = 4000
PASSES = 3
BATCHES = 300
BATCH = 100
SINGLES = 1500
MIXED_S = 60
SHARES = {"warm": 0.7, "cold": 0.5}
TIMES = 5.0
PORTS = {True: 8471, False: 8472}


def main() -> None:
    """Print the figures of reads and of writes."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = _finished_run(Path(scratch))
        with served(folder, ha=True) as port:
            size = _size(port)
            reads = {"warm": [], "cold": [], "computed": [], "no-op": []}
            for pass_ in range(PASSES + 1):
                for kind, passes in reads.items():
                    found = _read(port, kind, size, pass_)
                    if pass_:
                        passes.append(found)
            _print_reads(reads, size)
            _writes(port)
            _mixed(port)
        with served(folder, ha=False) as port:
            default = [_read(port, "warm", size, pass_) for pass_ in range(PASSES + 1)][1:]
        best = median(one.rate for one in reads["warm"])
        plain = median(one.rate for one in default)
        print(
            f"  behind Serve's default proxy {plain:.0f}/s; the HA proxy {best / plain:.1f} times "
            f"it (at least {TIMES:g} asked)"
        )


def _finished_run(scratch: Path) -> Path:
    """A run on made answers of MODELS models; its folder."""
    random = np.random.default_rng(0)
    words = ["short", "words", "perhaps", "you", "extraordinarily", "complicated", "3", "# Head"]
    rows = [
        {
            "prompt": f"Please explain matter number {p}",
            "model": f"c{m}",
            "response": " ".join(random.choice(words, 15 + 8 * m)),
        }
        for p in range(60)
        for m in range(MODELS)
    ]
    files.write_table(scratch / "responses.parquet", pa.Table.from_pylist(rows))
    content = {
        "models": {
            "recording": {"engine": "recorded", "responses": str(scratch / "responses.parquet")}
        },
        "prompts": {"source": "recorded", "per_archetype": None},
        "population": {
            "size": PERSONAS,
            "archetypes": {"coder": {}, "academic": {}, "everyday": {}},
        },
        "votes": {"checkpoints": [30]},
        "evaluation": {
            "systems": ["global_bt", "segment_bt", "elo_offset"],
            "users": 200,
            "bootstrap": 50,
        },
    }
    (scratch / "config.yaml").write_text(yaml.safe_dump(content))
    command = [
        sys.executable,
        "-m",
        "simulations",
        "run",
        str(scratch / "config.yaml"),
        "--out",
        str(scratch / "run"),
    ]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return scratch / "run"


@contextmanager
def served(folder: Path, ha: bool) -> Iterator[int]:
    """benchmarks/endpoint_peer.py as a child process; its port."""
    port = PORTS[ha]
    command = [
        sys.executable,
        "-m",
        "benchmarks.endpoint_peer",
        str(folder),
        str(port),
        "ha" if ha else "default",
    ]
    child = subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert child.stdout
    assert child.stdin
    if not any(line == "up\n" for line in child.stdout):
        raise RuntimeError("the endpoint's process ended")
    try:
        yield port
    finally:
        child.stdin.close()
        child.wait(60)


def _size(port: int) -> int:
    return len(httpx.get(f"http://127.0.0.1:{port}/v1/users/5/ranking").content)


def _read(port: int, kind: str, size: int, pass_: int) -> Load:
    """warm: a hundred users again and again; cold: each user's first since the votes last changed;
    computed: rankings that are not kept.
    """
    if kind == "cold":
        vote = {
            "id": f"cold-{pass_}",
            "user_id": "cold",
            "model_a": "c0",
            "model_b": "c1",
            "winner": "tie",
        }
        version = httpx.post(f"http://127.0.0.1:{port}/v1/votes", json={"votes": [vote]}).json()[
            "version"
        ]
        httpx.get(f"http://127.0.0.1:{port}/v1/leaderboard", params={"min_version": version})
    requests = {
        "warm": lambda i: get(f"/v1/users/{i % 100}/ranking"),
        "cold": lambda i: get(f"/v1/users/{i % PERSONAS}/ranking"),
        "computed": lambda i: post("/v1/rankings", b'{"user_id": "%d"}' % (i % PERSONAS)),
        "no-op": lambda _: get(f"/noop/?size={size}"),
    }
    found = load(
        port, requests[kind], READS if kind in ("warm", "no-op") else PERSONAS, CONNECTIONS
    )
    assert set(found.statuses) == {200}, (kind, found.statuses)
    return found


def _print_reads(reads: dict[str, list[Load]], size: int) -> None:
    rate = {kind: median(one.rate for one in of) for kind, of in reads.items()}
    p99 = {kind: median(one.p99_ms for one in of) for kind, of in reads.items()}
    print(
        f"rankings of {PERSONAS:,} users, {size} bytes each, {CONNECTIONS} connections, behind the "
        "HA proxy:"
    )
    for kind in reads:
        asked = f" (at least {SHARES[kind]} asked)" if kind in SHARES else ""
        share = rate[kind] / rate["no-op"]
        print(f"  {kind} {rate[kind]:.0f}/s, p99 {p99[kind]:.0f} ms; {share:.2f} of a no-op{asked}")


def _writes(port: int) -> None:
    def batch(i: int, size: int) -> bytes:
        votes = [
            {
                "id": f"{size}-{i}-{j}",
                "user_id": f"u{(i * size + j) % 5000}",
                "model_a": "c0",
                "model_b": "c1",
                "winner": "tie",
            }
            for j in range(size)
        ]
        return post("/v1/votes", json.dumps({"votes": votes}).encode())

    bodies = [batch(i, BATCH) for i in range(BATCHES)], [batch(i, 1) for i in range(SINGLES)]
    many, one = (load(port, of.__getitem__, len(of), CONNECTIONS) for of in bodies)
    assert set(many.statuses) == set(one.statuses) == {200}, (many.statuses, one.statuses)
    print(
        f"  votes on disk before they are acknowledged: {many.rate * BATCH:,.0f}/s in batches of "
        f"{BATCH}, p99 {many.p99_ms:.0f} ms; ",
        end="",
    )
    print(f"{one.rate:,.0f}/s one by one, p99 {one.p99_ms:.0f} ms")


def _mixed(port: int) -> None:
    """Nine reads to a write, for a minute; the same users read and vote."""

    def request(i: int) -> bytes:
        user = f"m{i % 997}"
        if i % 10:
            return get(f"/v1/users/{user}/ranking" if i % 3 else "/v1/leaderboard")
        vote = {
            "id": str(i),
            "user_id": user,
            "model_a": "c0",
            "model_b": f"c{1 + i // 10 % 5}",
            "winner": "tie",
        }
        return post("/v1/votes", json.dumps({"votes": [vote]}).encode())

    found = load(port, request, 10**9, CONNECTIONS, MIXED_S)
    errors = {status: times for status, times in found.statuses.items() if status not in (200, 429)}
    line = ", ".join(
        f"{times:,} of status {status}" for status, times in sorted(found.statuses.items())
    )
    print(
        f"  {MIXED_S} s of reads and writes, 9 to 1: {found.rate:.0f}/s, p99 {found.p99_ms:.0f} "
        f"ms; {line}; ",
        end="",
    )
    print(f"{sum(errors.values())} other errors (0 asked)")


if __name__ == "__main__":
    main()
