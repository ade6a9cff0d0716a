"""What an importer gathers: votes, single-turn responses, and the rows it had to set aside."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from electorate.base.errors import ElectorateError
from electorate.data import conversations, winners
from electorate.storage import files, tables
from electorate.storage.tables import Rows, SetAside

VOTES = "votes.parquet"
RESPONSES = "responses.parquet"
ASIDE = "set_aside.jsonl"
VOTE_COLUMNS = (
    "model_a",
    "model_b",
    "winner",
    "user_id",
    "prompt_id",
    "weight",
    "prompt",
    "response_a",
    "response_b",
)
RESPONSE_COLUMNS = ("prompt_id", "prompt", "model", "response")
SURROGATE = re.compile("[\ud800-\udfff]")
FEWEST_ALIKE = 5  # votes; fewer may be alike by chance
NO_WINNER = "without a winner"
Turns = list[str]
Row = dict[str, str | None]


class NoVoteError(Exception):
    """Why a row cannot be used."""


@dataclass
class Imported:
    """Rows as they come.

    Texts of a vote are JSON lists of turns; a response is to a conversation's first turn.
    """

    votes: list[tuple[str | float | None, ...]] = field(default_factory=list)
    responses: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    set_aside: list[SetAside] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)

    def take(self, rows: Rows, add: Callable[[Row], None]) -> None:
        """Call add on every row, setting aside those of which it says that they are none."""
        self.set_aside += rows.set_aside
        for number, row in zip(rows.number, rows.table.to_pylist(), strict=True):
            try:
                add(row)
            except NoVoteError as error:
                self.set_aside.append(
                    SetAside(number, str(error), json.dumps(row, ensure_ascii=False))
                )

    def vote(
        self,
        model_a: str | None,
        model_b: str | None,
        winner: str | None,
        *,
        user_id: str | None = None,
        prompt_id: str | None = None,
        weight: float = 1.0,
        prompt: Turns | None = None,
        response_a: Turns | None = None,
        response_b: Turns | None = None,
    ) -> None:
        """Add a vote, with its texts where they are known. Raises NoVoteError if it is none."""
        if not model_a or not model_b:
            raise NoVoteError("without a model's name")
        if model_a == model_b:
            raise NoVoteError("a model against itself")
        if winner is None:
            raise NoVoteError(NO_WINNER)
        _require_unicode(model_a, model_b, user_id, prompt_id)
        texts = [
            None if turns is None else json.dumps(turns, ensure_ascii=False)
            for turns in (prompt, response_a, response_b)
        ]
        self.votes.append((model_a, model_b, winner, user_id, prompt_id, weight, *texts))
        if prompt and response_a and response_b:
            self.response(prompt_id, prompt[0], model_a, response_a[0])
            self.response(prompt_id, prompt[0], model_b, response_b[0])

    def thumb(self, model: str, up: bool, user_id: str | None, prompt_id: str | None) -> None:
        """Add a vote on one answer alone. Raises NoVoteError if it is none."""
        _require_unicode(model, user_id, prompt_id)
        way = "up" if up else "down"
        self.votes.append((model, None, way, user_id, prompt_id, 1.0, None, None, None))

    def response(self, prompt_id: str | None, prompt: str, model: str, response: str) -> None:
        """Add a model's response to a prompt; the first one stays, others are counted."""
        _require_unicode(prompt_id, prompt, model, response)
        kept = self.responses.setdefault((prompt, model), (prompt_id or prompt, response))
        if kept[1] != response:
            self.notes[
                "further responses of a model to a prompt it had answered, left out of "
                "responses.parquet"
            ] += 1

    def write(self, out: Path) -> list[str]:
        """The tables into folder `out`; returns a line for each, and one for each reason a row
        was set aside.

        Raises ElectorateError if the folder holds an import already, or there is nothing to write.
        """
        check(out)
        lines = []
        if self.votes:
            columns = dict(zip(VOTE_COLUMNS, map(list, zip(*self.votes, strict=True)), strict=True))
            there = {
                name: column
                for name, column in columns.items()
                if any(value is not None for value in column)
            }
            files.write_table(
                out / VOTES, pa.table({name: pa.array(column) for name, column in there.items()})
            )
            lines.append(f"{len(self.votes):,} votes: {out / VOTES}")
        if self.responses:
            rows = [
                (prompt_id, prompt, model, text)
                for (prompt, model), (prompt_id, text) in self.responses.items()
            ]
            columns = dict(zip(RESPONSE_COLUMNS, map(list, zip(*rows, strict=True)), strict=True))
            files.write_table(
                out / RESPONSES,
                pa.table(
                    {name: pa.array(column, pa.large_string()) for name, column in columns.items()}
                ),
            )
            lines.append(
                f"{len(rows):,} responses of {len({row[2] for row in rows})} models: "
                f"{out / RESPONSES}"
            )
        lines += [f"{n:,} {what}" for what, n in self.notes.items()]
        lines += self._identical()
        if self.set_aside:
            files.write_text(out / ASIDE, tables.as_json_lines(self.set_aside))
            lines.append(f"{len(self.set_aside):,} rows set aside: {out / ASIDE}")
            lines += [
                f"  {n:,} {reason}"
                for reason, n in Counter(row.reason for row in self.set_aside).most_common()
            ]
        return lines

    def _identical(self) -> list[str]:
        """A line for each two models whose votes are equal but for the name.

        That is one model's file under two names, which nothing else gives away.
        """
        of_model = defaultdict[str, Counter[int]](Counter)
        for a, b, winner, user_id, prompt_id, weight, prompt, response_a, response_b in self.votes:
            about = (user_id, prompt_id, weight, prompt)
            for own, other, result, answer, against in (
                (a, b, winner, response_a, response_b),
                (b, a, winners.turned(str(winner)), response_b, response_a),
            ):
                if own is not None:
                    of_model[str(own)][hash((other, result, answer, against, *about))] += 1
        alike = defaultdict[frozenset[tuple[int, int]], list[str]](list)
        for model, votes in of_model.items():
            if votes.total() >= FEWEST_ALIKE:
                alike[frozenset(votes.items())].append(model)
        return [
            f"{of_model[models[0]].total():,} votes are the same under the names "
            f"{', '.join(map(repr, sorted(models)))}: is it one model's file twice?"
            for models in alike.values()
            if len(models) > 1
        ]


def check(out: Path) -> None:
    """ElectorateError if an import would overwrite another."""
    there = [name for name in (VOTES, RESPONSES, ASIDE) if (out / name).exists()]
    if there:
        raise ElectorateError(f"--out {out}: holds {there[0]} already; choose another folder")


def turns(text: str | None, what: str, may_be_empty: bool = True) -> Turns:
    """A list of turns, see conversations.py; a model may say nothing (null or empty).

    Raises NoVoteError if it is none.
    """
    texts = conversations.turns(text or "", python=True)
    if texts is None:
        raise NoVoteError(f"{what} is not a list of turns")
    if not may_be_empty and not all(turn.strip() for turn in texts):
        raise NoVoteError(f"{what} has a turn without text")
    _require_unicode(*texts, what=what)
    return texts


def sides(text: str | None, what: str) -> tuple[Turns, Turns]:
    """What the user said and what the model said in a conversation of messages, turn by turn.

    Raises NoVoteError if it is none.
    """
    try:
        content = json.loads(text or "")
    except (ValueError, RecursionError):
        content = None
    asked = conversations.of_role(content, "user")
    answers = conversations.of_role(content, "assistant")
    if not asked or not answers:
        raise NoVoteError(f"{what} is not a list of role and content")
    if not all(turn.strip() for turn in asked):
        raise NoVoteError(f"{what} has a turn without text")
    _require_unicode(*asked, *answers, what=what)
    return asked, answers


def _require_unicode(*texts: str | None, what: str = "it") -> None:
    """JSON may hold half of a surrogate pair, which no file can."""
    for text in texts:
        if text is not None and SURROGATE.search(text):
            raise NoVoteError(f"{what} holds text that is not Unicode")


def known_winner(row: Row) -> str:
    """A row's winner as the Chatbot Arena writes it. Raises NoVoteError for what is none."""
    text = row["winner"] or ""
    outcome = winners.of_names(text, row["model_a"] or "", row["model_b"] or "")
    if outcome is None:
        raise NoVoteError(f"winner {text[:40]!r} is not {winners.ALLOWED}" if text else NO_WINNER)
    return winners.NAMES[outcome]
