"""`rate`: a leaderboard from a file of votes, whoever cast them. Needs neither Ray nor a run."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from electorate.base.errors import ElectorateError
from electorate.base.scale import ELO_PER_NAT, to_elo
from electorate.commands import beliefs, board_page, boards, next_step
from electorate.commands.boards import Board
from electorate.data import features, vote_files
from electorate.data.votes import NamedVotes
from electorate.evaluation import judged as judged_module
from electorate.evaluation.rating import (
    Options,
    Rated,
    first_place,
    fit,
    position_line,
)
from electorate.ratings import leaderboard
from electorate.ratings.thresholds import Thresholds, Thumbs
from electorate.storage import tables
from electorate.storage.tables import SetAside

PAGE = ".html"
GROUPS_SHOWN = 6
MODELS_SHOWN = 15


@dataclass(frozen=True)
class Asked:
    """What is asked of `rate` beside how votes are rated.

    Attributes:
        anchor: MODEL=RATING, or none.
        out: a file for the board, or none.
        judged: a file of a model's votes, to be rated beside people's.
        by: a column whose values get boards of their own.
        matrix: whether to print who beats whom.
        winner: the columns that say who won.
    """

    anchor: str | None = None
    out: Path | None = None
    judged: Path | None = None
    by: str | None = None
    matrix: bool = False
    winner: tuple[str, ...] = (vote_files.REQUIRED[2],)


def rate(path: Path, options: Options, asked: Asked, console: Console) -> None:
    """Print the leaderboard of a vote file, best first, and write it where that is asked for.

    Raises ElectorateError for what the user can put right; what was left out is said.
    """
    _check(options, path, asked)
    if asked.judged is None:
        votes, set_aside = vote_files.read(
            path, options.style, thumbs=asked.by is None, by=asked.by, winner=asked.winner
        )
        _show_left_out(votes, set_aside, console)
        rated = fit(votes, options)
    else:
        _check_plain(options, asked)
        votes, of_model, set_aside = judged_module.read(path, asked.judged)
        _show_left_out(votes, set_aside, console)
        rated, _ = judged_module.rate(votes, of_model, options.ties)
    for note in rated.notes:
        console.print(note, highlight=False, soft_wrap=True)
    board = boards.board(votes, rated, options, asked.anchor)
    title = f"{_counted(votes)}, {len(board.rows)} models, ties: {options.ties}"
    _show(board, title, console)
    if votes.thumbs is not None and rated.thresholds is not None:
        _show_thresholds(votes.thumbs, rated.thresholds, console)
    notes = []
    if (asked.judged, votes.thumbs, options.weigh) == (None, None, "votes"):
        notes = first_place(votes, rated, options.ties)
        for line in notes:
            console.print(line, highlight=False, soft_wrap=True)
    beliefs.beside(path.parent, console)
    _show_held_equal(rated, votes, console)
    groups = [] if asked.by is None else _show_groups(board, asked.by, options, asked, console)
    if asked.matrix:
        _show_matrix(board, console)
    if asked.out:
        _write(asked.out, f"{path.name}: {title}", [board, *groups], [*rated.notes, *notes])
        console.print(f"leaderboard: {asked.out}", highlight=False, soft_wrap=True)
    _tell_next(path, votes, console)


def _write(out: Path, title: str, all_boards: list[Board], notes: list[str]) -> None:
    """To a page, or to a table with a column `group` where there are several boards."""
    if out.suffix == PAGE:
        board_page.write(out, title, all_boards, notes)
        return
    rows = [row for board in all_boards for row in board.rows]
    if len(all_boards) > 1:
        rows = [{"group": board.group, **row} for board in all_boards for row in board.rows]
    table = pa.Table.from_pylist(rows)
    tables.write(out, tables.for_spreadsheets(table) if out.suffix == ".csv" else table)


def _show_groups(
    board: Board, by: str, options: Options, asked: Asked, console: Console
) -> list[Board]:
    """The boards by the values of a column, their ranks side by side."""
    groups, few = boards.by_group(board.votes, options, asked.anchor)
    if few:
        line = f"no board, of fewer than {boards.FEWEST_VOTES} votes: {', '.join(few)}"
        console.print(line, highlight=False, soft_wrap=True)
    shown = groups[:GROUPS_SHOWN]
    table = Table(title=f"rank (rating) by {by}", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("model", no_wrap=True)
    for group in shown:
        table.add_column(f"{group.group}\n{len(group.votes):,} votes", justify="right")
    for row in board.rows:
        places = [group.rank(row["model"]) for group in shown]
        cells = ["" if of is None else f"{of[0]} ({of[1]:.0f})" for of in places]
        table.add_row(row["model"], *cells)
    console.print(table)
    if len(groups) > len(shown):
        line = f"and {len(groups) - len(shown):,} more groups, which --out has"
        console.print(line, highlight=False)
    return groups


def _show_matrix(board: Board, console: Console) -> None:
    """Of 100 battles, how many the row's model won."""
    won, met = leaderboard.win_matrix(board.votes.by_battle(len(board.votes.models)))
    place = {model: m for m, model in enumerate(board.votes.models)}
    order = [place[row["model"]] for row in board.rows[:MODELS_SHOWN]]
    title = "won of 100 battles, row against column, ties half"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("model", no_wrap=True)
    for i in range(1, len(order) + 1):
        table.add_column(str(i), justify="right")
    for i, a in enumerate(order, start=1):
        cells = [f"{100 * won[a, b] / met[a, b]:.0f}" if met[a, b] else "" for b in order]
        table.add_row(f"{i}. {board.votes.models[a]}", *cells)
    console.print(table)
    if len(board.rows) > len(order):
        console.print(f"the first {len(order)} models; --out board.html has more", highlight=False)


def _show_held_equal(rated: Rated, votes: NamedVotes, console: Console) -> None:
    """What position and style are worth, where ratings hold them equal."""
    if rated.first is not None:
        console.print(position_line(*rated.first), highlight=False, soft_wrap=True)
    if rated.style is None or votes.style is None:
        return
    differs = np.abs(votes.style).max(axis=0) > 0
    for i, name in enumerate(features.CONTROLS):
        if differs[i]:
            effect = float(rated.style.effect[i])
            half = 1.96 * float(rated.style.sd[i])
            line = (
                f"style held equal: {name} {effect:+.1f} Elo a standard deviation (+- {half:.1f})"
            )
            console.print(line, highlight=False)
    alike = [name for name, does in zip(features.CONTROLS, differs, strict=True) if not does]
    if alike:
        line = f"style that no two answers differ in: {', '.join(alike)}"
        console.print(line, highlight=False)


def _tell_next(path: Path, votes: NamedVotes, console: Console) -> None:
    if not votes.names_users or votes.prompt is None:
        why = "does everybody rank so? with columns user_id and prompt_id"
    else:
        why = "does everybody rank so?"
    next_step.tell(console, f"electorate human {path} --out runs/{path.stem}    ({why})")


def _check(options: Options, path: Path, asked: Asked) -> None:
    out = asked.out
    if options.style and options.intervals == "bootstrap":
        raise ElectorateError(
            "--intervals bootstrap: not with --style, whose intervals are the sandwich's; leave "
            "one out"
        )
    if out:
        if out.suffix != PAGE:
            tables.check_writable(out)
        if out.resolve() == path.resolve():
            raise ElectorateError(f"--out {out}: is the file of votes itself; give another")


def _check_plain(options: Options, asked: Asked) -> None:
    """Refuse what is not possible with --judged."""
    plain = Options(options.ties)
    given = [
        name
        for name in ("cluster", "intervals", "weigh", "style")
        if getattr(options, name) != getattr(plain, name)
    ]
    given += [name for name in ("by", "winner") if getattr(asked, name) != getattr(Asked(), name)]
    for name in given:
        raise ElectorateError(
            f"--{name}: not with --judged, whose intervals are clustered by prompt; leave one out"
        )


def _show_left_out(votes: NamedVotes, set_aside: list[SetAside], console: Console) -> None:
    taken = len(votes) + (0 if votes.thumbs is None else len(votes.thumbs))
    if len(set_aside) > taken:
        few = f"only {taken:,} of {taken + len(set_aside):,} rows are votes"
        console.print(few, highlight=False)
    for line in vote_files.by_reason(set_aside):
        console.print(f"left out: {line}", highlight=False, soft_wrap=True)


def _counted(votes: NamedVotes) -> str:
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


def _show(board: Board, title: str, console: Console) -> None:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("rank", justify="right")
    table.add_column("model", no_wrap=True)
    for heading in ("rating", "95% interval", "rank range", "votes", "win rate"):
        table.add_column(heading, justify="right")
    for place, (row, rate_) in enumerate(zip(board.rows, board.win_rate, strict=True), start=1):
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
