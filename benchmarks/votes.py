"""Votes from two cohorts, their log on disk, into the ranking actor over Ray: beside one call a
vote, and beside counting the same arrays in one process.
"""

import tempfile
import time
from pathlib import Path

import ray

from actors.cohort import CohortActor
from actors.pool import CohortPool
from actors.ranking import RankingActor
from benchmarks import made
from cluster.session import connected
from electorate.population import planted, tally
from electorate.population.tally import Tally
from electorate.storage.run_folder import RunFolder
from electorate.storage.vote_log import VoteLog
from electorate.study.cohort import Cohort

BLOCKS = 48
VOTES = 50
SINGLE = 1500
FASTER = 1000
SHARE = 0.3


@ray.remote
class Counting:
    """A cohort that has its votes at hand, as after judging, and counts and pushes them."""

    def __init__(self, folder: Path) -> None:
        run = RunFolder(folder)
        self._electorate = planted.of_run(run)
        self._log = VoteLog(run.votes, self._electorate.config.contestant_names)
        self._tables = {}

    def hold(self, block: int) -> None:
        """Read a block's votes from the log."""
        self._tables[block] = self._log.read(0, block, tally.COUNTED)

    def push(self, block: int, ranking: object) -> None:
        """Count a block's votes and hand the counts to the ranking."""
        ray.get(
            ranking.ingest.remote(
                0, block, tally.count(self._electorate, block, self._tables[block])
            )
        )


def main() -> None:
    """Print votes a second, and the ratios."""
    with tempfile.TemporaryDirectory() as scratch, connected(None, 2.0):
        folder = made.run_folder(
            made.config(BLOCKS * 4096, 24, [VOTES]), RunFolder(Path(scratch) / "run")
        )
        electorate = planted.of_run(folder)
        ranking = RankingActor.remote(folder.path)
        pool = CohortPool([CohortActor.options(num_cpus=1).remote(folder.path) for _ in range(2)])
        places = [(0, block) for block in range(BLOCKS)]
        for _ in pool.run(
            places, lambda actor, some: actor.vote.remote("judge", ranking, some, None)
        ):
            pass
        for actor in pool.actors:
            ray.kill(actor)
        log = VoteLog(folder.votes, electorate.config.contestant_names)
        total = BLOCKS * 4096 * VOTES
        tables = [log.read(0, block, tally.COUNTED) for block in range(BLOCKS)]

        whole = Tally(electorate)
        start = time.perf_counter()
        for block, table in enumerate(tables):
            whole.ingest(0, block, tally.count(electorate, block, table))
        in_process = total / (time.perf_counter() - start)

        cohorts = [Counting.options(num_cpus=1).remote(folder.path) for _ in range(2)]
        ray.get([cohorts[block % 2].hold.remote(block) for block in range(BLOCKS)])
        batched_to = RankingActor.remote(Path(scratch) / "empty")
        made.run_folder(electorate.config, RunFolder(Path(scratch) / "empty"))
        ray.get(batched_to.votes.remote())
        start = time.perf_counter()
        ray.get([cohorts[block % 2].push.remote(block, batched_to) for block in range(BLOCKS)])
        batched = total / (time.perf_counter() - start)
        assert ray.get(batched_to.votes.remote()) == whole.votes == total

        one = tally.count(electorate, 0, tables[0].slice(0, 1))
        start = time.perf_counter()
        ray.get([batched_to.ingest.remote(0, 0, one) for _ in range(SINGLE)])
        by_call = SINGLE / (time.perf_counter() - start)

        # The whole way: drawn, judged, logged and counted.
        cohort = Cohort(electorate, RunFolder(Path(scratch) / "alone"))
        start = time.perf_counter()
        cohort.judge(0, 0)
        alone = 4096 * VOTES / (time.perf_counter() - start)
    print(
        f"votes into the ranking actor from 2 cohorts, {total:,} votes in {BLOCKS} blocks, their "
        "log on disk:"
    )
    print(
        f"  {batched:,.0f}/s; one call a vote {by_call:,.0f}/s; counting the same arrays in one "
        f"process {in_process:,.0f}/s"
    )
    print(f"  {batched / by_call:,.0f} times one call a vote (at least {FASTER:,} asked); ", end="")
    print(f"{batched / in_process:.2f} of counting in one process (at least {SHARE} asked)")
    print(f"  drawing, judging and logging them takes one process {alone:,.0f}/s")


if __name__ == "__main__":
    main()
