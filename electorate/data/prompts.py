"""What is asked: prompts by archetype and topic, split into training, validation and test."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from electorate.base.draws import Stream, generator
from electorate.base.errors import ElectorateError
from electorate.base.scale import Ints
from electorate.config.contest import RECORDED, Contest
from electorate.data import recorded

SPLITS = ("train", "validation", "test")
SHARES = (0.6, 0.2, 0.2)
MIN_PROMPTS = 3
NOBODYS = ""


@dataclass(frozen=True)
class PromptSet:
    """The run's prompts; a prompt's id is its row. archetype: whose own it is, empty for
    nobody's.
    """

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
        """The prompts that `table` wrote."""
        columns = (
            tuple(table.column(name).to_pylist())
            for name in ("archetype", "topic", "prompt", "split")
        )
        return cls(*columns)

    def leaving_out(self, prompts: Collection[int]) -> "PromptSet":
        """The same prompts, with these in no split: nobody votes or is measured on them."""
        return replace(
            self, split=tuple("left_out" if i in prompts else s for i, s in enumerate(self.split))
        )

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


def select(contest: Contest) -> PromptSet:
    """The first `per_archetype` prompts of each archetype, split 60/20/20 by the seed.

    Of recorded prompts an archetype may have none by the rule of topics; the prompts whose
    archetype the population lacks are then asked too, by nobody more than by others.
    Raises ElectorateError if the source has too few prompts.
    """
    source = contest.prompts.source
    wanted = contest.prompts.per_archetype
    rows = recorded.prompts(contest) if source == RECORDED else _read(source)
    archetypes = contest.archetypes or tuple(dict.fromkeys(row["archetype"] for row in rows))
    groups = _groups(rows, archetypes)
    if source == RECORDED:
        if all(groups[archetype] for archetype in archetypes):
            del groups[NOBODYS]
    else:
        _require(groups, source, wanted or MIN_PROMPTS, archetypes)
        del groups[NOBODYS]
    return split({archetype: rows[:wanted] for archetype, rows in groups.items()}, contest.seed)


def split(groups: Mapping[str, Sequence[Mapping[str, str]]], seed: int) -> PromptSet:
    """Rows of topic and prompt by archetype as a set, split 60/20/20 by the seed."""
    chosen = [(archetype, row) for archetype, rows in groups.items() for row in rows]
    return PromptSet(
        archetype=tuple(archetype for archetype, _ in chosen),
        topic=tuple(row["topic"] for _, row in chosen),
        text=tuple(row["prompt"] for _, row in chosen),
        split=tuple(_split([len(rows) for rows in groups.values()], seed)),
    )


def _groups(
    rows: list[dict[str, str]], archetypes: Sequence[str]
) -> dict[str, list[dict[str, str]]]:
    """Each archetype's own prompts, in the archetypes' order, then those of archetypes the
    population lacks.
    """
    groups: dict[str, list[dict[str, str]]] = {
        archetype: [] for archetype in [*archetypes, NOBODYS]
    }
    for row in rows:
        groups[row["archetype"] if row["archetype"] in archetypes else NOBODYS].append(row)
    return groups


def _require(
    groups: dict[str, list[dict[str, str]]], source: str, wanted: int, archetypes: Sequence[str]
) -> None:
    for archetype in archetypes:
        if len(groups[archetype]) < wanted:
            held = ", ".join(sorted({row["archetype"] for rows in groups.values() for row in rows}))
            raise ElectorateError(
                f"prompts.per_archetype: {wanted} are asked for, but {source} has "
                f"{len(groups[archetype])} "
                f"for archetype {archetype!r} (it has prompts for: {held})"
            )


def _split(sizes: list[int], seed: int) -> list[str]:
    """A label for every prompt: each group of these sizes split by itself, or all together where
    some are too small.
    """
    random = generator(seed, Stream.SPLIT)
    parts = sizes if min(sizes) >= MIN_PROMPTS else [sum(sizes)]
    return [label for n in parts for label in random.permutation(_split_labels(n)).tolist()]


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
        raise ElectorateError(
            f"prompts.source: {source}: {error}; give builtin or a UTF-8 JSONL file"
        ) from None
    return [
        _row(line, f"{source}: line {i}") for i, line in enumerate(lines, start=1) if line.strip()
    ]


def _row(line: str, where: str) -> dict[str, str]:
    try:
        row: Any = json.loads(line)
    except json.JSONDecodeError as error:
        raise ElectorateError(f"{where}: not JSON: {error}") from None
    keys = ("archetype", "topic", "prompt")
    if not isinstance(row, dict) or any(
        not isinstance(row.get(key), str) or not row[key].strip() for key in keys
    ):
        raise ElectorateError(f"{where}: needs the keys {', '.join(keys)}, each with text")
    return {key: row[key] for key in keys}
