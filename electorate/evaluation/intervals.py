"""Paired intervals: one set of resamples of users x prompts, used for every system alike."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from electorate.draws import Stream, generator
from electorate.evaluation.metrics import expected_calibration_error
from electorate.evaluation.scoring import UNSEEN, Scores
from electorate.scale import Floats, Ints


@dataclass(frozen=True)
class Estimate:
    """A value with its bootstrap interval, and the users it rests on."""

    value: float
    ci_low: float
    ci_high: float
    users: int


Key = tuple[str, str]  # prompts, metric


class Bootstrap:
    """Resamples of users and of prompts, drawn once from the seed (the pigeonhole bootstrap, Owen 2007)."""

    def __init__(self, seed: int, users: int, prompts: int, resamples: int, confidence: float) -> None:
        random = generator(seed, Stream.BOOTSTRAP)
        self._users = random.multinomial(users, np.full(users, 1 / users), resamples).astype(float)
        self._prompts = random.multinomial(prompts, np.full(prompts, 1 / prompts), resamples).astype(float)
        self._tails = 50 * (1 - confidence), 50 * (1 + confidence)

    def estimates(self, scores: Mapping[str, Scores], rows: Ints) -> dict[str, dict[Key, Estimate]]:
        """System to (prompts, metric) to its mean over these users."""
        return {system: self._summarise(self._replicates(s, rows), len(rows)) for system, s in scores.items()}

    def gains(self, scores: Mapping[str, Scores], baseline: str, rows: Ints) -> dict[str, dict[Key, Estimate]]:
        """Each other system minus the baseline, resample by resample."""
        base = self._replicates(scores[baseline], rows)
        others = {system: self._replicates(s, rows) for system, s in scores.items() if system != baseline}
        return {
            system: self._summarise({key: values - base[key] for key, values in replicates.items()}, len(rows))
            for system, replicates in others.items()
        }

    def _replicates(self, scores: Scores, rows: Ints) -> dict[Key, Floats]:
        """Per metric, its value on the data (first) and on every resample."""
        users = np.vstack([np.ones(len(rows)), self._users[:, rows]])
        total = np.maximum(users.sum(axis=1), 1e-300)
        replicates = {}
        for key, values in scores.values.items():
            by_prompt = users @ values[rows] / total[:, None]
            replicates[key] = self._over_prompts(by_prompt) if key[0] == UNSEEN else by_prompt[:, 0]
        bins = np.tensordot(users, scores.calibration[rows], axes=1)
        return replicates | {(UNSEEN, "ece"): expected_calibration_error(bins)}

    def _over_prompts(self, by_prompt: Floats) -> Floats:
        prompts = np.vstack([np.ones(by_prompt.shape[1]), self._prompts])
        mean: Floats = (by_prompt * prompts).sum(axis=1) / prompts.sum(axis=1)
        return mean

    def _summarise(self, replicates: Mapping[Key, Floats], users: int) -> dict[Key, Estimate]:
        estimates = {}
        for key, values in replicates.items():
            low, high = np.percentile(values[1:], self._tails)
            estimates[key] = Estimate(float(values[0]), float(low), float(high), users)
        return estimates
