"""Paired intervals: one set of resamples of users x prompts, used for every system alike."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from electorate.base import resampling
from electorate.base.draws import Stream, generator
from electorate.base.scale import Floats, Ints
from electorate.config.metrics import UNSEEN
from electorate.evaluation.metrics import expected_calibration_error
from electorate.evaluation.scoring import Scores


@dataclass(frozen=True)
class Estimate:
    """A value with its bootstrap interval, NaN of a single user, and the users it rests on."""

    value: float
    ci_low: float
    ci_high: float
    users: int


NARROWEST = 1e-9  # rounding, between resamples that are all alike


def has_width(ci_low: float, ci_high: float) -> bool:
    """Whether an interval says how a value varies: where all users gain the same, all resamples
    are alike, and nothing is known of other users.
    """
    return ci_high - ci_low > NARROWEST


Key = tuple[str, str]  # prompts, metric


@dataclass(frozen=True)
class Resampled:
    """Systems' metrics over some users: on the data (first) and on every resample.

    Attributes:
        replicates: system to (prompts, metric) to (1 + resamples,).
        users: how many.
        confidence: of intervals.
    """

    replicates: Mapping[str, Mapping[Key, Floats]]
    users: int
    confidence: float

    def estimates(self) -> dict[str, dict[Key, Estimate]]:
        """System to (prompts, metric) to its mean."""
        return {system: self._summarise(own) for system, own in self.replicates.items()}

    def gains(self, baseline: str) -> dict[str, dict[Key, Estimate]]:
        """Each other system minus the baseline, resample by resample."""
        base = self.replicates[baseline]
        return {
            system: self._summarise({key: values - base[key] for key, values in own.items()})
            for system, own in self.replicates.items()
            if system != baseline
        }

    def _summarise(self, replicates: Mapping[Key, Floats]) -> dict[Key, Estimate]:
        values = np.array(list(replicates.values()))
        # One user's values do not tell how users vary.
        ends = np.full((2, len(values)), np.nan)
        if self.users > 1:
            ends = resampling.intervals(values[:, 1:], self.confidence)
        return {
            key: Estimate(float(value), float(low), float(high), self.users)
            for key, value, low, high in zip(replicates, values[:, 0], *ends, strict=True)
        }


class Bootstrap:
    """Resamples of users and of prompts, drawn once from the seed (the pigeonhole bootstrap,
    Owen 2007).
    """

    def __init__(
        self, seed: int, users: int, prompts: int, resamples: int, confidence: float
    ) -> None:
        random = generator(seed, Stream.BOOTSTRAP)
        self._users = resampling.times(random, users, resamples).astype(float)
        self._prompts = resampling.times(random, prompts, resamples).astype(float)
        self._confidence = confidence

    def of(self, scores: Mapping[str, Scores], rows: Ints) -> Resampled:
        """The systems' metrics over these users."""
        users = np.vstack([np.ones(len(rows)), self._users[:, rows]])
        # Resamples of everybody in which none of these users is say nothing of them.
        there = users.sum(axis=1) > 0
        prompts = np.vstack([np.ones(self._prompts.shape[1]), self._prompts])
        replicates = {
            system: _replicates(own, rows, users[there], prompts[there])
            for system, own in scores.items()
        }
        return Resampled(replicates, len(rows), self._confidence)


def _replicates(scores: Scores, rows: Ints, users: Floats, prompts: Floats) -> dict[Key, Floats]:
    """(prompts, metric) to its value by each row of weights.

    Weights are divided by at the end: of shares, what is 1 for everybody would not be 1 on average.

    Args:
        users: (resamples, users) how often each is drawn.
        prompts: (resamples, prompts), the same.
    """
    total = users.sum(axis=1)
    replicates = {}
    for key, values in scores.values.items():
        by_prompt = users @ values[rows] / total[:, None]
        if key[0] == UNSEEN:
            replicates[key] = (by_prompt * prompts).sum(axis=1) / prompts.sum(axis=1)
        else:
            replicates[key] = by_prompt[:, 0]
    bins = np.tensordot(users, scores.calibration[rows], axes=1).astype(float, copy=False)
    return replicates | {(UNSEEN, "ece"): expected_calibration_error(bins)}
