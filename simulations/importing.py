"""`import`: a public data set as votes.parquet and responses.parquet, bad rows counted and set aside."""

from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from electorate.errors import ElectorateError
from electorate.importers import alpaca_eval, imported, jsonl, lmsys, mtbench, personas, prism
from electorate.importers.imported import Imported

FORMATS: dict[str, Callable[[Path], Imported]] = {
    "lmsys": lmsys.read,
    "mtbench": mtbench.read,
    "alpaca-eval": alpaca_eval.read,
    "prism": prism.read,
    "jsonl": jsonl.read,
}


def import_data(kind: str, path: Path, out: Path, console: Console) -> None:
    """Read `path` as a data set of this kind into folder `out`, and say what came of every row."""
    if kind == "personas":
        for line in personas.convert(path, out):
            console.print(line, highlight=False, soft_wrap=True)
        return
    imported.check(out)
    found = FORMATS[kind](path)
    if not found.votes and not found.responses:
        first = f"; the first: row {found.set_aside[0].row}: {found.set_aside[0].reason}" if found.set_aside else ""
        raise ElectorateError(f"{path}: nothing in it can be imported as {kind}{first}")
    for line in found.write(out):
        console.print(line, highlight=False, soft_wrap=True)
