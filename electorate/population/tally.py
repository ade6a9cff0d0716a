"""The state of the central ranking: votes counted by round, archetype, pair and outcome."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from electorate.base.scale import Floats, Ints
from electorate.base.votes import OUTCOMES
from electorate.population.voters import BLOCK, Voters
from electorate.ratings import bradley_terry, fixed_point
from electorate.ratings.bradley_terry import Fit
from electorate.ratings.ties import TieModel
from electorate.storage.places import Place
from electorate.storage.vote_columns import WEIGHT, votes_of
from electorate.storage.vote_log import VoteLog

COUNTED = ["user_id", "model_a", "model_b", "outcome", WEIGHT.name]


class Counts(NamedTuple):
    """A block's votes counted: the weight of each (archetype, a, b, outcome) that occurred, its
    place as one number.

    weight: in units, see fixed_point.py.
    """

    place: Ints
    weight: Ints

    @classmethod
    def of(cls, place: Ints, weight: Floats | None = None) -> "Counts":
        """Of votes with these places and weights (votes,); None: 1 each."""
        total = fixed_point.sums(place, weight, int(place.max(initial=-1)) + 1)
        seen = np.flatnonzero(total)
        return cls(seen, total[seen])

    @classmethod
    def total(cls, counted: Sequence["Counts"]) -> "Counts":
        """The counts of several blocks added up."""
        places = np.concatenate([counts.place for counts in counted])
        place, of = np.unique(places, return_inverse=True)
        weight = np.zeros(len(place), dtype=np.int64)
        np.add.at(weight, of, np.concatenate([counts.weight for counts in counted]))
        return cls(place, weight)

    @property
    def votes(self) -> int:
        """How many they count as."""
        return int(self.weight.sum()) // fixed_point.UNIT


def count(voters: Voters, block: int, votes: pa.Table) -> Counts:
    """What the tally needs of a block's votes: as large as the battles are many, however many
    voted on them.
    """
    read = votes_of(votes)
    archetype = voters.archetype_of(block)[read.user - block * BLOCK]
    return Counts.of(read.battle(voters.models, archetype), read.weight)


class Tally:
    """Counts of every vote ingested, (rounds, archetypes, M, M, 3) in units of weight, so order
    never matters.
    """

    def __init__(self, voters: Voters) -> None:
        archetype_count = len(voters.archetypes)
        contestants = voters.models
        rounds = len(voters.config.votes.checkpoints)
        self._counts = np.zeros(
            (rounds, archetype_count, contestants, contestants, OUTCOMES), dtype=np.int64
        )
        self._seen: set[tuple[int, int]] = set()

    @classmethod
    def from_log(cls, voters: Voters, folder: Place) -> "Tally":
        """The tally of what a vote log holds: the log is the truth, the tally is derived."""
        tally = cls(voters)
        log = VoteLog(folder, voters.config.contestant_names)
        for round_ in range(len(voters.config.votes.checkpoints)):
            for block in sorted(log.blocks(round_)):
                votes = log.read(round_, block, COUNTED)
                tally.ingest(round_, block, count(voters, block, votes))
        return tally

    @property
    def votes(self) -> int:
        """The number of votes that are counted."""
        return int(self._counts.sum()) // fixed_point.UNIT

    def votes_by_round(self) -> Ints:
        """(rounds,) The number of votes that are counted."""
        by_round: Ints = self._counts.sum(axis=(1, 2, 3, 4)) // fixed_point.UNIT
        return by_round

    def ingest(self, round_: int, block: int, counts: Counts) -> bool:
        """Add a block's round; False if it was counted before."""
        if (round_, block) in self._seen:
            return False
        return self.ingest_together(round_, [block], counts)

    def ingest_together(self, round_: int, blocks: Sequence[int], counts: Counts) -> bool:
        """Add a round of several blocks, counted together; what was counted before changes
        nothing.

        Returns:
            False if some of them were counted before and some not; then nothing is added.
        """
        new = {(round_, block) for block in blocks} - self._seen
        if not new:
            return True
        if len(new) < len(blocks):
            return False
        self._counts[round_].reshape(-1)[counts.place] += counts.weight
        self._seen |= new
        return True

    def revise(self, round_: int, before: Counts, after: Counts) -> None:
        """Replace what some votes of a round were counted as: as if they had been cast as they
        are now.
        """
        flat = self._counts[round_].reshape(-1)
        flat[before.place] -= before.weight
        flat[after.place] += after.weight

    def units(self, last_round: int, archetype: int | None = None) -> Ints:
        """(M, M, 3) votes of rounds 0..last_round in units of weight, of one archetype or of
        all.
        """
        up_to = self._counts[: last_round + 1].sum(axis=0)
        chosen: Ints = up_to.sum(axis=0) if archetype is None else up_to[archetype]
        return chosen

    def counts(self, last_round: int, archetype: int | None = None) -> Floats:
        """(M, M, 3) votes of rounds 0..last_round by weight, of one archetype or of all."""
        return fixed_point.real(self.units(last_round, archetype))

    def rate(self, last_round: int, ties: TieModel, prior_sd_elo: float) -> tuple[Fit, list[Fit]]:
        """The global Bradley-Terry ratings after a round, and each archetype's own."""
        archetypes = range(self._counts.shape[1])
        global_fit = bradley_terry.fit(self.counts(last_round), ties, prior_sd_elo)
        return global_fit, [
            bradley_terry.fit(self.counts(last_round, k), ties, prior_sd_elo) for k in archetypes
        ]
