"""Persona cards: what a judge is told about the person it decides for."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from electorate.base.draws import Stream, generator
from electorate.base.errors import ElectorateError
from electorate.base.scale import Ints
from electorate.config.judging import PersonaSettings
from electorate.storage import files
from electorate.storage.places import Place

EVERYBODY = "everybody"
IS = "Who they are"


@dataclass(frozen=True)
class Card:
    """A persona: its id, the segment it belongs to, and its attributes in their first order."""

    persona: str
    segment: str
    attributes: tuple[tuple[str, str], ...]

    def text(self, order: int = 0) -> str:
        """A line an attribute. order 0 is the card's own; any other is a permutation of its own,
        the same at every call.
        """
        if not order:
            return "\n".join(map(_line, self.attributes))
        moved = generator(order, Stream.CARD_ORDER, _number(self.persona)).permutation(
            len(self.attributes)
        )
        return "\n".join(_line(self.attributes[i]) for i in moved)


def in_blocks(settings: PersonaSettings, seed: int, size: int) -> Iterator[list[Card]]:
    """The personas of a run, so many at a time.

    Raises:
        ElectorateError: a file holds none, or fewer than are asked for.
    """
    known = None if settings.source == "builtin" else _read(settings)
    for first in range(0, settings.size, size):
        last = min(first + size, settings.size)
        yield _drawn(first, last, seed) if known is None else known[first:last]


def numbered(cards: Sequence[Card], first: int) -> pa.Table:
    """The columns of a run's personas.parquet, whose user ids are numbers from `first` on."""
    return pa.table(
        {
            "user_id": pa.array(range(first, first + len(cards)), pa.int64()),
            "name": pa.array([c.persona for c in cards], pa.string()),
            "archetype": pa.array([c.segment for c in cards], pa.string()),
            "card": pa.array([c.text() for c in cards], pa.string()),
            "attributes": pa.array([json.dumps(c.attributes) for c in cards], pa.string()),
        }
    )


def with_ids(personas: Place, user_id: Ints) -> list[Card]:
    """Cards that `numbered` wrote, in the order of these ids, which are ascending.

    Raises:
        ElectorateError: one of them is gone.
    """
    if not len(user_id):
        return []
    columns = ["user_id", "name", "archetype", "attributes"]
    # A block is a row group, so that a block's cards are read alone.
    within = ("user_id", int(user_id[0]), int(user_id[-1]))
    table = files.read_table(personas, columns, within)
    table = table.filter(pc.is_in(table["user_id"], pa.array(user_id)))
    rows = {row["user_id"]: row for row in table.to_pylist()}
    gone = [number for number in user_id.tolist() if number not in rows]
    if gone:
        raise ElectorateError(f"{personas}: persona {gone[0]} was erased; start a new run")
    return [
        Card(
            rows[number]["name"],
            rows[number]["archetype"],
            tuple((name, value) for name, value in json.loads(rows[number]["attributes"])),
        )
        for number in user_id.tolist()
    ]


def archetype_of(personas: Place, size: int, archetypes: Sequence[str]) -> Ints:
    """(size,) the place of each persona's archetype; 0 for one that was erased."""
    table = files.read_table(personas, ["user_id", "archetype"])
    found = np.zeros(size, dtype=np.int64)
    place = pc.index_in(table["archetype"], pa.array(archetypes))
    found[table["user_id"].to_numpy()] = place.to_numpy()
    return found


def _line(attribute: tuple[str, str]) -> str:
    name, value = attribute
    return f"{name.replace('_', ' ')}: {value}"


def _number(persona: str) -> int:
    return int.from_bytes(persona.encode()[-7:], "big")


def _drawn(first: int, last: int, seed: int) -> list[Card]:
    """Personas first..last-1: archetypes in turn, each with traits of its own."""
    source = resources.files("electorate") / "data" / "traits.json"
    known = json.loads(source.read_text(encoding="utf-8"))
    archetypes = list(known["archetypes"].items())
    traits = list(known["traits"].items())
    cards = []
    for i in range(first, last):
        name, description = archetypes[i % len(archetypes)]
        which = generator(seed, Stream.CARDS, i).random(len(traits))
        drawn = [
            (trait, values[int(at * len(values))])
            for (trait, values), at in zip(traits, which, strict=True)
        ]
        cards.append(Card(f"persona-{i}", name, ((IS, description), *drawn)))
    return cards


def _read(settings: PersonaSettings) -> list[Card]:
    path = Path(settings.source)
    cards = list[Card]()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ElectorateError(
            f"personas.source: {path}: {error}; give builtin or a personas.jsonl of `import "
            "personas`"
        ) from None
    for number, line in enumerate(lines, start=1):
        if len(cards) == settings.size:
            break
        if line.strip():
            cards.append(_card(line, f"{path}: line {number}", settings.segment_by))
    if len(cards) < settings.size:
        raise ElectorateError(
            f"personas.size: {settings.size} are asked for, and {path} holds {len(cards)}; lower it"
        )
    if len({card.persona for card in cards}) < len(cards):
        raise ElectorateError(f"{path}: a persona's id is there twice; each once")
    return cards


def _card(line: str, where: str, segment_by: str | None) -> Card:
    try:
        row = json.loads(line)
        persona = row["id"]
        attributes = row["attributes"]
        shaped = isinstance(persona, str) and isinstance(attributes, dict) and bool(attributes)
    except (ValueError, KeyError, TypeError, RecursionError):
        shaped = False
    if not shaped:
        raise ElectorateError(
            f'{where}: is not {{"id": ..., "attributes": {{...}}}}; `import personas` writes such '
            "a file"
        )
    if segment_by is not None and segment_by not in attributes:
        there = ", ".join(list(attributes)[:12])
        raise ElectorateError(
            f"personas.segment_by: {where} has no attribute {segment_by!r}; it has {there}"
        )
    segment = EVERYBODY if segment_by is None else str(attributes[segment_by])
    return Card(
        persona, segment, tuple((str(name), str(value)) for name, value in attributes.items())
    )
