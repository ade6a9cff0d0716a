"""The central ranking as a Ray actor: every vote counted once, and the ratings that follow."""

import ray

from electorate import founding
from electorate.ratings.bradley_terry import Fit
from electorate.ratings.tally import Counts, Tally
from electorate.ratings.ties import MODELS
from electorate.scale import Ints
from electorate.storage.places import Place
from electorate.storage.run_folder import RunFolder


@ray.remote(max_restarts=-1, max_task_retries=-1, num_cpus=0)
class RankingActor:
    """A Tally that is rebuilt from the vote log whenever the actor starts."""

    def __init__(self, folder: Place) -> None:
        self._folder = RunFolder(folder)
        self._tally: Tally | None = None

    def _counted(self) -> Tally:
        if self._tally is None:
            self._tally = Tally.from_log(founding.of_run(self._folder), self._folder.votes)
        return self._tally

    def ingest(self, round_: int, block: int, counts: Counts) -> None:
        """Add a block's round; a second time changes nothing."""
        self._counted().ingest(round_, block, counts)

    def votes(self) -> int:
        """Votes counted so far."""
        return self._counted().votes

    def votes_by_round(self) -> Ints:
        """(rounds,) votes counted so far."""
        return self._counted().votes_by_round()

    def rate(self, last_round: int) -> tuple[Fit, list[Fit]]:
        """The global Bradley-Terry ratings on rounds 0..last_round, and each archetype's own."""
        tally = self._counted()
        settings = tally.electorate.config.ratings
        return tally.rate(last_round, MODELS[settings.ties], settings.prior_sd)
