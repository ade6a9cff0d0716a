"""What `serve` says of what it serves: in words, and requests that are answered as they stand."""

import json
import shlex
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from electorate.base.progress import unshown
from electorate.online import base as bases
from electorate.online import begin
from electorate.online.routing import Shares
from serve import answer_ids, api, upstreams
from serve.gateway import Gateway
from serve.security import Gate
from serve.settings import Settings
from simulations.served import Served
from tests.serve.local import LocalService
from tests.serve.upstreams import Upstreams

URL = "http://127.0.0.1:8000"


def votes_file(place: Path) -> Path:
    random = np.random.default_rng(0)
    user = np.arange(200) % 10
    a = random.integers(0, 3, 200)
    columns = {
        "user_id": [f"O'Brien {one}/ö" for one in user],
        "model_a": [f"c{one}" for one in a],
        "model_b": [f"c{(one + 1) % 3}" for one in a],
        "winner": random.choice(["model_a", "model_b"], 200),
        "team": np.where(user % 2, "R&D", "sales"),
    }
    pq.write_table(pa.table(columns), place)
    return place


def service_of(folder: Path) -> LocalService:
    service = LocalService(bases.of_folder(folder))
    begin.take_in(service.counter.base, service.counter.store, unshown)
    return service


@pytest.mark.parametrize("kind", ["votes", "segments", "nothing", "contestants"])
def test_each_request_to_try_is_answered(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "new"
    if kind != "nothing":
        by = "team" if kind == "segments" else None
        folder = begin.folder_of(votes_file(tmp_path / "v.parquet"), tmp_path / "served", by)
    service = service_of(folder)
    server = Upstreams()
    gateway = None
    contestants = None
    if kind == "contestants":
        gateway = Gateway(
            upstreams.of_contest(server.contest(), None), answer_ids.secret(folder), Shares()
        )
        contestants = tmp_path / "contestants.yaml"
    settings = Settings(hosts=None, contestants=contestants)
    app = api.build(service, settings, Gate(None, 10_000), gateway)
    served = Served.of(service.counter.base, service.counter.store)
    requests = served.requests(URL, settings)
    assert len(requests) == 3
    with TestClient(app, raise_server_exceptions=False) as client:
        for line in requests:
            words = shlex.split(line)
            url = next(word for word in words if word.startswith(URL))
            body = json.loads(words[-1]) if "-d" in words else None
            answer = client.get(url) if body is None else client.post(url, json=body)
            assert answer.status_code == 200, line
    server.shutdown()


def test_in_words(tmp_path: Path) -> None:
    nothing = service_of(tmp_path / "new")
    told = Served.of(nothing.counter.base, nothing.counter.store).in_words()
    assert told == "no votes yet; the first ones make the board"
    folder = begin.folder_of(votes_file(tmp_path / "v.parquet"), tmp_path / "served", "team")
    service = service_of(folder)
    told = Served.of(service.counter.base, service.counter.store).in_words()
    assert told == "3 models; 200 votes of 10 users; 2 segments (R&D, sales)"


def test_a_key_is_asked_for_where_keys_are(tmp_path: Path) -> None:
    service = service_of(tmp_path / "new")
    served = Served.of(service.counter.base, service.counter.store)
    for line in served.requests(URL, Settings(keys=tmp_path / "keys.json")):
        assert line.startswith('curl -H "Authorization: Bearer $KEY" ')
