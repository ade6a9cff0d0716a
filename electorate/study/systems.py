"""Every configured system, built from the votes up to a round.

What all votes say comes from the pool; what the compared users' own votes add is worked out here.
"""

import logging
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from electorate.base.scale import ELO_PER_NAT, Ints, to_nats
from electorate.config.run import RatingSettings
from electorate.data import arena as official
from electorate.evaluation.predictions import Strengths, System, Tastes
from electorate.evaluation.selection import Labels, PriorFit, Priors, Variant
from electorate.evaluation.systems import OFFSETS, SYSTEM_A, built
from electorate.population import tastes
from electorate.population.logged_votes import LoggedVotes
from electorate.population.planted import Planted
from electorate.population.voters import BLOCK, Users, Voters, wrong_labels
from electorate.ratings import offsets
from electorate.ratings.bradley_terry import Fit
from electorate.ratings.dependence import Dependence
from electorate.ratings.moments import Moments
from electorate.ratings.offsets import NotConvergedError, Sums, Tries
from electorate.ratings.prior import Prior
from electorate.ratings.prompt_sample import PromptScores
from electorate.ratings.summed import in_order
from electorate.ratings.ties import MODELS, TieModel
from electorate.ratings.user_votes import UserVotes
from electorate.storage.run_folder import RunFolder
from electorate.study import pool as pools
from electorate.study import reward_systems
from electorate.study.pool import Pool
from electorate.study.reward_systems import Adapt

LOG = logging.getLogger("electorate.study.systems")
LOW_RANK = "elo_offset_low_rank"
# 32,768 users say what the prior is; more would cost passes over the log and change nothing.
FITTED_BLOCKS = 8
MOMENT_BLOCKS = 24  # one pass, and more users show fainter directions


@dataclass(frozen=True)
class Rated:
    """The systems after a round.

    Attributes:
        systems: system to its predictions for the users compared.
        fits: Bradley-Terry of everyone, then of each archetype.
        priors: of System A, by system.
        versions: of the reward model behind a system.
        not_converged: system to why it uses the global ranking.
    """

    systems: dict[str, System]
    fits: list[Fit]
    priors: dict[str, Prior]
    versions: dict[str, str]
    not_converged: dict[str, str]


@dataclass
class AfterRound:
    """The Selection of rounds 0..round_ of a run, for some of its users.

    Attributes:
        people: those compared, n of them.
        votes: their own.
        global_fit, segments: Bradley-Terry of everyone, and of each archetype.
        adapt: trains a reward model of its own for each user.
    """

    voters: Voters
    pool: Pool
    folder: RunFolder
    round_: int
    people: Users
    votes: LoggedVotes
    global_fit: Fit
    segments: list[Fit]
    adapt: Adapt | None
    tried: Priors = field(default_factory=Priors)

    @property
    def settings(self) -> RatingSettings:
        """The settings by which votes become ratings."""
        return self.voters.config.ratings

    @property
    def ties(self) -> TieModel:
        """The tie model of all systems."""
        return MODELS[self.settings.ties]

    @property
    def archetype(self) -> Ints:
        """(n,) The archetype of each user."""
        return self.people.archetype

    @property
    def priors(self) -> dict[str, Prior]:
        """System A's priors that were fitted so far, by system."""
        fitted = self.tried.fitted
        return {name: fitted[of] for name, of in OFFSETS.items() if of in fitted}

    @cached_property
    def fit(self) -> PriorFit:
        """The fits of System A's priors."""
        even = self.voters.config.votes.even(self.round_)
        return prior_fit(self.voters, self.pool, self.global_fit, even)

    @cached_property
    def rewards(self) -> "reward_systems.Trained | None":
        """The reward model in force after this round, if there is one."""
        return reward_systems.trained(
            self.voters, self.folder, self.round_, self.votes, self.people, self.adapt
        )

    def prior(self, variant: Variant) -> Prior:
        """System A's prior, fitted once. Raises NotConvergedError."""
        return self.tried.of(variant, lambda: self._prior(variant))

    def _prior(self, variant: Variant) -> Prior:
        if variant.form == "low_rank":
            return self.fit.low_rank(self.prior(SYSTEM_A))
        if variant.form == "ties_only":
            return self.fit.ties_only(variant.labels)
        return self.fit.plain(variant.labels)

    def known(self, labels: Labels) -> list[UserVotes]:
        """The votes of the users compared."""
        return [self.votes.user_votes(self._labels(labels), self.settings.forgetting)]

    def _labels(self, labels: Labels) -> Ints:
        """(n,) the archetype each user is said to have."""
        if labels == "wrong":
            block_of = self.people.user_id // BLOCK
            drawn = []
            for block in np.unique(block_of):
                rows = self.people.user_id[block_of == block] % BLOCK
                drawn.append(wrong_labels(self.voters, block)[rows])
            return np.concatenate(drawn)
        archetype = self.people.archetype
        return np.zeros_like(archetype) if labels == "none" else archetype


def arena(at: AfterRound, _: str) -> System | None:
    """The official ratings; None unless every contestant has one."""
    names = [contestant.arena_name for contestant in at.voters.config.contestants]
    ratings = official.ratings(names, "raw")
    if np.isnan(ratings).any():
        return None
    strength = (ratings - ratings.mean())[None] * to_nats(1.0)
    return Strengths(strength, np.array([at.global_fit.eta]), at.ties)


def oracle_features(at: AfterRound, _: str) -> System | None:
    """Knows the taste axes, and learns each user's taste; None where tastes are not planted."""
    if not isinstance(at.voters, Planted):
        return None
    return Tastes(at.voters, tastes.rate(at.voters, at.votes, at.people.archetype))


def prior_fit(voters: Voters, pool: Pool, global_fit: Fit, round_: int) -> PriorFit:
    """Fits System A's priors on the votes of rounds 0..round_: the cohorts do the users of the
    first FITTED_BLOCKS blocks.
    """

    def users(labels: Labels) -> OnCohorts:
        return OnCohorts(pool, voters.blocks, round_, labels)

    return PriorFit(users, global_fit, len(voters.archetypes), voters.config.ratings)


@dataclass(frozen=True)
class OnCohorts:
    """offsets.UserBlocks on cohorts: the votes of rounds 0..round_ of a run with so many blocks."""

    pool: Pool
    blocks: int
    round_: int
    labels: Labels

    def dependence(self, start: Fit) -> list[Dependence]:
        """How far votes of one user, or on one prompt, repeat each other, at the fit `start`."""
        return self._map("dependence", min(self.blocks, FITTED_BLOCKS), self.labels, start)

    def sums(self, prior: Prior, tries: Tries, everybody: bool) -> list[Sums]:
        """What the global step takes, under the prior and each of the factors to try."""
        blocks = min(self.blocks, FITTED_BLOCKS)
        return self._map("offset_sums", blocks, blocks, self.labels, prior, tries, everybody)

    def moments(self, prior: Prior) -> list[Moments]:
        """How users depart from their archetypes' means, under the prior."""
        return self._map("moments", min(self.blocks, MOMENT_BLOCKS), self.labels, prior)

    def prompt_scores(self, prior: Prior) -> list[PromptScores]:
        """What each prompt's votes say of archetypes' means, of users whose sums there are."""
        return self._map("prompt_scores", min(self.blocks, FITTED_BLOCKS), self.labels, prior)

    def _map(self, method: str, blocks: int, *arguments: object) -> list[Any]:
        work = [(self.round_, block) for block in range(blocks)]
        return pools.results(self.pool, method, work, *arguments)


def prior_for_asking(voters: Voters, pool: Pool, round_: int) -> Prior:
    """System A's plain prior after a round, by which cohorts choose the next one's pairs."""
    even = voters.config.votes.even(round_)
    global_fit, _ = pool.rate(even)
    try:
        return prior_fit(voters, pool, global_fit, even).plain("true")
    except NotConvergedError as error:
        LOG.warning("pairs are chosen by the global ranking: %s", error)
        return replace(
            offsets.first_prior(global_fit, len(voters.archetypes)), sd=offsets.TAU_FLOOR
        )


@dataclass
class Rater:
    """Builds the systems that the config names, for some users, round after round.

    Attributes:
        people: (n,) ids of the users compared.
        adapt: see AfterRound.
    """

    voters: Voters
    people: Ints
    pool: Pool
    folder: RunFolder
    adapt: Adapt | None = None
    _by_round: list[LoggedVotes] = field(default_factory=list)

    def after(self, round_: int, people: Users) -> Rated:
        """The systems on the votes of rounds 0..round_. Where a fit does not converge, the system
        uses the global ranking.
        """
        at = self.at(round_, people)
        systems, not_converged = built(at, self.voters.config.evaluation.systems)
        versions = reward_systems.versions(self.voters, self.folder, round_)
        fits = self._clustered(round_, [at.global_fit, *at.segments])
        return Rated(systems, fits, at.priors, versions, not_converged)

    def at(self, round_: int, people: Users) -> AfterRound:
        """What systems are built from after a round."""
        global_fit, segments = self.pool.rate(self.voters.config.votes.even(round_))
        return AfterRound(
            self.voters,
            self.pool,
            self.folder,
            round_,
            people,
            self.votes(round_),
            global_fit,
            segments,
            self.adapt,
        )

    def _clustered(self, round_: int, fits: list[Fit]) -> list[Fit]:
        """The fits with intervals that take votes as dependent by user and by prompt."""
        last = self.voters.config.votes.even(round_)
        work = [(last, block) for block in range(min(self.voters.blocks, MOMENT_BLOCKS))]
        parts = pools.results(self.pool, "score_sums", work, fits)
        sums = [in_order(of_fit) for of_fit in zip(*parts, strict=True)]
        # A vote is in two models' counts.
        return [
            own.clustered(fit, fit.votes.sum() / 2) for own, fit in zip(sums, fits, strict=True)
        ]

    def votes(self, round_: int) -> LoggedVotes:
        """The people's own votes of rounds 0..round_, each round read once."""
        blocks, first = np.unique(self.people // BLOCK, return_index=True)
        for r in range(len(self._by_round), round_ + 1):
            work = []
            for block, row in zip(blocks.tolist(), first.tolist(), strict=True):
                rows = self.people[self.people // BLOCK == block] % BLOCK
                work.append((r, block, rows, row))
            self._by_round.append(LoggedVotes.by_user(pools.results(self.pool, "logged", work)))
        return LoggedVotes.by_user(self._by_round[: round_ + 1])


def spread(prior: Prior) -> dict[str, Any]:
    """The sd of users and of its factors, Elo points."""
    factors = [] if prior.factors is None else np.linalg.norm(prior.factors, axis=1)
    return {
        "sd_elo": round(ELO_PER_NAT * prior.sd, 1),
        "factors_elo": [round(ELO_PER_NAT * float(f), 1) for f in factors],
    }
