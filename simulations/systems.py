"""Every configured system, rated on the votes up to a round: what all votes say comes from cohorts and the ranking
actor, what the compared people's own votes add is worked out here.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import ray
from ray.actor import ActorHandle

from actors.pool import CohortPool
from electorate import arena
from electorate.cast import Cast
from electorate.cohort import Labels
from electorate.evaluation import predictions
from electorate.evaluation.predictions import System, Tastes
from electorate.personas import BLOCK, Electorate, Personas, wrong_labels
from electorate.ratings import elo_online, offsets, posteriors, tastes
from electorate.ratings.bradley_terry import Fit
from electorate.ratings.posteriors import Prior
from electorate.ratings.ties import MODELS
from electorate.scale import ELO_PER_NAT, Ints, to_nats
from electorate.storage.run_folder import RunFolder
from simulations import rewards

LOW_RANK = "elo_offset_low_rank"
LABELS: dict[str, Labels] = {
    "elo_offset": "true",
    LOW_RANK: "true",
    "elo_offset_no_labels": "none",
    "elo_offset_wrong_labels": "wrong",
}
FITTED_BLOCKS = 8  # 32,768 users say what the prior is; more would cost passes over the log and change nothing
MOMENT_BLOCKS = 24  # one pass, and more users show fainter directions


@dataclass(frozen=True)
class Rated:
    """After a round. said: what each system says of the people compared. fits: Bradley-Terry of everyone,
    then of each archetype. priors: of System A's forms. versions: of System B's, by system.
    """

    said: dict[str, System]
    fits: list[Fit]
    priors: dict[str, Prior]
    versions: dict[str, str]


@dataclass(frozen=True)
class PriorFit:
    """Fits System A's priors on the votes of rounds 0..round_: the cohorts do the users of the first FITTED_BLOCKS blocks."""

    electorate: Electorate
    pool: CohortPool
    whole: Fit
    round_: int

    def plain(self, labels: Labels) -> Prior:
        """With offsets alike in every direction."""
        kinds, lambda_reg = 1 if labels == "none" else len(self.electorate.archetypes), self.electorate.config.ratings.lambda_reg
        prior = offsets.fit(self._sums(labels), self.whole, offsets.first_prior(self.whole, kinds, lambda_reg), lambda_reg)
        return prior if lambda_reg is not None else offsets.unless_alike(prior, self._moments(labels, prior))

    def low_rank(self, plain: Prior) -> Prior:
        """With the factors that the votes show."""
        settings = self.electorate.config.ratings
        moments = self._moments("true", plain)
        return offsets.with_factors(self._sums("true"), moments, self.whole, plain, settings.factors, settings.lambda_reg)

    def _moments(self, labels: Labels, prior: Prior) -> offsets.Moments:
        shared = ray.put(prior)
        blocks = min(self.electorate.blocks, MOMENT_BLOCKS)
        return offsets.in_order(self.pool.map(blocks, lambda actor, b: actor.moments.remote(self.round_, b, labels, shared)))

    @property
    def _blocks(self) -> int:
        return min(self.electorate.blocks, FITTED_BLOCKS)

    def _sums(self, labels: Labels) -> offsets.MapBlocks:
        def sums(prior: Prior) -> list[Any]:
            shared, blocks = ray.put(prior), self._blocks
            return self.pool.map(blocks, lambda actor, b: actor.offset_sums.remote(self.round_, b, blocks, labels, shared))

        return sums


def prior_for_asking(electorate: Electorate, pool: CohortPool, ranking: ActorHandle, round_: int) -> Prior:
    """System A's plain prior after a round, by which cohorts choose the next one's pairs."""
    even = electorate.config.votes.even(round_)
    whole, _ = ray.get(ranking.rate.remote(even))
    return PriorFit(electorate, pool, whole, even).plain("true")


@dataclass
class Rater:
    """Rates the systems that the config names, for some people of the electorate, round after round."""

    electorate: Electorate
    people: Ints
    pool: CohortPool
    ranking: ActorHandle
    folder: RunFolder
    _cast: list[Cast] = field(default_factory=list)

    def after(self, round_: int, people: Personas) -> Rated:
        """The systems on the votes of rounds 0..round_; arena only if every contestant has a rating."""
        config, cast = self.electorate.config, self.cast(round_)
        ties, wanted = MODELS[config.ratings.ties], config.evaluation.systems
        whole, segments = ray.get(self.ranking.rate.remote(config.votes.even(round_)))
        said: dict[str, System] = {
            "global_bt": predictions.from_fits([whole], ties),
            "segment_bt": predictions.from_fits(segments, ties).take(people.archetype),
        }
        official = arena.ratings([c.arena_name for c in config.contestants], "raw")
        if not np.isnan(official).any():
            strength = (official - official.mean())[None] * to_nats(1.0)
            said["arena"] = predictions.from_strength(strength, np.array([whole.eta]), ties)
        if "elo_online" in wanted:
            own = elo_online.rate(whole.strength, len(people), cast.user, cast.a, cast.b, cast.outcome, config.ratings.k_factor)
            said["elo_online"] = predictions.from_strength(own, np.full(len(own), whole.eta), ties)
        priors = self._priors(round_, whole)
        for system, prior in priors.items():
            if system in wanted:
                votes = cast.user_votes(len(people), self._labels(people, LABELS[system]), config.ratings.forgetting)
                at = posteriors.posterior(votes, prior, ties)
                said[system] = predictions.from_posterior(at.mode, at.covariance, ties)
        if "oracle_features" in wanted:
            said["oracle_features"] = Tastes(self.electorate, tastes.rate(self.electorate, cast.battles(people.archetype)))
        said |= rewards.said(self.electorate, self.folder, round_, cast, people)
        versions = rewards.versions(self.electorate, self.folder, round_)
        return Rated({system: said[system] for system in wanted if system in said}, [whole, *segments], priors, versions)

    def cast(self, round_: int) -> Cast:
        """The people's own votes of rounds 0..round_, each round read once."""
        blocks, first = np.unique(self.people // BLOCK, return_index=True)
        for r in range(len(self._cast), round_ + 1):

            def call(actor: ActorHandle, i: int, r: int = r) -> Any:
                rows = self.people[self.people // BLOCK == blocks[i]] % BLOCK
                return actor.cast.remote(r, int(blocks[i]), rows, int(first[i]))

            self._cast.append(Cast.joined(self.pool.map(len(blocks), call)))
        return Cast.joined(self._cast[: round_ + 1])

    def _priors(self, round_: int, whole: Fit) -> dict[str, Prior]:
        """Of the forms of System A that are wanted, and of the plain one where another starts from it."""
        wanted = [s for s in self.electorate.config.evaluation.systems if s in LABELS]
        fit, priors = PriorFit(self.electorate, self.pool, whole, self.electorate.config.votes.even(round_)), dict[str, Prior]()
        for system in wanted if LOW_RANK not in wanted else dict.fromkeys(["elo_offset", *wanted]):
            priors[system] = fit.low_rank(priors["elo_offset"]) if system == LOW_RANK else fit.plain(LABELS[system])
        return priors

    def _labels(self, people: Personas, labels: Labels) -> Ints:
        """(n,) the archetype each person is said to have."""
        if labels == "wrong":
            blocks = np.unique(people.user_id // BLOCK)
            drawn = (wrong_labels(self.electorate, b)[people.user_id[people.user_id // BLOCK == b] % BLOCK] for b in blocks)
            return np.concatenate(list(drawn))
        return np.zeros_like(people.archetype) if labels == "none" else people.archetype


def spread(prior: Prior) -> dict[str, Any]:
    """The sd of users and of its factors, Elo points."""
    factors = [] if prior.factors is None else np.linalg.norm(prior.factors, axis=1)
    return {"sd_elo": round(ELO_PER_NAT * prior.sd, 1), "factors_elo": [round(ELO_PER_NAT * float(f), 1) for f in factors]}
