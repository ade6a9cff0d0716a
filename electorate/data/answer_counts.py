"""How many of each contestant's answers are empty, cut at max_tokens, or thought about first."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from electorate.base.errors import ElectorateError
from electorate.config.contest import Contest

CUT = "length"  # the finish_reason of an answer that ran into max_tokens
MOST = 0.5


@dataclass(frozen=True)
class AnswerCounts:
    """Of one contestant's answers, failures left out."""

    contestant: str
    max_tokens: int
    answers: int
    empty: int
    cut: int
    empty_or_cut: int
    reasoned: int


def count(contest: Contest, responses: pa.Table) -> list[AnswerCounts]:
    """A contestant each, in the config's order.

    Args:
        contest: whose contestants they are.
        responses: the columns of responses.parquet; those of earlier versions say nothing of
            reasoning.
    """
    rows: dict[str, list[dict[str, Any]]] = {one.name: [] for one in contest.contestants}
    for row in responses.to_pylist():
        rows[row["contestant"]].append(row)
    return [_of_one(one.name, one.max_tokens, rows[one.name]) for one in contest.contestants]


def lines(contest: Contest, counts: Sequence[AnswerCounts]) -> list[str]:
    """A line for each contestant with something to say, with the setting to change."""
    place = {one.name: i for i, one in enumerate(contest.contestants)}
    found = []
    for of in counts:
        parts = []
        if of.cut:
            where = f"contestants.{place[of.contestant]}.max_tokens: {of.max_tokens}"
            parts.append(f"{of.cut} cut ({where})")
        if of.empty:
            parts.append(f"{of.empty} empty")
        if of.reasoned:
            parts.append(f"{of.reasoned} after reasoning, which is left out")
        if parts:
            found.append(f"of {of.answers} answers by {of.contestant}: {', '.join(parts)}")
    return found


def refuse_unusable(contest: Contest, counts: Sequence[AnswerCounts]) -> None:
    """ElectorateError if most answers of a contestant are empty or cut, unless that is allowed."""
    if contest.allow_cut_answers:
        return
    for i, of in enumerate(counts):
        if of.empty_or_cut > MOST * of.answers:
            thought = f", {of.reasoned} after reasoning" if of.reasoned else ""
            raise ElectorateError(
                f"contestants.{i}: {of.empty_or_cut} of {of.answers} answers by {of.contestant!r} "
                f"are empty or cut at max_tokens{thought}; raise contestants.{i}.max_tokens (now "
                f"{of.max_tokens}), or set allow_cut_answers: true"
            )


def _of_one(name: str, max_tokens: int, rows: Sequence[dict[str, Any]]) -> AnswerCounts:
    answered = [row for row in rows if not row.get("error") and row["response"] is not None]
    empty = [not str(row["response"]).strip() for row in answered]
    cut = [row.get("finish_reason") == CUT for row in answered]
    either = [a or b for a, b in zip(empty, cut, strict=True)]
    reasoned = sum(bool(row.get("reasoned")) for row in answered)
    return AnswerCounts(
        name, max_tokens, len(answered), sum(empty), sum(cut), sum(either), reasoned
    )
