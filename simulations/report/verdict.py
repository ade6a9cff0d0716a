"""What a run answers first: whether personal rankings beat the global one, by how much, from how
many votes on and for whom; and Systems A and B beside each other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from electorate.config.metrics import METRICS, OVERALL, UNSEEN
from electorate.evaluation import two_systems as systems_compared
from electorate.evaluation.intervals import Estimate, has_width
from electorate.evaluation.results import EVERYONE, NOT_CONVERGED
from electorate.evaluation.two_systems import (
    BASELINE,
    BOTH,
    HEADINGS,
    SYSTEM_A,
    SYSTEM_B,
    TITLES,
)
from electorate.storage.run_folder import RunFolder
from simulations.report.results import Values, at_last, last_rows, of_users

Row = dict[str, Any]
TAU = {"prompts": OVERALL, "metric": "kendall_tau"}
PROMPT_TAU = {"prompts": UNSEEN, "metric": "kendall_tau"}


@dataclass(frozen=True)
class TwoSystems:
    """The table of the systems that the project is about.

    Attributes:
        headings: of the columns.
        rows: a row a metric, as many cells as headings.
    """

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def lines(folder: RunFolder) -> list[str]:
    """The answer as sentences, the first of which says yes, no or not yet known."""
    gains = of_users(folder.gains)
    values = at_last(folder)
    rows = {
        row["system"]: row
        for row in last_rows(gains, segment=EVERYONE, baseline=BASELINE, **TAU)
        if row["version"] != NOT_CONVERGED
    }
    # In the order of TITLES, so that of equals the simplest is named.
    over_global = {system: rows[system] for system in TITLES if system in rows}
    if not over_global:
        return []
    best = max(over_global, key=lambda system: over_global[system]["value"])
    row = over_global[best]
    found = [_headline(best, row, values)]
    if is_above(row):
        since = _since(best, gains)
        found.append(since[0].upper() + since[1:])
        found += _for_whom(best, gains)
    found += _together(gains)
    return found


def two_systems(folder: RunFolder, columns: Sequence[tuple[str, str, str, int]]) -> TwoSystems:
    """Every metric of global_bt and of Systems A and B, as far as they are compared.

    Args:
        columns: the metrics: heading, prompts, metric, digits.
    """
    values = at_last(folder)
    gains = of_users(folder.gains)
    systems = [s for s in TITLES if (s, OVERALL, "kendall_tau") in values]
    one, other = (SYSTEM_A, SYSTEM_B) if SYSTEM_B in systems else (BASELINE, SYSTEM_A)
    shown = [s for s in ("arena", BASELINE) if (s, OVERALL, "kendall_tau") in values] + systems
    headings = ["metric", *(HEADINGS.get(s, s) for s in shown)]
    what = "B over A" if other == SYSTEM_B else "A over global"
    rows = []
    for heading, prompts, metric, digits in columns:
        cells = [values.get((system, prompts, metric)) for system in shown]
        over = _gain(gains, other, one, prompts, metric)
        if over is None or any(cell is None for cell in cells):
            continue
        winner = _winner([BASELINE, *systems], gains, values, prompts, metric)
        texts = [f"{cell['value']:.{digits}f}" for cell in cells if cell is not None]
        rows.append((heading, *texts, interval(over, digits), winner))
    return TwoSystems((*headings, what, "winner"), tuple(rows))


def has_interval(row: Mapping[str, Any]) -> bool:
    """Whether anything is known of how a gain varies: not of a single user, nor of users who all
    gain the same, whose resamples are all alike.
    """
    return bool(row["n_users"] > 1) and has_width(row["ci_low"], row["ci_high"])


def is_above(row: Mapping[str, Any]) -> bool:
    """Whether a gain is above 0 with its whole interval."""
    return has_interval(row) and bool(row["ci_low"] > 0)


def is_below(row: Mapping[str, Any]) -> bool:
    """Whether a gain is below 0 with its whole interval."""
    return has_interval(row) and bool(row["ci_high"] < 0)


def interval(row: Mapping[str, Any], digits: int = 3) -> str:
    """A gain with its interval, where it has one."""
    value = f"{row['value']:+.{digits}f}"
    if not has_interval(row):
        return value
    return f"{value} [{row['ci_low']:+.{digits}f}, {row['ci_high']:+.{digits}f}]"


def _headline(best: str, row: Row, values: Values) -> str:
    taus = [values.get((system, OVERALL, "kendall_tau")) for system in (best, BASELINE)]
    own, other = (tau["value"] if tau else float("nan") for tau in taus)
    by = f"Kendall tau {own:.3f} against {other:.3f}, a gain of {interval(row)}"
    if row["n_users"] < 2:
        return f"Not yet known: one persona alone is compared ({by}); compare more"
    if not has_interval(row):
        return (
            f"Not yet known: all {row['n_users']:,} personas that are compared gain the same, so "
            f"that it has no interval ({TITLES[best]}: {by}); compare more, or with more votes"
        )
    if is_above(row):
        rank = "rank" if best == BOTH else "ranks"
        return f"Yes: {TITLES[best]} {rank} contestants better than the global ranking: {by}"
    if is_below(row):
        return (
            f"No: {TITLES[best]}, the best personal ranking, does worse than the global one: {by}"
        )
    return (
        f"Not yet known: the interval of the best personal ranking's gain contains 0 "
        f"({TITLES[best]}: {by})"
    )


def _since(best: str, gains: pa.Table) -> str:
    """From how many votes a user on the gain is above zero."""
    rows = _curve(best, gains)
    if len(rows) == 1 and best != SYSTEM_A and len(_curve(SYSTEM_A, gains)) > 1:
        # System B is trained once where that is not asked for at every checkpoint.
        return (
            f"{TITLES[best]}: compared at {rows[0]['votes_per_user']} votes a persona alone. "
            + (f"System A: {_first(_curve(SYSTEM_A, gains))}")
        )
    return _first(rows)


def _curve(system: str, gains: pa.Table) -> list[Row]:
    """A system's gain over the global ranking at each checkpoint."""
    rows = [
        row
        for row in gains.to_pylist()
        if (row["system"], row["baseline"], row["segment"]) == (system, BASELINE, EVERYONE)
        and (row["prompts"], row["metric"]) == (OVERALL, "kendall_tau")
    ]
    return sorted(rows, key=lambda row: row["votes_per_user"])


def _first(rows: Sequence[Row]) -> str:
    """The first of these checkpoints from which on every gain is above zero."""
    last = rows[-1]["votes_per_user"]
    if len(rows) == 1:
        return f"compared at {last} votes a persona alone"
    open_ = [row for row in rows if not is_above(row)]
    known = [r for r in rows if not open_ or r["votes_per_user"] > open_[-1]["votes_per_user"]]
    if not known:
        return f"not clear yet at {last} votes a persona"
    since = known[0]
    least = ", the fewest that were compared" if since is rows[0] else ""
    return f"from {since['votes_per_user']} votes a persona on{least} ({interval(since)})"


def _for_whom(best: str, gains: pa.Table) -> list[str]:
    """Which segments gain, which do not."""
    rows = [
        row
        for row in last_rows(gains, system=best, baseline=BASELINE, **TAU)
        if row["segment"] != EVERYONE
    ]
    if len(rows) < 2:
        return []
    rows.sort(key=lambda row: -row["value"])
    gain = [row["segment"] for row in rows if is_above(row)]
    lose = [row["segment"] for row in rows if is_below(row)]
    open_ = [r["segment"] for r in rows if r["segment"] not in (*gain, *lose)]
    if len(gain) == len(rows):
        ends = [f"{row['segment']} ({interval(row)})" for row in (rows[0], rows[-1])]
        return [f"For every archetype: most for {ends[0]}, least for {ends[1]}"]
    parts = [f"gain: {', '.join(gain)}"] if gain else []
    parts += [f"lose: {', '.join(lose)}"] if lose else []
    parts += [f"not clear: {', '.join(open_)}"] if open_ else []
    return [f"By archetype, {'; '.join(parts)}"]


def _together(gains: pa.Table) -> list[str]:
    """What reading responses adds on prompts that nobody voted on."""
    found = []
    for system, what in ((SYSTEM_B, "System B alone"), (BOTH, "Systems A and B together")):
        row = _gain(gains, system, SYSTEM_A, **PROMPT_TAU)
        if row is not None:
            found.append(f"{what} over System A on unseen prompts: {interval(row)} Kendall tau")
    return found


def _gain(gains: pa.Table, system: str, baseline: str, prompts: str, metric: str) -> Row | None:
    rows = last_rows(
        gains, system=system, baseline=baseline, segment=EVERYONE, prompts=prompts, metric=metric
    )
    return rows[0] if rows else None


def _winner(
    systems: Sequence[str], gains: pa.Table, values: Values, prompts: str, metric: str
) -> str:
    """The best of these systems by a metric, in words; see two_systems.winner."""

    def gain(system: str, other: str) -> Estimate | None:
        row = _gain(gains, system, other, prompts, metric)
        if row is None:
            return None
        return Estimate(row["value"], row["ci_low"], row["ci_high"], row["n_users"])

    own = {system: values[system, prompts, metric]["value"] for system in systems}
    best = systems_compared.winner(own, gain, METRICS[metric].lower_is_better)
    return HEADINGS.get(best, best)
