"""Scores of systems against the planted truth, for every user and prompt, from which all intervals come."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from electorate import judges
from electorate.draws import Stream, generator
from electorate.evaluation import metrics
from electorate.evaluation.metrics import Standing
from electorate.evaluation.predictions import Prediction, Systems
from electorate.personas import Electorate, Personas
from electorate.scale import Floats, Ints

OVERALL, UNSEEN = "overall", "unseen"
ORACLE = "oracle"
SUBSETS, SUBSET_SIZE = 20, 6
CHUNK = 256  # users at a time: their odds on all pairs stay in the processor's cache
Key = tuple[str, str]  # prompts, metric


@dataclass(frozen=True)
class Scores:
    """values: (prompts, metric) to (n users, P), P = 1 overall and the test prompts unseen. calibration: (n, bins, 3)."""

    values: Mapping[Key, Floats]
    calibration: Floats


@dataclass(frozen=True)
class PromptTruth:
    """What the judge would do on one prompt. utility: (n, M) logits. odds: (n, pairs, 3), either answer first."""

    utility: Floats
    odds: Floats


def truths(electorate: Electorate, personas: Personas, prompts: Ints) -> Iterator[PromptTruth]:
    """The planted truth of each prompt in turn; all of them at once may not fit in memory."""
    a, b = metrics.pair_indices(len(electorate.strength))
    for prompt in prompts:
        utility = judges.utilities(electorate, personas, np.array([prompt]))[:, 0]
        yield PromptTruth(utility, judges.expected_probabilities(electorate, personas, utility[:, a] - utility[:, b]))


def chunks(users: int) -> list[Ints]:
    """Rows of users that are scored together, the same however many share the work."""
    return [np.arange(start, min(start + CHUNK, users)) for start in range(0, users, CHUNK)]


def joined(parts: Sequence[dict[str, Scores]]) -> dict[str, Scores]:
    """The scores of chunks, one after the other."""
    return {
        name: Scores(
            {key: np.concatenate([part[name].values[key] for part in parts]) for key in scores.values},
            np.concatenate([part[name].calibration for part in parts]),
        )
        for name, scores in parts[0].items()
    }


def score(systems: Systems, electorate: Electorate, personas: Personas, prompts: Ints) -> dict[str, Scores]:
    """Every system, and if the config names it the oracle, on the same personas and test prompts.

    The oracle is the planted truth itself: the best there is, and the log loss none can go below.
    """
    subsets = _subsets(electorate)
    columns: dict[str, dict[str, list[Floats]]] = {name: {} for name in systems}
    if ORACLE in electorate.config.evaluation.systems:
        columns[ORACLE] = {}
    calibration = {name: _Calibration(len(personas)) for name in columns}
    for prompt, truth in zip(prompts.tolist(), truths(electorate, personas, prompts), strict=True):
        oracle = Prediction(truth.utility, truth.odds)
        best = oracle.standing.best_of(subsets)
        for name, column in columns.items():
            said = oracle if name == ORACLE else systems[name].on(prompt)
            found = metrics.ranking(said.standing, oracle.standing) | said.scores(truth.odds)
            if len(subsets):
                found["regret_of_6"] = metrics.subset_regret(said.standing.best_of(subsets), best, truth.utility)
            for metric, value in found.items():
                column.setdefault(metric, []).append(value)
            calibration[name].add(said, truth.odds)
    truth_overall = Standing(judges.mean_utilities(electorate, personas))
    scores = {}
    for name, column in columns.items():
        overall = truth_overall if name == ORACLE else Standing(systems[name].overall)
        ranked = {(OVERALL, metric): value[:, None] for metric, value in metrics.ranking(overall, truth_overall).items()}
        unseen = {(UNSEEN, metric): np.stack(values, axis=1) for metric, values in column.items()}
        scores[name] = Scores(ranked | unseen, calibration[name].sums())
    return scores


def _subsets(electorate: Electorate) -> Ints:
    """(SUBSETS, 6) models drawn from the seed; none where there are no more than six."""
    models = len(electorate.strength)
    if models <= SUBSET_SIZE:
        return np.empty((0, SUBSET_SIZE), dtype=np.int64)
    random = generator(electorate.seed, Stream.SUBSETS)
    return np.array([random.choice(models, SUBSET_SIZE, replace=False) for _ in range(SUBSETS)])


class _Calibration:
    """Calibration sums over prompts; those on which a system says the same are binned at once."""

    def __init__(self, users: int) -> None:
        self._sums = np.zeros((users, metrics.ECE_BINS, 3))
        self._said: Prediction | None = None
        self._true: Floats = np.zeros(())
        self._prompts = 0

    def add(self, said: Prediction, true: Floats) -> None:
        """What was said on a prompt, (n or 1, pairs, 3), and the truth, (n, pairs, 3)."""
        if said is not self._said:
            self._flush()
            self._said, self._true, self._prompts = said, np.zeros_like(true), 0
        self._true += true
        self._prompts += 1

    def sums(self) -> Floats:
        """(n, bins, 3)."""
        self._flush()
        return self._sums

    def _flush(self) -> None:
        if self._said is not None:
            self._sums += metrics.calibration_sums(self._said.odds, self._true, self._prompts)
        self._said = None
