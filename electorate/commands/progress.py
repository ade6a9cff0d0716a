"""Progress of long stages: bars in a terminal, a line now and then in a job's log."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from electorate.base.progress import Advance

LOG_EVERY_S = 10.0


@contextmanager
def bar(console: Console, what: str, total: int | None, done: int = 0) -> Iterator[Advance]:
    """Show a stage of `total` units (None: unknown), `done` of them before it starts."""
    with (_terminal if console.is_terminal else _log)(console, what, total, done) as advance:
        yield advance


@contextmanager
def _terminal(console: Console, what: str, total: int | None, done: int) -> Iterator[Advance]:
    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(what, total=total, completed=done)
        yield lambda n=1: progress.advance(task, n)
        if total is None:
            progress.update(task, total=1, completed=1)


@contextmanager
def _log(console: Console, what: str, total: int | None, done: int) -> Iterator[Advance]:
    count = done
    start = time.monotonic()
    last = time.monotonic()

    def say(end: str = "") -> None:
        of = "" if total is None else f" {count:,}/{total:,}"
        console.print(f"{what}{of}, {time.monotonic() - start:.0f} s{end}", highlight=False)
        sys.stdout.flush()

    def advance(n: int = 1) -> None:
        nonlocal count, last
        count += n
        if time.monotonic() - last >= LOG_EVERY_S:
            last = time.monotonic()
            say()

    yield advance
    say(", done")
