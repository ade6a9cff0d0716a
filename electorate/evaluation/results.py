"""The tables a comparison leaves: a row a system, metric and place it was measured."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

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


def metric_rows(
    estimates: Mapping[str, Mapping[Key, Estimate]], where: Mapping[str, Any], versions: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """Rows of METRICS from system to (prompts, metric) to estimate; where: the columns they share; versions: of the model behind a
    system, where there is one.
    """
    return [
        {"system": system, "prompts": prompts, "metric": metric, "value": e.value}
        | {"ci_low": e.ci_low, "ci_high": e.ci_high, "n_users": e.users, "version": (versions or {}).get(system), **where}
        for system, by_key in estimates.items()
        for (prompts, metric), e in by_key.items()
    ]
