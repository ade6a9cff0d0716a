"""Every configured system, rated on the votes up to a round: cohorts do their users, the rest is fitted here."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray.actor import ActorHandle

from actors.pool import CohortPool
from electorate import arena
from electorate.cohort import Labels, UserRatings
from electorate.evaluation import predictions
from electorate.evaluation.predictions import System, Tastes
from electorate.personas import BLOCK, Electorate, Personas
from electorate.ratings import offsets
from electorate.ratings.bradley_terry import Fit
from electorate.ratings.posteriors import Prior
from electorate.ratings.tastes import TasteRatings
from electorate.ratings.ties import MODELS
from electorate.scale import ELO_PER_NAT, to_nats
from electorate.storage.run_folder import RunFolder

LABELS: dict[str, Labels] = {"elo_offset": "true", "elo_offset_no_labels": "none", "elo_offset_wrong_labels": "wrong"}
FITTED_BLOCKS = 8  # 32,768 users say what the prior is; more would cost passes over the log and change nothing


@dataclass(frozen=True)
class Rated:
    """After a round. said: what each system says of the people compared. fits: Bradley-Terry of everyone,
    then of each archetype. offset_sd: System A's spread of users, Elo points.
    """

    said: dict[str, System]
    fits: list[Fit]
    offset_sd: dict[str, float]


@dataclass(frozen=True)
class Rater:
    """Rates the systems that the config names, for some people of the electorate."""

    electorate: Electorate
    people: Personas
    pool: CohortPool
    ranking: ActorHandle
    folder: RunFolder

    def after(self, round_: int) -> Rated:
        """The systems on the votes of rounds 0..round_; arena only if every contestant has a rating."""
        config = self.electorate.config
        ties = MODELS[config.ratings.ties]
        whole, segments = ray.get(self.ranking.rate.remote(round_))
        said: dict[str, System] = {
            "global_bt": predictions.from_fits([whole], ties),
            "segment_bt": predictions.from_fits(segments, ties).take(self.people.archetype),
        }
        official = arena.ratings([c.arena_name for c in config.contestants], "raw")
        if not np.isnan(official).any():
            strength = (official - official.mean())[None] * to_nats(1.0)
            said["arena"] = predictions.from_strength(strength, np.array([whole.eta]), ties)
        wanted, offset_sd = config.evaluation.systems, dict[str, float]()
        if "elo_online" in wanted:
            own = np.concatenate(self._map(lambda actor, b, rows: actor.online_ratings.remote(round_, b, whole.strength, rows)))
            said["elo_online"] = predictions.from_strength(own, np.full(len(own), whole.eta), ties)
        for system in [s for s in wanted if s in LABELS]:
            prior, rated = self._offsets(round_, LABELS[system], whole, self._kept(round_, system))
            offset_sd[system] = ELO_PER_NAT * prior.sd
            said[system] = predictions.from_posterior(rated.mode, rated.covariance, ties)
        if "oracle_features" in wanted:
            parts = self._map(lambda actor, b, rows: actor.taste_ratings.remote(round_, b, rows))
            columns = (np.concatenate([getattr(part, name) for part in parts]) for name in ("archetype", "mode", "covariance"))
            said["oracle_features"] = Tastes(self.electorate, TasteRatings(*columns))
        return Rated({system: said[system] for system in wanted if system in said}, [whole, *segments], offset_sd)

    def _kept(self, round_: int, system: str) -> Path | None:
        """Where everybody's ratings are written: System A's, after the last round."""
        last = round_ == len(self.electorate.config.votes.checkpoints) - 1
        return self.folder.offsets if last and system == "elo_offset" else None

    def _offsets(self, round_: int, labels: Labels, whole: Fit, keep: Path | None) -> tuple[Prior, UserRatings]:
        """System A: the cohorts do the users, in blocks; the prior they share is fitted on the first FITTED_BLOCKS of them."""
        electorate, pool = self.electorate, self.pool

        def sums(prior: Prior) -> list[Any]:
            shared = ray.put(prior)
            return pool.map(min(electorate.blocks, FITTED_BLOCKS), lambda actor, b: actor.offset_sums.remote(round_, b, labels, shared))

        kinds = 1 if labels == "none" else len(electorate.archetypes)
        prior = offsets.fit(sums, whole, kinds, electorate.config.ratings.lambda_reg)
        shared, every = ray.put(prior), range(electorate.blocks)
        rows = [self._rows(block) for block in every]
        rated = pool.map(electorate.blocks, lambda actor, b: actor.offset_ratings.remote(round_, b, labels, shared, rows[b], keep))
        return prior, UserRatings(*(np.concatenate(columns) for columns in zip(*rated, strict=True)))

    def _rows(self, block: int) -> Any:
        """Rows of the block that hold people compared."""
        return self.people.user_id[self.people.user_id // BLOCK == block] % BLOCK

    def _map(self, call: Callable[[ActorHandle, int, Any], Any]) -> list[Any]:
        """call(actor, block, rows) on every block that holds people compared, in block order."""
        blocks = np.unique(self.people.user_id // BLOCK).tolist()
        return self.pool.map(len(blocks), lambda actor, i: call(actor, blocks[i], self._rows(blocks[i])))
