"""The questions that battles put to a judge: always in both orders."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from electorate.base.columns import Columns
from electorate.base.pairs import pair_indices
from electorate.base.scale import Ints
from electorate.polls.wording import Question


@dataclass(frozen=True)
class Battles(Columns):
    """n battles as columns (n,): persona and prompt as places in their lists, and two texts as
    places among the answers.
    """

    persona: Ints
    prompt: Ints
    a: Ints
    b: Ints


@dataclass(frozen=True)
class JudgedTexts:
    """What is judged: prompts, and answers by (prompt, contestant)."""

    prompts: Sequence[str]
    answers: Sequence[Sequence[str]]


def round_robin(personas: Ints, prompts: Ints, contestants: int) -> Battles:
    """Every pair of contestants on each of the prompts, for each of the personas."""
    a, b = pair_indices(contestants)
    each = len(prompts) * len(a)
    return Battles(
        np.repeat(personas, each),
        np.tile(np.repeat(prompts, len(a)), len(personas)),
        np.tile(a, len(prompts) * len(personas)),
        np.tile(b, len(prompts) * len(personas)),
    )


def questions(
    battles: Battles, texts: JudgedTexts, judge: str, mode: str, order: int = 0, fenced: bool = True
) -> list[Question]:
    """Two questions a battle: A shown first, then B."""
    asked = []
    for persona, prompt, a, b in zip(
        battles.persona, battles.prompt, battles.a, battles.b, strict=True
    ):
        of_a = texts.answers[prompt][a]
        of_b = texts.answers[prompt][b]
        for shown in ((of_a, of_b), (of_b, of_a)):
            asked.append(
                Question(judge, mode, int(persona), texts.prompts[prompt], shown, order, fenced)
            )
    return asked


def rankings(
    personas: Ints, prompts: Ints, texts: JudgedTexts, judge: str
) -> tuple[list[Question], list[Ints]]:
    """For every persona and prompt, all answers shown at once, once for each answer that may
    come first: places move round, so that no answer gains by where it stands. Returns the
    questions, and the contestants in the order each shows them.
    """
    asked = list[Question]()
    shown = list[Ints]()
    for persona in personas:
        for prompt in prompts:
            answers = texts.answers[prompt]
            for turn in range(len(answers)):
                order = np.roll(np.arange(len(answers)), turn)
                asked.append(
                    Question(
                        judge,
                        "ranking",
                        int(persona),
                        texts.prompts[prompt],
                        tuple(answers[i] for i in order),
                    )
                )
                shown.append(order)
    return asked, shown
