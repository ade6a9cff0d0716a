"""The endpoint at its real size: a million users with a vote each, 100,000 with fifty, and slow
clients meanwhile.

Votes go through the API in batches of 1,000. Printed beside what is promised: how soon after the
last acknowledged vote the board counts it, how long a start on all of it takes, and what memory a
user costs.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np
import psutil

ROOT = Path(__file__).parent.parent
PORT = 8473
MODELS = 24
BATCH = 1000
SENDERS = 4
WORLDS = {"1,000,000 users x 1 vote": (1_000_000, 1), "100,000 users x 50 votes": (100_000, 50)}
# promised
BOARD_S = 2.0
READY_S = 60.0
READ_S = 1.0


def main(scale: float = 1.0) -> None:
    """Print the figures. scale: of the number of users, to try it."""
    for name, (users, votes) in WORLDS.items():
        with tempfile.TemporaryDirectory() as scratch:
            endpoint = Endpoint(Path(scratch) / "online")
            print(f"{name}{f', of which {scale:g}' * (scale != 1)}:", flush=True)
            empty = endpoint.start()
            _fill(endpoint, int(users * scale), votes, empty)
            endpoint.kill()
            again = endpoint.start()
            board = httpx.get(f"{endpoint.url}/v1/leaderboard", timeout=60).json()
            print(
                f"  started again on {board['votes']:,} votes in {again.ready_s:.1f} s (at most "
                f"{READY_S:g} asked), on an empty folder in {empty.ready_s:.1f} s"
            )
            if votes == 1:
                for sockets in (300, 2000):
                    _slow_clients(endpoint, sockets)
            endpoint.kill()


class Started:
    """How long a start took, and the memory of the writer and of a replica, MB."""

    def __init__(self, ready_s: float, memory: dict[str, float]) -> None:
        self.ready_s = ready_s
        self.memory = memory


class Endpoint:
    """`electorate serve` as a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{PORT}"
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> Started:
        """Until it is ready."""
        begun = time.monotonic()
        command = [
            sys.executable,
            "-m",
            "simulations",
            "serve",
            str(self.folder),
            "--port",
            str(PORT),
        ]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout
        for line in self.process.stdout:
            if line.startswith("serving "):
                return Started(time.monotonic() - begun, self.memory())
        raise RuntimeError("the endpoint did not start")

    def memory(self) -> dict[str, float]:
        """Resident MB of the writer, and of the largest replica; mapped files are shared and not
        counted.
        """
        found = {"Writer": 0.0, "Rankings": 0.0}
        assert self.process is not None
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with suppress(psutil.Error):
                title = " ".join(child.cmdline())
                for part, most in found.items():
                    if f"ServeReplica:rankings:{part}" in title:
                        own = child.memory_full_info()
                        found[part] = max(most, own.uss / 2**20)
        return found

    def kill(self) -> None:
        """All of it, at once."""
        assert self.process is not None
        parts = [
            *psutil.Process(self.process.pid).children(recursive=True),
            psutil.Process(self.process.pid),
        ]
        for part in parts:
            with suppress(psutil.Error):
                part.send_signal(signal.SIGKILL)
        psutil.wait_procs(parts, timeout=30)
        self.process.wait()


def _body(users: int, votes: int, first: int) -> bytes:
    """A batch's request, from `first` on, of users in a random order where they vote often."""
    random = np.random.default_rng(first)
    a = random.integers(MODELS, size=BATCH)
    b = (a + 1 + random.integers(MODELS - 1, size=BATCH)) % MODELS
    user = np.arange(first, first + BATCH) if votes == 1 else random.integers(users, size=BATCH)
    winner = random.choice(["model_a", "model_b", "tie"], BATCH)
    sent = [
        {
            "id": f"{first + i}",
            "user_id": f"user-{user[i]}",
            "model_a": f"m{a[i]}",
            "model_b": f"m{b[i]}",
            "winner": winner[i],
        }
        for i in range(BATCH)
    ]
    return json.dumps({"votes": sent}).encode()


def _fill(endpoint: Endpoint, users: int, votes: int, empty: Started) -> None:
    """Send everything, and print what it took."""
    firsts = iter(range(0, users * votes, BATCH))
    lock = threading.Lock()
    statuses = dict[int, int]()
    versions = list[int]()
    reads = list[float]()
    over = threading.Event()

    def send() -> None:
        with httpx.Client(base_url=endpoint.url, timeout=60) as client:
            while True:
                with lock:
                    first = next(firsts, None)
                if first is None:
                    return
                body = _body(users, votes, first)
                answer = client.post(
                    "/v1/votes", content=body, headers={"content-type": "application/json"}
                )
                with lock:
                    statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
                    versions.append(answer.json().get("version", 0))

    def read() -> None:
        with httpx.Client(base_url=endpoint.url, timeout=60) as client:
            while not over.wait(0.2):
                begun = time.monotonic()
                client.get("/v1/users/user-7/ranking").raise_for_status()
                reads.append(time.monotonic() - begun)

    begun = time.monotonic()
    reader = threading.Thread(target=read)
    senders = [threading.Thread(target=send) for _ in range(SENDERS)]
    for thread in (reader, *senders):
        thread.start()
    for thread in senders:
        thread.join()
    took = time.monotonic() - begun
    acknowledged = time.monotonic()
    while True:
        board = httpx.get(
            f"{endpoint.url}/v1/leaderboard", params={"min_version": max(versions)}, timeout=60
        )
        if board.is_success:
            break
    current = time.monotonic() - acknowledged
    over.set()
    reader.join()
    sent = users * votes
    print(
        f"  {sent:,} votes taken in {took:.0f} s, {sent / took:,.0f}/s; statuses {statuses}; "
        f"reads meanwhile p99 {1000 * np.quantile(reads, 0.99):.0f} ms"
    )
    print(
        f"  board current {current:.2f} s after the last acknowledged vote (at most {BOARD_S:g} "
        f"asked); it counts {board.json()['votes']:,}"
    )
    now = endpoint.memory()
    each = {part: (now[part] - empty.memory[part]) * 2**20 / users for part in now}
    print(
        f"  memory: writer {now['Writer']:.0f} MB, {each['Writer']:.0f} bytes a user; "
        f"replica {now['Rankings']:.0f} MB, {each['Rankings']:.0f} bytes a user"
    )
    disk = sum(path.stat().st_size for path in endpoint.folder.rglob("*") if path.is_file())
    print(f"  disk: {disk / 2**20:.0f} MB, {disk / sent:.0f} bytes a vote", flush=True)


def _slow_clients(endpoint: Endpoint, sockets: int) -> None:
    """Reads while so many connections from other addresses have sent half a request."""
    held = []
    for i in range(sockets):
        with suppress(OSError):
            one = socket.create_connection(
                ("127.0.0.1", PORT), timeout=10, source_address=(f"127.0.1.{1 + i % 20}", 0)
            )
            one.sendall(
                b"POST /v1/votes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"
            )
            held.append(one)
    took = []
    for i in range(50):
        begun = time.monotonic()
        httpx.get(f"{endpoint.url}/v1/users/user-{i}/ranking", timeout=30).raise_for_status()
        took.append(time.monotonic() - begun)
    for one in held:
        one.close()
    print(
        f"  {len(held):,} slow sockets: reads take {max(took):.3f} s at most (under {READ_S:g} "
        "asked)",
        flush=True,
    )


if __name__ == "__main__":
    main(*(float(argument) for argument in sys.argv[1:]))
