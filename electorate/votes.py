"""Votes from a file, whoever cast them: two models, who won, and optionally the user, the prompt and a weight."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from electorate import features
from electorate.errors import ElectorateError
from electorate.scale import Floats, Ints
from electorate.storage import tables
from electorate.storage.tables import Rows, SetAside

REQUIRED = ("model_a", "model_b", "winner")
USER, PROMPT, WEIGHT = ("user_id", "judge"), ("prompt_id", "question_id"), "weight"
TEXTS = ("response_a", "response_b")
ASKED = "prompt"
# As the Chatbot Arena writes them, with two more spellings of both-bad.
WINNERS = {"model_a": 0, "model_b": 1, "tie": 2, "tie (bothbad)": 3, "bothbad": 3, "both_bad": 3}
ALLOWED = "model_a, model_b, tie or tie (bothbad)"
MISSING, UNKNOWN = -1, -2
WEIGHTS = 1e-9, 1e9
WRONG_WEIGHT = "weight not a number from 1e-9 to 1e9"
MAX_MODELS = 2000
Encoded = tuple[list[str], Ints]  # distinct values, and each row's place among them


@dataclass(frozen=True)
class Texts:
    """What n votes are about: prompts and responses, each text once; prompt, a and b: (n,) which of them."""

    prompts: list[str]
    responses: list[str]
    prompt: Ints
    a: Ints
    b: Ints

    def take(self, rows: Ints) -> "Texts":
        """Of these votes."""
        return replace(self, prompt=self.prompt[rows], a=self.a[rows], b=self.b[rows])


@dataclass(frozen=True)
class Votes:
    """n votes as columns. a, b: indices into models; outcome: 0 A, 1 B, 2 tie, 3 both bad; user and prompt: codes,
    or none. style: (n, len(features.STYLE)) measures of A's answer less B's, or none. texts: of
    prompts and answers, or none.
    """

    models: tuple[str, ...]
    a: Ints
    b: Ints
    outcome: Ints
    weight: Floats
    user: Ints | None
    prompt: Ints | None
    style: Floats | None = None
    texts: Texts | None = None

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
        style, texts = None if self.style is None else self.style[rows], None if self.texts is None else self.texts.take(rows)
        return Votes(self.models, self.a[rows], self.b[rows], self.outcome[rows], self.weight[rows], user, prompt, style, texts)

    @property
    def battle(self) -> Ints:
        """(n,) where in (M, M, 3) each vote counts."""
        return (self.a * len(self.models) + self.b) * 3 + self.outcome_of_3

    def by_battle(self, values: Floats) -> Floats:
        """(M, M, 3): sums of values (n,) over the votes of each ordered pair and outcome."""
        models = len(self.models)
        return np.bincount(self.battle, values, models * models * 3).astype(float, copy=False).reshape(models, models, 3)


def read(path: Path, style: bool = False, texts: bool = False) -> tuple[Votes, list[SetAside]]:
    """The votes of a CSV, JSON Lines, JSON or Parquet file, and the rows that are none, each with a reason.

    style: measure the answers too, which the file must have as response_a and response_b. texts: keep them, and the prompts.

    Raises ElectorateError if the file cannot be read, lacks a column, or no row of it is a vote.
    """
    needed = (*REQUIRED, *(TEXTS if style or texts else ()), *((ASKED,) if texts else ()))
    rows = tables.read(path, needed, (*USER, *PROMPT, WEIGHT))
    votes, set_aside = of_rows(rows)
    if not len(votes):
        first = f"; the first: row {set_aside[0].row}: {set_aside[0].reason}" if set_aside else ""
        raise ElectorateError(f"{path}: no row is a vote{first}; winner must be {ALLOWED}")
    if len(votes.models) > MAX_MODELS:
        some = ", ".join(repr(model[:30]) for model in votes.models[:3])
        raise ElectorateError(f"{path}: names {len(votes.models):,} models ({some}, ...); at most {MAX_MODELS:,} can be rated")
    return votes, set_aside


def of_rows(rows: Rows) -> tuple[Votes, list[SetAside]]:
    """The votes among the rows of a table, and the rows that are none. Text is looked at once for each distinct value."""
    encoded = {name: _encode(rows.table[name]) for name in rows.table.column_names}
    (names_a, a), (names_b, b), (winners, winner) = (encoded[name] for name in REQUIRED)
    models = sorted({*names_a, *names_b})
    place = {model: i for i, model in enumerate(models)}
    a, b = (_look_up([place[name] for name in names], codes) for names, codes in ((names_a, a), (names_b, b)))
    outcome = _look_up([WINNERS.get(text.strip(), UNKNOWN) for text in winners], winner)
    weight = _weights(encoded[WEIGHT]) if WEIGHT in encoded else np.ones(len(a))
    reasons = {
        "without model_a": a == MISSING,
        "without model_b": b == MISSING,
        "without winner": outcome == MISSING,
        f"winner not {ALLOWED}": outcome == UNKNOWN,
        "a model against itself": a == b,
        WRONG_WEIGHT: ~((weight >= WEIGHTS[0]) & (weight <= WEIGHTS[1])),
    }
    reasons |= {f"without {name}": encoded[name][1] == MISSING for name in (*TEXTS, ASKED) if name in encoded}
    bad = np.zeros(len(a), dtype=bool)
    for holds in reasons.values():
        bad |= holds
    set_aside = [*rows.set_aside, *_set_aside(rows, np.flatnonzero(bad), reasons)]
    votes = Votes(tuple(models), a, b, outcome, weight, _group(encoded, USER), _group(encoded, PROMPT), _style(encoded), _texts(encoded))
    return _compact(votes.take(np.flatnonzero(~bad)) if bad.any() else votes), set_aside


def _style(encoded: Mapping[str, Encoded]) -> Floats | None:
    """(n, F) how much more of each measure of style A's answer has than B's; None without the answers."""
    if not all(name in encoded for name in TEXTS):
        return None
    measures = len(features.STYLE)
    of_a, of_b = (
        np.vstack([features.measure(texts)[:, :measures], np.zeros(measures)])[codes] for texts, codes in (encoded[name] for name in TEXTS)
    )
    return of_a - of_b


def _texts(encoded: Mapping[str, Encoded]) -> Texts | None:
    """Prompts and answers; None without them."""
    if ASKED not in encoded:
        return None
    (responses_a, a), (responses_b, b), (prompts, prompt) = (encoded[name] for name in (*TEXTS, ASKED))
    responses = list(dict.fromkeys([*responses_a, *responses_b]))
    place = {text: i for i, text in enumerate(responses)}
    a, b = (_look_up([place[text] for text in of], codes) for of, codes in ((responses_a, a), (responses_b, b)))
    return Texts(prompts, responses, prompt, a, b)


def by_reason(set_aside: list[SetAside]) -> list[str]:
    """One line for each reason: how many rows, and the first of them."""
    counts, first = Counter(row.reason for row in set_aside), dict[str, int]()
    for row in set_aside:
        first.setdefault(row.reason, row.row)
    return [f"{n:,} {reason} (first: row {first[reason]:,})" for reason, n in counts.most_common()]


def _encode(column: pa.ChunkedArray) -> Encoded:
    """A column's distinct texts and each row's place among them; MISSING for null and for empty text."""
    whole = column.unify_dictionaries().combine_chunks()
    if not pa.types.is_dictionary(whole.type):
        whole = whole.dictionary_encode()
    values, codes = whole.dictionary.to_pylist(), whole.indices.fill_null(MISSING).to_numpy().astype(np.int64)
    if "" in values:
        codes[codes == values.index("")] = MISSING
    return values, codes


def _look_up(of_value: list[int], codes: Ints) -> Ints:
    """What each row's value stands for; MISSING stays."""
    return np.array([*of_value, MISSING], dtype=np.int64)[codes]


def _weights(encoded: Encoded) -> Floats:
    """(n,) weights; an empty one is 1, NaN stands for what is no number."""
    values, codes = encoded
    return np.array([*(_number(text) for text in values), 1.0])[codes]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _set_aside(rows: Rows, bad: Ints, reasons: Mapping[str, npt.NDArray[np.bool_]]) -> Iterator[SetAside]:
    """The bad rows, each with the first reason that holds for it."""
    for i in bad.tolist():
        reason = next(reason for reason, holds in reasons.items() if holds[i])
        yield SetAside(rows.number[i], reason, "")


def _compact(votes: Votes) -> Votes:
    """The votes with only the models, users and prompts that are in them, numbered without gaps."""
    seen, (a, b) = _renumbered(votes.a, votes.b)
    user, prompt = (None if codes is None else _renumbered(codes)[1][0] for codes in (votes.user, votes.prompt))
    return replace(votes, models=tuple(votes.models[m] for m in seen), a=a, b=b, user=user, prompt=prompt)


def _renumbered(*columns: Ints) -> tuple[Ints, tuple[Ints, ...]]:
    """The codes that occur in any of the columns, ascending, and the columns with each code's place among them."""
    there = np.zeros(max(int(codes.max(initial=-1)) for codes in columns) + 1, dtype=bool)
    for codes in columns:
        there[codes] = True
    if there.all():
        return np.arange(len(there)), columns
    place = np.cumsum(there) - 1
    return np.flatnonzero(there), tuple(place[codes] for codes in columns)


def _group(encoded: Mapping[str, Encoded], spellings: tuple[str, ...]) -> Ints | None:
    """A code for each distinct value; rows without one are each a group of their own. None without the column."""
    there = [name for name in spellings if name in encoded]
    if not there:
        return None
    values, codes = encoded[there[0]]
    alone = codes == MISSING
    codes[alone] = len(values) + np.arange(alone.sum())
    return codes
