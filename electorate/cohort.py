"""A cohort's work on one block of personas: judge battles, and the per-user step of System A."""

from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa

from electorate import judges, personas
from electorate.personas import BLOCK, Electorate
from electorate.ratings import elo_online, offsets, posteriors, tastes
from electorate.ratings.offsets import Sums
from electorate.ratings.posteriors import Prior, UserVotes
from electorate.ratings.tally import as_outcome
from electorate.ratings.tastes import Battles, TasteRatings
from electorate.ratings.ties import MODELS
from electorate.scale import Floats, Ints, to_elo
from electorate.storage import files
from electorate.storage.vote_log import VoteLog, column

Labels = Literal["true", "none", "wrong"]
BLOCKS_KEPT = 8


class UserRatings(NamedTuple):
    """System A for some users of a block. mode: (n, M+1); covariance: (n, M+1, M+1), in nats."""

    user_id: Ints
    mode: Floats
    covariance: Floats


class Cohort:
    """Works on any block: which one it holds changes who computes a result, never the result."""

    def __init__(self, electorate: Electorate, votes: Path) -> None:
        self.electorate = electorate
        self._log = VoteLog(votes, electorate.config)
        self._ties = MODELS[electorate.config.ratings.ties]
        # The passes of one fit read the same votes again and again; keep the last few blocks'.
        self._battles = lru_cache(BLOCKS_KEPT)(self._read_battles)

    def judge(self, round_: int, block: int) -> pa.Table:
        """The block's votes of one round, written to the log."""
        checkpoints = (0, *self.electorate.config.votes.checkpoints)
        first, votes = checkpoints[round_], checkpoints[round_ + 1] - checkpoints[round_]
        drawn = personas.draw(self.electorate, block)
        ballots = judges.vote(self.electorate, drawn, block, round_, votes)
        table = self._log.table(ballots, drawn.user_id, first, judge="taste")
        self._log.write(round_, block, table)
        return table

    def offset_sums(self, last_round: int, block: int, labels: Labels, prior: Prior) -> Sums:
        """The block's part of System A's global step, on the votes of rounds 0..last_round."""
        return offsets.block_sums(self._user_votes(last_round, block, labels), prior, self._ties)

    def offset_ratings(self, last_round: int, block: int, labels: Labels, prior: Prior, rows: Ints, keep: Path | None) -> UserRatings:
        """The posterior of these rows of the block; the whole block's ratings are written to `keep` if it is given."""
        votes = self._user_votes(last_round, block, labels)
        at = posteriors.posterior(votes, prior, self._ties)
        user_id = block * BLOCK + np.arange(votes.users)
        if keep:
            files.write_table(keep / f"block={block}.parquet", self._ratings_table(user_id, at.mode))
        return UserRatings(user_id[rows], at.mode[rows], at.covariance[rows])

    def online_ratings(self, last_round: int, block: int, strength: Floats, rows: Ints) -> Floats:
        """elo_online of these rows of the block, (len(rows), M), from the global strengths."""
        cast = self._ballots(last_round, block, rows)
        n, votes = cast["outcome"].shape
        a, b, outcome = (cast[name].ravel() for name in ("model_a", "model_b", "outcome"))
        return elo_online.rate(strength, n, np.repeat(np.arange(n), votes), a, b, outcome, self.electorate.config.ratings.k_factor)

    def taste_ratings(self, last_round: int, block: int, rows: Ints) -> TasteRatings:
        """oracle_features of these rows of the block."""
        cast = self._ballots(last_round, block, rows)
        archetype = personas.draw_archetypes(self.electorate, block)[rows]
        columns = (cast[name] for name in ("prompt_id", "model_a", "model_b", "first_shown", "outcome"))
        return tastes.rate(self.electorate, Battles(archetype, *columns))

    def _ballots(self, last_round: int, block: int, rows: Ints) -> dict[str, Ints]:
        """These rows' votes of rounds 0..last_round as columns of shape (len(rows), votes), in the order they were cast."""
        names = ("prompt_id", "model_a", "model_b", "first_shown", "outcome")
        parts = [self._log.read(round_, block) for round_ in range(last_round + 1)]
        users = self.electorate.users_in(block)
        cast = {name: np.concatenate([column(part, name).reshape(users, -1)[rows] for part in parts], axis=1) for name in names}
        return cast | {"outcome": as_outcome(cast["outcome"])}

    def _ratings_table(self, user_id: Ints, mode: Floats) -> pa.Table:
        elo = to_elo(mode[:, :-1])
        names = [contestant.name for contestant in self.electorate.config.contestants]
        return pa.table({"user_id": user_id} | {name: pa.array(elo[:, m], pa.float32()) for m, name in enumerate(names)})

    def _user_votes(self, last_round: int, block: int, labels: Labels) -> UserVotes:
        user, a, b, outcome = self._battles(last_round, block)
        return UserVotes(self.electorate.users_in(block), _labels(self.electorate, block, labels), user, a, b, outcome)

    def _read_battles(self, last_round: int, block: int) -> tuple[Ints, Ints, Ints, Ints]:
        votes = pa.concat_tables([self._log.read(round_, block) for round_ in range(last_round + 1)])
        user = column(votes, "user_id") - block * BLOCK
        return user, column(votes, "model_a"), column(votes, "model_b"), as_outcome(column(votes, "outcome"))


def _labels(electorate: Electorate, block: int, labels: Labels) -> Ints:
    if labels == "wrong":
        return personas.wrong_labels(electorate, block)
    drawn = personas.draw_archetypes(electorate, block)
    return np.zeros_like(drawn) if labels == "none" else drawn
