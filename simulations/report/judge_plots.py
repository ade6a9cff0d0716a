"""Plots of model voters: agreement beyond chance, and what segments like."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from simulations.report.plots import DOWN, GRID, INK, STYLE, UP, Row

MOST_SEGMENTS = 20


def agreement(rows: Sequence[Row]) -> Figure:
    """A dot a check on a scale from -1 to 1 where 0 is chance, with its interval; hollow where
    that holds chance.
    """
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(9.2, 0.9 + 0.3 * len(rows)), layout="constrained")
        for y, row in enumerate(rows):
            holds = row["ci_low"] <= 0.0 <= row["ci_high"]
            axis.plot([row["ci_low"], row["ci_high"]], [y, y], color=UP, linewidth=1.4)
            axis.plot(
                row["value"],
                y,
                "o",
                color=UP,
                markersize=6,
                markerfacecolor="none" if holds else UP,
            )
        axis.axvline(0, color=INK, linewidth=0.8)
        axis.set_yticks(
            range(len(rows)),
            [f"{row['name'].removesuffix(', kappa')}\n{row['judge']}" for row in rows],
            fontsize=8,
        )
        axis.set_xlim(-1.02, 1.02)
        axis.set_ylim(len(rows) - 0.5, -0.5)
        axis.set_xlabel("agreement: 0 is chance, 1 is perfect")
        axis.grid(axis="x", **GRID)
    return figure


def tastes(rows: Sequence[Row]) -> Figure:
    """Segments by taste axes: liked blue, disliked orange, the strongest in full colour."""
    with plt.rc_context(STYLE):
        segments = list(dict.fromkeys(row["segment"] for row in rows))[:MOST_SEGMENTS]
        axes = list(dict.fromkeys(row["axis"] for row in rows))
        value = np.array(
            [
                [
                    next(r["taste"] for r in rows if (r["segment"], r["axis"]) == (s, a))
                    for a in axes
                ]
                for s in segments
            ]
        )
        largest = max(1e-9, np.abs(value).max())
        figure, axis = plt.subplots(
            figsize=(0.72 * len(axes) + 2.6, 0.34 * len(segments) + 1.3), layout="constrained"
        )
        for (y, x), taste in np.ndenumerate(value):
            shade = UP if taste > 0 else DOWN
            axis.add_patch(
                plt.Rectangle(
                    (x - 0.5, y - 0.5),
                    1,
                    1,
                    color=shade,
                    alpha=0.75 * abs(taste) / largest,
                    linewidth=0,
                )
            )
            axis.text(x, y, f"{taste:+.2f}", ha="center", va="center", fontsize=8)
        axis.set_xlim(-0.5, len(axes) - 0.5)
        axis.set_ylim(len(segments) - 0.5, -0.5)
        axis.set_xticks(range(len(axes)), [name.replace("_", "\n") for name in axes], fontsize=8)
        axis.set_yticks(range(len(segments)), [s[:32] for s in segments], fontsize=8)
        axis.xaxis.tick_top()
        axis.tick_params(length=0)
        for side in axis.spines.values():
            side.set_visible(False)
    return figure
