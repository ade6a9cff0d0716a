"""Rows as columns: one way to select and concatenate them, for everything that holds votes."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.integer[Any]] | npt.NDArray[np.bool_] | slice


class Columns:
    """n rows of a frozen dataclass.

    Each field is an array whose first axis is the rows, other Columns of as many rows, or None
    where the column is not there.

    Attributes:
        WHOLE: the fields that belong to all rows, such as the names that codes stand for.
    """

    WHOLE: ClassVar[frozenset[str]] = frozenset()

    def __len__(self) -> int:
        return len(next(iter(self._columns().values())))

    def take(self, rows: Rows) -> Self:
        """These rows, in this order."""
        chosen = {
            name: value.take(rows) if isinstance(value, Columns) else value[rows]
            for name, value in self._columns().items()
        }
        return replace(self, **chosen)  # type: ignore[type-var]  # a dataclass

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """All rows, one part after the other; what belongs to all rows is the first part's."""
        first = parts[0]
        columns = dict[str, Any]()
        for name, value in first._columns().items():
            values = [getattr(part, name) for part in parts]
            is_nested = isinstance(value, Columns)
            columns[name] = type(value).joined(values) if is_nested else np.concatenate(values)
        return replace(first, **columns)  # type: ignore[type-var]  # a dataclass

    def _columns(self) -> dict[str, Any]:
        """The columns that are there."""
        named = ((f.name, getattr(self, f.name)) for f in fields(self))  # type: ignore[arg-type]
        return {name: v for name, v in named if name not in self.WHOLE and v is not None}
