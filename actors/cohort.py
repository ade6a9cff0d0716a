"""A cohort of personas as a Ray actor: it asks contestants, judges blocks and pushes their
votes.
"""

import time
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
        self, method: str, ranking: ActorHandle, round_: int, block: int, *arguments: Any
    ) -> int:
        """A block's votes of a round: into the log, then to the ranking. Returns how many.

        method: `judge` or `record` of Cohort.
        """
        counts: Counts = getattr(self._cohort(), method)(round_, block, *arguments)
        written = time.monotonic()
        votes = counts.votes
        metrics.count("electorate_votes", votes, round=str(round_))
        # The log has them already and the ranking counts a block once: trying again is harmless.
        await ranking.ingest.options(max_task_retries=-1).remote(round_, block, counts)
        metrics.say("electorate_ranking_lag_seconds", time.monotonic() - written)
        return votes

    async def do(self, method: str, *arguments: Any) -> Any:
        """Call another method of the cohort."""
        return getattr(self._cohort(), method)(*arguments)
