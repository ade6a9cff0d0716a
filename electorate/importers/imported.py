"""What an importer gathers: votes, single-turn responses, and the rows it had to set aside."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from electorate.errors import ElectorateError
from electorate.storage import files, tables
from electorate.storage.tables import Rows, SetAside
from electorate.votes import ALLOWED, WINNERS

VOTES, RESPONSES, ASIDE = "votes.parquet", "responses.parquet", "set_aside.jsonl"
VOTE_COLUMNS = ("model_a", "model_b", "winner", "user_id", "prompt_id", "weight", "prompt", "response_a", "response_b")
RESPONSE_COLUMNS = ("prompt_id", "prompt", "model", "response")
Turns = list[str]
Row = dict[str, str | None]


class NoVoteError(Exception):
    """Why a row cannot be used."""


@dataclass
class Imported:
    """Rows as they come. Texts of a vote are JSON lists of turns; a response is to a conversation's first turn."""

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
                self.set_aside.append(SetAside(number, str(error), json.dumps(row, ensure_ascii=False)))

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
            raise NoVoteError("without a winner")
        texts = [None if turns is None else json.dumps(turns, ensure_ascii=False) for turns in (prompt, response_a, response_b)]
        self.votes.append((model_a, model_b, winner, user_id, prompt_id, weight, *texts))
        if prompt and response_a and response_b:
            self.response(prompt_id, prompt[0], model_a, response_a[0])
            self.response(prompt_id, prompt[0], model_b, response_b[0])

    def response(self, prompt_id: str | None, prompt: str, model: str, response: str) -> None:
        """Add a model's response to a prompt; the first one stays, others are counted."""
        kept = self.responses.setdefault((prompt, model), (prompt_id or prompt, response))
        if kept[1] != response:
            self.notes["further responses of a model to a prompt it had answered, left out of responses.parquet"] += 1

    def write(self, out: Path) -> list[str]:
        """The tables into folder `out`; returns a line for each, and one for each reason a row was set aside.

        Raises ElectorateError if the folder holds an import already, or there is nothing to write.
        """
        check(out)
        lines = []
        if self.votes:
            columns = dict(zip(VOTE_COLUMNS, map(list, zip(*self.votes, strict=True)), strict=True))
            there = {name: column for name, column in columns.items() if any(value is not None for value in column)}
            files.write_table(out / VOTES, pa.table({name: pa.array(column) for name, column in there.items()}))
            lines.append(f"{len(self.votes):,} votes: {out / VOTES}")
        if self.responses:
            rows = [(prompt_id, prompt, model, text) for (prompt, model), (prompt_id, text) in self.responses.items()]
            columns = dict(zip(RESPONSE_COLUMNS, map(list, zip(*rows, strict=True)), strict=True))
            files.write_table(out / RESPONSES, pa.table({name: pa.array(column, pa.large_string()) for name, column in columns.items()}))
            lines.append(f"{len(rows):,} responses of {len({row[2] for row in rows})} models: {out / RESPONSES}")
        lines += [f"{n:,} {what}" for what, n in self.notes.items()]
        if self.set_aside:
            files.write_text(out / ASIDE, tables.as_json_lines(self.set_aside))
            lines.append(f"{len(self.set_aside):,} rows set aside: {out / ASIDE}")
            lines += [f"  {n:,} {reason}" for reason, n in Counter(row.reason for row in self.set_aside).most_common()]
        return lines


def check(out: Path) -> None:
    """ElectorateError if an import would overwrite another."""
    there = [name for name in (VOTES, RESPONSES, ASIDE) if (out / name).exists()]
    if there:
        raise ElectorateError(f"--out {out}: holds {there[0]} already; choose another folder")


def turns(text: str | None, what: str, may_be_empty: bool = True) -> Turns:
    """A JSON list of turns; a model may say nothing (null or empty). Raises NoVoteError if it is none."""
    try:
        content = json.loads(text or "")
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, list) or not content or not all(turn is None or isinstance(turn, str) for turn in content):
        raise NoVoteError(f"{what} is not a JSON list of turns")
    said = [turn or "" for turn in content]
    if not may_be_empty and not all(turn.strip() for turn in said):
        raise NoVoteError(f"{what} has a turn without text")
    # JSON may hold half of a surrogate pair, which no file can.
    if any("\ud800" <= letter <= "\udfff" for turn in said for letter in turn):
        raise NoVoteError(f"{what} holds text that is not Unicode")
    return said


def known_winner(text: str | None) -> str:
    """The winner as the Chatbot Arena writes it. Raises NoVoteError for any other."""
    winner = (text or "").strip()
    if winner not in WINNERS:
        raise NoVoteError(f"winner not {ALLOWED}")
    return winner
