"""Votes from a file, whoever cast them: two models, who won, and optionally the user, the prompt and a weight."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from electorate.errors import ElectorateError
from electorate.scale import Floats, Ints
from electorate.storage import tables
from electorate.storage.tables import SetAside

REQUIRED = ("model_a", "model_b", "winner")
USER, PROMPT, WEIGHT = ("user_id", "judge"), ("prompt_id", "question_id"), "weight"
# As the Chatbot Arena writes them, with two more spellings of both-bad.
WINNERS = {"model_a": 0, "model_b": 1, "tie": 2, "tie (bothbad)": 3, "bothbad": 3, "both_bad": 3}
ALLOWED = "model_a, model_b, tie or tie (bothbad)"


@dataclass(frozen=True)
class Votes:
    """n votes as columns. a, b: indices into models; outcome: 0 A, 1 B, 2 tie, 3 both bad; user and prompt: codes, or none."""

    models: tuple[str, ...]
    a: Ints
    b: Ints
    outcome: Ints
    weight: Floats
    user: Ints | None
    prompt: Ints | None

    def __len__(self) -> int:
        return len(self.a)

    @property
    def outcome_of_3(self) -> Ints:
        """(n,) 0 A, 1 B, 2 tie: both bad says no more of who is better than a tie does."""
        return np.minimum(self.outcome, 2)

    @property
    def users(self) -> Ints:
        """(n,) the user of each vote; all one where the file names none."""
        return np.zeros(len(self), dtype=np.int64) if self.user is None else self.user

    def take(self, rows: Ints) -> "Votes":
        """These votes; models and codes stay as they are."""
        user, prompt = (None if codes is None else codes[rows] for codes in (self.user, self.prompt))
        return Votes(self.models, self.a[rows], self.b[rows], self.outcome[rows], self.weight[rows], user, prompt)

    def by_battle(self, values: Floats) -> Floats:
        """(M, M, 3): sums of values (n,) over the votes of each ordered pair and outcome."""
        models = len(self.models)
        shape = models, models, 3
        flat = np.ravel_multi_index((self.a, self.b, self.outcome_of_3), shape)
        return np.bincount(flat, values, int(np.prod(shape))).astype(float, copy=False).reshape(shape)


def read(path: Path) -> tuple[Votes, list[SetAside]]:
    """The votes of a CSV, JSON Lines, JSON or Parquet file, and the rows that are none, each with a reason.

    Raises ElectorateError if the file cannot be read, lacks a column, or no row of it is a vote.
    """
    rows = tables.read(path, REQUIRED, (*USER, *PROMPT, WEIGHT))
    table, number = rows.table, np.asarray(rows.number)
    names = {name: pc.if_else(pc.equal(table[name], ""), None, table[name]) for name in table.column_names}
    problem, reasons = _problems(names, table.num_rows)
    good = problem == 0
    bad = (SetAside(int(number[i]), reasons[problem[i]], str(table.slice(i, 1).to_pylist()[0])) for i in np.flatnonzero(~good).tolist())
    set_aside = [*rows.set_aside, *bad]
    if not good.any():
        first = f"; the first: row {set_aside[0].row}: {set_aside[0].reason}" if set_aside else ""
        raise ElectorateError(f"{path}: no row is a vote{first}; winner must be {ALLOWED}")
    kept = {name: column.filter(pa.array(good)) for name, column in names.items()}
    return _votes(kept), set_aside


def by_reason(set_aside: list[SetAside]) -> list[str]:
    """One line for each reason: how many rows, and the first of them."""
    counts, first = Counter(row.reason for row in set_aside), dict[str, int]()
    for row in set_aside:
        first.setdefault(row.reason, row.row)
    return [f"{n:,} {reason} (first: row {first[reason]:,})" for reason, n in counts.most_common()]


def _problems(names: Mapping[str, pa.ChunkedArray], rows: int) -> tuple[Ints, list[str]]:
    """(rows,) the index of the reason why each row is no vote, 0 where it is one; and the reasons."""
    problem, reasons = np.zeros(rows, dtype=np.int64), [""]

    def mark(where: pa.ChunkedArray, reason: str) -> None:
        reasons.append(reason)
        problem[(problem == 0) & pc.fill_null(where, True).to_numpy()] = len(reasons) - 1

    winner = pc.utf8_trim_whitespace(names["winner"])
    mark(pc.is_null(names["model_a"]), "without model_a")
    mark(pc.is_null(names["model_b"]), "without model_b")
    mark(pc.is_null(winner), "without winner")
    mark(pc.invert(pc.is_in(winner, pa.array(list(WINNERS), pa.large_string()))), f"winner not {ALLOWED}")
    mark(pc.equal(names["model_a"], names["model_b"]), "a model against itself")
    if WEIGHT in names:
        weight = _numbers(names[WEIGHT])
        mark(pa.chunked_array([pa.array(~(np.isfinite(weight) & (weight > 0)))]), "weight not a positive number")
    return problem, reasons


def _numbers(column: pa.ChunkedArray) -> Floats:
    """Text as numbers; NaN where it is none. An empty weight is 1."""
    try:
        return pc.fill_null(column, "1").cast(pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        return np.array([_number(text) for text in column.to_pylist()])


def _number(text: str | None) -> float:
    try:
        return 1.0 if text is None else float(text)
    except ValueError:
        return float("nan")


def _votes(names: Mapping[str, pa.ChunkedArray]) -> Votes:
    n = len(names["winner"])
    shown = pa.chunked_array([*names["model_a"].chunks, *names["model_b"].chunks]).combine_chunks().dictionary_encode()
    models, place = np.unique(shown.dictionary.to_pylist(), return_inverse=True)
    codes = place[shown.indices.to_numpy()]
    winner = pc.utf8_trim_whitespace(names["winner"]).dictionary_encode().combine_chunks()
    outcome = np.array([WINNERS[name] for name in winner.dictionary.to_pylist()])[winner.indices.to_numpy()]
    return Votes(
        models=tuple(str(model) for model in models),
        a=codes[:n],
        b=codes[n:],
        outcome=outcome.astype(np.int64),
        weight=_numbers(names[WEIGHT]) if WEIGHT in names else np.ones(n),
        user=_group(names, USER),
        prompt=_group(names, PROMPT),
    )


def _group(names: Mapping[str, pa.ChunkedArray], spellings: tuple[str, ...]) -> Ints | None:
    """A code for each distinct value; rows without one are each a group of their own. None without the column."""
    there = [name for name in spellings if name in names]
    if not there:
        return None
    encoded = names[there[0]].dictionary_encode().combine_chunks()
    known = len(encoded.dictionary)
    codes = pc.fill_null(encoded.indices, -1).to_numpy().astype(np.int64)
    alone = codes < 0
    codes[alone] = known + np.arange(alone.sum())
    return codes
