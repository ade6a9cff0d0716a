"""What judges said, as tables of a run: judgements, each in both orders, and rankings."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from electorate.base.scale import Floats
from electorate.polls import truth
from electorate.polls.validity import Check
from electorate.polls.verdicts import Judged
from electorate.storage import files
from electorate.storage.run_folder import RunFolder
from simulations.polling import Material, Polled, Ranked


def write_judgements(folder: RunFolder, polled: Polled, material: Material) -> None:
    """judgements.parquet, each judge's own in both orders."""
    parts = [_judgements(name, own, polled, material) for name, own in polled.judged.items()]
    files.write_table(folder.judgements, pa.concat_tables(parts))


def _judgements(name: str, judged: Judged, polled: Polled, material: Material) -> pa.Table:
    fought = polled.battles
    columns: dict[str, Any] = {
        "judge": [name] * len(fought),
        "user_id": material.user_id[fought.persona],
        "prompt_id": fought.prompt,
        "model_a": [material.contestants[i] for i in fought.a],
        "model_b": [material.contestants[i] for i in fought.b],
    }
    for order, odds in (("a_first", judged.forward), ("b_first", judged.backward)):
        for i, what in enumerate(("a", "b", "tie")):
            columns[f"{order}_{what}"] = pa.array(np.exp(odds[:, i]), from_pandas=True)
    return pa.table(columns)


def write_rankings(
    folder: RunFolder, ranked: Sequence[Ranked], material: Material, strength: Floats
) -> list[Check]:
    """rankings.parquet, the judges' own. Returns how they agree with the ratings.

    Args:
        strength: (M,) ratings.
    """
    tables = []
    checks = list[Check]()
    for one in ranked:
        of = (material.user_id[one.persona], one.prompt, material.contestants)
        tables.append(truth.table(one.judge, *of, one.listwise, one.round_robin))
        checks += truth.agreement(one.judge, one.listwise, one.round_robin, strength, one.persona)
    if tables:
        files.write_table(folder.rankings, pa.concat_tables(tables))
    return checks
