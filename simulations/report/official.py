"""The run's leaderboard beside the official Chatbot Arena's."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from electorate.data import arena, run_files
from electorate.evaluation.metrics import Standing, spearman_rho
from electorate.evaluation.results import EVERYONE
from electorate.storage import files
from electorate.storage.run_folder import RunFolder
from simulations.report.results import last_rows


@dataclass(frozen=True)
class Beside:
    """Everyone's leaderboard, best first, each row with the model's official ratings where it
    has them (raw, style_control) and its place among the rated (official_rank). rho:
    Spearman's, with the raw ratings, over the rated models.
    """

    rows: list[dict[str, Any]]
    rated: int
    rho: float | None


def beside(folder: RunFolder) -> Beside:
    """The leaderboard at the last checkpoint; rho is None with fewer than three rated models."""
    contestants = run_files.read_config(folder).contestants
    board = {
        row["model"]: row
        for row in last_rows(files.read_table(folder.leaderboard), segment=EVERYONE)
    }
    rows = [board[contestant.name] for contestant in contestants]
    for kind in ("raw", "style_control"):
        for row, rating in zip(
            rows, arena.ratings([c.arena_name for c in contestants], kind), strict=True
        ):
            row[kind] = None if np.isnan(rating) else float(rating)
    rated = sorted((row for row in rows if row["raw"] is not None), key=lambda row: -row["raw"])
    for place, row in enumerate(rated, start=1):
        row["official_rank"] = place
    rho = None
    if len(rated) >= 3:
        ours, theirs = (
            Standing(np.array([row[key] for row in rated])) for key in ("rating", "raw")
        )
        rho = float(spearman_rho(ours, theirs))
    return Beside(sorted(rows, key=lambda row: -row["rating"]), len(rated), rho)
