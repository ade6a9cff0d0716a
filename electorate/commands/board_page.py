"""A board as one HTML file that needs nothing else: intervals as bars, who beats whom as a heat
map, and the boards by group.
"""

from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from electorate.commands.boards import Board
from electorate.ratings import leaderboard
from electorate.storage import files

MOST = 40  # models of the heat map
STYLE = """:root { color-scheme: light dark; --line: light-dark(#dfe3ea, #333945); }
body { margin: 0 auto; max-width: 70rem; padding: 1rem; font: 16px/1.5 system-ui, sans-serif; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid var(--line); }
th { font-weight: normal; } .text { text-align: left; } .soft { opacity: .75; }
.bar { position: relative; min-width: 14rem; height: 1rem; }
.bar i { position: absolute; top: .4rem; height: .25rem; background: #0b66b0; }
.bar b { position: absolute; top: .2rem; width: .6rem; height: .6rem; border-radius: 50%;
  margin-left: -.3rem; background: #0b66b0; }
.heat td { text-align: center; padding: .2rem .35rem; }
"""


def write(path: Path, title: str, boards: Sequence[Board], notes: Sequence[str]) -> None:
    """The page. boards: everybody's first, then those by group."""
    first, *groups = boards
    parts = [f"<h1>{escape(title)}</h1>", _leaderboard(first)]
    parts += [f'<p class="soft">{escape(note)}</p>' for note in notes]
    if groups:
        parts += ["<h2>By group</h2>", _by_group(first, groups)]
    parts += ["<h2>Who beats whom</h2>", _matrix(first)]
    files.write_text(
        path,
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>"
        f"{''.join(parts)}</body></html>\n",
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "") -> str:
    """A table whose cells are HTML already."""
    top = "".join(f"<th>{cell}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return (
        f'<div class="wide"><table class="{kind}"><thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _leaderboard(board: Board) -> str:
    low = min(row["ci_low"] for row in board.rows)
    span = max(1.0, max(row["ci_high"] for row in board.rows) - low)

    def at(value: float) -> float:
        return 100 * (value - low) / span

    rows = []
    for place, (row, won) in enumerate(zip(board.rows, board.win_rate, strict=True), start=1):
        left = at(row["ci_low"])
        right = at(row["ci_high"])
        bar = (
            f'<td><div class="bar"><i style="left:{left:.1f}%;width:{right - left:.1f}%"></i>'
            f'<b style="left:{at(row["rating"]):.1f}%"></b></div></td>'
        )
        rate = "" if np.isnan(won) else f"{won:.3f}"
        rows.append(
            [
                f"<td>{place}</td>",
                f'<th class="text" scope="row">{escape(row["model"])}</th>',
                f"<td>{row['rating']:.0f}</td>",
                f"<td>{row['ci_low']:.0f} to {row['ci_high']:.0f}</td>",
                bar,
                f"<td>{row['rank_low']} to {row['rank_high']}</td>",
                f"<td>{row['votes']:,}</td><td>{rate}</td>",
            ]
        )
    head = ["rank", "model", "rating", "95% interval", "", "rank range", "votes", "win rate"]
    return _table(head, rows)


def _by_group(first: Board, groups: Sequence[Board]) -> str:
    rows = []
    for row in first.rows:
        cells = [f'<th class="text" scope="row">{escape(row["model"])}</th>']
        for group in groups:
            found = group.rank(row["model"])
            cells.append("<td></td>" if found is None else f"<td>{found[0]} ({found[1]:.0f})</td>")
        rows.append(cells)
    return _table(["", *(escape(f"{g.group} ({len(g.votes):,})") for g in groups)], rows)


def _matrix(board: Board) -> str:
    won, met = leaderboard.win_matrix(board.votes.by_battle(len(board.votes.models)))
    place = {model: m for m, model in enumerate(board.votes.models)}
    order = [place[row["model"]] for row in board.rows[:MOST]]
    rows = []
    for i, a in enumerate(order, start=1):
        name = escape(board.votes.models[a])
        cells = [f'<th class="text" scope="row">{i}. {name}</th>']
        cells += [_cell(won[a, b], met[a, b]) for b in order]
        rows.append(cells)
    head = ["", *(str(i) for i in range(1, len(order) + 1))]
    note = "Of 100 battles, how many the row's model won against the column's, ties half."
    return f'<p class="soft">{note}</p>{_table(head, rows, "heat")}'


def _cell(won: float, met: float) -> str:
    if not met:
        return "<td></td>"
    share = won / met
    colour = "0, 114, 178" if share >= 0.5 else "213, 94, 0"
    strength = min(0.75, 1.5 * abs(share - 0.5))
    shade = f"rgba({colour}, {strength:.2f})"
    return f'<td style="background:{shade}" title="{met:.0f} battles">{100 * share:.0f}</td>'
