"""Votes as columns: the one type, whoever cast them and whatever takes them."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from electorate.base.columns import Columns
from electorate.base.pairs import sides
from electorate.base.scale import Floats, Ints

TIE = 2
BOTH_BAD = 3
OUTCOMES = 3  # of a vote as ratings take it: A, B, tie
MISSING = -1  # a prompt, or which response was shown first, that is not known


@dataclass(frozen=True, kw_only=True)
class Votes(Columns):
    """n votes on two responses each. What one part of the system knows besides is in a subclass.

    Attributes:
        user: (n,) who cast each.
        a, b: (n,) the models whose responses they are.
        outcome: (n,) 0 A, 1 B, 2 tie, 3 both bad.
        weight: (n,) as how many votes each counts; None: 1.
        prompt: (n,) what each was about, MISSING where that is not known; None: of none.
        first_shown: (n,) 0 where A was shown first, 1 where B was, MISSING where that is not known;
            None: of none.
    """

    user: Ints
    a: Ints
    b: Ints
    outcome: Ints
    weight: Floats | None = None
    prompt: Ints | None = None
    first_shown: Ints | None = None

    @classmethod
    def of(cls, votes: "Votes", **more: object) -> Self:
        """The columns that all votes have, of these ones, and the columns that are given."""
        return cls(**{name: getattr(votes, name) for name in SHARED} | more)

    @property
    def weights(self) -> Floats:
        """(n,) The weight of each vote."""
        return np.ones(len(self)) if self.weight is None else self.weight

    @property
    def total(self) -> float:
        """As how many votes they count."""
        return float(self.weights.sum())

    @property
    def side(self) -> Floats:
        """(n,) +1 where A was shown first, -1 where B was, 0 where it is not known."""
        return np.zeros(len(self)) if self.first_shown is None else sides(self.first_shown)

    @property
    def outcome_of_3(self) -> Ints:
        """(n,) 0 A, 1 B, 2 tie: both bad says no more of who is better than a tie does."""
        return np.minimum(self.outcome, TIE)

    def pair(self, models: int) -> Ints:
        """(n,) the same number for votes on the same two of so many models, whichever is A."""
        return np.minimum(self.a, self.b) * models + np.maximum(self.a, self.b)

    def battle(self, models: int, group: Ints | int = 0) -> Ints:
        """(n,) where in (groups, M, M, 3) each vote counts.

        Args:
            models: how many there are.
            group: (n,) of each vote.
        """
        place = (group * models + self.a) * models + self.b
        return place * OUTCOMES + self.outcome_of_3

    def by_battle(self, models: int, values: Floats | None = None) -> Floats:
        """(M, M, 3): sums over the votes of each ordered pair and outcome.

        Args:
            values: (n,) what is summed; None: the weights.
        """
        each = self.weights if values is None else values
        size = models * models * OUTCOMES
        return (
            np.bincount(self.battle(models), each, size)
            .astype(float, copy=False)
            .reshape(models, models, OUTCOMES)
        )


SHARED = ("user", "a", "b", "outcome", "weight", "prompt", "first_shown")
