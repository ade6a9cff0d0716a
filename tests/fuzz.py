"""`make fuzz`: made-up input for what reads the world's, for a bounded time; no traceback is found.

Not collected by pytest, and not run in CI. `python -m tests.fuzz SECONDS [READER ...]` tries each
reader for so many seconds and prints how many inputs it took. An input that breaks one is printed,
made as small as Hypothesis can.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from electorate.base.errors import ElectorateError
from electorate.config import config_file
from electorate.config.poll import Poll
from electorate.data import vote_files
from electorate.evaluation.rating import Options, fit
from electorate.inference import completions
from electorate.online import base as bases
from electorate.storage import tables
from serve import api
from serve.security import Gate
from serve.settings import Settings
from tests.conftest import plain_config
from tests.electorate.online.finished import finished_run
from tests.serve.local import LocalService

SECONDS = 60.0
BATCH = 200
PIECES = (
    b'"', b"'", b",", b"\n", b"\r", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"{", b"}", b"[", b"]",
    b":", b"null", b"NaN", b"1e999", b"-1", b"99999999999999999999", b"\\ud83d", b"tie", b"model_a",
    b"up", b"&a ", b"*a", b"!!python/object:x", b"- ", b"<think>", b"</think>", b"=cmd()",
    b"\x1b[31m", "\u202e".encode(), "\U0001f600".encode(),
)  # fmt: skip
VOTES = [
    {"model_a": "x", "model_b": "y", "winner": "tie", "user_id": "u", "weight": 1.5, "prompt": "p"},
    {"model_a": "y", "model_b": "z", "winner": "model_a", "user_id": "v", "response_a": "A, b"},
    {"model_a": "z", "model_b": None, "winner": "up", "user_id": "v", "response_a": "A"},
]
Reader = Callable[[Any], None]


def files_of_votes() -> list[tuple[str, bytes]]:
    """A small file of votes in each format."""
    table = pa.Table.from_pylist(VOTES)
    made = []
    for suffix in (".csv", ".jsonl", ".parquet"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"votes{suffix}"
            tables.write(path, table)
            made.append((suffix, path.read_bytes()))
    made.append((".json", json.dumps(VOTES).encode()))
    return made


@st.composite
def mutated(draw: st.DrawFn, whole: bytes) -> bytes:
    """The bytes with a few pieces put in, cut out, doubled or changed."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(content)))
        length = draw(st.integers(0, 40))
        piece = content[at : at + length]
        kind = draw(st.integers(0, 4))
        if kind == 0:
            content[at:at] = draw(st.sampled_from(PIECES))
        elif kind == 1:
            del content[at : at + length]
        elif kind == 2:
            content[at:at] = piece
        elif kind == 3 and at < len(content):
            content[at] = draw(st.integers(0, 255))
        else:
            content[at : at + length] = draw(st.binary(max_size=8))
    return bytes(content)


def values(keys: tuple[str, ...]) -> st.SearchStrategy[Any]:
    """JSON of these keys, and of some words that mean something."""
    words = st.sampled_from(
        ["model_a", "tie", "assistant", "text", "", "=1+1", "<think>", "\ud83d"]
    )
    leaves = (
        st.none()
        | st.booleans()
        | st.integers(-(2**70), 2**70)
        | st.floats()
        | st.text(max_size=20)
        | words
    )
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.sampled_from(keys) | st.text(max_size=5), inner, max_size=5)
        ),
        max_leaves=15,
    )


def vote_reader(folder: Path) -> tuple[st.SearchStrategy[Any], Reader]:
    """Files of votes, rated where they hold any."""
    some = st.sampled_from(files_of_votes())
    inputs = some.flatmap(lambda one: st.tuples(st.just(one[0]), mutated(one[1])))

    def read(given_: tuple[str, bytes]) -> None:
        suffix, content = given_
        path = folder / f"votes{suffix}"
        path.write_bytes(content)
        for texts in (False, True):
            with suppress(ElectorateError):
                found, aside = vote_files.read(path, style=texts, thumbs=not texts)
                vote_files.by_reason(aside)
                fit(found, Options())

    return inputs, read


def completion_reader(_: Path) -> tuple[st.SearchStrategy[Any], Reader]:
    """What an endpoint may answer."""
    keys = (
        "choices", "message", "content", "type", "text", "thinking", "reasoning_content", "refusal",
        "tool_calls", "finish_reason", "error", "code", "usage", "completion_tokens", "logprobs",
        "top_logprobs", "token", "logprob",
    )  # fmt: skip
    message = st.fixed_dictionaries({"message": values(keys)}, optional={"logprobs": values(keys)})
    made = values(keys) | st.fixed_dictionaries({"choices": st.lists(message, max_size=2)})
    like_one = json.dumps(
        {
            "choices": [
                {
                    "message": {"content": [{"type": "text", "text": "<think>a</think>b"}]},
                    "finish_reason": "stop",
                    "logprobs": {"content": [{"token": "b", "top_logprobs": []}]},
                }
            ]
        }
    ).encode()
    inputs = made.map(lambda one: json.dumps(one).encode()) | mutated(like_one)

    def read(content: bytes) -> None:
        answer = completions.read(content, 0.0)
        completions.may_pass(answer)
        answer.text.encode()
        answer.error.encode()

    return inputs, read


def config_reader(folder: Path) -> tuple[st.SearchStrategy[Any], Reader]:
    """Configs of runs and polls, and settings."""
    whole = yaml.safe_dump(plain_config()).encode()
    names = sorted({key for key in whole.decode().replace(":", " ").split() if key.isidentifier()})
    keys = tuple(names)
    setting = st.tuples(
        st.lists(st.sampled_from(keys) | st.just("0"), min_size=1, max_size=4),
        st.text(max_size=12) | values(keys).map(repr),
    ).map(lambda one: f"{'.'.join(one[0])}={one[1]}")
    made = values(keys).map(lambda one: yaml.safe_dump(one, allow_unicode=False).encode())
    inputs = st.tuples(mutated(whole) | made, st.lists(setting, max_size=2))

    def read(given_: tuple[bytes, list[str]]) -> None:
        content, options = given_
        path = folder / "config.yaml"
        path.write_bytes(content)
        with suppress(ElectorateError):
            config_file.load(path, options)
        with suppress(ElectorateError):
            config_file.load_as(Poll, path, options)

    return inputs, read


def request_reader(folder: Path) -> tuple[st.SearchStrategy[Any], Reader]:
    """Bodies and parameters of the endpoint's routes; a status of 500 or more is a traceback."""
    base = replace(bases.of_folder(finished_run(folder / "run").path), folder=folder / "online")
    app = api.build(LocalService(base), Settings(hosts=None), Gate(None, 10**9))
    client = TestClient(app, raise_server_exceptions=True)
    client.__enter__()
    keys = (
        "votes", "id", "user_id", "model_a", "model_b", "winner", "first_shown", "prompt",
        "segment", "candidates", "responses", "model", "response", "live", "name", "retired",
        "weights", "ties", "min_version", "limit",
    )  # fmt: skip
    routes = (
        ("POST", "/v1/votes"), ("POST", "/v1/rankings"), ("POST", "/v1/route"),
        ("POST", "/v1/models"), ("PATCH", "/v1/models/c0"), ("DELETE", "/v1/users/x"),
        ("GET", "/v1/leaderboard"), ("GET", "/v1/battle"), ("GET", "/v1/users/3/ranking"),
    )  # fmt: skip
    one_vote = {"id": "1", "user_id": "u", "model_a": "c0", "model_b": "c1", "winner": "tie"}
    like_one = json.dumps({"votes": [one_vote]}).encode()
    body = values(keys).map(lambda one: json.dumps(one).encode()) | mutated(like_one)
    query = st.dictionaries(st.sampled_from(keys), st.text(max_size=10), max_size=2)
    inputs = st.tuples(st.sampled_from(routes), body, query)

    def read(given_: tuple[tuple[str, str], bytes, dict[str, str]]) -> None:
        (method, route), content, parameters = given_
        for text in parameters.values():
            if any("\ud800" <= letter <= "\udfff" for letter in text):
                return  # which no URL can hold
        answer = client.request(
            method,
            route,
            content=content,
            params=parameters,
            headers={"content-type": "application/json"},
        )
        assert answer.status_code < 500, answer.text

    return inputs, read


READERS = {
    "votes": vote_reader,
    "completions": completion_reader,
    "configs": config_reader,
    "requests": request_reader,
}


def tried(name: str, seconds: float, folder: Path) -> int:
    """Try a reader for so long; how many inputs it took. What breaks it is raised."""
    inputs, read = READERS[name](folder)
    count = 0

    def once(one: Any) -> None:
        nonlocal count
        count += 1
        read(one)

    plain = settings(
        max_examples=BATCH,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    give_up = time.monotonic() + seconds
    batch = int(time.time())
    while time.monotonic() < give_up:
        batch += 1
        seeded(batch)(plain(given(inputs)(once)))()
    return count


def main(seconds: float, names: list[str]) -> None:
    """Print a row a reader."""
    for name in names or list(READERS):
        with tempfile.TemporaryDirectory() as folder:
            count = tried(name, seconds, Path(folder))
        print(f"{name}: {count:,} inputs in {seconds:g} s, no traceback", flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS, sys.argv[2:])
