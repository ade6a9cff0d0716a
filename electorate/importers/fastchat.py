"""FastChat's model_answer: a JSON Lines file a model, or a folder of them; responses, no votes."""

import json
from pathlib import Path

from electorate.base.errors import ElectorateError
from electorate.data import conversations
from electorate.importers.imported import Imported, NoVoteError, Row
from electorate.storage import tables


def read(path: Path) -> Imported:
    """Every answer's first choice, first turn, as a response.

    Prompts come from `question.jsonl` beside the answers, or above their folder; without it a
    prompt is known by its number.
    """
    folder = path if path.is_dir() else path.parent
    files = sorted(folder.glob("*.jsonl")) if path.is_dir() else [path]
    files = [file for file in files if file.name != "question.jsonl"]
    if not files:
        raise ElectorateError(f"{path}: holds no .jsonl file of answers")
    prompts = _prompts(folder)
    found = Imported()

    def add(row: Row) -> None:
        number = row["question_id"]
        if not number or not row["model_id"]:
            raise NoVoteError("without question_id or model_id")
        try:
            text = json.loads(row["choices"] or "")[0]["turns"][0]
        except (ValueError, TypeError, KeyError, IndexError, RecursionError):
            raise NoVoteError("choices is not a list of turns") from None
        if not isinstance(text, str):
            raise NoVoteError("a turn is not text")
        prompt = prompts.get(number, f"question {number}")
        found.response(number, prompt, row["model_id"], text)

    for file in files:
        found.take(tables.read(file, ("question_id", "model_id", "choices")), add)
    return found


def _prompts(folder: Path) -> dict[str, str]:
    """The first turn of each question, by its number."""
    for place in (folder / "question.jsonl", folder.parent / "question.jsonl"):
        if place.exists():
            rows = tables.read(place, ("question_id", "turns")).table.to_pylist()
            turns_of = {row["question_id"]: conversations.turns(row["turns"] or "") for row in rows}
            return {number: turns[0] for number, turns in turns_of.items() if turns}
    return {}
