"""Battles that a larger model writes and judges, against a real HTTP server that plays it."""

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow.csv as pcsv
import pyarrow.json as pjson
import pytest
from rich.console import Console

from electorate.base.errors import ElectorateError
from electorate.base.progress import unshown
from electorate.config.reward import Synthetic
from electorate.inference import asking
from electorate.polls import synthetic
from electorate.rewards import few
from simulations.predict import predict
from tests.simulations.test_predict import SMALL, battles, written

ASKED = re.compile(r"Answer A:\n<(x\w{6})>\n(.*)\n</\1>.*Answer B:\n<\1>\n(.*)\n</\1>", re.DOTALL)


class Judge(ThreadingHTTPServer):
    """Answers "42 42 42 42" to any prompt, and prefers the response with more of them; asked:
    how often.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked = list[str]()
        self.verdict = ""

    def settings(self, **changes: Any) -> Synthetic:
        judge = {
            "engine": "openai",
            "base_url": f"http://127.0.0.1:{self.server_port}/v1",
            "model": "large",
            "retries": 0,
        }
        return Synthetic.model_validate({"judge": judge, "battles": 40, **changes})


class Handler(BaseHTTPRequestHandler):
    server: Judge

    def do_GET(self) -> None:
        self._reply({"data": []})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        prompt = body["messages"][-1]["content"]
        self.server.asked.append(prompt)
        if self.server.verdict == "HTTP 500":
            self.send_error(500)
            return
        responses = ASKED.search(prompt)
        text = "42 42 42 42"
        if responses:
            a, b = (said.count("42") for said in responses.groups()[1:])
            text = self.server.verdict or (" A." if a > b else "B" if b > a else "C")
        self._reply(
            {
                "choices": [{"message": {"content": text}, "finish_reason": "stop"}],
                "usage": {"completion_tokens": 1},
            }
        )

    def _reply(self, content: object) -> None:
        data = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def judge() -> Iterator[Judge]:
    server = Judge()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def make(judge: Judge, cache: Path, theirs: list[str]) -> synthetic.Made:
    prompts = [f"prompt {i}" for i in range(len(theirs))]
    with patch.object(asking, "PAUSE_S", 0.0):
        return synthetic.make(judge.settings(), prompts, theirs, cache, unshown)


def test_a_battle_is_judged_in_both_orders_and_asked_once(judge: Judge, tmp_path: Path) -> None:
    made = make(judge, tmp_path, ["no", "42 42 42 42", "42 " * 9])
    assert [(battle.of, battle.winner) for battle in made.battles] == [
        (0, "model_a"),
        (1, "tie"),
        (2, "model_b"),
    ]
    assert all(battle.ours == "42 42 42 42" for battle in made.battles)
    assert len(judge.asked) == 3 + 3 + 2  # the equal pair is the same text in both orders
    assert make(judge, tmp_path, ["no", "42 42 42 42", "42 " * 9]) == made
    assert len(judge.asked) == 8


def test_a_verdict_that_hangs_on_the_order_is_a_tie(judge: Judge, tmp_path: Path) -> None:
    judge.verdict = "A"
    assert [battle.winner for battle in make(judge, tmp_path, ["no", "yes"]).battles] == [
        "tie",
        "tie",
    ]


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("I would say that both have their merits", "prose"),
        ("", "empty"),
        ("Apples", "prose"),
        ("D", "prose"),
        ("I'm sorry, no.", "refusal"),
    ],
)
def test_a_verdict_that_is_none_is_counted_and_never_a_tie(
    judge: Judge, tmp_path: Path, said: str, kind: str
) -> None:
    judge.verdict = said or " "
    made = make(judge, tmp_path, ["no", "yes"])
    assert made.battles == []
    assert made.lost == {f"a verdict that is none: {kind}": 2}


def test_a_judge_that_fails_is_one_line_and_what_it_said_is_kept(
    judge: Judge, tmp_path: Path
) -> None:
    make(judge, tmp_path, ["no"])
    judge.verdict = "HTTP 500"
    with pytest.raises(
        ElectorateError, match=r"\(reward.synthetic\): 2 of 3 requests failed; the first: HTTP 500"
    ):
        make(judge, tmp_path, ["no", "yes", "perhaps"])
    judge.verdict = ""
    before = len(judge.asked)
    make(judge, tmp_path, ["no", "yes", "perhaps"])
    assert len(judge.asked) == before + 6
    judge.shutdown()
    judge.server_close()
    with pytest.raises(ElectorateError, match=r"reward.synthetic.judge.*cannot be reached"):
        make(judge, tmp_path, ["another"])


def test_predictions_with_and_without_what_was_made(
    judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(few, "STEPS", 40)
    people = {name: values[:200] for name, values in battles(0).items()}
    train = written(tmp_path / "train.csv", people)
    config = tmp_path / "config.yaml"
    test = written(tmp_path / "test.csv", people, ("id", "prompt", "response_a", "response_b"))
    place = f"{{engine: openai, base_url: 'http://127.0.0.1:{judge.server_port}/v1', model: large}}"
    config.write_text(
        SMALL.rstrip("}\n")
        + f", synthetic: {{judge: {place}, battles: 100, weight: 0.5}}}}\n"
        + f"cluster: {{cache_dir: {tmp_path / 'cache'}}}\n"
    )
    console = Console(record=True, width=200, soft_wrap=True)
    predict(train, test, tmp_path / "out.csv", config, console)
    told = console.export_text()
    assert "preference_without_synthetic" in told
    assert pcsv.read_csv(tmp_path / "out.csv").num_rows == 200
    made = pjson.read_json(tmp_path / "out.synthetic.jsonl")
    assert made.num_rows == 100
    assert set(made["synthetic"].to_pylist()) == {True}
    assert set(made["weight"].to_pylist()) == {0.5}
    # Nothing is made about prompts by which the predictions are judged.
    kept = int(re.search(r"(\d+) battles on (\d+) prompts that nothing was learned from", told)[2])  # type: ignore[index]
    assert len(set(made["prompt"].to_pylist())) <= len(set(people["prompt"])) - kept
