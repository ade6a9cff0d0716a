"""Scores of systems against the truth, for every user and prompt, from which all
intervals come.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from electorate.base.draws import Stream, generator
from electorate.base.scale import Floats, Ints
from electorate.config.metrics import OVERALL, UNSEEN
from electorate.config.systems import ORACLE
from electorate.evaluation import metrics
from electorate.evaluation.metrics import Standing
from electorate.evaluation.predictions import UNPROMPTED, Prediction, Systems
from electorate.population.voters import Users, Voters

SUBSETS = 20
SUBSET_SIZE = 6
CHUNK = 256  # users at a time: their odds on all pairs stay in the processor's cache
Key = tuple[str, str]  # prompts, metric


@dataclass(frozen=True)
class Scores:
    """values: (prompts, metric) to (n users, P), P = 1 overall and the test prompts unseen.
    calibration: (n, bins, 3).
    """

    values: Mapping[Key, Floats]
    calibration: Floats


def chunks(users: int) -> list[Ints]:
    """Rows of users that are scored together, the same however many share the work."""
    return [np.arange(start, min(start + CHUNK, users)) for start in range(0, users, CHUNK)]


def joined(parts: Sequence[dict[str, Scores]]) -> dict[str, Scores]:
    """The scores of chunks, one after the other."""
    return {
        name: Scores(
            {
                key: np.concatenate([part[name].values[key] for part in parts])
                for key in scores.values
            },
            np.concatenate([part[name].calibration for part in parts]),
        )
        for name, scores in parts[0].items()
    }


def score(systems: Systems, voters: Voters, users: Users, prompts: Ints) -> dict[str, Scores]:
    """Every system, and if the config names it the oracle, on the same users and test prompts.

    The oracle is the truth itself: the best there is, and the log loss none can go below.
    """
    subsets = _subsets(voters)
    columns: dict[str, dict[str, list[Floats]]] = {name: {} for name in systems}
    if ORACLE in voters.config.evaluation.systems:
        columns[ORACLE] = {}
    calibration = {name: np.zeros((len(users), metrics.ECE_BINS, 3)) for name in columns}
    # What says the same on every prompt is binned once, with the truth of all.
    alike = {name: of.prediction for name, of in systems.items() if isinstance(of, UNPROMPTED)}
    models = voters.models
    true_on_all = np.zeros((len(users), models * (models - 1) // 2, 3))
    for prompt, truth in zip(prompts.tolist(), voters.truths(users, prompts), strict=True):
        oracle = Prediction(truth.utility, truth.odds)
        true_on_all += truth.odds
        for name, column in columns.items():
            prediction = oracle if name == ORACLE else systems[name].on(prompt)
            found = metrics.ranking(prediction.standing, oracle.standing, subsets)
            found |= prediction.scores(truth.odds)
            for metric, value in found.items():
                column.setdefault(metric, []).append(value)
            if name not in alike:
                calibration[name] += metrics.calibration_sums(prediction.odds, truth.odds)
    for name, prediction in alike.items() if len(prompts) else ():
        calibration[name] = metrics.calibration_sums(prediction.odds, true_on_all, len(prompts))
    truth_overall = Standing(voters.overall(users))
    scores = {}
    for name, column in columns.items():
        overall = truth_overall if name == ORACLE else Standing(systems[name].overall)
        ranked = {
            (OVERALL, metric): value[:, None]
            for metric, value in metrics.ranking(overall, truth_overall).items()
        }
        unseen = {(UNSEEN, metric): np.stack(values, axis=1) for metric, values in column.items()}
        scores[name] = Scores(ranked | unseen, calibration[name])
    return scores


def _subsets(voters: Voters) -> Ints | None:
    """(SUBSETS, 6) models drawn from the seed; None where there are no more than six."""
    models = voters.models
    if models <= SUBSET_SIZE:
        return None
    random = generator(voters.seed, Stream.SUBSETS)
    return np.array([random.choice(models, SUBSET_SIZE, replace=False) for _ in range(SUBSETS)])
