"""The work of a study on Ray: cohort actors that hold the personas, and the ranking actor."""

from collections.abc import Iterator, Sequence
from typing import Any

import ray
from ray.actor import ActorHandle

from actors.asking import RayAsker
from actors.cohort import CohortActor
from actors.pool import CohortPool
from actors.ranking import RankingActor
from electorate.base.scale import Ints
from electorate.config.contest import Cluster
from electorate.inference.asking import Asker
from electorate.ratings.bradley_terry import Fit
from electorate.storage.run_folder import RunFolder
from electorate.study.pool import VOTING, Work

HEAD = "node:__internal_head__"  # a resource that Ray gives to the head's node
# Where the cluster's state is too, on a node that is not taken back.
ON_HEAD: dict[str, Any] = {"resources": {HEAD: 0.001}}
# So that a lost node takes as few of them as it can.
SPREAD: dict[str, Any] = {"scheduling_strategy": "SPREAD"}


class RayPool:
    """Cohort actors and a ranking actor on Ray, as a Pool."""

    def __init__(self, cohorts: Sequence[ActorHandle], ranking: ActorHandle) -> None:
        self.askers: Sequence[Asker] = [RayAsker(cohort) for cohort in cohorts]
        self._pool = CohortPool(list(cohorts))
        self._ranking = ranking

    @classmethod
    def start(cls, folder: RunFolder, settings: Cluster) -> "RayPool":
        """Start the actors on the cluster that this process is connected to."""
        ranking = RankingActor.options(**ON_HEAD).remote(folder.path)  # type: ignore[attr-defined]  # by ray.remote
        actor = CohortActor.options(num_cpus=settings.cpus_per_cohort, **SPREAD)  # type: ignore[attr-defined]
        return cls([actor.remote(folder.path) for _ in range(settings.cohorts)], ranking)

    def run(self, method: str, work: Sequence[Work], *shared: object) -> Iterator[tuple[int, Any]]:
        """Call a method of `electorate.study.cohort.Cohort` once for each piece of work."""
        # Stored once, not sent with every call.
        kept = [x if isinstance(x, int | str) else ray.put(x) for x in shared]
        if method not in VOTING:

            def call(actor: ActorHandle, some: list[int]) -> Any:
                return actor.do.remote(method, [work[i] for i in some], *kept)

            yield from self._pool.run(range(len(work)), call)
            return

        index = {(round_, block): i for i, (round_, block, *_) in enumerate(work)}

        def vote(actor: ActorHandle, places: list[tuple[int, int]]) -> Any:
            some = [work[index[place]] for place in places]
            return actor.vote.remote(method, self._ranking, some, *kept)

        for place, votes in self._pool.run(index, vote):
            yield index[place], votes

    def votes_by_round(self) -> Ints:
        """(rounds,) votes counted so far."""
        counted: Ints = ray.get(self._ranking.votes_by_round.remote())
        return counted

    def rate(self, last_round: int) -> tuple[Fit, list[Fit]]:
        """Global Bradley-Terry ratings on rounds 0..last_round, and each archetype's own."""
        fits: tuple[Fit, list[Fit]] = ray.get(self._ranking.rate.remote(last_round))
        return fits
