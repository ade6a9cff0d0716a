"""`sweep`: the same run at several values of one config key and several seeds: where each system
wins, and by how much.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from scipy.stats import t

from electorate.base.errors import ElectorateError
from electorate.base.scale import Floats
from electorate.commands import next_step
from electorate.config import config_file
from electorate.config.metrics import METRICS, OVERALL
from electorate.config.run import Config
from electorate.config.systems import ORACLE
from electorate.data import recorded
from electorate.evaluation.results import EVERYONE, NOT_CONVERGED
from electorate.storage import files
from electorate.storage.places import Place
from electorate.storage.run_folder import RunFolder
from simulations import run
from simulations.report import page
from simulations.report.results import of_users

TAU = "kendall_tau"
CEILINGS = (ORACLE, "oracle_features")
WINS = pa.schema(
    [
        ("value", pa.string()),
        ("votes_per_user", pa.int32()),
        ("prompts", pa.string()),
        ("metric", pa.string()),
        ("winner", pa.string()),
        ("runner_up", pa.string()),
        ("ahead", pa.float64()),
        ("ci_low", pa.float64()),
        ("ci_high", pa.float64()),
        ("seeds", pa.int32()),
    ]
)
Row = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One run of a sweep."""

    value: str
    seed: int
    config: Config
    folder: Place


def sweep(
    config: Path, settings: Sequence[str], over: str, seeds: int, out: Place, console: Console
) -> None:
    """Do every run that folder `out` lacks, then say and draw where each system wins.

    over: KEY=VALUE,VALUE,...; each value with seeds 0..seeds-1. A stopped sweep goes on where it
    was.
    """
    key, values = _parsed(over)
    cases = list(_cases(config, settings, key, values, seeds, out))
    if any(case.config.people is not None for case in cases):
        raise ElectorateError(
            f"{config}: people's votes are as they are, whatever the seed; sweep a config with "
            "planted or model voters"
        )
    for i, case in enumerate(cases, start=1):
        console.print(f"run {i}/{len(cases)}: {key}={case.value} seed={case.seed}", highlight=False)
        run.run(case.config, case.folder, True, console)
    rows = [row for case in cases for row in _rows(case)]
    files.write_table(out / "metrics.parquet", pa.Table.from_pylist(rows))
    wins = [win for place in _places(rows) for win in _win(*place)]
    files.write_table(out / "wins.parquet", pa.Table.from_pylist(wins, schema=WINS))
    saved = list(_saved(rows, values)) if key.startswith(("votes.", "ratings.")) else []
    files.write_text(
        out / "summary.json",
        json.dumps({"over": key, "values": values, "seeds": seeds, "saved": saved}, indent=2)
        + "\n",
    )
    notes = list(_not_converged(rows))
    titles = _shown()
    page.write_sweep(out, key, titles, list(_curves(rows)), wins, notes)
    _show(key, wins, saved, seeds, console)
    for note in notes:
        console.print(note, highlight=False, soft_wrap=True)
    console.print(f"report: {out / 'report.html'}", highlight=False, soft_wrap=True)
    next_step.tell(console, f"electorate serve {cases[-1].folder}    (one of these runs)")


def _parsed(over: str) -> tuple[str, list[str]]:
    key, _, values = over.partition("=")
    found = [value for value in values.split(",") if value]
    if not key or not found or len(set(found)) < len(found):
        raise ElectorateError(
            f"--over {over}: not of the form KEY=VALUE,VALUE,... with each value once, such as "
            "votes.pairing=uniform,active"
        )
    if key == "seed":
        raise ElectorateError("--over seed: seeds are swept anyway; say how many with --seeds")
    return key, found


def _cases(
    config: Path, settings: Sequence[str], key: str, values: Sequence[str], seeds: int, out: Place
) -> Iterator[Case]:
    """Value by value; all configs are checked before anything runs."""
    for value in values:
        for seed in range(seeds):
            loaded = recorded.with_contestants(
                config_file.load(config, [*settings, f"{key}={value}", f"seed={seed}"])
            )
            yield Case(value, seed, loaded, out / f"{key}={value}" / f"seed={seed}")


def _shown() -> dict[tuple[str, str], str]:
    """What a sweep says the winner in: (prompts, metric) to its title."""
    return {
        (prompts, spec.name): spec.title(prompts)
        for spec in METRICS.values()
        if spec.compared
        for prompts, _ in spec.columns
    }


def _rows(case: Case) -> Iterator[Row]:
    """The metrics of one run that a sweep shows, by system and checkpoint; cast: votes a persona
    really cast by then.
    """
    folder = RunFolder(case.folder)
    cast = dict(
        zip(
            case.config.votes.checkpoints,
            folder.read_manifest()["stages"]["votes"]["votes_a_persona"],
            strict=True,
        )
    )
    shown = _shown()
    for row in of_users(folder.metrics).to_pylist():
        if row["segment"] == EVERYONE and (row["prompts"], row["metric"]) in shown:
            kept = {
                name: row[name]
                for name in ("system", "prompts", "metric", "votes_per_user", "version")
            }
            yield kept | {
                "estimate": row["value"],
                "value": case.value,
                "seed": case.seed,
                "cast": cast[row["votes_per_user"]],
            }


def _curves(rows: Sequence[Row]) -> Iterator[Row]:
    """Each system's estimate with its interval over seeds, at every swept value and checkpoint."""
    names = ("system", "value", "votes_per_user", "prompts", "metric")
    groups: dict[tuple[Any, ...], list[float]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row["estimate"])
    for (system, swept, votes, prompts, metric), estimates in groups.items():
        low, high = interval(np.array(estimates))
        if len(estimates) < 2:
            low = high = estimates[0]
        where = {
            "system": system,
            "swept": swept,
            "votes_per_user": votes,
            "prompts": prompts,
            "metric": metric,
        }
        yield where | {"value": float(np.mean(estimates)), "ci_low": low, "ci_high": high}


def _places(rows: Sequence[Row]) -> Iterator[tuple[Row, dict[str, Floats]]]:
    """Each (value, checkpoint, metric) with every system's estimates by seed, ceilings left out."""
    names = ("value", "votes_per_user", "prompts", "metric")
    for place in dict.fromkeys(tuple(row[name] for name in names) for row in rows):
        here = [
            row
            for row in rows
            if tuple(row[name] for name in names) == place and row["system"] not in CEILINGS
        ]
        systems = dict.fromkeys(row["system"] for row in here)
        estimates = {
            s: np.array(
                [
                    row["estimate"]
                    for row in sorted(here, key=lambda r: r["seed"])
                    if row["system"] == s
                ]
            )
            for s in systems
        }
        yield dict(zip(names, place, strict=True)), estimates


def _win(place: Row, estimates: dict[str, Floats]) -> Iterator[Row]:
    """Who is best on average over seeds, and how far ahead of the second, with a paired t
    interval over seeds.
    """
    if len(estimates) < 2:
        return
    sign = -1 if METRICS[place["metric"]].lower_is_better else 1
    first, second = sorted(estimates, key=lambda system: -sign * estimates[system].mean())[:2]
    ahead = sign * (estimates[first] - estimates[second])
    low, high = interval(ahead)
    yield place | {
        "winner": first,
        "runner_up": second,
        "ahead": ahead.mean(),
        "ci_low": low,
        "ci_high": high,
        "seeds": len(ahead),
    }


def interval(values: Floats) -> tuple[float, float]:
    """Student's 95% interval of the mean over seeds; unbounded for one seed."""
    n = len(values)
    half = float("inf") if n < 2 else float(t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n))
    return float(values.mean() - half), float(values.mean() + half)


def _saved(rows: Sequence[Row], values: Sequence[str]) -> Iterator[Row]:
    """By system: the votes a persona at which each further value reaches the tau that the first
    has at its last checkpoint.
    """
    for system in dict.fromkeys(row["system"] for row in rows if row["system"] not in CEILINGS):
        curves = {value: _curve(rows, system, value) for value in values}
        goal = curves[values[0]][1][-1]
        needed = curves[values[0]][0][-1]
        for value in values[1:]:
            cast, tau = curves[value]
            reached = np.flatnonzero(tau >= goal)
            votes = None
            if len(reached):
                i = reached[0]
                votes = float(
                    cast[0]
                    if i == 0
                    else np.exp(np.interp(goal, tau[i - 1 : i + 1], np.log(cast[i - 1 : i + 1])))
                )
            yield {
                "system": system,
                "value": value,
                "tau": float(goal),
                "votes": votes,
                "instead_of": float(needed),
                "tau_reached": float(tau.max()),
            }


def _not_converged(rows: Sequence[Row]) -> Iterator[str]:
    """In which runs a system's row is the global ranking's."""
    runs = {
        (row["system"], row["value"], row["seed"])
        for row in rows
        if row["version"] == NOT_CONVERGED
    }
    for system, times in sorted(Counter(system for system, _, _ in runs).items()):
        yield (
            f"* {system} did not converge in {times} runs, which count the global ranking for it; "
            "their log.jsonl says why"
        )


def _curve(rows: Sequence[Row], system: str, value: str) -> tuple[Floats, Floats]:
    """Votes cast a persona, and the overall tau, means over seeds, by checkpoint."""
    own = [
        r
        for r in rows
        if (r["system"], r["value"], r["prompts"], r["metric"]) == (system, value, OVERALL, TAU)
    ]
    checkpoints = sorted({row["votes_per_user"] for row in own})
    means = [
        [np.mean([row[name] for row in own if row["votes_per_user"] == c]) for c in checkpoints]
        for name in ("cast", "estimate")
    ]
    return np.array(means[0]), np.array(means[1])


def _show(
    key: str, wins: Sequence[Row], saved: Sequence[Row], seeds: int, console: Console
) -> None:
    for (prompts, metric), title in _shown().items():
        here = [win for win in wins if (win["prompts"], win["metric"]) == (prompts, metric)]
        table = Table(
            title=f"best system by {title}, {seeds} seeds",
            title_justify="left",
            box=SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
        )
        table.add_column(key)
        checkpoints = sorted({win["votes_per_user"] for win in here})
        for votes in checkpoints:
            table.add_column(f"{votes} votes")
        for value in dict.fromkeys(win["value"] for win in here):
            own = {win["votes_per_user"]: win for win in here if win["value"] == value}
            table.add_row(value, *(_cell(own.get(votes), metric) for votes in checkpoints))
        console.print(table)
    console.print(
        "ahead of the second by ...; level: the 95% interval over seeds holds zero", highlight=False
    )
    for row in saved:
        reached = (
            f"{row['votes']:.1f} votes"
            if row["votes"] is not None
            else f"never (at most {row['tau_reached']:.4f})"
        )
        line = (
            f"{row['system']}: tau {row['tau']:.4f}, which {row['instead_of']:.0f} votes reach, "
            f"{key}={row['value']} reaches with {reached}"
        )
        console.print(line, highlight=False, soft_wrap=True)


def _cell(win: Row | None, metric: str) -> str:
    if win is None:
        return "-"
    digits = METRICS[metric].digits
    return (
        f"{win['winner']} +{win['ahead']:.{digits}f}"
        if win["ci_low"] > 0
        else f"level: {win['winner']}, {win['runner_up']}"
    )
