"""Prompts that personas write themselves: by topic and difficulty, and no two that say the same."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np

from electorate.base.scale import Floats
from electorate.config.contest import content_key
from electorate.config.engines import Model
from electorate.config.judging import NewPrompts
from electorate.inference.completions import Call
from electorate.polls import wording
from electorate.polls.cards import Card

MAX_TOKENS = 96


def calls(
    settings: NewPrompts, models: Mapping[str, Model], cards: Sequence[Card]
) -> list[tuple[Call, dict[str, str]]]:
    """One request a persona, topic and difficulty, and what the prompt will be known by.

    Neighbours start elsewhere in the topics.
    """
    kinds = list(product(settings.topics, settings.difficulties))
    model = models[settings.model]
    asked = []
    for i, card in enumerate(cards):
        for j in range(settings.per_persona):
            topic, difficulty = kinds[(i * settings.per_persona + j) % len(kinds)]
            body = {
                "messages": [
                    {
                        "role": "user",
                        "content": wording.generation(
                            card.text(), topic, difficulty, 1 + j // len(kinds), settings.template
                        ),
                    }
                ],
                "temperature": settings.temperature,
                "max_tokens": MAX_TOKENS,
            }
            about = {
                "archetype": card.segment,
                "topic": topic,
                "difficulty": difficulty,
                "persona": card.persona,
            }
            asked.append(
                (
                    Call(
                        content_key({"served": model.identity(), "body": body}),
                        settings.model,
                        body,
                    ),
                    about,
                )
            )
    return asked


def distinct(vectors: Floats, most_alike: float) -> list[int]:
    """Rows, in order, whose cosine to every row kept before is at most so much. vectors: (n, d)."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    kept = list[int]()
    for i, row in enumerate(unit):
        if not kept or float((unit[kept] @ row).max()) <= most_alike:
            kept.append(i)
    return kept
