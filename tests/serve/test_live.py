"""Contestants asked live, over real HTTP."""

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from electorate.base.errors import ElectorateError
from electorate.config.run import Config
from serve.live import Live
from tests.conftest import plain_config
from tests.electorate.inference.test_messages import wrapped


class Contestants(BaseHTTPRequestHandler):
    """Says its system prompt back; the manner `manner 1` breaks it."""

    asked: ClassVar[list[dict[str, Any]]] = []
    wrapping: ClassVar[str] = "plain"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.asked.append(body)
        manner = body["messages"][0]["content"]
        said = {
            "choices": [
                {
                    "message": wrapped(manner, "Let me think.")[self.wrapping],
                    "finish_reason": "stop",
                }
            ],
            "usage": {"completion_tokens": 2},
        }
        self.send_response(500 if manner == "manner 1" else 200)
        self.end_headers()
        self.wfile.write(json.dumps(said).encode())

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Contestants)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Contestants.asked = []
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()


def config(**model: Any) -> Config:
    content = plain_config()
    content["models"]["m"] |= {"retries": 0, **model}
    content["contestants"].append({**content["contestants"][0], "name": "twin"})
    return Config.model_validate(content)


def test_each_contestant_answers_in_its_manner_or_says_why_not(url: str) -> None:
    said = asyncio.run(
        Live(config(base_url=url), None).ask("Which river?", ["c0", "c1", "c4", "twin"])
    )
    assert {name: answer.text for name, answer in said.items()} == {
        "c0": "manner 0",
        "c1": "",
        "c4": "manner 4",
        "twin": "manner 0",
    }
    assert said["c1"].error.startswith("HTTP 500")
    # What two contestants have in common is asked once.
    assert len(Contestants.asked) == 3
    assert all(
        body["messages"][-1] == {"role": "user", "content": "Which river?"}
        for body in Contestants.asked
    )


@pytest.mark.parametrize("wrapping", list(wrapped("", "")))
def test_an_answer_is_the_same_however_it_is_wrapped(
    wrapping: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Contestants, "wrapping", wrapping)
    said = asyncio.run(Live(config(base_url=url), None).ask("Which river?", ["c0", "c4"]))
    assert {name: answer.text for name, answer in said.items()} == {
        "c0": "manner 0",
        "c4": "manner 4",
    }


def test_who_is_no_contestant_is_refused_before_anybody_is_asked(url: str) -> None:
    with pytest.raises(ElectorateError, match="candidates: 'c9' is not a contestant"):
        asyncio.run(Live(config(base_url=url), None).ask("Which river?", ["c0", "c9"]))
    assert Contestants.asked == []


def test_what_cannot_be_asked_is_one_line_at_the_start() -> None:
    served = plain_config(models={"m": {"engine": "vllm", "source": "org/model"}})
    with pytest.raises(
        ElectorateError, match="live: nothing says where model 'm' is served; give contestants_url"
    ):
        Live(Config.model_validate(served), None)
    recorded = plain_config(
        models={"m": {"engine": "recorded", "responses": "r.parquet"}},
        prompts={"source": "recorded"},
    )
    with pytest.raises(ElectorateError, match="live: contestant 'c0' is a recording"):
        Live(Config.model_validate(recorded), None)
