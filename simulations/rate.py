"""`rate`: a leaderboard from a file of votes, whoever cast them. Needs neither Ray nor a run."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from electorate import features
from electorate import votes as votes_module
from electorate.errors import ElectorateError
from electorate.ratings import bootstrap, bradley_terry, contextual, leaderboard
from electorate.ratings.bradley_terry import Fit
from electorate.ratings.contextual import Style
from electorate.ratings.ties import MODELS
from electorate.scale import Floats, Ints, to_elo
from electorate.storage import tables
from electorate.votes import Votes
from simulations.report import beliefs

PRIOR_SD_ELO = 1000.0
CONFIDENCE = 0.95
Row = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """How votes are rated. cluster: prompt, user or None; intervals: sandwich or bootstrap; weigh: votes or pairs."""

    ties: str = "half"
    cluster: str | None = None
    intervals: str = "sandwich"
    weigh: str = "votes"
    style: bool = False


@dataclass(frozen=True)
class Rated:
    """notes: what a reader has to know. draws: bootstrapped strengths, or none. style: effects of style, or none."""

    fit: Fit
    notes: list[str]
    draws: Floats | None = None
    style: Style | None = None


def rate(path: Path, options: Options, anchor: str | None, out: Path | None, console: Console) -> None:
    """Print the leaderboard of a vote file, best first, and write it to `out` if that is given.

    Raises ElectorateError for what the user can put right; what was left out is said.
    """
    if options.style and options.intervals == "bootstrap":
        raise ElectorateError("--intervals bootstrap: not with --style, whose intervals are the sandwich's; leave one out")
    if out:
        tables.check_writable(out)
        if out.resolve() == path.resolve():
            raise ElectorateError(f"--out {out}: is the file of votes itself; give another")
    votes, set_aside = votes_module.read(path, options.style)
    for line in votes_module.by_reason(set_aside):
        console.print(f"left out: {line}", highlight=False, soft_wrap=True)
    rated = fit(votes, options)
    for note in rated.notes:
        console.print(note, highlight=False, soft_wrap=True)
    shift = 0.0 if anchor is None else _shift(anchor, votes.models, rated.fit)
    rows = leaderboard.rows(votes.models, rated.fit, CONFIDENCE, shift, rated.draws)
    best_first = np.argsort([-row["rating"] for row in rows], kind="stable")
    rows = [rows[m] for m in best_first]
    _show(rows, win_rates(votes)[best_first], f"{len(votes):,} votes, {len(rows)} models, ties: {options.ties}", console)
    beliefs.beside(path, console)
    if rated.style is not None:
        for name, effect, sd in zip(features.STYLE, *rated.style, strict=True):
            console.print(f"style held equal: {name} {effect:+.1f} Elo a standard deviation (+- {1.96 * sd:.1f})", highlight=False)
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


def fit(votes: Votes, options: Options) -> Rated:
    """The ratings of votes, by these options."""
    ties, notes, prior_sd = MODELS[options.ties], list[str](), None
    battles = np.bincount(np.concatenate([votes.a, votes.b]), minlength=len(votes.models))
    if options.weigh == "pairs":
        votes = replace(votes, weight=votes.weight * _pair_weights(votes))
    weight = votes.by_battle(votes.weight)
    if not bradley_terry.estimable(weight):
        prior_sd = PRIOR_SD_ELO
        notes.append(f"some models only won or only lost against the rest: their ratings lean on a prior of {PRIOR_SD_ELO:.0f} Elo")
    squared = None if np.all(votes.weight == 1) else votes.by_battle(votes.weight**2)
    fitted = replace(bradley_terry.fit(weight, ties, prior_sd, squared), votes=battles)
    if not fitted.connected:
        notes.append("battles do not link all models: the distance between the parts comes from the prior alone")
    groups = None if options.cluster is None else _clusters(votes, options.cluster)
    if groups is not None:
        notes.append(f"intervals by {options.cluster}: {len(np.unique(groups)):,} clusters")
    if options.intervals == "bootstrap":
        draws = bootstrap.strengths(votes.battle, votes.weight, groups, len(votes.models), ties, PRIOR_SD_ELO)
        covariance = np.zeros_like(fitted.covariance)
        covariance[:-1, :-1] = np.cov(draws.T)
        return Rated(replace(fitted, covariance=covariance), [*notes, f"intervals by {len(draws)} resamples"], draws)
    columns = (votes.a, votes.b, votes.outcome_of_3, votes.weight)
    if votes.style is not None:
        alone = np.arange(len(votes)) if groups is None else groups
        controlled, style = contextual.fit(fitted, *columns, votes.style, ties, prior_sd, alone)
        return Rated(controlled, notes, style=style)
    if groups is not None:
        fitted = replace(fitted, covariance=bradley_terry.clustered(fitted, ties, *columns, groups))
    return Rated(fitted, notes)


def _pair_weights(votes: Votes) -> Floats:
    """(n,) weights, of mean 1, by which every pair of models that met counts alike, however often it did."""
    pair = np.minimum(votes.a, votes.b) * len(votes.models) + np.maximum(votes.a, votes.b)
    met = np.bincount(pair, votes.weight)
    weight: Floats = votes.weight.sum() / (np.count_nonzero(met) * met[pair])
    return weight


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
