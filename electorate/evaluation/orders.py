"""Where personal orders of the models differ from the global one, and for whom."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.special import ndtri

from electorate.base.scale import Floats, Ints

SCHEMA = pa.schema(
    [
        ("segment", pa.string()),
        ("model", pa.string()),
        ("global_rank", pa.int32()),
        ("personal_rank", pa.float64()),
        ("ci_low", pa.float64()),
        ("ci_high", pa.float64()),
        ("true_rank", pa.float64()),
        ("first_share", pa.float64()),
        ("true_first_share", pa.float64()),
        ("n_users", pa.int64()),
    ]
)


def table(
    models: Sequence[str],
    everyones: Floats,
    personal: Floats,
    true: Floats | None,
    segments: Mapping[str, Ints],
    confidence: float,
) -> pa.Table:
    """A row a segment and model: its global rank, and over the segment's users its mean personal
    rank with an interval, its mean true rank, and the share of users for whom it comes first,
    as rated and in truth.

    everyones: (M,) global strengths; personal, true: (n, M), None where the truth is not known;
    segments: rows of users by name.
    """
    global_rank = _ranks(everyones[None])[0]
    rank = _ranks(personal)
    true_rank = None if true is None else _ranks(true)
    z = float(ndtri((1 + confidence) / 2))
    rows = list[dict[str, Any]]()
    for segment, users in segments.items():
        mean = rank[users].mean(axis=0)
        half = z * rank[users].std(axis=0) / np.sqrt(len(users))
        for m, model in enumerate(models):
            rows.append(
                {
                    "segment": segment,
                    "model": model,
                    "global_rank": int(global_rank[m]),
                    "personal_rank": mean[m],
                    "ci_low": mean[m] - half[m],
                    "ci_high": mean[m] + half[m],
                    "first_share": (rank[users, m] == 1).mean(),
                    "n_users": len(users),
                }
            )
            if true_rank is not None:
                own = true_rank[users, m]
                rows[-1] |= {"true_rank": own.mean(), "true_first_share": (own == 1).mean()}
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _ranks(values: Floats) -> Ints:
    """(n, M) ranks from 1, the best; equal values in index order."""
    ranks: Ints = np.argsort(np.argsort(-values, axis=1, kind="stable"), axis=1) + 1
    return ranks
