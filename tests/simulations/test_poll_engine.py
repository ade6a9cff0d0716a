"""A poll by the real engine: personas write prompts, contestants answer them, and a model that
knows nothing judges in both modes, its engine killed on the way.
"""

import json
import sqlite3
import subprocess
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from tests.conftest import RayCluster, electorate_command, run_electorate

SMALL = {
    "engine": "vllm",
    "accelerator": "cpu",
    "threads": 2,
    "concurrency": 32,
    "timeout_s": 300,
    "retries": 1,
    "engine_kwargs": {
        "dtype": "float32",
        "enforce_eager": True,
        "max_model_len": 4096,
        "max_num_seqs": 32,
        "max_num_batched_tokens": 8192,
        "block_size": 32,
    },
}


@pytest.mark.timeout(1500)
def test_the_small_model_judges_and_the_report_says_how_poorly(
    tmp_path: Path, ray_cluster: RayCluster, made_model: Path
) -> None:
    content = {
        "models": {"small": {**SMALL, "source": str(made_model)}},
        "contestants": [
            {"name": "plain", "model": "small", "max_tokens": 24},
            {"name": "terse", "model": "small", "max_tokens": 6, "temperature": 0.2},
            {"name": "hot", "model": "small", "max_tokens": 24, "temperature": 1.6},
        ],
        "personas": {"size": 6},
        "new_prompts": {"model": "small", "per_persona": 1},
        "battles": 4,
        "judges": [{"name": "small", "model": "small", "window": 4096}],
        "modes": ["verdict", "criteria"],
        "rankings": {"personas": 2, "prompts": 1},
        "checks": {"repeats": 5, "injections": 5},
        "allow_self_judging": True,
        "allow_cut_answers": True,
        "cluster": {
            "cache_dir": str(tmp_path / "cache"),
            "cohorts": 2,
            "cpus_per_cohort": 0.25,
            "serve_port": 0,
        },
    }
    config = tmp_path / "poll.yaml"
    out = tmp_path / "out"
    config.write_text(yaml.safe_dump(content))
    running = electorate_command("poll", config, "--out", out, RAY_ADDRESS=ray_cluster.address)
    _until_stored(running, tmp_path / "cache" / "answers.sqlite", 40)
    ray_cluster.processes_titled("EngineCore")[0].kill()
    said, wrong = running.communicate(timeout=800)
    assert running.returncode == 0, wrong[-3000:] + said[-2000:]

    votes = pq.read_table(out / "votes.parquet")
    assert votes.num_rows == 24
    stages = json.loads((out / "manifest.json").read_text())["stages"]
    lost = {name: of["lost"] for name, of in stages.items() if "lost" in of}
    assert not lost
    judgements = pq.read_table(out / "judgements.parquet")
    assert set(judgements["judge"].to_pylist()) == {"small, verdict", "small, criteria"}
    assert judgements["a_first_a"].null_count == 0
    # Whatever so small a model says, it is reported against chance.
    kappas = [
        row
        for row in pq.read_table(out / "validity.parquet").to_pylist()
        if row["name"] == "order-swap consistency, kappa"
    ]
    assert len(kappas) == 2
    assert all(row["value"] < 0.6 for row in kappas)
    assert any("chance" in row["says"] for row in kappas), kappas
    assert "its own model, and may favour itself" in said
    assert "order-swap consistency, kappa" in said
    prompts = pq.read_table(out / "prompts.parquet").to_pylist()
    assert 3 <= len(prompts) <= 6
    assert len({row["prompt"] for row in prompts}) == len(prompts)

    again = run_electorate(
        "poll", config, "--out", tmp_path / "again", RAY_ADDRESS=ray_cluster.address
    )
    assert again.returncode == 0, again.stderr[-3000:]
    assert "Starting vLLM" not in again.stdout
    assert (tmp_path / "again" / "votes.parquet").read_bytes() == (
        out / "votes.parquet"
    ).read_bytes()


def _until_stored(running: subprocess.Popen[str], cache: Path, count: int) -> None:
    """Waits as long as the poll goes on: how soon it comes so far hangs on the machine."""
    while running.poll() is None:
        if cache.exists():
            with sqlite3.connect(cache, timeout=60) as database:
                try:
                    if database.execute("SELECT count(*) FROM answers").fetchone()[0] >= count:
                        return
                except sqlite3.OperationalError:
                    pass
        time.sleep(0.25)
    raise AssertionError(f"it never came so far: {running.communicate()}")
