"""A whole run in an object store: its connection lost for moments and for good, its driver
killed; and the same as on a disk.
"""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from electorate.online import base
from electorate.population.voters import BLOCK
from electorate.rewards import store as rewards
from electorate.storage import lock
from electorate.storage.run_folder import RunFolder
from electorate.storage.vote_log import VoteLog
from tests.conftest import RayCluster, electorate_command, in_process, run_electorate
from tests.electorate.commands.test_human import made
from tests.simulations.test_chaos import MINILM, contents
from tests.simulations.test_faults import one_line
from tests.stores import Store, serving

# Enough that the driver is killed well before the last, however short an epoch is.
EPOCHS = 6
# A store that is away is given up after some 10 s instead of a minute, and a lock that stands still
# is taken over after 3.
SOON = {
    "electorate.storage.places.PAUSES_S": (1.0, 2.0, 4.0),
    "electorate.storage.lock.BEAT_S": 0.5,
    "electorate.storage.lock.WATCHED_S": 3.0,
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with serving("s3", tmp_path_factory.mktemp("store")) as found:
        yield found


def wait_until(reached: Callable[[], bool], driver: subprocess.Popen[str]) -> None:
    while not reached():
        assert driver.poll() is None, driver.communicate()
        time.sleep(0.05)


@pytest.mark.timeout(1200)
def test_a_run_in_a_store_is_the_one_on_a_disk_whatever_becomes_of_the_connection(
    stored: Callable[..., Path],
    tmp_path: Path,
    ray_cluster: RayCluster,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lock, "WATCHED_S", SOON["electorate.storage.lock.WATCHED_S"])
    reward = {
        "model": MINILM,
        "layers": 1,
        "score_head": False,
        "accelerator": "cpu",
        "workers": 1,  # several are killed in test_chaos and test_reward
        "epochs": EPOCHS,
        "rank": 3,
        "prompts_per_step": 6,
        "voters": 200,
    }
    config = stored(
        reward=reward,
        population={"size": 5 * BLOCK, "archetypes": {"coder": {}, "academic": {}}},
        prompts={"per_archetype": 8},
        votes={"checkpoints": [3, 8]},
        evaluation={
            "bootstrap": 50,
            "users": 50,
            "newcomers": 0,
            "incremental": False,
            "systems": ["global_bt", "elo_offset", "pooled_rm", "oracle"],
        },
        cluster={"cohorts": 2, "cpus_per_cohort": 0},
    )
    disk = RunFolder(tmp_path / "disk")
    undisturbed = run_electorate("run", config, "--out", disk.path, RAY_ADDRESS=ray_cluster.address)
    assert undisturbed.returncode == 0, undisturbed.stderr[-2000:]
    uri = store.uri("runs/one")
    run = RunFolder(store.direct("runs/one"))
    log = VoteLog(run.votes, ["c0"])

    def start(*more: str) -> subprocess.Popen[str]:
        return electorate_command(
            "run",
            config,
            "--out",
            uri,
            "--resume",
            *more,
            constants=SOON,
            RAY_ADDRESS=ray_cluster.address,
        )

    def votes() -> int:
        return len(log.blocks(0)) + len(log.blocks(1))

    # For good; without Ray, whose workers would wait for as long as SOON does not say.
    driver = start("--cohorts=0")
    wait_until(lambda: votes() >= 3, driver)
    store.connection.cut()
    out, err = driver.communicate(timeout=300)
    one_line(
        subprocess.CompletedProcess(driver.args, driver.returncode, out, err), "the object store: "
    )
    assert "what is written is kept, run again with --resume" in err
    kept = votes()
    assert 3 <= kept < 2 * 5
    store.connection.mend()

    # For moments, among votes and in the middle of a training; and then the driver is killed.
    def epochs() -> int:
        return len(rewards.read_history(rewards.of_round(run, 1)))

    driver = start()
    for reached in (lambda: votes() > kept, lambda: epochs() >= 1):
        wait_until(reached, driver)
        store.connection.cut()
        time.sleep(3.0)
        store.connection.mend()
    wait_until(lambda: epochs() >= 2, driver)
    driver.send_signal(signal.SIGKILL)
    driver.communicate(timeout=60)
    assert not rewards.is_there(rewards.of_round(run, 1))

    # The lock of the killed one stands still for a while, and is then taken over.
    told = in_process("status", uri)
    assert "run, killed: --resume goes on with it" in told.stdout
    assert f"to 8 votes a persona: {len(log.blocks(1))} of 5 blocks" in told.stdout
    done = start()
    out, err = done.communicate(timeout=600)
    assert done.returncode == 0, err[-2000:]
    assert "report: s3://electorate/runs/one/report.html" in out

    # Back on a disk it is the undisturbed run, which can be served.
    here = RunFolder(tmp_path / "fetched")
    assert in_process("fetch", uri, "--to", here.path).returncode == 0
    assert contents(here) == contents(disk)
    assert here.report.read_text().count("<svg") == disk.report.read_text().count("<svg")
    said = [rewards.read(rewards.of_round(folder, 1), "pooled_rm") for folder in (here, disk)]
    assert (said[0].base == said[1].base).all()
    assert base.of_folder(here.path).run is not None
    assert {
        line.split('"event": ')[1].split(",")[0].strip('"}')
        for line in here.log.read_text().splitlines()
    } >= {"begins", "complete"}
    one_line(in_process("fetch", uri, "--to", here.path), "give an empty or new folder")
    # And is drawn again where it is.
    run.report.unlink()
    assert in_process("report", uri).returncode == 0
    assert run.report.exists()


def test_people_are_compared_there_too(tmp_path: Path, store: Store) -> None:
    made(tmp_path / "votes.parquet", users=8, each=20)
    done = in_process("human", tmp_path / "votes.parquet", "--out", store.uri("people"))
    assert done.returncode == 0, done.stderr[-2000:]
    assert "log_loss" in (store.place("people") / "summary.json").read_text("utf-8")
    again = in_process("human", tmp_path / "votes.parquet", "--out", store.uri("people"))
    assert again.returncode == 0
    assert "people holds this run already, complete." in again.stdout
    made(tmp_path / "other.parquet", users=7, each=20)
    one_line(
        in_process("human", tmp_path / "other.parquet", "--out", store.uri("people")),
        "holds a run of another config",
    )


def test_what_a_store_cannot_do_is_said_at_once(
    tmp_path: Path, stored: Callable[..., Path], store: Store
) -> None:
    served = in_process("serve", store.uri("runs/one"))
    assert served.returncode == 2
    assert "`fetch URI --to DIR` copies a run here" in served.stderr
    one_line(
        in_process("status", store.uri("nothing")),
        "neither a run's folder nor a cluster's address",
    )
    one_line(
        in_process("run", stored(), "--out", "ftp://host/run"),
        "s3://BUCKET/KEY, gs://BUCKET/KEY",
    )
    one_line(
        in_process("fetch", store.uri("nothing"), "--to", tmp_path / "x"), "not a run's folder"
    )
