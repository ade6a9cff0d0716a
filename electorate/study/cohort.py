"""A cohort's work on one block of personas: judge battles, and what System A needs of the
block's votes.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pyarrow as pa

from electorate.base.draws import Stream, generator
from electorate.base.scale import Floats, Ints
from electorate.evaluation import routing, scoring, user_report
from electorate.evaluation.predictions import Systems
from electorate.evaluation.routing import Outcomes, Prices
from electorate.evaluation.scoring import Scores
from electorate.evaluation.selection import Labels
from electorate.evaluation.user_report import BlockReport
from electorate.population import pairing, tally, voters
from electorate.population.logged_votes import COLUMNS, LoggedVotes
from electorate.population.pairing import Pairs
from electorate.population.tally import Counts
from electorate.population.voters import BLOCK, Casting, Users, Voters
from electorate.ratings import (
    clustering,
    dependence,
    moments,
    offsets,
    posteriors,
    prompt_sample,
)
from electorate.ratings.bradley_terry import Fit
from electorate.ratings.clustering import ScoreSums
from electorate.ratings.dependence import Dependence
from electorate.ratings.moments import Moments
from electorate.ratings.offsets import Sums, Tries
from electorate.ratings.prior import Prior
from electorate.ratings.prompt_sample import PromptScores
from electorate.ratings.ties import MODELS
from electorate.ratings.user_votes import UserVotes
from electorate.storage import files
from electorate.storage.run_folder import RunFolder
from electorate.storage.vote_columns import column
from electorate.storage.vote_log import VoteLog

BLOCKS_KEPT = 8


class Cohort:
    """Works on any block: which one it holds changes who computes a result, never the result."""

    def __init__(self, voters: Voters, folder: RunFolder) -> None:
        self.voters = voters
        self._users = folder.users
        self._log = VoteLog(folder.votes, voters.config.contestant_names)
        self._ties = MODELS[voters.config.ratings.ties]
        # The passes of one fit read the same votes again and again; keep the last few blocks'.
        self._votes = lru_cache(BLOCKS_KEPT)(self._read)

    def judge(self, round_: int, block: int, prior: Prior | None = None) -> Counts:
        """The block's votes of one round, written to the log; returns them counted.

        prior: System A's on the rounds before, which chooses pairs where they are chosen actively,
        and says who is asked no more.
        """
        if prior is None:
            return self.record(round_, block, self._casting.ballots(round_, block))
        chosen, asked = self._choose(round_, block, prior)
        votes = self._casting.ballots(round_, block, chosen)
        row = column(votes, "user_id") - block * BLOCK
        return self.record(round_, block, votes.filter(pa.array(np.isin(row, asked))))

    def record(self, round_: int, block: int, votes: pa.Table) -> Counts:
        """Write a block's votes of one round to the log; returns them counted."""
        self._log.write(round_, block, votes)
        return tally.count(self.voters, block, votes)

    @property
    def _casting(self) -> Casting:
        """The voters, whose votes are drawn here."""
        if not isinstance(self.voters, Casting):
            raise TypeError("these voters' votes are recorded, and not drawn")
        return self.voters

    def logged(self, round_: int, block: int, rows: Ints, first: int) -> LoggedVotes:
        """The votes of these rows of the block in one round; the rows become users first, first
        + 1, ...
        """
        known = block < self.voters.blocks
        # Newcomers vote on pairs drawn evenly, in no log, so that nothing is fitted to them.
        votes = (
            self._log.read(round_, block, COLUMNS)
            if known
            else self._casting.ballots(round_, block)
        )
        return LoggedVotes.of_block(votes, block * BLOCK, round_).of_users(rows, first)

    def user_votes(self, last_round: int, block: int, labels: Labels) -> UserVotes:
        """The block's votes of rounds 0..last_round as System A takes them."""
        archetype = _labels(self.voters, block, labels)
        forgetting = self.voters.config.ratings.forgetting
        return self._votes(last_round, block).user_votes(archetype, forgetting)

    def dependence(self, last_round: int, block: int, labels: Labels, start: Fit) -> Dependence:
        """The block's part of how far a user's votes on one prompt repeat each other, at the
        global fit.
        """
        return dependence.measure(self.user_votes(last_round, block, labels), start, self._ties)

    def score_sums(self, last_round: int, block: int, fits: Sequence[Fit]) -> list[ScoreSums]:
        """The block's part in the intervals of everyone's ratings and of each archetype's. fits:
        in that order.
        """
        votes = self.user_votes(last_round, block, "true")
        prompts = self.voters.prompt_weights.shape[1]
        archetype = votes.archetype[votes.user]
        return [
            clustering.score_sums(
                votes if k == 0 else votes.take(np.flatnonzero(archetype == k - 1)),
                fit,
                self._ties,
                prompts,
            )
            for k, fit in enumerate(fits)
        ]

    def offset_sums(
        self,
        last_round: int,
        block: int,
        blocks: int,
        labels: Labels,
        prior: Prior,
        tries: Tries,
        everybody: bool,
    ) -> Sums:
        """The part of one of so many blocks in System A's global step, on the votes of rounds
        0..last_round.
        """
        return offsets.block_sums(
            self.user_votes(last_round, block, labels), prior, self._ties, tries, blocks, everybody
        )

    def moments(self, last_round: int, block: int, labels: Labels, prior: Prior) -> Moments:
        """The block's part of what System A's factors are found from."""
        return moments.block_moments(
            self.user_votes(last_round, block, labels), prior, self._ties, block
        )

    def prompt_scores(
        self, last_round: int, block: int, labels: Labels, prior: Prior
    ) -> PromptScores:
        """The block's part of how far archetypes' means are known."""
        votes = self.user_votes(last_round, block, labels)
        prompts = self.voters.prompt_weights.shape[1]
        return prompt_sample.block_scores(votes, prior, self._ties, prompts)

    def report_users(
        self, last_round: int, block: int, prior: Prior, doubtful: Sequence[Prior], ranking: Floats
    ) -> BlockReport:
        """Everybody in the block by System A; their ratings are written to the run's folder.

        See electorate/evaluation/user_report.py.
        """
        drawn = self.voters.block(block, last_round)
        votes = self._votes(last_round, block)
        table, found = user_report.take(self.voters, drawn, votes, prior, doubtful, ranking)
        files.write_table(self._users / f"block={block}.parquet", table)
        return found

    def score(self, systems: Systems, people: Users, prompts: Ints) -> dict[str, Scores]:
        """Every system on the same people and test prompts."""
        return scoring.score(systems, self.voters, people, prompts)

    def route(
        self, routed: Systems, people: Users, prompts: Ints, prices: Prices
    ) -> dict[str, Outcomes]:
        """What routers' choices come to for the same people on test prompts."""
        return routing.outcomes(routed, self.voters, people, prompts, prices)

    def _choose(self, round_: int, block: int, prior: Prior) -> tuple[Pairs | None, Ints]:
        """Pairs for the round if they are chosen actively, and the rows of the users still
        asked.
        """
        settings = self.voters.config.votes
        _, votes = self._casting.steps(round_)
        at = posteriors.posterior(self.user_votes(round_ - 1, block, "true"), prior, self._ties)
        chosen, expected_tau = pairing.active(
            generator(self.voters.seed, Stream.PAIRING, block, round_), at, votes
        )
        asked = np.flatnonzero(expected_tau < (settings.stop_at_tau or np.inf))
        return chosen if settings.pairing == "active" else None, asked

    def _read(self, last_round: int, block: int) -> LoggedVotes:
        """The block's votes of rounds 0..last_round."""
        rounds = [self._log.read(r, block, COLUMNS) for r in range(last_round + 1)]
        return LoggedVotes.by_user(
            [LoggedVotes.of_block(votes, block * BLOCK, r) for r, votes in enumerate(rounds)]
        )


def _labels(of: Voters, block: int, labels: Labels) -> Ints:
    if labels == "wrong":
        return voters.wrong_labels(of, block)
    drawn = of.archetype_of(block)
    return np.zeros_like(drawn) if labels == "none" else drawn
