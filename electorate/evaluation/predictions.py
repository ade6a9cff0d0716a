"""What a system says: a rating of every model for every user, and the odds of every pair, on
each prompt.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from electorate.base.pairs import pair_indices
from electorate.base.registry import load
from electorate.base.scale import Floats, Ints
from electorate.config.metrics import METRICS
from electorate.data.votes import NamedVotes
from electorate.evaluation.metrics import Standing, dot
from electorate.evaluation.vote_odds import posterior_odds
from electorate.population.judges import either_first
from electorate.population.personas import Electorate
from electorate.population.tastes import TasteRatings
from electorate.ratings import posteriors
from electorate.ratings.bradley_terry import Fit
from electorate.ratings.prior import Prior
from electorate.ratings.ties import TieModel, averaged
from electorate.ratings.user_votes import UserVotes

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(9)
TINY = 1e-12


@dataclass(frozen=True)
class Prediction:
    """What a system predicts for users on one prompt.

    Attributes:
        strength: (n or 1, M) nats.
        odds: (n or 1, pairs, 3) probabilities of A, B and tie for pairs a < b.
    """

    strength: Floats
    odds: Floats

    @cached_property
    def standing(self) -> Standing:
        """The ranking that the prediction makes."""
        return Standing(self.strength)

    def scores(self, true: Floats) -> dict[str, Floats]:
        """Every registered metric of odds, (n,), under true odds (n, pairs, 3)."""
        specs = [spec for spec in METRICS.values() if spec.of == "odds" and spec.compute]
        return {spec.name: load(spec.compute)(self, true) for spec in specs if spec.compute}

    @cached_property
    def flat(self) -> Floats:
        """(n or 1, pairs * 3) the odds."""
        return self.odds.reshape(len(self.odds), -1)

    @cached_property
    def squared(self) -> Floats:
        """(n or 1,) the sum of their squares."""
        return dot(self.flat, self.flat)

    @cached_property
    def log_odds(self) -> Floats:
        """The logarithms of the odds."""
        logs: Floats = np.maximum(self.flat, TINY)
        # In place: a second array of this size costs more than the logarithms.
        return np.log(logs, out=logs)


def log_loss(prediction: Prediction, true: Floats) -> Floats:
    """(n,) expected log loss (nats) over all pairs, under true odds (n, pairs, 3)."""
    loss: Floats = -dot(true.reshape(len(true), -1), prediction.log_odds) / true.shape[1]
    return loss


def brier(prediction: Prediction, true: Floats) -> Floats:
    """(n,) expected Brier score over all pairs, under true odds (n, pairs, 3)."""
    flat = true.reshape(len(true), -1)
    predicted = prediction.flat
    # E|e_o - q|^2 over outcomes o drawn from the truth is 1 - 2 p.q + q.q.
    return 1 - (2 * dot(flat, predicted) - prediction.squared) / true.shape[1]


class System(Protocol):
    """Something that ranks models for users. overall: (n or 1, M), its ranking over all prompts."""

    @property
    def overall(self) -> Floats:
        """(n or 1, M) strengths over all prompts."""
        ...

    def on(self, prompt: int) -> Prediction:
        """What it says on one prompt."""
        ...

    def take(self, users: Ints) -> "System":
        """The same for these rows of its users."""
        ...


class Predictor(Protocol):
    """Something that says how users vote."""

    def odds(self, votes: NamedVotes) -> Floats:
        """(n, 3) probabilities of A, B and tie of each vote."""
        ...


@dataclass(frozen=True)
class Shares:
    """A predictor that says the same of every vote. share: (3,) of A, B and tie."""

    share: Floats

    def odds(self, votes: NamedVotes) -> Floats:
        """(n, 3) probabilities of A, B and tie of each vote."""
        return np.tile(self.share, (len(votes), 1))


@dataclass(frozen=True)
class Strengths:
    """A system of strengths (n, M), or (1, M) for all users, the same on every prompt; tie
    parameters (n or 1,).
    """

    strength: Floats
    eta: Floats
    ties: TieModel

    @classmethod
    def of_fits(cls, fits: list[Fit], ties: TieModel) -> "Strengths":
        """One row a Bradley-Terry fit."""
        strength = np.array([fit.strength for fit in fits])
        return cls(strength, np.array([fit.eta for fit in fits]), ties)

    @property
    def overall(self) -> Floats:
        """(n or 1, M) strengths over all prompts."""
        return self.strength

    @cached_property
    def prediction(self) -> Prediction:
        """What it says on every prompt."""
        a, b = pair_indices(self.strength.shape[1])
        d = self.strength[:, a] - self.strength[:, b]
        return Prediction(self.strength, self.ties.probabilities(d, self.eta[:, None]))

    def on(self, prompt: int) -> Prediction:  # noqa: ARG002 the same on all
        """What it says on one prompt."""
        return self.prediction

    def take(self, users: Ints) -> "Strengths":
        """The same for these rows of its users."""
        return self if len(self.strength) == 1 else self.of_rows(users)

    def of_rows(self, rows: Ints) -> "Strengths":
        """The same of these rows alone."""
        return Strengths(self.strength[rows], self.eta[rows], self.ties)

    def odds(self, votes: NamedVotes) -> Floats:
        """(n, 3) probabilities of A, B and tie of each vote."""
        row = votes.user if len(self.strength) > 1 else np.zeros(len(votes), dtype=np.int64)
        d = self.strength[row, votes.a] - self.strength[row, votes.b]
        return self.ties.probabilities(d, self.eta[row])


@dataclass(frozen=True)
class Normal:
    """A system of normal posteriors, the same on every prompt.

    Attributes:
        mode: (n, M + 1) nats; the last is the tie parameter.
        covariance: (n, M + 1, M + 1).
    """

    mode: Floats
    covariance: Floats
    ties: TieModel

    @property
    def overall(self) -> Floats:
        """(n, M) strengths over all prompts."""
        return self.mode[:, :-1]

    @cached_property
    def prediction(self) -> Prediction:
        """What it says on every prompt: odds averaged over the difference's posterior, by
        Gauss-Hermite.
        """
        strength = self.overall
        eta = self.mode[:, -1:]
        a, b = pair_indices(strength.shape[1])
        sd = np.sqrt(_of_differences(self.covariance, a, b))
        d = strength[:, a] - strength[:, b]
        odds = averaged(self.ties, d, sd, eta, _NODES, _WEIGHTS / _WEIGHTS.sum())
        return Prediction(strength, odds)

    def on(self, prompt: int) -> Prediction:  # noqa: ARG002 the same on all
        """What it says on one prompt."""
        return self.prediction

    def take(self, users: Ints) -> "Normal":
        """The same for these rows of its users."""
        return Normal(self.mode[users], self.covariance[users], self.ties)


UNPROMPTED = (Strengths, Normal)  # systems that say the same on every prompt


@dataclass(frozen=True)
class Offsets:
    """System A under a prior. known: the users' own votes, in blocks of BLOCK users."""

    known: Sequence[UserVotes]
    prior: Prior
    ties: TieModel

    @cached_property
    def normal(self) -> Normal:
        """The users' posteriors as normal distributions."""
        found = [posteriors.posterior(block, self.prior, self.ties) for block in self.known]
        mode = np.concatenate([one.mode for one in found])
        return Normal(mode, np.concatenate([one.covariance for one in found]), self.ties)

    @property
    def overall(self) -> Floats:
        """(n, M) strengths over all prompts."""
        return self.normal.overall

    def on(self, prompt: int) -> Prediction:
        """What it says on one prompt."""
        return self.normal.on(prompt)

    def take(self, users: Ints) -> Normal:
        """The same for these rows of its users."""
        return self.normal.take(users)

    def odds(self, votes: NamedVotes) -> Floats:
        """(n, 3) probabilities of A, B and tie of each vote, a few users at a time: the covariances
        of all may not fit memory.
        """
        return posterior_odds(self.known, self.prior, self.ties, votes.user, votes.a, votes.b)


@dataclass(frozen=True)
class Tastes:
    """oracle_features: a system that knows what the tastes of electorate/population/tastes.py are
    about.
    """

    electorate: Electorate
    rated: TasteRatings

    @property
    def overall(self) -> Floats:
        """(n, M) mean utility over the archetype's mix of prompts."""
        z = np.einsum("kp,pmd->kmd", self.electorate.prompt_weights, self.electorate.z)[
            self.rated.archetype
        ]
        taste = np.einsum("nd,nmd->nm", self.rated.mode[:, 1:-2], z)
        quality = self.electorate.prompt_weights @ self.electorate.quality
        worth = self.electorate.strength + quality[self.rated.archetype]
        return self.rated.mode[:, :1] * worth + taste

    def on(self, prompt: int) -> Prediction:
        """What it says on one prompt. The odds are averaged over the posterior of the difference by
        the logistic's probit form (MacKay, 1992).
        """
        decisiveness = self.electorate.config.judge.decisiveness
        # (M, D+1): what a model's utility on this prompt is linear in.
        design = decisiveness * np.column_stack(
            [
                self.electorate.strength + self.electorate.quality[prompt],
                self.electorate.z[prompt],
            ]
        )
        strength = self.rated.mode[:, :-2] @ design.T
        covariance = design @ self.rated.covariance[:, :-2, :-2] @ design.T
        a, b = pair_indices(len(design))
        variance = _of_differences(covariance, a, b)
        bias = self.rated.mode[:, -2:-1]
        bias_variance = self.rated.covariance[:, -2, -2, None]
        shrink = 1 / np.sqrt(1 + np.pi / 8 * (variance + bias_variance))
        d = strength[:, a] - strength[:, b]
        threshold = self.electorate.tie_scale[prompt] * np.exp(self.rated.mode[:, -1:])
        lapse = np.full(len(d), self.electorate.config.judge.lapse_rate)
        return Prediction(
            strength, either_first(d * shrink, threshold * shrink, bias * shrink, lapse)
        )

    def take(self, users: Ints) -> "Tastes":
        """The same for these rows of its users."""
        rated = self.rated
        return Tastes(
            self.electorate,
            TasteRatings(rated.archetype[users], rated.mode[users], rated.covariance[users]),
        )


def _of_differences(covariance: Floats, a: Ints, b: Ints) -> Floats:
    """(n, pairs) variance of the differences of pairs, from covariance (n, M, M)."""
    own = np.diagonal(covariance, axis1=1, axis2=2)
    return np.maximum(own[:, a] + own[:, b] - 2 * covariance[:, a, b], 0.0)


Systems = Mapping[str, System]
