"""What System B says, as the comparison asks for it."""

from dataclasses import dataclass, replace

import numpy as np

from electorate.base.pairs import pair_indices
from electorate.base.scale import Floats, Ints
from electorate.evaluation.predictions import Prediction
from electorate.ratings.ties import TieModel, averaged
from electorate.rewards.prompt_head import PromptRead
from electorate.rewards.weights import PersonalRead, Read, Weights, on_prompt

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(
    3
)  # exact to the fifth power of an sd below one


@dataclass(frozen=True)
class Pooled:
    """A form without weights of a user's own, on n users and a run's answers. archetype: (n,)
    archetypes; mix: (K, P) of prompts.
    """

    read: Read
    archetype: Ints
    mix: Floats
    ties: TieModel

    @property
    def overall(self) -> Floats:
        """(n or 1, M) mean rating over the archetype's mix of prompts."""
        return mean_base(self.read, self.mix)[self.archetype]

    def on(self, prompt: int) -> Prediction:
        """What it says on one prompt."""
        base = by_prompt(self.read.base, self.mix)[:, prompt]
        a, b = pair_indices(base.shape[1])
        odds = self.ties.probabilities(base[:, a] - base[:, b], self.read.eta[:, None])
        rows = self.archetype if len(base) > 1 else np.zeros(1, dtype=np.int64)
        return Prediction(base[rows], odds[rows])

    def take(self, users: Ints) -> "Pooled":
        """The same for these rows of its users."""
        return replace(self, archetype=self.archetype[users])


@dataclass(frozen=True)
class Personal:
    """A form with weights of each user's own, on n users and a run's answers. archetype: (n,)
    archetypes; mix: (K, P) of prompts.
    """

    read: PersonalRead
    archetype: Ints
    mix: Floats
    weights: Weights
    ties: TieModel

    @property
    def overall(self) -> Floats:
        """(n or 1, M) mean rating over the archetype's mix of prompts."""
        taste = np.einsum("kp,rpm->kmr", self.mix, by_prompt(self.read.taste.T, self.mix))[
            self.archetype
        ]
        own = np.einsum("nmr,nr->nm", taste, self.weights.mode[:, : taste.shape[2]])
        return mean_base(self.read, self.mix)[self.archetype] + own + self._offsets()

    def on(self, prompt: int) -> Prediction:
        """What it says on one prompt. Odds are averaged over each difference's posterior."""
        read = self.read
        models = self.read.base.shape[1] // self.mix.shape[1]
        strength, covariance = on_answers(
            on_prompt(read, prompt, models), self.archetype, self.weights, np.arange(models)
        )
        a, b = pair_indices(models)
        variance = np.diagonal(covariance, axis1=1, axis2=2)
        sd = np.sqrt(np.maximum(variance[:, a] + variance[:, b] - 2 * covariance[:, a, b], 0.0))
        eta = (read.eta[read.row(self.archetype)] + read.eta_sd * self.weights.mode[:, -1])[:, None]
        d = strength[:, a] - strength[:, b]
        odds = averaged(self.ties, d, sd, eta, _NODES, _WEIGHTS / _WEIGHTS.sum())
        return Prediction(strength, odds)

    def take(self, users: Ints) -> "Personal":
        """The same for these rows of its users."""
        return replace(self, archetype=self.archetype[users], weights=self.weights.take(users))

    def _offsets(self) -> Floats:
        """(n, M) nats; (1, 1) of zero where the form has none."""
        return (
            self.read.tau * self.weights.mode[:, self.read.taste.shape[1] + 1 : -1]
            if self.read.tau > 0
            else np.zeros((1, 1))
        )


def on_answers(
    read: PersonalRead, archetype: Ints, weights: Weights, by: Ints
) -> tuple[Floats, Floats]:
    """What a form says of A answers by these models (A,) to n users with these archetypes: mean
    (n, A) and covariance (n, A, A), nats.

    What a prompt does not tell of an answer counts as unsure; nothing does for what reads the
    answers.
    """
    mode = weights.mode
    row = read.row(archetype)
    r = read.taste.shape[1]
    answers = len(by)
    strength = read.base[row] + mode[:, :r] @ read.taste.T
    reads = np.zeros((answers, mode.shape[1]))
    reads[:, :r] = read.taste
    if read.tau > 0:
        strength = strength + read.tau * mode[:, r + 1 + by]
        reads[np.arange(answers), r + 1 + by] = read.tau
    covariance: Floats = reads @ weights.covariance @ reads.T
    if isinstance(read, PromptRead):
        own = np.column_stack([np.ones(len(archetype)), mode[:, :r]])
        unsaid = np.einsum("nr,nrq,nq->n", own, read.unsaid[row], own)
        covariance = covariance + unsaid[:, None, None] * np.eye(answers)
    return strength, covariance


@dataclass(frozen=True)
class Adapters:
    """A reward model of its own for each of n users, on a run's answers. base: (n, P * M);
    archetype: (n,); mix: (K, P) of prompts.
    """

    base: Floats
    eta: float
    archetype: Ints
    mix: Floats
    ties: TieModel

    @property
    def overall(self) -> Floats:
        """(n or 1, M) mean rating over the archetype's mix of prompts."""
        rated: Floats = np.einsum(
            "np,npm->nm", self.mix[self.archetype], by_prompt(self.base, self.mix)
        )
        return rated

    def on(self, prompt: int) -> Prediction:
        """What it says on one prompt."""
        strength = by_prompt(self.base, self.mix)[:, prompt]
        a, b = pair_indices(strength.shape[1])
        d = strength[:, a] - strength[:, b]
        return Prediction(strength, self.ties.probabilities(d, np.full(d.shape, self.eta)))

    def take(self, users: Ints) -> "Adapters":
        """The same for these rows of its users."""
        return replace(self, base=self.base[users], archetype=self.archetype[users])


def by_prompt(values: Floats, mix: Floats) -> Floats:
    """(k, P, M) from values of a run's answers (k, P * M), which lie prompt by prompt."""
    return values.reshape(len(values), mix.shape[1], values.shape[1] // mix.shape[1])


def mean_base(read: Read, mix: Floats) -> Floats:
    """(K, M) each archetype's base over its mix of prompts."""
    base: Floats = np.einsum(
        "kp,kpm->km", mix, by_prompt(read.base, mix)[read.row(np.arange(len(mix)))]
    )
    return base
