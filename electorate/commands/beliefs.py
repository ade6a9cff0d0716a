"""How far judges can be believed, in the terminal: in full after a run of model voters, in short
beside whatever its votes are used for.
"""

from typing import Any

import pyarrow as pa
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from electorate.storage import files
from electorate.storage.places import Place

NAME = "validity.parquet"
VALIDITY = pa.schema(
    [
        ("name", pa.string()),
        ("judge", pa.string()),
        ("value", pa.float64()),
        ("ci_low", pa.float64()),
        ("ci_high", pa.float64()),
        ("n", pa.int32()),
        ("beside", pa.float64()),
        ("beside_what", pa.string()),
        ("says", pa.string()),
    ]
)
Row = dict[str, Any]


def read(folder: Place) -> list[Row]:
    """The checks in the folder of a run of model voters; none where it has none."""
    path = folder / NAME
    return files.read_table(path).to_pylist() if path.exists() else []


def show(folder: Place, console: Console) -> None:
    """Every check beside what it is to be read against, judge by judge."""
    rows = read(folder)
    table = Table(
        title="how far the judges can be believed",
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("check")
    for heading in ("value", "95% interval", "n", "beside"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("which is")
    for judge in dict.fromkeys(row["judge"] for row in rows):
        table.add_row(Text(f"[{judge}]"))
        for row in rows:
            if row["judge"] == judge:
                beside = (
                    "" if row["beside"] is None else f"{row['beside']:.3f} {row['beside_what']}"
                )
                known = row["value"] == row["value"]
                value, interval = (
                    (f"{row['value']:.3f}", f"{row['ci_low']:.3f} to {row['ci_high']:.3f}")
                    if known
                    else ("none", "")
                )
                table.add_row(
                    f"  {row['name']}", value, interval, f"{row['n']:,}", beside, row["says"]
                )
    console.print(table)


def beside(folder: Place, console: Console) -> None:
    """Print what must not be missing beside a result drawn from the votes of a folder, if judges
    cast them: how far they agree with themselves and with others.
    """
    for row in read(folder):
        if "kappa" in row["name"]:
            interval = f"[{row['ci_low']:.2f}, {row['ci_high']:.2f}]"
            console.print(
                f"judged by a model ({row['judge']}): {row['name']} {row['value']:.2f} "
                f"{interval}, {row['says']}",
                highlight=False,
            )
