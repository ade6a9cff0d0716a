"""Persona cards: what a judge is told about the person it decides for."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import pyarrow as pa

from electorate.draws import Stream, generator
from electorate.errors import ElectorateError
from electorate.polls.config import PersonaSettings

EVERYBODY = "everybody"
IS = "Who they are"


@dataclass(frozen=True)
class Card:
    """A persona: its id, the segment it belongs to, and its attributes in their first order."""

    persona: str
    segment: str
    attributes: tuple[tuple[str, str], ...]

    def text(self, order: int = 0) -> str:
        """A line an attribute. order 0 is the card's own; any other is a permutation of its own, the same at every call."""
        if not order:
            return "\n".join(map(_line, self.attributes))
        moved = generator(order, Stream.CARD_ORDER, _number(self.persona)).permutation(len(self.attributes))
        return "\n".join(_line(self.attributes[i]) for i in moved)


def of(settings: PersonaSettings, seed: int) -> list[Card]:
    """The personas of a poll. Raises ElectorateError for a file that holds none, or fewer than are asked for."""
    return _drawn(settings.size, seed) if settings.source == "builtin" else _read(settings)


def table(cards: Sequence[Card]) -> pa.Table:
    """The columns of personas.parquet."""
    return pa.table({"user_id": [c.persona for c in cards], "archetype": [c.segment for c in cards], "card": [c.text() for c in cards]})


def _line(attribute: tuple[str, str]) -> str:
    name, value = attribute
    return f"{name.replace('_', ' ')}: {value}"


def _number(persona: str) -> int:
    return int.from_bytes(persona.encode()[-7:], "big")


def _drawn(size: int, seed: int) -> list[Card]:
    """Archetypes in turn, each persona with traits of its own; the first ones are the same whatever the size."""
    known = json.loads((files("electorate") / "data" / "traits.json").read_text(encoding="utf-8"))
    archetypes, traits = list(known["archetypes"].items()), list(known["traits"].items())
    cards = []
    for i in range(size):
        name, description = archetypes[i % len(archetypes)]
        which = generator(seed, Stream.CARDS, i).random(len(traits))
        drawn = [(trait, values[int(at * len(values))]) for (trait, values), at in zip(traits, which, strict=True)]
        cards.append(Card(f"persona-{i}", name, ((IS, description), *drawn)))
    return cards


def _read(settings: PersonaSettings) -> list[Card]:
    path, cards = Path(settings.source), list[Card]()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ElectorateError(f"personas.source: {path}: {error}; give builtin or a personas.jsonl of `import personas`") from None
    for number, line in enumerate(lines, start=1):
        if len(cards) == settings.size:
            break
        if line.strip():
            cards.append(_card(line, f"{path}: line {number}", settings.segment_by))
    if len(cards) < settings.size:
        raise ElectorateError(f"personas.size: {settings.size} are asked for, and {path} holds {len(cards)}; lower it")
    if len({card.persona for card in cards}) < len(cards):
        raise ElectorateError(f"{path}: a persona's id is there twice; each once")
    return cards


def _card(line: str, where: str, segment_by: str | None) -> Card:
    try:
        row = json.loads(line)
        persona, attributes = row["id"], row["attributes"]
        shaped = isinstance(persona, str) and isinstance(attributes, dict) and bool(attributes)
    except (ValueError, KeyError, TypeError, RecursionError):
        shaped = False
    if not shaped:
        raise ElectorateError(f'{where}: is not {{"id": ..., "attributes": {{...}}}}; `import personas` writes such a file')
    if segment_by is not None and segment_by not in attributes:
        there = ", ".join(list(attributes)[:12])
        raise ElectorateError(f"personas.segment_by: {where} has no attribute {segment_by!r}; it has {there}")
    segment = EVERYBODY if segment_by is None else str(attributes[segment_by])
    return Card(persona, segment, tuple((str(name), str(value)) for name, value in attributes.items()))
