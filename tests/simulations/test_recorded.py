"""Runs on recorded responses, by the command line: no model runs."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from electorate.storage.run_folder import RunFolder
from tests.conftest import ROOT, in_process, made_text

MODELS = {
    "gpt-4-0613": "gpt-4-0613",
    "llama-2-70b-chat": "llama-2-70b-chat",
    "org/vicuna-33b": "vicuna-33b",
    "zephyr": "zephyr-7b-beta",
    "mistral": "mistral-7b-instruct",
    "gemma-2": "gemma-2-9b-it",
    "gemma-2b": "gemma-2b-it",
    "qwen": "qwen1.5-7b-chat",
}
ASKED = (
    "Write Python code for {}.",
    "Write a poem about {}.",
    "Email a client about {}.",
    "How many {}?",
    "The history of {}.",
    "Tell me of {}.",
)
ALPACA_EVAL = ROOT.parent / "shared" / "data" / "alpaca_eval_responses.parquet"


def recorded(path: Path) -> None:
    """Responses of eight rated models to 60 prompts, one of them empty and one of ten megabytes;
    one pair is missing.
    """
    prompts = [asked.format(f"thing {i}") for i in range(10) for asked in ASKED]
    rows = [(p, m, made_text(i, j)) for j, p in enumerate(prompts) for i, m in enumerate(MODELS)]
    rows[3] = (*rows[3][:2], "")
    rows[12] = (*rows[12][:2], "a long story " * 800_000)
    del rows[30]
    prompt, model, response = map(list, zip(*rows, strict=True))
    table = {
        "prompt": prompt,
        "model": model,
        "response": response,
        "arena_name": [MODELS[m] for m in model],
    }
    pq.write_table(pa.table(table), path)


def test_a_population_judges_recorded_responses(tmp_path: Path) -> None:
    recorded(tmp_path / "r.parquet")
    out = RunFolder(tmp_path / "run")
    settings = [
        f"models.recording.responses={tmp_path / 'r.parquet'}",
        f"cluster.cache_dir={tmp_path / 'cache'}",
        "evaluation.users=400",
        "votes.checkpoints=[5, 50]",
    ]
    options = [
        part for setting in [*settings, "evaluation.bootstrap=60"] for part in ("--set", setting)
    ]
    done = in_process("run", "configs/recorded.yaml", "--cohorts", 0, "--out", out.path, *options)
    assert done.returncode == 0, done.stderr[-3000:]

    assert out.read_manifest()["stages"]["answers"]["asked"] == 0
    responses = pq.read_table(out.responses)
    assert responses.num_rows == 59 * 8
    assert max(map(len, responses["response"].to_pylist())) > 10_000_000
    assert set(responses["contestant"].to_pylist()) >= {"org/vicuna-33b", "gpt-4-0613"}
    prompts = pq.read_table(out.prompts)
    assert set(prompts["archetype"].to_pylist()) == {
        "coder",
        "academic",
        "creative_writer",
        "student",
        "business",
        "everyday",
    }

    # Nine systems, regret first, and what can be attained lies between the systems and the truth.
    summary = json.loads(out.summary.read_text())
    assert {"arena", "elo_online", "oracle_features"} <= set(summary)
    assert next(iter(summary["global_bt"])) == "regret"
    loss = {system: values["log_loss"] for system, values in summary.items()}
    assert loss["oracle"] < loss["oracle_features"] < loss["elo_offset"] < loss["global_bt"]
    tau = {system: values["per_prompt_kendall_tau"] for system, values in summary.items()}
    assert tau["oracle_features"] > tau["elo_offset"] > tau["arena"]
    assert summary["oracle_features"]["regret_of_6"] < summary["global_bt"]["regret_of_6"]
    header = next(line for line in done.stdout.splitlines() if line.split()[:1] == ["system"])
    assert header.split()[:4] == ["system", "regret", "of", "6"]

    # The leaderboard beside the official one, and the tables the report draws.
    (line,) = [
        line
        for line in done.stdout.splitlines()
        if line.startswith("Spearman's rho of everyone's leaderboard")
    ]
    rho = float(line.split(": ")[1].split()[0])
    assert 0 < rho <= 1
    page = out.report.read_text()
    assert f"<strong>{rho:.3f}</strong> over 8 models" in page
    for section in (
        "Regret by archetype",
        "Newcomers",
        "Where personal rankings differ",
        "Learning curves by archetype",
        "Calibration",
        "beside the official one",
    ):
        assert section in page
    assert page.count("<svg") == 10
    orders = pq.read_table(out.orders).to_pylist()
    assert len(orders) == 7 * 8
    everyone = [row for row in orders if row["segment"] == "all"]
    assert sorted(row["global_rank"] for row in everyone) == list(range(1, 9))
    assert sum(row["first_share"] for row in everyone) == pytest.approx(1)
    assert np.mean([row["personal_rank"] for row in everyone]) == pytest.approx(4.5)
    calibration = {row["system"] for row in pq.read_table(out.calibration).to_pylist()}
    assert calibration == set(summary)


@pytest.mark.skipif(not ALPACA_EVAL.exists(), reason=f"{ALPACA_EVAL} is not here")
def test_twenty_four_real_models(tmp_path: Path) -> None:
    out = RunFolder(tmp_path / "run")
    settings = [
        f"models.recording.responses={ALPACA_EVAL}",
        f"cluster.cache_dir={tmp_path / 'cache'}",
        "evaluation.users=100",
    ]
    options = [
        part
        for setting in [*settings, "evaluation.bootstrap=50", "evaluation.incremental=false"]
        for part in ("--set", setting)
    ]
    done = in_process("run", "configs/recorded.yaml", "--cohorts", 0, "--out", out.path, *options)
    assert done.returncode == 0, done.stderr[-3000:]
    assert pq.read_table(out.responses).num_rows == 805 * 24
    assert pq.read_table(out.personas).num_rows == 2000
    (line,) = [
        line
        for line in done.stdout.splitlines()
        if line.startswith("Spearman's rho of everyone's leaderboard")
    ]
    assert float(line.split(": ")[1].split()[0]) > 0.9
    assert "(24 models)" in line
    assert set(pq.read_table(out.metrics)["votes_per_user"].to_pylist()) == {50}
