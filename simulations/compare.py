"""`compare`: finished runs beside each other, whoever voted in them: where their rankings and the
gains of personal rankings agree.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from scipy.special import ndtri

from electorate.base import resampling
from electorate.base.draws import Stream, generator
from electorate.base.errors import ElectorateError
from electorate.base.scale import Floats
from electorate.commands import beliefs, next_step
from electorate.config.metrics import METRICS, OVERALL
from electorate.config.systems import ORACLE
from electorate.data import run_files
from electorate.evaluation import metrics
from electorate.evaluation.metrics import Standing
from electorate.evaluation.results import EVERYONE, NOT_CONVERGED
from electorate.evaluation.two_systems import BASELINE
from electorate.storage import files
from electorate.storage.places import Place
from electorate.storage.run_folder import RunFolder
from simulations.report.results import last_rows, of_users
from simulations.report.verdict import interval, is_above, is_below

CONFIDENCE = 0.95
DRAWS = 2000
OF_PEOPLE = ("pair_accuracy",)  # beside the metrics that a run's curves show
WHO = {"planted": "planted personas", "model": "language models", "people": "people"}
Row = dict[str, Any]
Key = tuple[str, str, str]  # system, prompts, metric


@dataclass(frozen=True)
class Finished:
    """A finished run.

    Attributes:
        name: as the tables call it.
        who: voted in it.
        boards: segment to its rows of the leaderboard at the end, by contestant.
        gains: over the global ranking at the last checkpoint, of those who voted.
    """

    name: str
    who: str
    boards: dict[str, dict[str, Row]]
    gains: dict[Key, Row]


@dataclass(frozen=True)
class Agreement:
    """Of two runs' rankings of the contestants that both have.

    Attributes:
        tau: Kendall's, with the interval (ci_low, ci_high) that the ratings' own intervals leave.
        same_first: how probable it is that both have the same first contestant.
    """

    segment: str
    contestants: int
    tau: float
    ci_low: float
    ci_high: float
    same_first: float


def compare(folders: Sequence[Place], console: Console) -> None:
    """Print what finished runs agree on.

    Raises:
        ElectorateError: there are fewer than two, one is not finished, or they have too few
            contestants in common.
    """
    if len(folders) < 2:
        raise ElectorateError("compare: at least 2 finished runs are needed")
    runs = [read(folder, name) for folder, name in zip(folders, _names(folders), strict=True)]
    for folder, run in zip(folders, runs, strict=True):
        voted = f"{run.name}: {run.who} voted on {len(run.boards[EVERYONE])} contestants"
        console.print(voted, highlight=False, soft_wrap=True)
        beliefs.beside(folder, console)
    _show_boards(runs, console)
    _show_agreement(runs, console)
    _show_gains(runs, console)
    next_step.tell(console, f"electorate report {folders[0]}    (its tables and plots again)")


def read(folder: Place, name: str) -> Finished:
    """A finished run, a poll of an earlier version excepted, from its folder.

    Raises:
        ElectorateError: it is not finished, or no run.
    """
    run = RunFolder(folder)
    manifest = run.read_manifest()
    if manifest["status"] != "complete":
        raise ElectorateError(
            f"{folder}: the {manifest['kind']} is {manifest['status']}; finish it first"
        )
    if manifest["kind"] not in ("run", "human"):
        raise ElectorateError(
            f"{folder}: a {manifest['kind']} compares no systems; give folders of run or human"
        )
    boards = dict[str, dict[str, Row]]()
    for row in _last(files.read_table(run.leaderboard).to_pylist()):
        boards.setdefault(row.get("segment", EVERYONE), {})[row["model"]] = row
    rows = last_rows(of_users(run.gains), segment=EVERYONE, baseline=BASELINE)
    gains = {
        (row["system"], row["prompts"], row["metric"]): row
        for row in rows
        if row["version"] != NOT_CONVERGED
    }
    kind = run_files.voters_kind(run)
    return Finished(name, WHO.get(kind, kind), boards, gains)


def agreement(one: Finished, other: Finished) -> Iterator[Agreement]:
    """Of everybody's rankings, and of those of the segments that both runs have."""
    for segment in one.boards:
        if segment not in other.boards:
            continue
        both = [model for model in one.boards[segment] if model in other.boards[segment]]
        if len(both) < 2:
            continue
        boards = [_drawn(run.boards[segment], both, i) for i, run in enumerate((one, other))]
        tau = metrics.kendall_tau(Standing(boards[0]), Standing(boards[1]))
        low, high = resampling.interval(tau[1:], CONFIDENCE)
        first = [board[1:].argmax(axis=1) for board in boards]
        same = float((first[0] == first[1]).mean())
        yield Agreement(segment, len(both), float(tau[0]), low, high, same)


def verdict(gains: Sequence[Row | None], lower_is_better: bool) -> str:
    """What runs' gains in one metric say together; a gain without an interval is not known."""
    signs = set[int]()
    for gain in gains:
        if gain is None:
            continue
        sign = int(is_above(gain)) - int(is_below(gain))
        signs.add(-sign if lower_is_better else sign)
    if {1, -1} <= signs:
        return "differ"
    if len(signs) == 1 and 0 not in signs:
        return "all gain" if 1 in signs else "all lose"
    return "not yet known"


def _names(folders: Sequence[Place]) -> list[str]:
    """The folders' own names, with as much of their paths as tells them apart."""
    names = [folder.name for folder in folders]
    if len(set(names)) == len(names):
        return names
    return [f"{folder.parent.name}/{folder.name}" for folder in folders]


def _last(rows: Sequence[Row]) -> list[Row]:
    """At the last checkpoint; people's boards have one."""
    last = max((row.get("votes_per_user", 0) for row in rows), default=0)
    return [row for row in rows if row.get("votes_per_user", 0) == last]


def _drawn(board: dict[str, Row], models: Sequence[str], which: int) -> Floats:
    """(1 + DRAWS, models) the ratings, and as they may be within their intervals."""
    rating = np.array([board[model]["rating"] for model in models])
    width = np.array([board[model]["ci_high"] - board[model]["ci_low"] for model in models])
    sd = width / (2 * ndtri((1 + CONFIDENCE) / 2))
    noise = generator(0, Stream.BOOTSTRAP, which).standard_normal((DRAWS, len(models)))
    return np.vstack([rating, rating + sd * noise])


def _show_boards(runs: Sequence[Finished], console: Console) -> None:
    table = Table(title="Ratings of everybody's rankings", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("contestant")
    for run in runs:
        table.add_column(run.name, justify="right")
    first = runs[0].boards[EVERYONE]
    known = set().union(*(run.boards[EVERYONE] for run in runs))
    for model in sorted(known, key=lambda m: (-first.get(m, {"rating": -np.inf})["rating"], m)):
        table.add_row(model, *(_rating(run.boards[EVERYONE].get(model)) for run in runs))
    console.print(table)


def _rating(row: Row | None) -> str:
    return "" if row is None else f"{row['rating']:.0f} [{row['ci_low']:.0f}, {row['ci_high']:.0f}]"


def _show_agreement(runs: Sequence[Finished], console: Console) -> None:
    table = Table(title="Where rankings agree", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("runs")
    table.add_column("segment")
    for name in ("contestants", "Kendall tau", "same first"):
        table.add_column(name, justify="right")
    for one, other in combinations(runs, 2):
        rows = list(agreement(one, other))
        if not rows:
            raise ElectorateError(
                f"{one.name} and {other.name} have fewer than 2 contestants in common"
            )
        for row in rows:
            tau = f"{row.tau:.2f} [{row.ci_low:.2f}, {row.ci_high:.2f}]"
            cells = (row.segment, str(row.contestants), tau, f"{row.same_first:.0%}")
            table.add_row(f"{one.name}, {other.name}", *cells)
    console.print(table)


def _show_gains(runs: Sequence[Finished], console: Console) -> None:
    """Systems' gains over the global ranking, in what at least two runs are compared by."""
    table = Table(title=f"Gains over {BASELINE}", title_justify="left", box=SIMPLE_HEAD)
    for name in ("system", "metric"):
        table.add_column(name)
    for run in runs:
        table.add_column(run.name, justify="right")
    table.add_column("together")
    keys = dict.fromkeys(key for run in runs for key in run.gains)
    for key in keys:
        gains = [run.gains.get(key) for run in runs]
        system, prompts, metric = key
        spec = METRICS[metric]
        shared = sum(gain is not None for gain in gains) > 1
        if not shared or system == ORACLE or not (spec.compared or metric in OF_PEOPLE):
            continue
        where = "overall" if prompts == OVERALL else "unseen prompts"
        cells = [_gain(gain, spec.digits) for gain in gains]
        table.add_row(
            system, f"{spec.label}, {where}", *cells, verdict(gains, spec.lower_is_better)
        )
    if not table.rows:
        console.print("no system and metric is compared in two of the runs", highlight=False)
        return
    console.print(table)


def _gain(row: Row | None, digits: int) -> str:
    if row is None:
        return ""
    return interval(row, digits)
