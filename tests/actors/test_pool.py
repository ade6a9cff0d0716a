"""Cohorts and the ranking as real Ray actors, killed while they work."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from actors import pool as pool_module
from actors.cohort import CohortActor
from actors.pool import ATTEMPTS, CohortPool
from actors.ranking import RankingActor
from electorate.base.errors import ElectorateError
from electorate.config.config_file import dump
from electorate.config.run import Config
from electorate.data import prompts, run_files
from electorate.population import planted
from electorate.population.tally import Counts, Tally
from electorate.storage import files
from electorate.storage.run_folder import RunFolder
from electorate.storage.vote_log import VoteLog
from electorate.study.cohort import Cohort
from tests.conftest import made_config
from tests.electorate.population.test_personas import made_electorate, population


@ray.remote(max_restarts=-1, max_task_retries=0, num_cpus=0)
class Worker:
    async def ping(self) -> None: ...

    async def work(self, blocks: list[int], die: Path | None, poison: int = -1) -> list[int]:
        """Dies by SIGKILL at the block `poison` if the file `die` is there, and takes it along; a
        folder stays, and kills every time.
        """
        if die is not None and poison in blocks and die.exists():
            if die.is_file():
                die.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return [block * block for block in blocks]

    async def fail(self, _: list[int]) -> None:
        raise ElectorateError("the disk is full")


def test_a_lost_actors_block_is_done_again(on_ray: None, tmp_path: Path) -> None:
    die = tmp_path / "die"
    die.touch()
    pool = CohortPool([Worker.remote(), Worker.remote()])
    results = pool.map(8, lambda actor, blocks: actor.work.remote(blocks, die, 3))
    assert results == [block * block for block in range(8)]
    assert not die.exists()


def test_a_lone_actor_is_waited_for(on_ray: None, tmp_path: Path) -> None:
    die = tmp_path / "die"
    die.touch()
    pool = CohortPool([Worker.remote()])
    assert pool.map(3, lambda actor, blocks: actor.work.remote(blocks, die, 1)) == [0, 1, 4]


def test_a_poison_block_is_set_aside_and_the_others_are_done(on_ray: None, tmp_path: Path) -> None:
    pool = CohortPool([Worker.remote(), Worker.remote()])
    results = pool.run(range(6), lambda actor, blocks: actor.work.remote(blocks, tmp_path, 2))
    done = [next(results)[0] for _ in range(5)]
    assert sorted(done) == [0, 1, 3, 4, 5]
    with pytest.raises(ElectorateError, match=rf"blocks \[2\] were lost {ATTEMPTS} times"):
        next(results)


def test_a_users_error_comes_out_as_it_was_raised(on_ray: None) -> None:
    with pytest.raises(ElectorateError, match=r"^the disk is full$"):
        CohortPool([Worker.remote()]).map(2, lambda actor, blocks: actor.fail.remote(blocks))


def test_many_actors_are_given_several_blocks_at_a_time(
    on_ray: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that calls take the driver a small share of its time; and what kills one of several is
    found by giving each alone.
    """
    monkeypatch.setattr(pool_module, "BUSY", 1e-6)  # as if there were very many actors
    pool = CohortPool([Worker.remote(), Worker.remote()])
    given = list[list[int]]()

    def call(actor: Any, blocks: list[int]) -> Any:
        given.append(blocks)
        return actor.work.remote(blocks, tmp_path, 30)

    results = pool.run(range(64), call)
    done = dict(next(results) for _ in range(63))
    assert done == {block: block * block for block in range(64) if block != 30}
    assert max(map(len, given)) == 32  # an even share
    assert len(given) < 40
    with pytest.raises(ElectorateError, match=rf"blocks \[30\] were lost {ATTEMPTS} times"):
        next(results)
    assert [blocks for blocks in given if 30 in blocks][1:] == [[30]] * (ATTEMPTS - 1)


def test_blocks_counted_together_are_those_counted_one_by_one(tmp_path: Path) -> None:
    """Also where the ranking has counted some of them from the log."""
    config = made_config(population=population(size=3 * 4096), votes={"checkpoints": [2]})
    folder = made_run(tmp_path / "run", config)
    cohort = Cohort(planted.of_run(folder), folder)
    counted = [cohort.judge(0, block) for block in range(3)]
    one_by_one = Tally(planted.of_run(folder))
    for block, counts in enumerate(counted):
        assert one_by_one.ingest(0, block, counts)
    together = Tally(planted.of_run(folder))
    assert together.ingest_together(0, [0, 1, 2], Counts.total(counted))
    assert together.ingest_together(0, [2, 0], Counts.total(counted[1:]))  # all were counted
    assert np.array_equal(together.units(0), one_by_one.units(0))
    in_part = Tally(planted.of_run(folder))
    assert in_part.ingest(0, 1, counted[1])
    before = in_part.units(0)
    assert not in_part.ingest_together(0, [0, 1], Counts.total(counted[:2]))
    assert np.array_equal(in_part.units(0), before)


def test_a_ranking_that_knows_some_of_the_blocks_counts_the_others(
    on_ray: None, tmp_path: Path
) -> None:
    config = made_config(population=population(size=4 * 4096), votes={"checkpoints": [2]})
    folder = made_run(tmp_path / "run", config)
    ranking = RankingActor.remote(folder.path)
    cohort = CohortActor.options(num_cpus=0).remote(folder.path)
    ray.get(cohort.vote.remote("judge", ranking, [(0, 2)], None))
    votes = ray.get(cohort.vote.remote("judge", ranking, [(0, b) for b in range(4)], None))
    assert votes == [2 * 4096] * 4
    assert ray.get(ranking.votes.remote()) == 2 * 4 * 4096


def made_run(path: Path, config: Config) -> RunFolder:
    """A run's folder as it is once the answers are in."""
    folder = RunFolder(path)
    files.write_text(folder.config, dump(config))
    electorate = made_electorate(config)
    files.write_table(folder.prompts, prompts.select(config).table())
    features = run_files.features_table(electorate.z, config.contestant_names)
    files.write_table(folder.features, features)
    return folder


def test_the_ranking_counts_every_vote_once_through_kills_of_itself_and_of_cohorts(
    on_ray: None, tmp_path: Path
) -> None:
    config = made_config(population=population(size=12 * 4096), votes={"checkpoints": [2]})
    folder = made_run(tmp_path / "run", config)
    ranking = RankingActor.remote(folder.path)
    cohorts = [CohortActor.options(num_cpus=0).remote(folder.path) for _ in range(2)]
    results = CohortPool(cohorts).run(
        [(0, block) for block in range(12)],
        lambda actor, places: actor.vote.remote("judge", ranking, places, None),
    )
    for done, _ in enumerate(results):
        if done == 2:
            ray.kill(ranking, no_restart=False)
        if done == 5:
            ray.kill(cohorts[0], no_restart=False)
    assert ray.get(ranking.votes.remote()) == 2 * config.population.size
    undisturbed = Cohort(planted.of_run(folder), RunFolder(tmp_path / "again"))
    again = VoteLog(tmp_path / "again" / "votes", config.contestant_names)
    log = VoteLog(folder.votes, config.contestant_names)
    for block in range(12):
        undisturbed.judge(0, block)
        assert log.path(0, block).read_bytes() == again.path(0, block).read_bytes()


def test_a_restarted_ranking_rates_as_before(on_ray: None, tmp_path: Path) -> None:
    config = made_config(population=population(size=5000), votes={"checkpoints": [3]})
    folder = made_run(tmp_path / "run", config)
    ranking = RankingActor.remote(folder.path)
    cohort = CohortActor.options(num_cpus=0).remote(folder.path)
    ray.get([cohort.vote.remote("judge", ranking, [(0, block)], None) for block in (0, 1)])
    before, _ = ray.get(ranking.rate.remote(0))
    ray.kill(ranking, no_restart=False)
    time.sleep(0.5)
    after, segments = ray.get(ranking.rate.remote(0))
    assert np.array_equal(before.strength, after.strength)
    assert len(segments) == 6
