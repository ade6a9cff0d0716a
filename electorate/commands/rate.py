"""`rate`: a leaderboard from a file of votes, whoever cast them. Needs neither Ray nor a run."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from electorate.base.errors import ElectorateError
from electorate.base.scale import ELO_PER_NAT, Floats, to_elo
from electorate.commands import beliefs, next_step
from electorate.data import features
from electorate.data import votes as votes_module
from electorate.data.votes import Votes
from electorate.evaluation import judged as judged_module
from electorate.evaluation.rating import (
    CONFIDENCE,
    Options,
    Rated,
    first_place,
    fit,
    position_line,
    win_rates,
)
from electorate.ratings import leaderboard
from electorate.ratings.bradley_terry import Fit
from electorate.ratings.thresholds import Thresholds, Thumbs
from electorate.storage import tables
from electorate.storage.tables import SetAside

Row = dict[str, Any]


def rate(
    path: Path,
    options: Options,
    anchor: str | None,
    out: Path | None,
    console: Console,
    judged: Path | None = None,
) -> None:
    """Print the leaderboard of a vote file, best first, and write it to `out` if that is given.

    judged: a file of a model's votes, to be rated beside people's.

    Raises ElectorateError for what the user can put right; what was left out is said.
    """
    _check(options, path, out)
    if judged is None:
        votes, set_aside = votes_module.read(path, options.style, thumbs=True)
        _show_left_out(votes, set_aside, console)
        rated = fit(votes, options)
    else:
        _check_plain(options)
        votes, of_model, set_aside = judged_module.read(path, judged)
        _show_left_out(votes, set_aside, console)
        rated, _ = judged_module.rate(votes, of_model, options.ties)
    for note in rated.notes:
        console.print(note, highlight=False, soft_wrap=True)
    shift = 0.0 if anchor is None else _shift(anchor, votes.models, rated.fit)
    rows = leaderboard.rows(votes.models, rated.fit, CONFIDENCE, shift, rated.draws)
    best_first = np.argsort([-row["rating"] for row in rows], kind="stable")
    rows = [rows[m] for m in best_first]
    _show(
        rows,
        win_rates(votes)[best_first],
        f"{_counted(votes)}, {len(rows)} models, ties: {options.ties}",
        console,
    )
    if votes.thumbs is not None and rated.thresholds is not None:
        _show_thresholds(votes.thumbs, rated.thresholds, console)
    if (judged, votes.thumbs, options.weigh) == (None, None, "votes"):
        for line in first_place(votes, rated, options.ties):
            console.print(line, highlight=False, soft_wrap=True)
    beliefs.beside(path, console)
    _show_held_equal(rated, console)
    if out:
        board = pa.Table.from_pylist(rows)
        tables.write(out, tables.for_spreadsheets(board) if out.suffix == ".csv" else board)
        console.print(f"leaderboard: {out}", highlight=False, soft_wrap=True)
    _tell_next(path, votes, console)


def _show_held_equal(rated: Rated, console: Console) -> None:
    """What position and style are worth, where ratings hold them equal."""
    if rated.first is not None:
        console.print(position_line(*rated.first), highlight=False, soft_wrap=True)
    if rated.style is not None:
        for name, effect, sd in zip(features.STYLE, *rated.style, strict=True):
            console.print(
                f"style held equal: {name} {effect:+.1f} Elo a standard deviation (+- "
                f"{1.96 * sd:.1f})",
                highlight=False,
            )


def _tell_next(path: Path, votes: Votes, console: Console) -> None:
    if votes.user is None or votes.prompt is None:
        why = "does everybody rank so? with columns user_id and prompt_id"
    else:
        why = "does everybody rank so?"
    next_step.tell(console, f"electorate human {path} --out runs/{path.stem}    ({why})")


def _check(options: Options, path: Path, out: Path | None) -> None:
    if options.style and options.intervals == "bootstrap":
        raise ElectorateError(
            "--intervals bootstrap: not with --style, whose intervals are the sandwich's; leave "
            "one out"
        )
    if out:
        tables.check_writable(out)
        if out.resolve() == path.resolve():
            raise ElectorateError(f"--out {out}: is the file of votes itself; give another")


def _check_plain(options: Options) -> None:
    """Refuse what is not possible with --judged."""
    plain = Options(options.ties)
    for name in ("cluster", "intervals", "weigh", "style"):
        if getattr(options, name) != getattr(plain, name):
            raise ElectorateError(
                f"--{name}: not with --judged, whose intervals are clustered by prompt; leave one "
                "out"
            )


def _show_left_out(votes: Votes, set_aside: list[SetAside], console: Console) -> None:
    taken = len(votes) + (0 if votes.thumbs is None else len(votes.thumbs))
    if len(set_aside) > taken:
        told = f"only {taken:,} of {taken + len(set_aside):,} rows are votes"
        console.print(told, highlight=False)
    for line in votes_module.by_reason(set_aside):
        console.print(f"left out: {line}", highlight=False, soft_wrap=True)


def _shift(anchor: str, models: tuple[str, ...], fit: Fit) -> float:
    """What `MODEL=RATING` adds to every rating."""
    name, _, value = anchor.rpartition("=")
    try:
        rating = float(value)
    except ValueError:
        rating = float("nan")
    if not name or not np.isfinite(rating):
        raise ElectorateError(
            f"--anchor {anchor}: not of the form MODEL=RATING, such as --anchor {models[0]}=1000"
        )
    if name not in models:
        raise ElectorateError(
            f"--anchor {anchor}: {name!r} is in no vote; models are {', '.join(models[:20])}"
        )
    return rating - float(to_elo(fit.strength)[models.index(name)])


def _counted(votes: Votes) -> str:
    if votes.thumbs is None:
        return f"{len(votes):,} votes"
    return f"{len(votes):,} battles and {len(votes.thumbs):,} thumbs"


def _show_thresholds(thumbs: Thumbs, found: Thresholds, console: Console) -> None:
    """What users ask of an answer, in words."""
    users = len(np.unique(thumbs.user))
    up = np.average(thumbs.up, weights=thumbs.weight)
    line = (
        f"thumbs of {users:,} users, {up:.0%} of them up, each against its user's own threshold: "
        f"on average a rating of {float(to_elo(np.array(found.mean))):.0f}, with a spread of "
        f"{ELO_PER_NAT * found.spread:.0f} between users"
    )
    console.print(line, highlight=False, soft_wrap=True)


def _show(rows: list[Row], win_rate: Floats, title: str, console: Console) -> None:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("rank", justify="right")
    table.add_column("model", no_wrap=True)
    for heading in ("rating", "95% interval", "rank range", "votes", "win rate"):
        table.add_column(heading, justify="right")
    for place, (row, rate_) in enumerate(zip(rows, win_rate, strict=True), start=1):
        interval = f"{row['ci_low']:.1f} to {row['ci_high']:.1f}"
        span = f"{row['rank_low']} to {row['rank_high']}"
        table.add_row(
            str(place),
            row["model"],
            f"{row['rating']:.1f}",
            interval,
            span,
            f"{row['votes']:,}",
            "" if np.isnan(rate_) else f"{rate_:.3f}",
        )
    console.print(table)
