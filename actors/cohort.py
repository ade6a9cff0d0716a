"""A cohort of personas as a Ray actor: it asks contestants, judges blocks and pushes their
votes.
"""

import time
from collections.abc import Sequence
from typing import Any

import ray
from ray.actor import ActorHandle

from actors import metrics
from actors.asking import AskingActor
from electorate.base import checkout
from electorate.population import voters
from electorate.population.tally import Counts
from electorate.storage.places import Place
from electorate.storage.run_folder import RunFolder
from electorate.study.cohort import Cohort
from electorate.study.pool import Work


# Votes are made again rather than calls retried: a retried call would run on a restarted actor out
# of order.
@ray.remote(max_restarts=-1, max_task_retries=0)
class CohortActor(AskingActor):
    """Many personas in one process. Any cohort can do any block, so a lost one is only slower.

    Its state comes from the run's folder, so a restarted actor is as good as the first.
    """

    def __init__(self, folder: Place) -> None:
        self._folder = RunFolder(folder)
        self._loaded: Cohort | None = None

    def _cohort(self) -> Cohort:
        if self._loaded is None:
            checkout.require_own_packages()
            self._loaded = Cohort(voters.of_run(self._folder), self._folder)
        return self._loaded

    async def ping(self) -> None:
        """Answers once the actor is up."""

    async def vote(
        self, method: str, ranking: ActorHandle, work: Sequence[Work], *shared: Any
    ) -> list[int]:
        """Votes of some blocks: into the log, then to the ranking. Returns how many of each.

        method: `judge` or `record` of Cohort; work: (round, block, ...) of each; shared: its other
        arguments.
        """
        counted = [getattr(self._cohort(), method)(*own, *shared) for own in work]
        written = time.monotonic()
        places = [(round_, block) for round_, block, *_ in work]
        for (round_, _), counts in zip(places, counted, strict=True):
            metrics.count("electorate_votes", counts.votes, round=str(round_))
        await self._push(ranking, places, counted)
        metrics.say("electorate_ranking_lag_seconds", time.monotonic() - written)
        return [counts.votes for counts in counted]

    async def _push(
        self, ranking: ActorHandle, places: Sequence[tuple[int, int]], counted: Sequence[Counts]
    ) -> None:
        """Have the ranking count blocks: those of one round together, unless some were before."""
        # The log has them already and the ranking counts a block once: trying again is harmless.
        ingest = ranking.ingest.options(max_task_retries=-1)
        for round_ in sorted({round_ for round_, _ in places}):
            own = {
                block: counts
                for (of, block), counts in zip(places, counted, strict=True)
                if of == round_
            }
            if not await ingest.remote(round_, list(own), Counts.total(list(own.values()))):
                for block, counts in own.items():
                    await ingest.remote(round_, [block], counts)

    async def do(self, method: str, work: Sequence[Work], *shared: Any) -> list[Any]:
        """Another method of the cohort, called with each of these leading arguments."""
        return [getattr(self._cohort(), method)(*own, *shared) for own in work]
