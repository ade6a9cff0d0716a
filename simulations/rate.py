"""`rate`: a leaderboard from a file of votes, whoever cast them. Needs neither Ray nor a run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from electorate import votes as votes_module
from electorate.errors import ElectorateError
from electorate.ratings import bradley_terry, leaderboard
from electorate.ratings.bradley_terry import Fit
from electorate.ratings.ties import MODELS
from electorate.scale import Floats, Ints, to_elo
from electorate.storage import tables
from electorate.votes import Votes

PRIOR_SD_ELO = 1000.0
CONFIDENCE = 0.95
Row = dict[str, Any]


def rate(path: Path, ties: str, cluster: str | None, anchor: str | None, out: Path | None, console: Console) -> None:
    """Print the leaderboard of a vote file, best first, and write it to `out` if that is given.

    Raises ElectorateError for what the user can put right; what was left out is said.
    """
    if out:
        tables.check_writable(out)
        if out.resolve() == path.resolve():
            raise ElectorateError(f"--out {out}: is the file of votes itself; give another")
    votes, set_aside = votes_module.read(path)
    for line in votes_module.by_reason(set_aside):
        console.print(f"left out: {line}", highlight=False, soft_wrap=True)
    fitted, notes = fit(votes, ties, cluster)
    for note in notes:
        console.print(note, highlight=False, soft_wrap=True)
    shift = 0.0 if anchor is None else _shift(anchor, votes.models, fitted)
    rows = leaderboard.rows(votes.models, fitted, CONFIDENCE, shift)
    best_first = np.argsort([-row["rating"] for row in rows], kind="stable")
    rows = [rows[m] for m in best_first]
    _show(rows, win_rates(votes)[best_first], f"{len(votes):,} votes, {len(rows)} models, ties: {ties}", console)
    if out:
        tables.write(out, pa.Table.from_pylist(rows))
        console.print(f"leaderboard: {out}", highlight=False, soft_wrap=True)


def win_rates(votes: Votes) -> Floats:
    """(M,) share of its battles each model won, a tie being half a win; by weight."""
    won = np.select([votes.outcome == 0, votes.outcome == 1], [1.0, 0.0], 0.5)
    models = len(votes.models)
    wins = np.bincount(votes.a, votes.weight * won, models) + np.bincount(votes.b, votes.weight * (1 - won), models)
    rates: Floats = wins / (np.bincount(votes.a, votes.weight, models) + np.bincount(votes.b, votes.weight, models))
    return rates


def fit(votes: Votes, ties: str, cluster: str | None) -> tuple[Fit, list[str]]:
    """The ratings, and what a reader has to know of them."""
    weight = votes.by_battle(votes.weight)
    squared = None if np.all(votes.weight == 1) else votes.by_battle(votes.weight**2)
    notes = []
    prior_sd = None
    if not bradley_terry.estimable(weight):
        prior_sd = PRIOR_SD_ELO
        notes.append(f"some models only won or only lost against the rest: their ratings lean on a prior of {PRIOR_SD_ELO:.0f} Elo")
    battles = np.bincount(np.concatenate([votes.a, votes.b]), minlength=len(votes.models))
    fitted = replace(bradley_terry.fit(weight, MODELS[ties], prior_sd, squared), votes=battles)
    if not fitted.connected:
        notes.append("battles do not link all models: the distance between the parts comes from the prior alone")
    if cluster:
        groups = _clusters(votes, cluster)
        covariance = bradley_terry.clustered(fitted, MODELS[ties], votes.a, votes.b, votes.outcome_of_3, votes.weight, groups)
        notes.append(f"intervals by {cluster}: {len(np.unique(groups)):,} clusters")
        fitted = replace(fitted, covariance=covariance)
    return fitted, notes


def _clusters(votes: Votes, cluster: str) -> Ints:
    groups, names = (votes.user, votes_module.USER) if cluster == "user" else (votes.prompt, votes_module.PROMPT)
    if groups is None:
        raise ElectorateError(f"--cluster {cluster}: the votes have no column {' or '.join(names)}")
    if len(np.unique(groups)) < 2:
        raise ElectorateError(f"--cluster {cluster}: all votes have the same {names[0]}; at least two are needed")
    return groups


def _shift(anchor: str, models: tuple[str, ...], fit: Fit) -> float:
    """What `MODEL=RATING` adds to every rating."""
    name, _, value = anchor.rpartition("=")
    try:
        rating = float(value)
    except ValueError:
        rating = float("nan")
    if not name or not np.isfinite(rating):
        raise ElectorateError(f"--anchor {anchor}: not of the form MODEL=RATING, such as --anchor {models[0]}=1000")
    if name not in models:
        raise ElectorateError(f"--anchor {anchor}: {name!r} is in no vote; models are {', '.join(models[:20])}")
    return rating - float(to_elo(fit.strength)[models.index(name)])


def _show(rows: list[Row], win_rate: Floats, title: str, console: Console) -> None:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("rank", justify="right")
    table.add_column("model", no_wrap=True)
    for heading in ("rating", "95% interval", "rank range", "votes", "win rate"):
        table.add_column(heading, justify="right")
    for place, (row, rate_) in enumerate(zip(rows, win_rate, strict=True), start=1):
        interval = f"{row['ci_low']:.1f} to {row['ci_high']:.1f}"
        span = f"{row['rank_low']} to {row['rank_high']}"
        table.add_row(str(place), row["model"], f"{row['rating']:.1f}", interval, span, f"{row['votes']:,}", f"{rate_:.3f}")
    console.print(table)
