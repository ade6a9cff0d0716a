"""Answers as tokens: what a reward model reads, cut where it is too long."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from electorate.base.errors import ElectorateError
from electorate.base.scale import Ints

CHARACTERS = 16  # a token, at most; more than a budget can hold is not tokenised in the first place
PROMPT_SHARE = 4  # a prompt may take one token in so many of the budget
MARK = "\x1f"


@dataclass(frozen=True)
class Answer:
    """Token ids: before (the prompt and what a chat template puts around it), of the answer
    itself, and after.
    """

    before: Ints
    answer: Ints
    after: Ints


def cut(ids: Ints, budget: int) -> Ints:
    """Head and tail of what is longer than the budget, the middle left out: both ends say more
    than either alone.
    """
    if len(ids) <= budget:
        return ids
    tail = budget // 2
    return np.concatenate([ids[: budget - tail], ids[len(ids) - tail :]])


def clip(text: str, tokens: int) -> str:
    """The same by characters, far above what so many tokens can hold."""
    half = CHARACTERS * tokens // 2
    return text if len(text) <= 2 * half else text[:half] + text[-half:]


def tokenise(
    tokenizer: Any, prompts: Sequence[str], responses: Sequence[str], max_tokens: int
) -> list[Answer]:
    """Every answer to its prompt, at most max_tokens together. An empty answer is no tokens.

    A chat template is followed where the tokenizer has one; else prompt and answer are a pair of
    texts.
    """
    before, after = _frames(tokenizer, sorted(set(prompts)), max_tokens // PROMPT_SHARE)
    clipped = [clip(text, max_tokens) for text in responses]
    bodies = (
        tokenizer(clipped, add_special_tokens=False, verbose=False)["input_ids"] if clipped else []
    )
    found = []
    for prompt, body in zip(prompts, bodies, strict=True):
        room = max_tokens - len(before[prompt]) - len(after)
        found.append(Answer(before[prompt], cut(np.array(body, dtype=np.int64), room), after))
    return found


def _frames(tokenizer: Any, prompts: Sequence[str], budget: int) -> tuple[dict[str, Ints], Ints]:
    """What goes before an answer, for each prompt, and after it."""

    def ids(text: str) -> Ints:
        return np.array(
            tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"], dtype=np.int64
        )

    if tokenizer.chat_template:
        turns = [{"role": "user", "content": MARK}, {"role": "assistant", "content": MARK}]
        try:
            head, between, tail = tokenizer.apply_chat_template(turns, tokenize=False).split(MARK)
        except ValueError:
            raise ElectorateError(
                "reward.model: its chat template does not keep the texts it is given; choose "
                "another model"
            ) from None
        start = ids(head)
        middle = ids(between)
        end = ids(tail)
    else:
        first = tokenizer.cls_token_id
        between_ = tokenizer.sep_token_id
        last = tokenizer.sep_token_id
        start, middle, end = (
            np.array([] if i is None else [i], dtype=np.int64) for i in (first, between_, last)
        )
    return {
        prompt: np.concatenate([start, cut(ids(clip(prompt, budget)), budget), middle])
        for prompt in prompts
    }, end
