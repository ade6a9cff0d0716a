"""The state of the central ranking: votes counted by round, archetype, pair and outcome."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from electorate.judges import BOTH_BAD, TIE
from electorate.personas import BLOCK, Electorate, draw_archetypes
from electorate.ratings import bradley_terry
from electorate.ratings.bradley_terry import OUTCOMES, Fit
from electorate.ratings.ties import TieModel
from electorate.scale import Ints
from electorate.storage.places import Place
from electorate.storage.vote_log import VoteLog, column

COUNTED = ["user_id", "model_a", "model_b", "outcome"]


class Counts(NamedTuple):
    """A block's votes counted: how often each (archetype, a, b, outcome) occurred that did, its place as one number."""

    place: Ints
    times: Ints


def as_outcome(outcome: Ints) -> Ints:
    """Outcomes for a rating: both-bad says as little about which is better as a tie does."""
    return np.where(outcome == BOTH_BAD, TIE, outcome)


def count(electorate: Electorate, block: int, votes: pa.Table) -> Counts:
    """What the tally needs of a block's votes: as large as the battles are many, however many voted on them."""
    models = len(electorate.strength)
    label = draw_archetypes(electorate, block)[column(votes, "user_id") - block * BLOCK]
    place = (label * models + column(votes, "model_a")) * models + column(votes, "model_b")
    place = place * OUTCOMES + as_outcome(column(votes, "outcome"))
    times = np.bincount(place)
    seen = np.flatnonzero(times)
    return Counts(seen, times[seen])


class Tally:
    """Counts of every vote ingested, (rounds, archetypes, M, M, 3) as int64, so order never matters."""

    def __init__(self, electorate: Electorate) -> None:
        self.electorate = electorate
        kinds, contestants = len(electorate.archetypes), len(electorate.strength)
        rounds = len(electorate.config.votes.checkpoints)
        self._counts = np.zeros((rounds, kinds, contestants, contestants, OUTCOMES), dtype=np.int64)
        self._seen: set[tuple[int, int]] = set()

    @classmethod
    def from_log(cls, electorate: Electorate, folder: Place) -> "Tally":
        """The tally of what a vote log holds: the log is the truth, the tally is derived."""
        tally, log = cls(electorate), VoteLog(folder, electorate.config.contestant_names)
        for round_ in range(len(electorate.config.votes.checkpoints)):
            for block in sorted(log.blocks(round_)):
                tally.ingest(round_, block, count(electorate, block, log.read(round_, block, COUNTED)))
        return tally

    @property
    def votes(self) -> int:
        """Votes counted."""
        return int(self._counts.sum())

    def votes_by_round(self) -> Ints:
        """(rounds,) votes counted."""
        by_round: Ints = self._counts.sum(axis=(1, 2, 3, 4))
        return by_round

    def ingest(self, round_: int, block: int, counts: Counts) -> bool:
        """Add a block's round; False if it was counted before."""
        if (round_, block) in self._seen:
            return False
        self._counts[round_].reshape(-1)[counts.place] += counts.times
        self._seen.add((round_, block))
        return True

    def counts(self, last_round: int, archetype: int | None = None) -> Ints:
        """(M, M, 3) votes of rounds 0..last_round, of one archetype or of all."""
        up_to = self._counts[: last_round + 1].sum(axis=0)
        chosen: Ints = up_to.sum(axis=0) if archetype is None else up_to[archetype]
        return chosen

    def rate(self, last_round: int, ties: TieModel, prior_sd_elo: float) -> tuple[Fit, list[Fit]]:
        """The global Bradley-Terry ratings after a round, and each archetype's own."""
        kinds = range(self._counts.shape[1])
        whole = bradley_terry.fit(self.counts(last_round), ties, prior_sd_elo)
        return whole, [bradley_terry.fit(self.counts(last_round, k), ties, prior_sd_elo) for k in kinds]
