"""What adds up over blocks of users: every part is worked out where the block's votes are."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self, TypeVar


@dataclass(frozen=True)
class Summed:
    """A block's part of something; the sum of two blocks' has the sums of all fields."""

    def __add__(self, other: Self) -> Self:
        pairs = ((getattr(self, of.name), getattr(other, of.name)) for of in fields(self))
        return type(self)(*(one + another for one, another in pairs))


Part = TypeVar("Part", bound=Summed)


def in_order(parts: Sequence[Part]) -> Part:
    """The sum in block order, so that floats round the same way whoever worked the parts out."""
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
