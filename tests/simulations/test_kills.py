"""SIGKILL at random moments in the middle of rounds: of cohorts, of the ranking actor, and of
the driver, which is then resumed.
"""

import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from electorate.storage.run_folder import RunFolder
from tests.conftest import ARCHETYPES, RayCluster, electorate_command, in_process

SIZE = 32_000
CHECKPOINTS = [5, 15, 30]
VICTIMS = ("CohortActor", "RankingActor", "driver")
KILLS = 10


def votes_of(folder: RunFolder) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder.votes)): path.read_bytes()
        for path in sorted(folder.votes.rglob("*.parquet"))
    }


def wait_for(folder: RunFolder, files: int, driver: subprocess.Popen[str]) -> bool:
    """Whether so many vote files came to be while the driver ran."""
    while driver.poll() is None:
        if len(list(folder.votes.rglob("block=*.parquet"))) >= files:
            return True
        time.sleep(0.01)
    return False


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("pairing", "most"), [("uniform", KILLS), ("active", 6)])
def test_ten_kills_and_not_a_vote_is_different(
    stored: Callable[..., Path], tmp_path: Path, ray_cluster: RayCluster, pairing: str, most: int
) -> None:
    config = stored(
        population={"size": SIZE, "archetypes": {name: {} for name in ARCHETYPES}, "drift": 0.3},
        votes={"checkpoints": CHECKPOINTS, "pairing": pairing},
        evaluation={"bootstrap": 50, "users": 50, "systems": ["global_bt", "oracle"]},
        cluster={"cohorts": 2},
    )
    whole = RunFolder(tmp_path / "whole")
    killed = RunFolder(tmp_path / "killed")
    undisturbed = in_process("run", config, "--out", whole.path, "--cohorts", 0)
    assert undisturbed.returncode == 0, undisturbed.stderr[-2000:]
    luck = random.Random(5)
    files = 0
    kills = list[str]()
    total = len(votes_of(whole))
    driver = electorate_command(
        "run", config, "--out", killed.path, "--resume", RAY_ADDRESS=ray_cluster.address
    )
    while len(kills) < most:
        files += luck.randint(1, max(1, 2 * total // most - 2))
        if not wait_for(killed, min(files, total - 1), driver):
            break
        victim = luck.choice(VICTIMS)
        if victim == "driver":
            driver.send_signal(signal.SIGKILL)
            driver.communicate()
            driver = electorate_command(
                "run", config, "--out", killed.path, "--resume", RAY_ADDRESS=ray_cluster.address
            )
        elif there := ray_cluster.processes_titled(f"ray::{victim}"):
            luck.choice(there).send_signal(signal.SIGKILL)
        else:
            continue
        kills.append(victim)
    _, err = driver.communicate(timeout=300)
    assert driver.returncode == 0, err[-3000:]
    assert len(kills) >= 5
    assert {"driver", "CohortActor", "RankingActor"} <= set(kills)
    assert votes_of(killed) == votes_of(whole)
    assert killed.leaderboard.read_bytes() == whole.leaderboard.read_bytes()
    print(f"{len(kills)} kills ({pairing}): {kills}")
