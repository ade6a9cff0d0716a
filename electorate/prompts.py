"""What is asked: prompts by archetype and topic, split into training, validation and test."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from electorate.config import Prompts
from electorate.draws import Stream, generator
from electorate.errors import ElectorateError
from electorate.scale import Ints

SPLITS = ("train", "validation", "test")
SHARES = (0.6, 0.2, 0.2)


@dataclass(frozen=True)
class PromptSet:
    """The run's prompts; a prompt's id is its row."""

    archetype: tuple[str, ...]
    topic: tuple[str, ...]
    text: tuple[str, ...]
    split: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.text)

    def ids(self, split: str) -> Ints:
        """Ids of the prompts in `train`, `validation` or `test`, ascending."""
        return np.flatnonzero(np.array(self.split) == split)

    @classmethod
    def from_table(cls, table: pa.Table) -> "PromptSet":
        """What `table` wrote."""
        columns = (tuple(table.column(name).to_pylist()) for name in ("archetype", "topic", "prompt", "split"))
        return cls(*columns)

    def leaving_out(self, prompts: Collection[int]) -> "PromptSet":
        """The same prompts, with these in no split: nobody votes or is measured on them."""
        return replace(self, split=tuple("left_out" if i in prompts else s for i, s in enumerate(self.split)))

    def table(self) -> pa.Table:
        """The columns of prompts.parquet."""
        return pa.table(
            {
                "prompt_id": pa.array(range(len(self)), pa.int32()),
                "archetype": list(self.archetype),
                "topic": list(self.topic),
                "split": list(self.split),
                "prompt": list(self.text),
            }
        )


def select(settings: Prompts, archetypes: Sequence[str], seed: int) -> PromptSet:
    """The first `per_archetype` prompts of each archetype, each archetype split 60/20/20 by the seed.

    Raises ElectorateError if the source has too few prompts for an archetype.
    """
    rows = _read(settings.source)
    random = generator(seed, Stream.SPLIT)
    chosen: list[dict[str, str]] = []
    splits: list[str] = []
    for archetype in archetypes:
        own = [row for row in rows if row["archetype"] == archetype]
        if len(own) < settings.per_archetype:
            held = ", ".join(sorted({row["archetype"] for row in rows}))
            raise ElectorateError(
                f"prompts.per_archetype: {settings.per_archetype} are asked for, but {settings.source} has {len(own)} "
                f"for archetype {archetype!r} (it has prompts for: {held})"
            )
        chosen += own[: settings.per_archetype]
        splits += list(random.permutation(_split_labels(settings.per_archetype)))
    return PromptSet(
        archetype=tuple(row["archetype"] for row in chosen),
        topic=tuple(row["topic"] for row in chosen),
        text=tuple(row["prompt"] for row in chosen),
        split=tuple(splits),
    )


def _split_labels(n: int) -> list[str]:
    """n labels in the shares of SPLITS, at least one of each (n >= 3)."""
    validation = max(1, round(SHARES[1] * n))
    test = max(1, round(SHARES[2] * n))
    return ["train"] * (n - validation - test) + ["validation"] * validation + ["test"] * test


def _read(source: str) -> list[dict[str, str]]:
    path = files("electorate") / "data" / "prompts.jsonl" if source == "builtin" else Path(source)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ElectorateError(f"prompts.source: {source}: {error}; give builtin or a UTF-8 JSONL file") from None
    return [_row(line, f"{source}: line {i}") for i, line in enumerate(lines, start=1) if line.strip()]


def _row(line: str, where: str) -> dict[str, str]:
    try:
        row: Any = json.loads(line)
    except json.JSONDecodeError as error:
        raise ElectorateError(f"{where}: not JSON: {error}") from None
    keys = ("archetype", "topic", "prompt")
    if not isinstance(row, dict) or any(not isinstance(row.get(key), str) or not row[key].strip() for key in keys):
        raise ElectorateError(f"{where}: needs the keys {', '.join(keys)}, each with text")
    return {key: row[key] for key in keys}
