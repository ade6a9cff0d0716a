"""A cohort's work on one block of personas: judge battles, and what System A needs of the block's votes."""

from functools import lru_cache
from typing import Literal

import numpy as np
import pyarrow as pa

from electorate import cast, census, judges, pairing, personas
from electorate.cast import Cast
from electorate.census import BlockCensus
from electorate.draws import Stream, generator
from electorate.pairing import Pairs
from electorate.personas import BLOCK, Electorate
from electorate.ratings import offsets, posteriors, tally
from electorate.ratings.offsets import Moments, Sums
from electorate.ratings.posteriors import Prior, UserVotes
from electorate.ratings.tally import Counts
from electorate.ratings.ties import MODELS
from electorate.scale import Floats, Ints
from electorate.storage import files
from electorate.storage.places import Place
from electorate.storage.vote_log import VoteLog

Labels = Literal["true", "none", "wrong"]
BLOCKS_KEPT = 8


class Cohort:
    """Works on any block: which one it holds changes who computes a result, never the result."""

    def __init__(self, electorate: Electorate, votes: Place) -> None:
        self.electorate = electorate
        self._log = VoteLog(votes, electorate.config.contestant_names)
        self._ties = MODELS[electorate.config.ratings.ties]
        # The passes of one fit read the same votes again and again; keep the last few blocks'.
        self._votes = lru_cache(BLOCKS_KEPT)(self._read)

    def judge(self, round_: int, block: int, prior: Prior | None = None) -> Counts:
        """The block's votes of one round, written to the log; returns them counted.

        prior: System A's on the rounds before, which chooses pairs where they are chosen actively, and says who is
        asked no more.
        """
        first, votes = self._steps(round_)
        drawn = personas.draw(self.electorate, block, round_)
        chosen, asked = (None, np.arange(len(drawn))) if prior is None else self._choose(round_, block, votes, prior)
        ballots = judges.vote(self.electorate, drawn, block, round_, votes, chosen).take(asked)
        table = self._log.table(ballots, drawn.user_id[asked], first, judge="taste")
        self._log.write(round_, block, table)
        return tally.count(self.electorate, block, table)

    def cast(self, round_: int, block: int, rows: Ints, first: int) -> Cast:
        """The votes of these rows of the block in one round; the rows become users first, first + 1, ..."""
        known = block < self.electorate.blocks
        votes = self._log.read(round_, block, cast.COLUMNS) if known else self._of_newcomers(round_, block)
        return Cast.of(votes, block * BLOCK, round_).of_users(rows, first)

    def _of_newcomers(self, round_: int, block: int) -> pa.Table:
        """Votes on pairs drawn evenly that no log has, so that nothing is fitted to them."""
        drawn = personas.draw(self.electorate, block, round_)
        first, votes = self._steps(round_)
        return self._log.table(judges.vote(self.electorate, drawn, block, round_, votes), drawn.user_id, first, judge="taste")

    def _steps(self, round_: int) -> tuple[int, int]:
        """A round's first vote of a persona, and how many it has."""
        checkpoints = (0, *self.electorate.config.votes.checkpoints)
        return checkpoints[round_], checkpoints[round_ + 1] - checkpoints[round_]

    def user_votes(self, last_round: int, block: int, labels: Labels) -> UserVotes:
        """The block's votes of rounds 0..last_round as System A takes them."""
        label, forgetting = _labels(self.electorate, block, labels), self.electorate.config.ratings.forgetting
        return self._votes(last_round, block).user_votes(len(label), label, forgetting)

    def offset_sums(self, last_round: int, block: int, blocks: int, labels: Labels, prior: Prior) -> Sums:
        """The part of one of so many blocks in System A's global step, on the votes of rounds 0..last_round."""
        return offsets.block_sums(self.user_votes(last_round, block, labels), prior, self._ties, blocks)

    def moments(self, last_round: int, block: int, labels: Labels, prior: Prior) -> Moments:
        """The block's part of what System A's factors are found from."""
        return offsets.block_moments(self.user_votes(last_round, block, labels), prior, self._ties, block)

    def census(self, last_round: int, block: int, prior: Prior, ranking: Floats, keep: Place) -> BlockCensus:
        """Everybody in the block by System A; their ratings are written to `keep`. See electorate/census.py."""
        drawn, votes = personas.draw(self.electorate, block, last_round), self._votes(last_round, block)
        table, found = census.take(self.electorate, drawn, votes, prior, ranking)
        files.write_table(keep / f"block={block}.parquet", table)
        return found

    def _choose(self, round_: int, block: int, votes: int, prior: Prior) -> tuple[Pairs | None, Ints]:
        """Pairs for the round if they are chosen actively, and the rows of the users still asked."""
        settings = self.electorate.config.votes
        at = posteriors.posterior(self.user_votes(round_ - 1, block, "true"), prior, self._ties)
        chosen, expected_tau = pairing.active(generator(self.electorate.seed, Stream.PAIRING, block, round_), at, votes)
        asked = np.flatnonzero(expected_tau < (settings.stop_at_tau or np.inf))
        return chosen if settings.pairing == "active" else None, asked

    def _read(self, last_round: int, block: int) -> Cast:
        """The block's votes of rounds 0..last_round."""
        rounds = [self._log.read(r, block, cast.COLUMNS) for r in range(last_round + 1)]
        return Cast.joined([Cast.of(votes, block * BLOCK, r) for r, votes in enumerate(rounds)])


def _labels(electorate: Electorate, block: int, labels: Labels) -> Ints:
    if labels == "wrong":
        return personas.wrong_labels(electorate, block)
    drawn = personas.draw_archetypes(electorate, block)
    return np.zeros_like(drawn) if labels == "none" else drawn
