"""What shows the progress of a long stage, wherever that is shown."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Advance(Protocol):
    """Says that n more units of a stage are done."""

    def __call__(self, n: int = 1) -> None:
        """Units done since the last call."""
        ...


# From what a stage is called, its units, and how many of them are done before it starts.
Bar = Callable[[str, int, int], AbstractContextManager[Advance]]


def unshown(*_: object) -> AbstractContextManager[Advance]:
    """A Bar that shows nothing."""
    return nullcontext(lambda n=1: None)  # noqa: ARG005 as Advance has it
