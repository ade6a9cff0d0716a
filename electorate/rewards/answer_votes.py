"""The votes a reward model learns from: of users, on answers to prompts."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from electorate.base.draws import Stream, generator
from electorate.base.scale import Ints
from electorate.base.votes import Votes
from electorate.ratings.user_votes import UserVotes

HELD_OUT = 8  # one prompt in so many is kept from the network, to tell when it has learned enough


@dataclass(frozen=True, kw_only=True)
class AnswerVotes(UserVotes):
    """Votes by user, each on a known prompt.

    Attributes:
        prompt: (votes,) which.
        answer_a, answer_b: (votes,) which answers of the two models.
        made: (votes,) 1 where a judge made the vote and no person cast it: it is learned from, and
            says nothing of how well people are predicted. None: of none.
    """

    prompt: Ints
    answer_a: Ints
    answer_b: Ints
    made: Ints | None = None

    @classmethod
    def of_run(cls, votes: Votes, archetype: Ints, models: int) -> "AnswerVotes":
        """From votes read back from the log of a run, whose answers lie prompt by prompt."""
        if votes.prompt is None:
            raise ValueError("votes on unknown prompts")
        first = votes.prompt * models
        return cls.of(
            votes, archetype=archetype, answer_a=first + votes.a, answer_b=first + votes.b
        )

    @cached_property
    def prompts(self) -> Ints:
        """The prompts that have votes, ascending."""
        return np.unique(self.prompt)

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
