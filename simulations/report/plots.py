"""The report's plots, as SVG that follows the page's light or dark text colour."""

import io
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from electorate.config.systems import SYSTEMS

UP = "#0072B2"
DOWN = "#D55E00"
INK = "#010203"  # replaced by currentColor in the SVG
GRID: dict[str, Any] = {"color": "#888888", "alpha": 0.25, "linewidth": 0.6}
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
Row = Mapping[str, Any]


def svg(figure: Figure) -> str:
    """The figure as an SVG element, transparent, its ink the page's own."""
    buffer = io.StringIO()
    with plt.rc_context(STYLE), warnings.catch_warnings():
        # Text stays text, which the browser has letters for.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(
            buffer, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None}
        )
    plt.close(figure)
    text = buffer.getvalue()
    return text[text.index("<svg") :].replace(INK, "currentColor")


def learning_curves(
    panels: Sequence[tuple[str, Sequence[Row]]], columns: int = 3, legend: bool = True
) -> Figure:
    """A panel for each (title, rows): value over votes a persona, a line with its interval's
    band for each system.
    """
    with plt.rc_context(STYLE):
        lines = -(-len(panels) // columns)
        figure, axes = plt.subplots(
            lines,
            columns,
            figsize=(4.2 * columns, 2.9 * lines + 0.6),
            squeeze=False,
            layout="constrained",
        )
        for axis in axes.flat[len(panels) :]:
            axis.set_visible(False)
        for axis, (title, rows) in zip(axes.flat, panels, strict=False):
            for system in _systems(rows):
                _curve(axis, system, [row for row in rows if row["system"] == system])
            _votes_axis(axis, sorted({row["votes_per_user"] for row in rows}))
            axis.set_title(title, loc="left", fontsize=10)
        if legend:
            _legend(figure)
    return figure


def _legend(figure: Figure) -> None:
    """Every system of any panel once, below them."""
    named: dict[str, Any] = {}
    for axis in figure.axes:
        named |= dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
    named = {system: named[system] for system in SYSTEMS if system in named}
    figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=5, fontsize=9)


def _systems(rows: Iterable[Row]) -> list[str]:
    there = {row["system"] for row in rows}
    return [system for system in SYSTEMS if system in there]


def _curve(axis: Axes, system: str, rows: Sequence[Row]) -> None:
    rows = sorted(rows, key=lambda row: row["votes_per_user"])
    x, value, low, high = (
        np.array([row[key] for row in rows])
        for key in ("votes_per_user", "value", "ci_low", "ci_high")
    )
    line = "--" if system.startswith("oracle") else "-"
    axis.plot(
        x,
        value,
        line,
        color=SYSTEMS[system].colour,
        marker=SYSTEMS[system].marker,
        markersize=4.5,
        linewidth=1.6,
        label=system,
    )
    axis.fill_between(x, low, high, color=SYSTEMS[system].colour, alpha=0.16, linewidth=0)
    if len(x) == 1:
        # A band without a width: compared at one number of votes alone.
        axis.vlines(x, low, high, color=SYSTEMS[system].colour, linewidth=1.6)
        axis.plot(x, value, marker=SYSTEMS[system].marker, color=SYSTEMS[system].colour, ms=8)


def _votes_axis(axis: Axes, votes: Sequence[int]) -> None:
    axis.set_xscale("symlog" if 0 in votes else "log")
    # Many checkpoints are too many ticks: some eight are read at a glance.
    shown = votes[:: -(-len(votes) // 8)]
    axis.set_xticks(shown, [str(v) for v in shown])
    axis.minorticks_off()
    axis.set_xlabel("votes a user")
    axis.grid(axis="y", **GRID)


def training(histories: Mapping[int, Sequence[Mapping[str, Any]]]) -> Figure:
    """System B's log loss over epochs, on the votes it learns from and on prompts held out; a
    line a form and votes a persona.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(9.2, 3.4), layout="constrained", sharey=True)
        for axis, name, title in zip(
            axes,
            ("loss", "held_out"),
            ("votes learned from", "votes on held-out prompts"),
            strict=True,
        ):
            for votes, history in histories.items():
                _training_lines(axis, history, name, last=votes == max(histories))
            axis.set_title(f"log loss, {title}", loc="left", fontsize=10)
            axis.set_xlabel("epoch")
            axis.grid(axis="y", **GRID)
        figure.legend(
            *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=9
        )
    return figure


def _training_lines(
    axis: Axes, history: Sequence[Mapping[str, Any]], name: str, *, last: bool
) -> None:
    """A training's log loss by form; those before the last are faint and have no label."""
    # Forms that are there to be beaten are no rows of the table, nor lines here.
    for form in (form for form in history[0][name] if form in SYSTEMS):
        values = [epoch[name][form] for epoch in history]
        axis.plot(
            range(1, len(values) + 1),
            values,
            color=SYSTEMS[form].colour,
            linewidth=1.6,
            alpha=1.0 if last else 0.4,
            label=form if last else None,
        )


def dots(rows: Sequence[Row], label: str, zero: bool) -> Figure:
    """One value a system with its interval, for everyone and each archetype: a line of dots a
    segment.
    """
    with plt.rc_context(STYLE):
        segments = list(dict.fromkeys(row["segment"] for row in rows))
        systems = _systems(rows)
        figure, axis = plt.subplots(
            figsize=(9.2, 0.9 + 0.095 * (len(systems) + 1) * len(segments)), layout="constrained"
        )
        for i, system in enumerate(systems):
            own = {row["segment"]: row for row in rows if row["system"] == system}
            at = [segments.index(s) + 0.72 * ((i + 0.5) / len(systems) - 0.5) for s in own]
            value = np.array([row["value"] for row in own.values()])
            ends = np.array(
                [
                    [row["value"] - row["ci_low"], row["ci_high"] - row["value"]]
                    for row in own.values()
                ]
            ).T
            mark = {
                "fmt": SYSTEMS[system].marker,
                "color": SYSTEMS[system].colour,
                "markersize": 4,
                "capsize": 1.5,
                "linewidth": 1.1,
            }
            axis.errorbar(value, at, xerr=np.maximum(ends, 0), label=system, **mark)
        if zero:
            axis.axvline(0, color=INK, linewidth=0.8)
        for line in np.arange(len(segments) - 1) + 0.5:
            axis.axhline(line, **GRID)
        axis.set_yticks(range(len(segments)), segments)
        axis.invert_yaxis()
        axis.set_xlabel(label)
        axis.grid(axis="x", **GRID)
        figure.legend(loc="outside right upper", fontsize=9)
    return figure


def orders(rows: Sequence[Row], everyone: str) -> Figure:
    """How many places a model stands above (blue) or below (orange) its global rank, on average
    over an archetype's personas.
    """
    with plt.rc_context(STYLE):
        models = [
            row["model"]
            for row in sorted(
                (r for r in rows if r["segment"] == everyone), key=lambda row: row["global_rank"]
            )
        ]
        segments = [s for s in dict.fromkeys(row["segment"] for row in rows) if s != everyone]
        at = {(row["segment"], row["model"]): row for row in rows}
        figure, axis = plt.subplots(
            figsize=(1.15 * len(segments) + 3.4, 0.29 * len(models) + 1.1), layout="constrained"
        )
        moved = np.array(
            [
                [at[s, m]["global_rank"] - at[s, m]["personal_rank"] for s in segments]
                for m in models
            ]
        )
        largest = max(1e-9, np.abs(moved).max())
        for (y, x), places in np.ndenumerate(moved):
            row = at[segments[x], models[y]]
            _moved(axis, x, y, row, places, abs(places) / largest)
        axis.set_xlim(-0.5, len(segments) - 0.5)
        axis.set_ylim(len(models) - 0.5, -0.5)
        axis.set_xticks(range(len(segments)), [s.replace("_", "\n") for s in segments])
        axis.set_yticks(
            range(len(models)), [f"{i}. {model}" for i, model in enumerate(models, start=1)]
        )
        axis.xaxis.tick_top()
        axis.tick_params(length=0)
        for side in axis.spines.values():
            side.set_visible(False)
    return figure


def _moved(axis: Axes, x: int, y: int, row: Row, places: float, share: float) -> None:
    """A cell: by how many places, shaded by its share of the most."""
    shade = UP if places > 0 else DOWN
    corner = (x - 0.5, y - 0.5)
    axis.add_patch(plt.Rectangle(corner, 1, 1, color=shade, alpha=0.75 * share, linewidth=0))
    clear = not row["ci_low"] <= row["global_rank"] <= row["ci_high"]
    text = f"{places:+.1f}" if clear and abs(places) >= 0.05 else "·"
    axis.text(x, y, text, ha="center", va="center", fontsize=8.5)


def winners(wins: Sequence[Row], key: str, title_of: Mapping[tuple[str, str], str]) -> Figure:
    """A panel for each metric: the best system at each swept value and number of votes, in its
    colour, and how far it is ahead.
    """
    with plt.rc_context(STYLE):
        values, votes = (
            list(dict.fromkeys(win[name] for win in wins)) for name in ("value", "votes_per_user")
        )
        size = (1.75 * len(votes) * len(title_of) + 1.6, 0.55 * len(values) + 1.3)
        figure, axes = plt.subplots(
            1, len(title_of), figsize=size, sharey=True, squeeze=False, layout="constrained"
        )
        for axis, (place, title) in zip(axes.flat, title_of.items(), strict=True):
            for win in (win for win in wins if (win["prompts"], win["metric"]) == place):
                x = votes.index(win["votes_per_user"])
                y = values.index(win["value"])
                clear = win["ci_low"] > 0
                axis.add_patch(
                    plt.Rectangle(
                        (x - 0.5, y - 0.5),
                        1,
                        1,
                        color=SYSTEMS[win["winner"]].colour,
                        alpha=0.55 if clear else 0.15,
                        linewidth=0,
                    )
                )
                ahead = f"+{win['ahead']:.3g}" if clear else "level"
                axis.text(x, y, f"{win['winner']}\n{ahead}", ha="center", va="center", fontsize=6.5)
            axis.set_xlim(-0.5, len(votes) - 0.5)
            axis.set_ylim(len(values) - 0.5, -0.5)
            axis.set_xticks(range(len(votes)), [str(v) for v in votes])
            axis.set_yticks(range(len(values)), values)
            axis.set_xlabel("votes a persona")
            axis.set_title(title, loc="left", fontsize=10)
        axes[0, 0].set_ylabel(key)
    return figure


def calibration(rows: Sequence[Row]) -> Figure:
    """How much more often outcomes happen than a system says, over what it says; dots by how
    many predictions fall there.
    """
    with plt.rc_context(STYLE):
        systems = [system for system in _systems(rows) if system != "oracle"]
        figure, axis = plt.subplots(figsize=(9.2, 3.4), layout="constrained")
        axis.axhline(0, color=INK, linewidth=0.8)
        for system in systems:
            own = sorted(
                (row for row in rows if row["system"] == system), key=lambda row: row["predicted"]
            )
            predicted, true, count = (
                np.array([row[key] for row in own]) for key in ("predicted", "true", "predictions")
            )
            seen = count >= 1e-3 * count.sum()
            at = (predicted[seen], (true - predicted)[seen])
            size = 6 + 220 * (count / count.sum())[seen]
            line = "--" if system.startswith("oracle") else "-"
            colour = SYSTEMS[system].colour
            axis.plot(*at, line, color=colour, linewidth=1.2)
            axis.scatter(*at, s=size, color=colour, alpha=0.75)
            axis.plot(
                [],
                [],
                line,
                marker=SYSTEMS[system].marker,
                color=colour,
                label=system,
                markersize=4.5,
            )
        axis.set_xlabel("predicted probability of an outcome (first wins, second wins, tie)")
        axis.set_ylabel("happens more often by")
        axis.grid(axis="y", **GRID)
        figure.legend(loc="outside right upper", fontsize=9)
    return figure


def leaderboards(rows: Sequence[Row], everyone: str) -> Figure:
    """Each archetype's Bradley-Terry ratings with intervals beside everyone's, models by the
    global order.
    """
    with plt.rc_context(STYLE):
        overall = sorted(
            (row for row in rows if row["segment"] == everyone), key=lambda row: row["rating"]
        )
        models = [row["model"] for row in overall]
        segments = [s for s in dict.fromkeys(row["segment"] for row in rows) if s != everyone]
        columns = min(3, len(segments))
        lines = -(-len(segments) // columns)
        size = (3.4 * columns + 1.6, lines * (0.7 + 0.22 * len(models)) + 0.5)
        figure, axes = plt.subplots(
            lines,
            columns,
            figsize=size,
            sharex=True,
            sharey=True,
            squeeze=False,
            layout="constrained",
        )
        for axis in axes.flat[len(segments) :]:
            axis.set_visible(False)
        for axis, segment in zip(axes.flat, segments, strict=False):
            own = {row["model"]: row for row in rows if row["segment"] == segment}
            _beside_everyone(axis, overall, [own[model] for model in models])
            axis.set_yticks(np.arange(len(models)), models)
            axis.set_title(segment, loc="left", fontsize=10)
            axis.grid(axis="x", **GRID)
        figure.supxlabel("rating, Elo points", fontsize=10)
        figure.legend(
            *axes[0, 0].get_legend_handles_labels(), loc="outside upper right", ncols=2, fontsize=9
        )
    return figure


def _beside_everyone(axis: Axes, overall: Sequence[Row], own: Sequence[Row]) -> None:
    """A segment's ratings with intervals, and everyone's."""
    places = np.arange(len(own))
    axis.plot(
        [row["rating"] for row in overall],
        places,
        "o",
        color=SYSTEMS["global_bt"].colour,
        markersize=6,
        alpha=0.75,
        label="everyone",
    )
    half = np.array([(row["ci_high"] - row["ci_low"]) / 2 for row in own])
    mark: dict[str, Any] = {
        "fmt": "D",
        "color": SYSTEMS["segment_bt"].colour,
        "markersize": 4,
        "capsize": 2,
        "label": "this archetype",
    }
    axis.errorbar([row["rating"] for row in own], places, xerr=half, **mark)
