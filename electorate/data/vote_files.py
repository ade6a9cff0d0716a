"""Reads votes from a file or a table: two models, who won, and optionally the user, the prompt and
a weight.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from electorate.base.errors import ElectorateError
from electorate.base.scale import Floats, Ints
from electorate.base.votes import MISSING
from electorate.data import features, winners
from electorate.data.conversations import plain
from electorate.data.vote_times import TIME, parsed
from electorate.data.votes import NamedVotes, Texts, compact
from electorate.ratings.thresholds import Thumbs
from electorate.storage import tables
from electorate.storage.tables import Rows, SetAside

REQUIRED = ("model_a", "model_b", "winner")
USER = ("user_id", "judge")
PROMPT = ("prompt_id", "question_id")
WEIGHT = "weight"
FIRST = "first_shown"
TEXTS = ("response_a", "response_b")
ASKED = "prompt"
UNKNOWN = -2
WEIGHTS = 1e-9, 1e9
WRONG_WEIGHT = "weight not a number from 1e-9 to 1e9"
WRONG_FIRST = f"{FIRST} not model_a, model_b or empty"
MAX_MODELS = 2000
NO_VALUE = "(none)"
MOST_SHOWN = 5  # of winners that say nothing
Encoded = tuple[list[str], Ints]  # distinct values, and each row's place among them


def read(
    path: Path,
    style: bool = False,
    texts: bool = False,
    thumbs: bool = False,
    by: str | None = None,
    measured: bool = False,
    winner: Sequence[str] = (REQUIRED[2],),
) -> tuple[NamedVotes, list[SetAside]]:
    """The votes of a CSV, JSON Lines, JSON or Parquet file, and the rows that are none, each
    with a reason.

    Args:
        style: measure the answers too, which the file must have as response_a and response_b.
        texts: keep them, and the prompts.
        thumbs: take rows with a model_a, no model_b and `up` or `down` as winner too.
        by: a column whose values votes are grouped by.
        measured: measure the answers where the file has them, and read when votes were cast; votes
            without are taken all the same.
        winner: the columns that say who won; of several each is a vote of its own that weighs as
            much less.

    Raises:
        ElectorateError: the file cannot be read, lacks a column, or no row of it is a vote.
    """
    models = REQUIRED[:2]
    needed = (*models, *winner, *(TEXTS if style or texts else ()), *((ASKED,) if texts else ()))
    grouping = () if by is None else (by,)
    optional = (*USER, *PROMPT, WEIGHT, FIRST, *((*TEXTS, *TIME) if measured else ()))
    rows = tables.read(path, (*needed, *grouping), optional)
    if tuple(winner) != REQUIRED[2:]:
        rows = _by_winners(rows, winner)
    needed = (*REQUIRED, *(name for name in needed if name not in (*models, *winner)))
    votes, set_aside = of_rows(rows, thumbs, by, needed)
    return _some(replace(votes, weight=votes.weight / len(winner)), set_aside, str(path))


def _by_winners(rows: Rows, winner: Sequence[str]) -> Rows:
    """The rows once for each column of winners, as one. Where nothing says which prompt a row is
    on, its votes are said to be on one of their own, as they depend on each other.
    """
    kept = [name for name in rows.table.column_names if name not in winner]
    parts = []
    for name in winner:
        part = rows.table.select(kept).append_column(REQUIRED[2], rows.table[name])
        if not set(PROMPT) & set(kept):
            number = pa.array([str(row) for row in rows.number])
            part = part.append_column(PROMPT[0], number)
        parts.append(part)
    table = pa.concat_tables(parts, promote_options="permissive")
    return Rows(table, [*rows.number] * len(winner), rows.set_aside)


def _some(
    votes: NamedVotes, set_aside: list[SetAside], origin: str
) -> tuple[NamedVotes, list[SetAside]]:
    """The same, where there are votes, and of no more models than can be rated."""
    if not len(votes) and votes.thumbs is None:
        first = f"; the first: row {set_aside[0].row}: {set_aside[0].reason}" if set_aside else ""
        raise ElectorateError(
            f"{origin}: no row is a vote{first}; winner must be {winners.ALLOWED}"
        )
    if len(votes.models) > MAX_MODELS:
        some = ", ".join(repr(model[:30]) for model in votes.models[:3])
        raise ElectorateError(
            f"{origin}: names {len(votes.models):,} models ({some}, ...); at most {MAX_MODELS:,} "
            "can be rated"
        )
    return votes, set_aside


def of_table(table: pa.Table, thumbs: bool = False) -> tuple[NamedVotes, list[SetAside]]:
    """The votes of a table in memory, as `read` takes a file's.

    Raises:
        ElectorateError: it lacks a column, or no row is a vote.
    """
    rows = tables.of_table(table, REQUIRED, (*USER, *PROMPT, WEIGHT, FIRST))
    return _some(*of_rows(rows, thumbs), "votes")


def of_rows(
    rows: Rows,
    thumbs: bool = False,
    by: str | None = None,
    needed: Sequence[str] = REQUIRED,
) -> tuple[NamedVotes, list[SetAside]]:
    """The votes among the rows of a table, and the rows that are none: those without a value in a
    column that is needed, too.

    Text is looked at once for each distinct value.
    """
    encoded = {name: _encode(rows.table[name]) for name in rows.table.column_names}
    written, winner = encoded[REQUIRED[2]]
    votes = _as_votes(encoded, by)
    up = _look_up([winners.THUMBS.get(text.strip().lower(), UNKNOWN) for text in written], winner)
    is_thumb = (votes.a != MISSING) & (votes.b == MISSING) & (up >= 0)
    reasons = _reasons(votes, is_thumb, encoded, needed)
    if not thumbs:
        reasons["a thumb on one answer, which `rate` alone takes"] = is_thumb
    bad = np.zeros(len(votes), dtype=bool)
    for holds in reasons.values():
        bad |= holds
    set_aside = [*rows.set_aside, *_set_aside(rows, np.flatnonzero(bad), reasons)]
    votes = replace(votes, thumbs=_thumbs(votes, up, np.flatnonzero(is_thumb & ~bad)))
    bad |= is_thumb
    return compact(votes.take(np.flatnonzero(~bad)) if bad.any() else votes), set_aside


def _as_votes(encoded: Mapping[str, Encoded], by: str | None) -> NamedVotes:
    """All rows as votes, with MISSING and NaN for what they do not say."""
    (names_a, a), (names_b, b), (written, winner) = (encoded[name] for name in REQUIRED)
    models = sorted({*names_a, *names_b})
    place = {model: i for i, model in enumerate(models)}
    a, b = (
        _look_up([place[name] for name in names], codes)
        for names, codes in ((names_a, a), (names_b, b))
    )
    outcome = _outcomes(models, a, b, written, winner)
    weight = _weights(encoded[WEIGHT]) if WEIGHT in encoded else np.ones(len(a))
    user, user_names = _named(encoded, USER)
    prompt, _ = _named(encoded, PROMPT)
    style = _style(encoded)
    texts = _texts(encoded)
    votes = NamedVotes(
        models=tuple(models),
        a=a,
        b=b,
        outcome=outcome,
        weight=weight,
        user=np.zeros(len(a), dtype=np.int64) if user is None else user,
        prompt=prompt,
        style=style,
        texts=texts,
        user_names=user_names,
        first_shown=_first_shown(encoded, models, a, b),
        time=_times(encoded),
    )
    if by is not None:
        values, of = encoded[by]
        group = np.where(of == MISSING, len(values), of)
        votes = replace(votes, group=group, group_names=(*values, NO_VALUE))
    return votes


def _reasons(
    votes: NamedVotes,
    is_thumb: npt.NDArray[np.bool_],
    encoded: Mapping[str, Encoded],
    needed: Sequence[str],
) -> dict[str, npt.NDArray[np.bool_]]:
    """Which rows are no votes, by the reason; of several reasons the first one counts."""
    written, winner = encoded[REQUIRED[2]]
    weight = votes.weight
    texts = {
        f"without {name}": (encoded[name][1] == MISSING) & ~is_thumb
        for name in (*TEXTS, ASKED)
        if name in needed
    }
    unknown = (
        np.zeros(len(votes), dtype=bool)
        if votes.first_shown is None
        else votes.first_shown == UNKNOWN
    )
    return {
        "without model_a": votes.a == MISSING,
        "without model_b": (votes.b == MISSING) & ~is_thumb,
        "without winner": votes.outcome == MISSING,
        **_unknown_winners(written, winner, np.where(is_thumb, 0, votes.outcome)),
        "a model against itself": votes.a == votes.b,
        WRONG_WEIGHT: ~((weight >= WEIGHTS[0]) & (weight <= WEIGHTS[1])),
        WRONG_FIRST: unknown,
        **texts,
    }


def _thumbs(votes: NamedVotes, up: Ints, rows: Ints) -> Thumbs | None:
    """The thumbs in these rows. Where nobody names users, each is a user's of its own."""
    if not len(rows):
        return None
    user = votes.user[rows] if votes.names_users else rows
    return Thumbs(int(user.max()) + 1, user, votes.a[rows], up[rows], votes.weight[rows])


def _outcomes(models: list[str], a: Ints, b: Ints, written: list[str], winner: Ints) -> Ints:
    """(n,) who won; see winners.py, whose rules this follows for all rows at once."""
    stripped = [text.strip() for text in written]
    arena = _look_up([winners.OUTCOMES.get(text, UNKNOWN) for text in stripped], winner)
    place = {model: i for i, model in enumerate(models)}
    named = _look_up([place.get(text, UNKNOWN) for text in stripped], winner)
    spelled = [winners.outcome(text) for text in stripped]
    other = _look_up([UNKNOWN if one is None else one for one in spelled], winner)
    by_name = np.where(named == a, 0, np.where(named == b, 1, other))
    outcome: Ints = np.where((arena != UNKNOWN) | (named < 0), arena, by_name)
    return np.where(outcome == UNKNOWN, other, outcome)


def _first_shown(
    encoded: Mapping[str, Encoded], models: Sequence[str], a: Ints, b: Ints
) -> Ints | None:
    """(n,) which answer was shown first, by side or by the model's name; UNKNOWN for what says
    neither. None without the column.
    """
    if FIRST not in encoded:
        return None
    values, codes = encoded[FIRST]
    sides = [winners.SIDES.get(text.strip().lower(), UNKNOWN) for text in values]
    place = {model: i for i, model in enumerate(models)}
    side = _look_up(sides, codes)
    named = _look_up([place.get(text.strip(), UNKNOWN) for text in values], codes)
    by_name = np.where(named == a, 0, np.where(named == b, 1, side))
    first: Ints = np.where(named >= 0, by_name, side)
    return first


def _unknown_winners(
    written: list[str], winner: Ints, outcome: Ints
) -> dict[str, npt.NDArray[np.bool_]]:
    """Which rows have a winner that says nothing, by what it says: the most frequent apart."""
    unknown = outcome == UNKNOWN
    counts = np.bincount(winner[unknown], minlength=len(written))
    shown = [i for i in np.argsort(-counts, kind="stable")[:MOST_SHOWN] if counts[i]]
    found = {
        f"winner {written[i][:40]!r}, which is not {winners.ALLOWED}": unknown & (winner == i)
        for i in shown
    }
    return found | {f"winner not {winners.ALLOWED}": unknown}


def _style(encoded: Mapping[str, Encoded]) -> Floats | None:
    """(n, F) how much more of each measure of style A's answer has than B's, 0 where either is
    missing; None without the answers.
    """
    if not all(name in encoded for name in TEXTS):
        return None
    nothing = np.zeros(len(features.CONTROLS))
    of_a, of_b = (
        np.vstack([features.measure_controls([plain(t) for t in texts]), nothing])[codes]
        for texts, codes in (encoded[name] for name in TEXTS)
    )
    both = (encoded[TEXTS[0]][1] != MISSING) & (encoded[TEXTS[1]][1] != MISSING)
    return np.where(both[:, None], of_a - of_b, 0.0)


def _texts(encoded: Mapping[str, Encoded]) -> Texts | None:
    """Prompts and answers; None without them."""
    if ASKED not in encoded:
        return None
    (responses_a, a), (responses_b, b), (prompts, prompt) = (
        encoded[name] for name in (*TEXTS, ASKED)
    )
    responses = list(dict.fromkeys([*responses_a, *responses_b]))
    place = {text: i for i, text in enumerate(responses)}
    a, b = (
        _look_up([place[text] for text in of], codes)
        for of, codes in ((responses_a, a), (responses_b, b))
    )
    return Texts(prompts, responses, prompt, a, b)


def by_reason(set_aside: list[SetAside]) -> list[str]:
    """One line for each reason: how many rows, and the first of them."""
    counts = Counter(row.reason for row in set_aside)
    first = dict[str, int]()
    for row in set_aside:
        first.setdefault(row.reason, row.row)
    return [f"{n:,} {reason} (first: row {first[reason]:,})" for reason, n in counts.most_common()]


def _encode(column: pa.ChunkedArray) -> Encoded:
    """A column's distinct texts and each row's place among them; MISSING for null and for empty
    text.
    """
    whole = column.unify_dictionaries().combine_chunks()
    if not pa.types.is_dictionary(whole.type):
        whole = whole.dictionary_encode()
    values = whole.dictionary.to_pylist()
    # Filling takes as long as all the rest, also where there is nothing to fill.
    indices = whole.indices.fill_null(MISSING) if whole.indices.null_count else whole.indices
    codes = indices.to_numpy().astype(np.int64)
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


def _times(encoded: Mapping[str, Encoded]) -> Floats | None:
    """(n,) when each was cast; None without such a column."""
    there = [name for name in TIME if name in encoded]
    if not there:
        return None
    values, codes = encoded[there[0]]
    return np.append(parsed(values), np.nan)[codes]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _set_aside(
    rows: Rows, bad: Ints, reasons: Mapping[str, npt.NDArray[np.bool_]]
) -> Iterator[SetAside]:
    """The bad rows, each with the first reason that holds for it."""
    for i in bad.tolist():
        reason = next(reason for reason, holds in reasons.items() if holds[i])
        yield SetAside(rows.number[i], reason, "")


def _named(
    encoded: Mapping[str, Encoded], spellings: tuple[str, ...]
) -> tuple[Ints | None, tuple[str, ...]]:
    """A code for each distinct value, and the values by code; (None, ()) without the column.

    Codes are in the values' order, not in the rows', so that the order of rows means nothing. Rows
    without a value are each a group of their own.
    """
    there = [name for name in spellings if name in encoded]
    if not there:
        return None, ()
    values, codes = encoded[there[0]]
    ranked = sorted(range(len(values)), key=values.__getitem__)
    rank = np.empty(len(values), dtype=np.int64)
    rank[ranked] = np.arange(len(values))
    alone = np.flatnonzero(codes == MISSING)
    code = _look_up(rank.tolist(), codes)
    code[alone] = len(values) + np.arange(len(alone))
    unnamed = (f"(row {row + 1}, unnamed)" for row in alone)
    return code, (*(values[i] for i in ranked), *unnamed)
