"""The client against a real HTTP server that misbehaves as endpoints do."""

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from electorate.base.errors import ElectorateError
from electorate.config.run import Config
from electorate.data import prompts
from electorate.inference import contestants, endpoints
from electorate.inference.completions import Answer
from electorate.inference.contestants import Request
from electorate.inference.endpoints import Connection, HttpAsker
from tests.conftest import made_config


class Endpoint(ThreadingHTTPServer):
    """Answers by what the prompt says: `fail N CODE` fails N times first, `prose` is no chat
    completion, `slow` sleeps.
    """

    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.tries: Counter[str] = Counter()
        self.bodies: list[dict[str, object]] = []
        self.in_flight = self.most_in_flight = self.pushed_back = 0
        self.bears = 10**9
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Endpoint
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        prompt = body["messages"][-1]["content"]
        with self.server.lock:
            self.server.tries[prompt] += 1
            self.server.bodies.append(body)
            self.server.in_flight += 1
            self.server.most_in_flight = max(self.server.most_in_flight, self.server.in_flight)
            too_many = self.server.in_flight > self.server.bears
            self.server.pushed_back += too_many
        time.sleep(1.0 if "slow" in prompt else 0.02)
        words = prompt.split()
        with self.server.lock:
            self.server.in_flight -= 1
            failing = words[0] == "fail" and self.server.tries[prompt] <= int(words[1])
        if too_many:
            self.reply(429, "slow down")
        elif failing:
            self.reply(int(words[2]), "no")
        elif "prose" in prompt:
            self.reply(200, "I'd rather not.")
        else:
            choice = {"message": {"content": f"re: {prompt}"}, "finish_reason": "stop"}
            self.reply(200, json.dumps({"choices": [choice], "usage": {"completion_tokens": 7}}))

    def reply(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    server = Endpoint()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


def config_at(endpoint: Endpoint, **model: object) -> Config:
    return made_config(
        models={"m": {"engine": "openai", "base_url": endpoint.url, "model": "small", **model}}
    )


def ask(config: Config, texts: list[str]) -> dict[str, Answer]:
    requests = [
        Request(str(i), "m", contestants.body(config.contestants[1], text), i, "c1")
        for i, text in enumerate(texts)
    ]
    asker = HttpAsker(endpoints.connections(config.models, None, 1))

    async def collect() -> dict[str, Answer]:
        return {texts[request.prompt_id]: answer async for request, answer in asker.ask(requests)}

    return asyncio.run(collect())


def test_an_answer_carries_text_reason_tokens_and_the_settings_were_sent(
    endpoint: Endpoint,
) -> None:
    answer = ask(config_at(endpoint), ["hello"])["hello"]
    assert (answer.text, answer.finish_reason, answer.tokens, answer.error) == (
        "re: hello",
        "stop",
        7,
        "",
    )
    body = endpoint.bodies[0]
    assert body["model"] == "small"
    assert body["messages"] == [
        {"role": "system", "content": "manner 1"},
        {"role": "user", "content": "hello"},
    ]
    assert (body["temperature"], body["max_tokens"]) == (0.7, 512)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_passing_failure_is_tried_again(endpoint: Endpoint, status: int) -> None:
    text = f"fail 1 {status}"
    assert ask(config_at(endpoint, retries=2), [text])[text].text == f"re: {text}"
    assert endpoint.tries[text] == 2


def test_a_lasting_failure_says_why_after_its_tries(endpoint: Endpoint) -> None:
    assert ask(config_at(endpoint, retries=1), ["fail 9 500"])["fail 9 500"].error.startswith(
        "HTTP 500"
    )
    assert endpoint.tries["fail 9 500"] == 2


def test_a_refusal_is_not_repeated(endpoint: Endpoint) -> None:
    assert ask(config_at(endpoint, retries=5), ["fail 9 400"])["fail 9 400"].error.startswith(
        "HTTP 400"
    )
    assert endpoint.tries["fail 9 400"] == 1


def test_prose_and_silence_are_errors_and_never_answers(endpoint: Endpoint) -> None:
    answers = ask(config_at(endpoint, retries=0, timeout_s=0.3), ["prose", "slow"])
    assert answers["prose"].error.startswith("not a chat completion")
    assert "Timeout" in answers["slow"].error


def test_no_more_requests_are_in_flight_than_allowed(endpoint: Endpoint) -> None:
    answers = ask(config_at(endpoint, concurrency=3), [f"prompt {i}" for i in range(30)])
    assert len(answers) == 30
    assert 1 < endpoint.most_in_flight <= 3


def test_an_endpoint_that_pushes_back_gets_as_many_as_it_bears(endpoint: Endpoint) -> None:
    endpoint.bears = 6
    answers = ask(
        config_at(endpoint, concurrency=500, retries=10), [f"prompt {i}" for i in range(200)]
    )
    assert all(not answer.error for answer in answers.values())
    # All at once would have been refused 194 times at the first try, and again and again.
    assert 0 < endpoint.pushed_back < 120, endpoint.pushed_back
    assert sum(len(answer.retried) for answer in answers.values()) == endpoint.pushed_back
    assert {kind for answer in answers.values() for kind in answer.retried} == {"HTTP 429"}


def test_cohorts_share_an_endpoints_concurrency(endpoint: Endpoint) -> None:
    reached = endpoints.connections(config_at(endpoint, concurrency=10).models, None, askers=4)
    assert reached["m"].in_flight == 3


def test_an_unreachable_endpoint_is_one_line() -> None:
    with pytest.raises(ElectorateError, match=r"models.m.base_url: .* cannot be reached") as caught:
        endpoints.check_reachable("m", Connection("http://127.0.0.1:9/v1", "m", None, 1, 1.0, 0))
    assert "\n" not in str(caught.value)


def test_a_missing_api_key_names_the_variable(endpoint: Endpoint) -> None:
    with pytest.raises(ElectorateError, match="NO_SUCH_KEY is not set"):
        endpoints.connections(config_at(endpoint, api_key_env="NO_SUCH_KEY").models, None, 1)


def test_a_request_is_known_by_all_that_shapes_its_answer_and_by_nothing_else() -> None:
    config = made_config()
    chosen = prompts.select(config)
    keys = [request.key for request in contestants.requests(config, chosen)]
    assert len(set(keys)) == len(keys) == len(chosen) * 6

    def first(**changes: object) -> str:
        return contestants.requests(made_config(**changes), chosen)[0].key

    model = {"engine": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "m"}
    assert first(models={"m": {**model, "concurrency": 5, "timeout_s": 9, "retries": 9}}) == keys[0]
    assert first(models={"m": {**model, "model": "other"}}) != keys[0]
    named = [{"name": f"c{i}", "model": "m", "system": f"manner {i}"} for i in range(6)]
    assert first(contestants=[{**named[0], "name": "renamed"}, *named[1:]]) == keys[0]
    assert first(contestants=[{**named[0], "temperature": 0.1}, *named[1:]]) != keys[0]
