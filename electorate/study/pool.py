"""Where the work of a study is done: in this process, or by actors on Ray (actors/ray_pool.py)."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from electorate.base.scale import Ints
from electorate.population import voters
from electorate.population.tally import Tally
from electorate.population.voters import Voters
from electorate.ratings.bradley_terry import Fit
from electorate.ratings.ties import MODELS
from electorate.storage.run_folder import RunFolder
from electorate.study.cohort import Cohort

if TYPE_CHECKING:
    from electorate.inference.asking import Asker

VOTING = ("judge", "record")  # methods of Cohort that return a block's votes counted
Work = tuple[Any, ...]  # the leading arguments of a method of Cohort, for one block


class Pool(Protocol):
    """Cohorts that can each do any block of a study, and the ranking that counts their votes."""

    @property
    def askers(self) -> "Sequence[Asker]":
        """The processes that ask models."""
        ...

    def run(self, method: str, work: Sequence[Work], *shared: object) -> Iterator[tuple[int, Any]]:
        """Call a method of `electorate.study.cohort.Cohort` once for each piece of work.

        Args:
            method: the method's name. The votes of those in VOTING are counted by the ranking,
                and the result is how many they are.
            work: the leading arguments of each call.
            shared: the other arguments, the same for every call.

        Yields:
            (index into `work`, result), in the order in which the calls finish.

        Raises:
            ElectorateError: some work was lost again and again; all other work is done.
        """
        ...

    def votes_by_round(self) -> Ints:
        """(rounds,) votes counted so far."""
        ...

    def rate(self, last_round: int) -> tuple[Fit, list[Fit]]:
        """Global Bradley-Terry ratings on rounds 0..last_round, and each archetype's own."""
        ...


def results(pool: Pool, method: str, work: Sequence[Work], *shared: object) -> list[Any]:
    """Results of `Pool.run` in the order of `work`."""
    found = dict(pool.run(method, work, *shared))
    return [found[i] for i in range(len(work))]


class Counted:
    """The votes of a run, counted: a Tally built from the vote log, which is the truth."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder

    @cached_property
    def tally(self) -> Tally:
        """Built when first asked for, as the log may not be there before."""
        return Tally.from_log(self.voters, self._folder.votes)

    @cached_property
    def voters(self) -> Voters:
        """Who votes in the run."""
        return voters.of_run(self._folder)

    def rate(self, last_round: int) -> tuple[Fit, list[Fit]]:
        """Global Bradley-Terry ratings on rounds 0..last_round, and each archetype's own."""
        settings = self.voters.config.ratings
        return self.tally.rate(last_round, MODELS[settings.ties], settings.prior_sd)


class InProcessPool:
    """The work of a small study, done in this process."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._counted = Counted(folder)

    @cached_property
    def askers(self) -> "Sequence[Asker]":
        """What asks models. Made when first asked for, as HTTP clients are no part of the base
        install.
        """
        from electorate.inference.asking import InProcessAsker

        return [InProcessAsker()]

    @cached_property
    def _cohort(self) -> Cohort:
        return Cohort(self._counted.voters, self._folder)

    def run(self, method: str, work: Sequence[Work], *shared: object) -> Iterator[tuple[int, Any]]:
        """Call a method of `electorate.study.cohort.Cohort` once for each piece of work."""
        for i, own in enumerate(work):
            result = getattr(self._cohort, method)(*own, *shared)
            if method in VOTING:
                round_, block, *_ = own
                self._counted.tally.ingest(round_, block, result)
                result = result.votes
            yield i, result

    def votes_by_round(self) -> Ints:
        """(rounds,) votes counted so far."""
        return self._counted.tally.votes_by_round()

    def rate(self, last_round: int) -> tuple[Fit, list[Fit]]:
        """Global Bradley-Terry ratings on rounds 0..last_round, and each archetype's own."""
        return self._counted.rate(last_round)
