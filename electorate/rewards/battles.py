"""The votes a reward model learns from, as columns, found again by user or by prompt."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from electorate.base.columns import Columns
from electorate.base.draws import Stream, generator
from electorate.base.pairs import sides
from electorate.base.scale import Floats, Ints
from electorate.population.cast import Cast

HELD_OUT = 8  # one prompt in so many is kept from the network, to tell when it has learned enough


@dataclass(frozen=True)
class Battles(Columns):
    """n votes of users 0..len(label)-1, ordered by user.

    Attributes:
        label: (users,) the archetype of each.
        a, b: models.
        answer_a, answer_b: which answers of theirs.
        side: +1 where A was shown first, -1 where B was, 0 where it is not known.
        outcome: 0 A, 1 B, 2 tie.
        weight: how much each counts; None: as one.
    """

    WHOLE = frozenset({"label"})

    label: Ints
    user: Ints
    prompt: Ints
    a: Ints
    b: Ints
    answer_a: Ints
    answer_b: Ints
    side: Floats
    outcome: Ints
    weight: Floats | None = None

    @classmethod
    def of(cls, cast: Cast, label: Ints, models: int) -> "Battles":
        """From votes read back from the log of a run, whose answers lie prompt by prompt."""
        answers = (cast.prompt * models + cast.a, cast.prompt * models + cast.b)
        return cls(
            label,
            cast.user,
            cast.prompt,
            cast.a,
            cast.b,
            *answers,
            sides(cast.first_shown),
            cast.outcome,
        )

    def of_users(self, first: int, last: int) -> "Battles":
        """The votes of users first..last-1, who are counted from 0."""
        own = self.take(slice(*np.searchsorted(self.user, (first, last))))
        return replace(own, label=self.label[first:last], user=own.user - first)

    @property
    def total(self) -> float:
        """How many votes they count as."""
        return float(len(self)) if self.weight is None else float(self.weight.sum())

    @cached_property
    def prompts(self) -> Ints:
        """Those with votes, ascending."""
        return np.unique(self.prompt)

    @cached_property
    def first(self) -> Ints:
        """(users + 1,) where each user's votes begin."""
        return np.searchsorted(self.user, np.arange(len(self.label) + 1))

    def on(self, prompts: Ints) -> Ints:
        """The votes about these prompts."""
        order, edges = self._by_prompt
        place = np.searchsorted(self.prompts, prompts)
        return np.concatenate(
            [order[edges[i] : edges[i + 1]] for i in place] or [np.zeros(0, dtype=np.int64)]
        )

    @cached_property
    def _by_prompt(self) -> tuple[Ints, Ints]:
        order = np.argsort(self.prompt, kind="stable")
        return order, np.append(np.searchsorted(self.prompt[order], self.prompts), len(order))

    def split(self, seed: int, prompts: Ints | None = None) -> tuple[Ints, Ints]:
        """Prompts with votes to learn from and prompts held out, at least one of each where
        there are two.

        prompts: all that may ever have votes, so that more votes move none from one side to the
        other; None: those that have.
        """
        shuffled = generator(seed, Stream.HELD_OUT_PROMPTS).permutation(
            self.prompts if prompts is None else prompts
        )
        there = np.isin(shuffled, self.prompts)
        held_out = int(np.count_nonzero(there[: len(shuffled) // HELD_OUT]))
        shuffled = shuffled[there]
        held_out = min(max(1, held_out), len(shuffled) - 1)
        return np.sort(shuffled[held_out:]), np.sort(shuffled[:held_out])
