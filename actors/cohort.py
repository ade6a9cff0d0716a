"""A cohort of personas as a Ray actor: it asks contestants, judges blocks of battles and pushes votes."""

import time
from collections.abc import AsyncIterator, Mapping, Sequence

import ray
from ray.actor import ActorHandle

from actors import metrics
from electorate import founding
from electorate.cast import Cast
from electorate.census import BlockCensus
from electorate.cohort import Cohort, Labels
from electorate.contestants import Request
from electorate.endpoints import Answer, Connection, HttpAsker
from electorate.evaluation import scoring
from electorate.evaluation.predictions import Systems
from electorate.evaluation.scoring import Scores
from electorate.personas import Personas
from electorate.ratings.offsets import Moments, Sums
from electorate.ratings.posteriors import Prior
from electorate.scale import Floats, Ints
from electorate.storage.places import Place
from electorate.storage.run_folder import RunFolder


# Votes are made again rather than calls retried: a retried call would run on a restarted actor out of order.
@ray.remote(max_restarts=-1, max_task_retries=0)
class CohortActor:
    """Many personas in one process. Any cohort can do any block, so a lost one is only slower.

    Its state comes from the run's folder, so a restarted actor is as good as the first.
    """

    def __init__(self, folder: Place) -> None:
        self._folder = RunFolder(folder)
        self._founded: Cohort | None = None

    def _cohort(self) -> Cohort:
        if self._founded is None:
            self._founded = Cohort(founding.of_run(self._folder), self._folder.votes)
        return self._founded

    async def ping(self) -> None:
        """Answers once the actor is up."""

    async def ask(self, requests: Sequence[Request], reached: Mapping[str, Connection]) -> AsyncIterator[tuple[Request, Answer]]:
        """Its personas' prompts to the contestants, answers streamed back as they come."""
        async for answered in HttpAsker(reached).ask(requests):
            yield answered

    async def judge(self, round_: int, block: int, prior: Prior | None, ranking: ActorHandle) -> int:
        """The block's votes of a round: into the log, then counted to the ranking. Returns how many."""
        counts = self._cohort().judge(round_, block, prior)
        written, votes = time.monotonic(), int(counts.times.sum())
        metrics.count("electorate_votes", votes, round=str(round_))
        # The log has them already and the ranking counts a block once, so trying again is harmless.
        await ranking.ingest.options(max_task_retries=-1).remote(round_, block, counts)
        metrics.say("electorate_ranking_lag_seconds", time.monotonic() - written)
        return votes

    async def cast(self, round_: int, block: int, rows: Ints, first: int) -> Cast:
        """See electorate.cohort.Cohort."""
        return self._cohort().cast(round_, block, rows, first)

    async def offset_sums(self, last_round: int, block: int, blocks: int, labels: Labels, prior: Prior) -> Sums:
        """See electorate.cohort.Cohort."""
        return self._cohort().offset_sums(last_round, block, blocks, labels, prior)

    async def moments(self, last_round: int, block: int, labels: Labels, prior: Prior) -> Moments:
        """See electorate.cohort.Cohort."""
        return self._cohort().moments(last_round, block, labels, prior)

    async def census(self, last_round: int, block: int, prior: Prior, ranking: Floats) -> BlockCensus:
        """See electorate.cohort.Cohort."""
        return self._cohort().census(last_round, block, prior, ranking, self._folder.users)

    async def score(self, systems: Systems, people: Personas, prompts: Ints) -> dict[str, Scores]:
        """See electorate.evaluation.scoring."""
        return scoring.score(systems, self._cohort().electorate, people, prompts)
