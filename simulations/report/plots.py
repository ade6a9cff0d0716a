"""The report's plots, as SVG that follows the page's light or dark text colour."""

import io
from collections.abc import Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito's palette: told apart by the colour-blind, readable on white and on near-black.
COLOURS = {
    "oracle": "#888888",
    "arena": "#CC79A7",
    "global_bt": "#E69F00",
    "segment_bt": "#56B4E9",
    "elo_offset": "#D55E00",
    "elo_offset_no_labels": "#009E73",
    "elo_offset_wrong_labels": "#A0875B",
    "elo_online": "#0072B2",
    "oracle_features": "#666666",
}
MARKERS = dict(zip(COLOURS, "hPosD^v<*", strict=True))
INK = "#010203"  # replaced by currentColor in the SVG
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "electorate",  # equal runs draw equal files
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}
Row = dict[str, Any]


def svg(figure: Figure) -> str:
    """The figure as an SVG element, transparent, its ink the page's own."""
    buffer = io.StringIO()
    with plt.rc_context(STYLE):
        figure.savefig(buffer, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
    text = buffer.getvalue()
    return text[text.index("<svg") :].replace(INK, "currentColor")


def learning_curves(panels: Sequence[tuple[str, str, str, Sequence[Row]]]) -> Figure:
    """A panel for each (title, prompts, metric, rows): value over votes a persona, a line with its band for each system."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, len(panels), figsize=(4.6 * len(panels), 3.6), squeeze=False, layout="constrained")
        for axis, (title, prompts, metric, rows) in zip(axes[0], panels, strict=True):
            own = [row for row in rows if row["prompts"] == prompts and row["metric"] == metric]
            for system in [s for s in COLOURS if any(row["system"] == s for row in own)]:
                _curve(axis, system, [row for row in own if row["system"] == system])
            _votes_axis(axis, sorted({row["votes_per_user"] for row in own}))
            axis.set_title(title, loc="left", fontsize=10)
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=9)
    return figure


def _curve(axis: Axes, system: str, rows: Sequence[Row]) -> None:
    rows = sorted(rows, key=lambda row: row["votes_per_user"])
    x, value, low, high = (np.array([row[key] for row in rows]) for key in ("votes_per_user", "value", "ci_low", "ci_high"))
    dashed = "--" if system == "oracle" else "-"
    axis.plot(x, value, dashed, color=COLOURS[system], marker=MARKERS[system], markersize=4.5, linewidth=1.6, label=system)
    axis.fill_between(x, low, high, color=COLOURS[system], alpha=0.16, linewidth=0)


def _votes_axis(axis: Axes, votes: Sequence[int]) -> None:
    axis.set_xscale("log")
    axis.set_xticks(votes, [str(v) for v in votes])
    axis.minorticks_off()
    axis.set_xlabel("votes a persona")
    axis.grid(axis="y", color="#888888", alpha=0.25, linewidth=0.6)


def leaderboards(rows: Sequence[Row], everyone: str) -> Figure:
    """Each archetype's Bradley-Terry ratings with intervals beside everyone's, models by the global order."""
    with plt.rc_context(STYLE):
        overall = sorted((row for row in rows if row["segment"] == everyone), key=lambda row: row["rating"])
        models = [row["model"] for row in overall]
        segments = [s for s in dict.fromkeys(row["segment"] for row in rows) if s != everyone]
        columns = min(3, len(segments))
        lines = -(-len(segments) // columns)
        size = (4.0 * columns + 1.2, lines * (0.9 + 0.27 * len(models)))
        figure, axes = plt.subplots(lines, columns, figsize=size, sharex=True, sharey=True, squeeze=False, layout="constrained")
        for axis in axes.flat[len(segments) :]:
            axis.set_visible(False)
        for axis, segment in zip(axes.flat, segments, strict=False):
            own = {row["model"]: row for row in rows if row["segment"] == segment}
            places = np.arange(len(models))
            axis.plot(
                [row["rating"] for row in overall], places, "o", color=COLOURS["global_bt"], markersize=7, alpha=0.75, label="everyone"
            )
            shown = [own[model] for model in models]
            rating = np.array([row["rating"] for row in shown])
            half = np.array([(row["ci_high"] - row["ci_low"]) / 2 for row in shown])
            axis.errorbar(
                rating, places, xerr=half, fmt="D", color=COLOURS["segment_bt"], markersize=4.5, capsize=2.5, label="this archetype"
            )
            axis.set_yticks(places, models)
            axis.set_title(segment, loc="left", fontsize=10)
            axis.grid(axis="x", color="#888888", alpha=0.25, linewidth=0.6)
        figure.supxlabel("rating, Elo points", fontsize=10)
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper right", ncols=2, fontsize=9)
    return figure


def gains(rows: Sequence[Row]) -> Figure:
    """Gain in tau over global_bt with its paired interval: every system for everyone, and for each archetype."""
    with plt.rc_context(STYLE):
        segments = list(dict.fromkeys(row["segment"] for row in rows))
        systems = [s for s in COLOURS if s != "oracle" and any(row["system"] == s for row in rows)]
        figure, axis = plt.subplots(figsize=(9.2, 0.8 + 0.62 * len(segments)), layout="constrained")
        for i, system in enumerate(systems):
            own = {row["segment"]: row for row in rows if row["system"] == system}
            at = [segments.index(s) + 0.6 * ((i + 0.5) / len(systems) - 0.5) for s in own]
            value = np.array([row["value"] for row in own.values()])
            ends = np.array([[row["value"] - row["ci_low"], row["ci_high"] - row["value"]] for row in own.values()]).T
            axis.errorbar(
                value, at, xerr=np.maximum(ends, 0), fmt=MARKERS[system], color=COLOURS[system], markersize=5, capsize=2.5, label=system
            )
        axis.axvline(0, color=INK, linewidth=0.8)
        axis.set_yticks(range(len(segments)), segments)
        axis.invert_yaxis()
        axis.set_xlabel("gain in Kendall tau over global_bt")
        axis.grid(axis="x", color="#888888", alpha=0.25, linewidth=0.6)
        figure.legend(loc="outside right upper", fontsize=9)
    return figure
