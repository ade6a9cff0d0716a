"""Routers of a finished run: their tables, what is told of them, and the plot of quality over
cost.
"""

import json
from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from electorate.config.systems import SYSTEMS
from electorate.evaluation import routing
from electorate.evaluation.routing import GLOBAL, SINGLE, Interval, Routed, Standing
from electorate.storage import files
from electorate.storage.run_folder import RunFolder
from simulations.report.plots import GRID, INK, STYLE

SCHEMA = pa.schema(
    [
        ("votes_per_user", pa.int32()),
        ("router", pa.string()),
        ("rate", pa.float64()),
        ("cost", pa.float64()),
        ("quality", pa.float64()),
        ("ci_low", pa.float64()),
        ("ci_high", pa.float64()),
    ]
)
PERSONAL = ("prompt_head", "elo_offset")  # routers that know the user, the most capable first
COLOURS = {"prompt_alone": "#44AA99", "random": "#888888"}
ROOM = 0.07  # of the height of the plot, that a name takes
WIDE = 10  # times as dear as the cheapest, and costs are drawn on a log scale
NUMBERS = ("best", "at_its_cost", "saved")
Row = dict[str, Any]


def write(folder: RunFolder, found: Routed) -> None:
    """Keep routing.parquet, the curves, and routing.json, what is told of them."""
    rows = list[Row]()
    for votes, by_name in found.by_votes.items():
        base = by_name[GLOBAL].quality[:, 0]
        for name, router in by_name.items():
            rates = found.rates if router.quality.shape[1] > 1 else np.zeros(1)
            for at, rate in enumerate(rates.tolist()):
                value = routing.interval(router.quality[:, at] - base)
                row = (votes, name, rate, float(router.cost[0, at]), *value)
                rows.append(dict(zip(SCHEMA.names, row, strict=True)))
    files.write_table(folder.routing, pa.Table.from_pylist(rows, schema=SCHEMA))
    last = found.by_votes[max(found.by_votes)]
    content = {
        "unit": found.unit,
        "unpriced": found.unpriced,
        "priced": len(found.rates) > 1,
        "cost": float(last[GLOBAL].cost[0, 0]),
        "labels": {name: found.labels.get(name, name.removeprefix(SINGLE)) for name in last},
        "rows": {
            str(votes): [
                _row(standing)
                for standing in routing.standings(by_name)
                if not standing.router.startswith(SINGLE)
            ]
            for votes, by_name in found.by_votes.items()
        },
    }
    files.write_text(folder.routers, json.dumps(content, indent=2) + "\n")


def _row(standing: Standing) -> Row:
    known = {name: _known(getattr(standing, name)) for name in NUMBERS}
    return {"router": standing.router, **known}


def _known(value: Interval) -> list[float | None]:
    return [None if np.isnan(one) else one for one in value]


def read(folder: RunFolder) -> Row | None:
    """What `write` kept in routing.json; None where routers were not compared."""
    if not folder.routers.exists():
        return None
    content: Row = json.loads(folder.routers.read_text(encoding="utf-8"))
    return content


def section(folder: RunFolder) -> Row | None:
    """For the report's page; None where routers were not compared."""
    content = read(folder)
    if content is None:
        return None
    return {"headings": headings(content), "rows": cells(content), "lines": lines(content)}


def headings(content: Row) -> list[str]:
    """The headings of the table."""
    costs = ["quality at its cost", "cost saved at its quality"] if content["priced"] else []
    return ["a request goes", "quality", *costs]


def cells(content: Row) -> list[list[str]]:
    """Rows of the table after the most votes, as text."""
    digits = 3 if content["unit"].startswith("share") else 1
    last = content["rows"][max(content["rows"], key=int)]
    found = []
    for row in last:
        if row["router"] == GLOBAL and not content["priced"]:
            continue
        row_cells = [content["labels"][row["router"]], _cell(row["best"], digits, "")]
        if content["priced"]:
            row_cells += [
                _cell(row["at_its_cost"], digits, "costs more"),
                _cell(row["saved"], 0, "never as good", percent=True),
            ]
        found.append(row_cells)
    return found


def _cell(value: list[float | None], digits: int, otherwise: str, percent: bool = False) -> str:
    scale = 100.0 if percent else 1.0
    unit = "%" if percent else ""
    shown = [None if one is None else f"{scale * one:+.{digits}f}{unit}" for one in value]
    if shown[0] is None:
        return otherwise
    if shown[1] is None:
        return f"{shown[0]} [not in every resample]"
    return f"{shown[0]} [{shown[1]}, {shown[2]}]"


def lines(content: Row) -> list[str]:
    """What a reader has to know of the table, and from how many votes on a personal router pays."""
    cost = content["cost"]
    at = f" whatever it costs, which is {cost:.3g} USD for 1,000 requests" if cost else ""
    found = [f"quality: {content['unit']}, over the global ranking's{at}; intervals are of 95%"]
    found += [] if content["priced"] else [content["unpriced"]]
    there = [row["router"] for row in content["rows"][max(content["rows"], key=int)]]
    if len(content["rows"]) > 1:
        found += [_from_how_many(content, name) for name in PERSONAL if name in there]
    return found


def _from_how_many(content: Row, router: str) -> str:
    number = "at_its_cost" if content["priced"] else "best"
    where = " at equal cost" if content["priced"] else ""
    gains = list[tuple[int, float]]()
    for votes in sorted(map(int, content["rows"])):
        if router in {row["router"] for row in content["rows"][str(votes)]}:
            low = _of_router(content, votes, router)[number][1]
            gains.append((votes, float("-inf") if low is None else low))
    label = content["labels"][router]
    unsure = [votes for votes, low in gains if low <= 0]
    sure = [votes for votes, _ in gains if not unsure or votes > unsure[-1]]
    if not sure:
        return f"a request that goes {label} does not surely gain{where} within these votes"
    when = f"with {sure[0]} votes a user" if len(gains) == 1 else f"from {sure[0]} votes a user on"
    return f"a request that goes {label} gains{where} {when}"


def show(folder: RunFolder, console: Console) -> None:
    """Print the table."""
    content = read(folder)
    if content is None:
        return
    votes = max(content["rows"], key=int)
    table = Table(
        title=f"Routers beside the global ranking, {votes} votes a user",
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    first, *others = headings(content)
    table.add_column(first, no_wrap=True)
    for heading in others:
        table.add_column(heading, justify="right")
    for row in cells(content):
        table.add_row(*row)
    console.print(table)
    for line in lines(content):
        console.print(line, highlight=False, soft_wrap=True)


def figures(folder: RunFolder) -> dict[str, Figure]:
    """Quality over cost, and over votes a user; none where routers were not compared."""
    content = read(folder)
    if content is None:
        return {}
    rows = files.read_table(folder.routing).to_pylist()
    drawn = {}
    if content["priced"]:
        last = max(row["votes_per_user"] for row in rows)
        own = [row for row in rows if row["votes_per_user"] == last]
        drawn["routing"] = _over_cost(own, content)
    if len(content["rows"]) > 1:
        drawn["routing_votes"] = _over_votes(content)
    return drawn


def _over_cost(rows: list[Row], content: Row) -> Figure:
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(7.6, 4.2), layout="constrained")
        contestants = [row for row in rows if row["router"].startswith(SINGLE)]
        for row in contestants:
            axis.plot(row["cost"], row["quality"], "o", ms=4, color=INK)
        for row in _apart(_frontier(contestants)):
            _name(axis, row, content["labels"][row["router"]])
        for name in dict.fromkeys(row["router"] for row in rows if row not in contestants):
            own = [row for row in rows if row["router"] == name]
            _router(axis, name, own, content["labels"][name])
        costs = [row["cost"] for row in rows]
        if min(costs) > 0 and max(costs) > WIDE * min(costs):
            axis.set_xscale("log")
            axis.xaxis.set_major_formatter("{x:g}")
        axis.axhline(0, color=INK, linewidth=0.8, linestyle=":")
        axis.axvline(content["cost"], color=INK, linewidth=0.8, linestyle=":")
        axis.set_xlabel("USD for 1,000 requests")
        axis.set_ylabel(f"quality over the\nglobal ranking's,\n{_short(content)}")
        axis.grid(axis="y", **GRID)
        figure.legend(loc="outside lower center", ncols=3, fontsize=9)
    return figure


def _frontier(contestants: list[Row]) -> list[Row]:
    """Those that none is both better and cheaper than, and the dearest."""
    kept = [
        row
        for row in contestants
        if not any(
            other["quality"] > row["quality"] and other["cost"] <= row["cost"]
            for other in contestants
        )
    ]
    dearest = max(contestants, key=lambda row: row["cost"], default=None)
    return kept if dearest is None or dearest in kept else [*kept, dearest]


def _apart(contestants: list[Row]) -> list[Row]:
    """Those whose names have room beside each other, the best first."""
    best_first = sorted(contestants, key=lambda row: -row["quality"])
    room = ROOM * float(np.ptp([row["quality"] for row in contestants])) if contestants else 0.0
    kept = list[Row]()
    for row in best_first:
        if all(abs(row["quality"] - other["quality"]) >= room for other in kept):
            kept.append(row)
    return kept


def _name(axis: Axes, row: Row, label: str) -> None:
    axis.annotate(
        label, (row["cost"], row["quality"]), (4, -10), textcoords="offset points", fontsize=8
    )


def _router(axis: Axes, name: str, rows: list[Row], label: str) -> None:
    rows = sorted(rows, key=lambda row: row["cost"])
    x, y, low, high = (
        np.array([row[key] for row in rows]) for key in ("cost", "quality", "ci_low", "ci_high")
    )
    colour = _colour(name)
    if len(rows) == 1:
        axis.plot(x, y, "s", ms=6, color=colour, label=label)
        return
    line = "--" if name == "oracle" else "-"
    axis.plot(x, y, line, color=colour, linewidth=1.6, label=label)
    axis.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0)


def _over_votes(content: Row) -> Figure:
    number = "at_its_cost" if content["priced"] else "best"
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(7.6, 3.2), layout="constrained")
        votes = sorted(map(int, content["rows"]))
        for name, label in content["labels"].items():
            if name.startswith(SINGLE) or name in (GLOBAL, "random"):
                continue
            points = [_of_router(content, v, name)[number] for v in votes]
            x, y, low, high = np.array(
                [(v, *p) for v, p in zip(votes, points, strict=True)], dtype=float
            ).T
            line = "--" if name == "oracle" else "-"
            axis.plot(x, y, f"{line}o", ms=4, color=_colour(name), linewidth=1.6, label=label)
            axis.fill_between(x, low, high, color=_colour(name), alpha=0.16, linewidth=0)
        axis.axhline(0, color=INK, linewidth=0.8, linestyle=":")
        axis.set_xscale("log")
        axis.set_xticks(votes, [str(v) for v in votes])
        axis.minorticks_off()
        axis.set_xlabel("votes a user")
        at_equal = " at equal cost" if content["priced"] else ""
        axis.set_ylabel(f"quality{at_equal},\n{_short(content)}")
        axis.grid(axis="y", **GRID)
        figure.legend(loc="outside lower center", ncols=3, fontsize=9)
    return figure


def _of_router(content: Row, votes: int, name: str) -> Mapping[str, Any]:
    found = [row for row in content["rows"][str(votes)] if row["router"] == name]
    return found[0] if found else {key: [None] * 3 for key in NUMBERS}


def _short(content: Row) -> str:
    return "share of votes" if content["unit"].startswith("share") else "Elo points"


def _colour(name: str) -> str:
    return SYSTEMS[name].colour if name in SYSTEMS else COLOURS[name]
