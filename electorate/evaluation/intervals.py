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


Key = tuple[str, str]  # prompts, metric


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

    def estimates(self, scores: Mapping[str, Scores], rows: Ints) -> dict[str, dict[Key, Estimate]]:
        """System to (prompts, metric) to its mean over these users."""
        return {
            system: self._summarise(self._replicates(s, rows), len(rows))
            for system, s in scores.items()
        }

    def gains(
        self, scores: Mapping[str, Scores], baseline: str, rows: Ints
    ) -> dict[str, dict[Key, Estimate]]:
        """Each other system minus the baseline, resample by resample."""
        base = self._replicates(scores[baseline], rows)
        others = {
            system: self._replicates(s, rows) for system, s in scores.items() if system != baseline
        }
        return {
            system: self._summarise(
                {key: values - base[key] for key, values in replicates.items()}, len(rows)
            )
            for system, replicates in others.items()
        }

    def _replicates(self, scores: Scores, rows: Ints) -> dict[Key, Floats]:
        """Per metric, its value on the data (first) and on every resample."""
        users = np.vstack([np.ones(len(rows)), self._users[:, rows]])
        total = users.sum(axis=1)
        # Resamples of everybody in which none of these users is say nothing of them.
        there = total > 0
        users = users[there]
        replicates = {}
        for key, values in scores.values.items():
            by_prompt = users @ values[rows] / total[there, None]
            replicates[key] = (
                self._over_prompts(by_prompt, there) if key[0] == UNSEEN else by_prompt[:, 0]
            )
        bins = np.tensordot(users, scores.calibration[rows], axes=1)
        return replicates | {(UNSEEN, "ece"): expected_calibration_error(bins)}

    def _over_prompts(self, by_prompt: Floats, there: Ints) -> Floats:
        prompts = np.vstack([np.ones(by_prompt.shape[1]), self._prompts])[there]
        mean: Floats = (by_prompt * prompts).sum(axis=1) / prompts.sum(axis=1)
        return mean

    def _summarise(self, replicates: Mapping[Key, Floats], users: int) -> dict[Key, Estimate]:
        estimates = {}
        for key, values in replicates.items():
            # One user's values do not tell how users vary.
            ends = (np.nan, np.nan)
            if users > 1:
                ends = resampling.interval(values[1:], self._confidence)
            estimates[key] = Estimate(float(values[0]), *ends, users)
        return estimates
