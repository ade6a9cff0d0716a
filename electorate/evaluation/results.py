"""The tables a comparison leaves: a row a system, metric and place it was measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from electorate.base.scale import Floats
from electorate.evaluation.agreement import Agreement
from electorate.evaluation.intervals import Estimate, Key

METRICS = pa.schema(
    [
        ("system", pa.string()),
        ("users", pa.string()),
        ("prompts", pa.string()),
        ("segment", pa.string()),
        ("votes_per_user", pa.int32()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("ci_low", pa.float64()),
        ("ci_high", pa.float64()),
        ("n_users", pa.int64()),
        ("version", pa.string()),
    ]
)
GAINS = METRICS.insert(1, pa.field("baseline", pa.string()))


EVERYONE = "all"  # the segment of all users
# In a row's version: System A's fit did not converge, and the row is the global ranking's.
NOT_CONVERGED = "global_bt, as the fit did not converge"


def metric_rows(
    estimates: Mapping[str, Mapping[Key, Estimate]],
    where: Mapping[str, Any],
    versions: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Rows of METRICS from system to (prompts, metric) to estimate; where: the columns they
    share; versions: of the model behind a system, where there is one.
    """
    return [
        {"system": system, "prompts": prompts, "metric": metric, "value": e.value}
        | {
            "ci_low": e.ci_low,
            "ci_high": e.ci_high,
            "n_users": e.users,
            "version": (versions or {}).get(system),
            **where,
        }
        for system, by_key in estimates.items()
        for (prompts, metric), e in by_key.items()
    ]


def calibration_table(sums: Mapping[str, Floats]) -> pa.Table:
    """A row a system and bin of predicted probability: the mean prediction, the mean truth, and
    how many predictions.

    Args:
        sums: system to (bins, 3) sums of prediction, truth and count.
    """
    rows = [
        {
            "system": system,
            "bin": i,
            "predicted": predicted / count,
            "true": true / count,
            "predictions": int(count),
        }
        for system, own in sums.items()
        for i, (predicted, true, count) in enumerate(own)
        if count
    ]
    return pa.Table.from_pylist(rows)


@dataclass(frozen=True)
class Comparison:
    """Tables: metrics and gains with a row a (system, prompts, segment, checkpoint, metric);
    leaderboard; calibration and orders at the last checkpoint. findings: see
    electorate/study/everybody.py. spread: of users, by form of System A. users: how many were
    compared. not_converged: by votes a persona, the systems that have the global ranking,
    each with why.
    """

    metrics: pa.Table
    gains: pa.Table
    leaderboard: pa.Table
    calibration: pa.Table
    orders: pa.Table
    agreement: Agreement
    findings: dict[str, Any]
    spread: dict[str, Any]
    users: int
    not_converged: dict[str, dict[str, str]]
