"""Answers laid end to end for one pass of a model: no padding, and a shared prompt once.

A causal model's states of a prompt do not hang on what follows it, so answers to one prompt share
them: a pass holds the prompt once and every answer attends to it (prefix sharing; Wang and Hegde,
2024, arXiv:2410.20305). A model that reads in both directions reads prompt and answer as one
sequence, and is packed only.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from electorate.base.scale import Ints
from electorate.rewards.texts import PROMPT_SHARE, Answer, cut

NO_PREFIX = -1
# A prompt's keys and values are laid out again for every answer that attends to them; they are at
# most so small a part of what a pass keeps of a token.
KEYS_AGAIN = 8
# How answers lie in a pass: their prompts read once, each after its own prompt, or each in a row
# of its own that is as long as the longest.
Packing = Literal["shared", "packed", "padded"]


@dataclass(frozen=True)
class Window:
    """A sequence that a model reads: as much of an answer as its context holds. before and after:
    as of Answer, before cut to its share of the context.
    """

    before: Ints
    body: Ints
    after: Ints

    def __len__(self) -> int:
        return len(self.before) + len(self.body) + len(self.after)


@dataclass(frozen=True)
class Pack:
    """T tokens of n answers for one pass.

    Attributes:
        ids, positions: (T,) tokens, and their places in their sequences.
        lengths: of the segments that the tokens fall into, in order.
        prefix: the segment that each segment attends to before itself; NO_PREFIX for none.
        body: indices of the tokens of the answers themselves, answer by answer.
        sizes: (n,) how many of them each answer has.
        last: (n,) the index of each answer's last token, whatever follows the answer included.
    """

    ids: Ints
    positions: Ints
    lengths: list[int]
    prefix: list[int]
    body: Ints
    sizes: list[int]
    last: Ints


def windows(answer: Answer, context: int) -> list[Window]:
    """An answer in as many sequences as a context of so many tokens asks for."""
    # A long prompt must leave most of a window to the answer.
    before = cut(answer.before, context // PROMPT_SHARE)
    if not len(before) + len(answer.answer) + len(answer.after):
        before = np.zeros(1, dtype=np.int64)  # a model must read something
    room = context - len(before) - len(answer.after)
    edges = [*range(0, max(1, len(answer.answer)), room), len(answer.answer)]
    return [
        Window(before, answer.answer[start:stop], answer.after) for start, stop in pairwise(edges)
    ]


def passes(
    answers: Sequence[Answer], context: int, budget: int, layout: Packing
) -> list[Sequence[Answer]]:
    """Answers, in order, for passes of at most `budget` tokens each, as `cost` counts them.

    An answer is in one pass, with all its windows; one that is longer than the budget has a pass
    of its own.

    Args:
        context: tokens a sequence may have.
    """
    edges = [0]
    held = _Held(layout)
    for i, answer in enumerate(answers):
        own = windows(answer, context)
        if i > edges[-1] and held.tokens_with(own) > budget:
            edges.append(i)
            held = _Held(layout)
        held.add(own)
    return [answers[first:last] for first, last in pairwise([*edges, len(answers)])]


def cost(answers: Sequence[Answer], context: int, layout: Packing) -> int:
    """Tokens that one pass over all these answers holds, padding included; where they share
    prompts, KEYS_AGAIN's part of a prompt for every sequence that does too.
    """
    held = _Held(layout)
    for answer in answers:
        held.add(windows(answer, context))
    return held.tokens


class _Held:
    """What a pass holds so far."""

    def __init__(self, layout: Packing) -> None:
        self.tokens = 0
        self._layout = layout
        self._prompts = set[bytes]()
        self._rows = 0
        self._longest = 0

    def tokens_with(self, own: Sequence[Window]) -> int:
        """Tokens once these windows of an answer are added."""
        if self._layout == "padded":
            return (self._rows + len(own)) * max(self._longest, *map(len, own))
        more = sum(map(len, own))
        if self._layout == "shared":
            prompt = len(own[0].before)
            seen = own[0].before.tobytes() in self._prompts
            more -= (len(own) - (0 if seen else 1)) * prompt
            more += -(-len(own) * prompt // KEYS_AGAIN)
        return self.tokens + more

    def add(self, own: Sequence[Window]) -> None:
        """Add a prompt's answers to the pack."""
        self.tokens = self.tokens_with(own)
        self._prompts.add(own[0].before.tobytes())
        self._rows += len(own)
        self._longest = max(self._longest, *map(len, own))


def pack(answers: Sequence[Answer], context: int, shared: bool) -> Pack:
    """All these answers as one pass."""
    layout = _Packer()
    sizes = list[int]()
    last = list[int]()
    for answer in answers:
        own = windows(answer, context)
        for window in own:
            layout.add(window, shared)
        sizes.append(len(answer.answer))
        last.append(layout.last)
    return layout.pack(sizes, last)


class _Packer:
    """Segments as they are laid out."""

    def __init__(self) -> None:
        self._ids = list[Ints]()
        self._positions = list[Ints]()
        self._prefix = list[int]()
        self._body = list[Ints]()
        self._prompts = dict[bytes, int]()  # to its segment
        self._ends = list[int]()  # of each segment, as an index of a token
        self._tokens = 0
        self.last = 0  # the index of the last token of what was added last

    def add(self, window: Window, shared: bool) -> None:
        """A window: as one segment, or as one that follows its prompt's."""
        if shared and len(window.before):
            prompt = self._prompt(window.before)
            own = np.concatenate([window.body, window.after])
            start = len(window.before)
            before = 0
        else:
            prompt = NO_PREFIX
            own = np.concatenate([window.before, window.body, window.after])
            start = 0
            before = len(window.before)
        first = self._tokens + before
        self._body.append(np.arange(first, first + len(window.body)))
        self.last = self._ends[prompt] if not len(own) else self._tokens + len(own) - 1
        self._segment(own, start, prompt)

    def pack(self, sizes: list[int], last: list[int]) -> Pack:
        """The pack that was laid out."""
        return Pack(
            np.concatenate(self._ids),
            np.concatenate(self._positions),
            [len(ids) for ids in self._ids],
            self._prefix,
            np.concatenate(self._body),
            sizes,
            np.array(last),
        )

    def _prompt(self, before: Ints) -> int:
        key = before.tobytes()
        if key not in self._prompts:
            self._prompts[key] = len(self._ids)
            self._segment(before, 0, NO_PREFIX)
        return self._prompts[key]

    def _segment(self, ids: Ints, start: int, prefix: int) -> None:
        self._ids.append(ids)
        self._positions.append(np.arange(start, start + len(ids)))
        self._prefix.append(prefix)
        self._tokens += len(ids)
        self._ends.append(self._tokens - 1)


def segments(pack: Pack) -> Iterator[tuple[int, int]]:
    """First token and the one past the last of every segment."""
    edges = np.concatenate([[0], np.cumsum(pack.lengths)])
    yield from pairwise(edges.tolist())
