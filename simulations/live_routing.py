"""What routing by users' own rankings is worth to them, by their thumbs on a gateway's answers."""

import json
import sqlite3
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from electorate.base.errors import ElectorateError
from electorate.evaluation import off_policy
from electorate.evaluation.off_policy import BY_ALL, BY_USER, Gain, RoutedThumbs, Value
from electorate.online.base import ONLINE
from electorate.online.ledger import THUMBS
from electorate.storage import files

FEWEST_USERS = 5  # that an interval over users is told of
NAME = "routing.json"  # in the folder of online votes
LABELS = {BY_USER: "each user's own ranking", BY_ALL: "everyone's ranking"}


@dataclass(frozen=True)
class Kept:
    """Thumbs that tell of rankings, and how many do not: on answers that no ranking chose, as
    another contestant was passed over.

    Attributes:
        folder: of the online votes.
    """

    folder: Path
    thumbs: RoutedThumbs
    left_out: int


def read(folder: Path) -> Kept | None:
    """The thumbs on answers that a gateway of this folder chose; None where there are none.

    Raises:
        ElectorateError: the database cannot be read.
    """
    path = folder / ONLINE / "votes.sqlite"
    if not path.exists():
        return None
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as db:
            tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
            if "thumbs" not in tables:
                return None
            query = f"SELECT {', '.join(THUMBS)} FROM thumbs ORDER BY at, answer"  # noqa: S608
            rows = [dict(zip(THUMBS, row, strict=True)) for row in db.execute(query)]
    except sqlite3.Error as error:
        raise ElectorateError(f"{path}: cannot be read: {error}") from None
    told = [row for row in rows if row["probability"] > 0]
    return Kept(path.parent, RoutedThumbs.of(told), len(rows) - len(told)) if rows else None


def show(kept: Kept, console: Console) -> None:
    """Print what routing by each ranking is worth, and write it to the folder."""
    thumbs = kept.thumbs
    if not len(thumbs):
        line = f"all {kept.left_out:,} thumbs are on answers that no ranking chose"
        console.print(f"{line}, as others were passed over", highlight=False)
        return
    values = off_policy.values(thumbs)
    gain = off_policy.gain(thumbs)
    left_out = f"; {kept.left_out:,} left out, of answers that no ranking chose"
    table = Table(
        title=f"Thumbs on {len(thumbs):,} answers of the gateway, by {thumbs.users:,} users"
        + (left_out if kept.left_out else ""),
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("routed by")
    for heading in ("thumbs up", "95%", "answers it rests on"):
        table.add_column(heading, justify="right")
    table.add_row("as it was", f"{thumbs.up.mean():.1%}", "", f"{len(thumbs):,}")
    for name, value in values.items():
        table.add_row(LABELS.get(name, f"{name} for all"), *_cells(value))
    console.print(table)
    console.print(verdict(gain, thumbs.users), highlight=False)
    written = {
        "thumbs": len(thumbs),
        "users": thumbs.users,
        "left_out": kept.left_out,
        "gain": asdict(gain),
        "values": {name: asdict(value) for name, value in values.items()},
    }
    path = kept.folder / NAME
    files.write_text(path, json.dumps(_without_nan(written), indent=2) + "\n")
    console.print(f"written: {path}", highlight=False, soft_wrap=True)


def verdict(gain: Gain, users: int) -> str:
    """Whether users' own rankings get more thumbs up than everyone's, in words.

    Args:
        gain: of users' own rankings.
        users: how many gave thumbs.
    """
    if not gain.differ:
        return "users' own rankings and everyone's have the same first contestant on all of them"
    if (why := _why_unknown(gain, users)) is not None:
        return f"whether users' own rankings are worth it is not known: {why}"
    points, low, high = (100 * value for value in (gain.value, gain.low, gain.high))
    found = f"{points:+.1f} percentage points of thumbs up [{low:+.1f}, {high:+.1f}]"
    if gain.low > 0:
        return f"users' own rankings are worth it: {found} over everyone's ranking"
    if gain.high < 0:
        return f"users' own rankings are worse than everyone's: {found}"
    more = ""
    if gain.needed is not None:
        more = (
            f"; about {gain.needed:,} thumbs in all would tell, if the gain is as large as it seems"
        )
    return f"whether users' own rankings are worth it is not yet known: {found}{more}"


def _why_unknown(gain: Gain, users: int) -> str | None:
    """Why nothing is known; None where something is."""
    if not np.isfinite(gain.value):
        return (
            "too few thumbs on answers by everyone's ranking where that has another first "
            "contestant; more come with more requests, and with a larger --holdout"
        )
    if users < FEWEST_USERS:
        return f"{users} users gave thumbs; at least {FEWEST_USERS} are needed"
    return "all thumbs are alike" if gain.low == gain.high else None


def _cells(value: Value) -> tuple[str, str, str]:
    effective = f"{value.effective:,.0f}"
    if not value.reached:
        return "not shown to all", "", effective
    if not np.isfinite(value.value):
        return "too few", "", effective
    interval = "" if value.low == value.high else f"{value.low:.1%} to {value.high:.1%}"
    return f"{value.value:.1%}", interval, effective


def _without_nan(found: object) -> object:
    """The same with None for what is not known, as JSON has no NaN."""
    if isinstance(found, dict):
        return {name: _without_nan(value) for name, value in found.items()}
    if isinstance(found, float) and not np.isfinite(found):
        return None
    return found
