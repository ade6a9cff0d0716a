"""Scores of systems against the planted truth, for every user and prompt, from which all intervals come."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from electorate import judges
from electorate.evaluation import metrics
from electorate.evaluation.predictions import Prediction
from electorate.personas import Electorate, Personas
from electorate.scale import Floats, Ints

OVERALL, UNSEEN = "overall", "unseen"
ORACLE = "oracle"


@dataclass(frozen=True)
class Scores:
    """values: (prompts, metric) to (n users, P), P = 1 overall and the test prompts unseen. calibration: (n, bins, 3)."""

    values: Mapping[tuple[str, str], Floats]
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


def score(predictions: Mapping[str, Prediction], electorate: Electorate, personas: Personas, prompts: Ints) -> dict[str, Scores]:
    """Every system, and the oracle, on the same personas and test prompts.

    The oracle is the planted truth itself: the best there is, and the log loss none can go below.
    """
    overall = judges.mean_utilities(electorate, personas)
    strengths = {system: p.strength for system, p in predictions.items()} | {ORACLE: overall}
    columns: dict[str, dict[str, list[Floats]]] = {system: {} for system in strengths}
    calibration = {system: np.zeros((len(personas), metrics.ECE_BINS, 3)) for system in strengths}
    for truth in truths(electorate, personas, prompts):
        for system in strengths:
            said = predictions.get(system, Prediction(truth.utility, truth.odds))
            for name, value in _on_prompt(said, truth).items():
                columns[system].setdefault(name, []).append(value)
            calibration[system] += metrics.calibration_sums(np.broadcast_to(said.odds, truth.odds.shape), truth.odds)
    return {
        system: Scores(
            {(OVERALL, name): value[:, None] for name, value in metrics.ranking(strength, overall).items()}
            | {(UNSEEN, name): np.stack(column, axis=1) for name, column in columns[system].items()},
            calibration[system],
        )
        for system, strength in strengths.items()
    }


def _on_prompt(said: Prediction, truth: PromptTruth) -> dict[str, Floats]:
    battles = metrics.prediction(said.odds, truth.odds)
    return metrics.ranking(said.strength, truth.utility) | {name: value.mean(axis=-1) for name, value in battles.items()}
