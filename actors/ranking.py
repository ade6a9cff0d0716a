"""The central ranking as a Ray actor: every vote counted once, and the ratings that follow."""

from collections.abc import Sequence

import ray

from electorate.base.scale import Ints
from electorate.population.tally import Counts
from electorate.ratings.bradley_terry import Fit
from electorate.storage.places import Place
from electorate.storage.run_folder import RunFolder
from electorate.study.pool import Counted


@ray.remote(max_restarts=-1, max_task_retries=-1, num_cpus=0)
class RankingActor:
    """Counts that are rebuilt from the vote log whenever the actor starts."""

    def __init__(self, folder: Place) -> None:
        self._counted = Counted(RunFolder(folder))

    def ingest(self, round_: int, blocks: Sequence[int], counts: Counts) -> bool:
        """Add a round of some blocks, counted together; a second time changes nothing.

        Returns:
            False if some of them were counted before and some not; then nothing is added.
        """
        return self._counted.tally.ingest_together(round_, blocks, counts)

    def votes(self) -> int:
        """Votes counted so far."""
        return self._counted.tally.votes

    def votes_by_round(self) -> Ints:
        """(rounds,) votes counted so far."""
        return self._counted.tally.votes_by_round()

    def rate(self, last_round: int) -> tuple[Fit, list[Fit]]:
        """The global Bradley-Terry ratings on rounds 0..last_round, and each archetype's own."""
        return self._counted.rate(last_round)
