"""A run whose endpoint goes away amid the answers, as an engine does that dies and is started
again.
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from electorate.storage.run_folder import RunFolder
from tests.conftest import RayCluster, made_text, plain_config, run_electorate
from tests.electorate.population.test_personas import population

AWAY_AFTER = 30
AWAY_S = 6.0


class Engine(ThreadingHTTPServer):
    """Answers, goes away for a while after AWAY_AFTER answers, and counts what it answered."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answered = Counter[str]()
        self.lock = threading.Lock()
        self.away_until = 0.0
        self.turned_away = 0

    def is_away(self) -> bool:
        with self.lock:
            if self.answered.total() >= AWAY_AFTER and not self.away_until:
                self.away_until = time.monotonic() + AWAY_S
            away = time.monotonic() < self.away_until
            self.turned_away += away
            return away


class Handler(BaseHTTPRequestHandler):
    server: Engine

    def do_GET(self) -> None:
        self._say({"data": [{"id": "m"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        time.sleep(0.05)
        if self.server.is_away():
            # As a killed process does: the connection ends amid the answer.
            self.close_connection = True
            return
        asked = json.dumps(body["messages"])
        with self.server.lock:
            self.server.answered[asked] += 1
            text = made_text(self.server.answered.total() % 6, self.server.answered.total())
        self._say(
            {
                "choices": [{"message": {"content": text}, "finish_reason": "stop"}],
                "usage": {"completion_tokens": 9},
            }
        )

    def _say(self, content: object) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def engine() -> Iterator[Engine]:
    server = Engine()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


def test_no_answer_is_lost_and_none_is_asked_for_again(
    engine: Engine, tmp_path: Path, ray_cluster: RayCluster
) -> None:
    model = {
        "engine": "openai",
        "base_url": f"http://127.0.0.1:{engine.server_port}/v1",
        "model": "m",
        "retries": 0,
        "concurrency": 4,
    }
    content = plain_config(
        models={"m": model},
        prompts={"per_archetype": 3},
        population=population(size=300),
        votes={"checkpoints": [2]},
    )
    content["evaluation"]["systems"] = ["global_bt", "oracle"]
    content["cluster"] = {"cache_dir": str(tmp_path / "cache"), "cpus_per_cohort": 0}
    config = tmp_path / "config.yaml"
    run = RunFolder(tmp_path / "run")
    config.write_text(yaml.safe_dump(content))
    done = run_electorate("run", config, "--out", run.path, RAY_ADDRESS=ray_cluster.address)
    assert done.returncode == 0, done.stderr[-2000:]
    responses = pq.read_table(run.responses)
    assert (
        responses["error"].null_count
        == responses.num_rows
        == 6 * len(set(responses["prompt_id"].to_pylist()))
    )
    assert engine.turned_away > 0
    assert set(engine.answered.values()) == {1}
    assert engine.answered.total() == responses.num_rows
