"""Games of a judge in both orders: Arena-Hard's model_judgment and MT-bench's pair judgements.

Each game is a vote of the judge on the two answers in the order it was shown; the second game has
them the other way round.
"""

import json
from pathlib import Path

from electorate.data import winners
from electorate.importers.imported import Imported, NoVoteError, Row
from electorate.storage import tables

BASELINE = "gpt-4-0314"  # whom Arena-Hard v0.1 compares with where a file does not say
GAMES = ("g1_winner", "g2_winner")


def read(path: Path) -> Imported:
    """Every game as a vote. PATH is a .jsonl file of judgements."""
    optional = ("games", *GAMES, "model", "model_1", "model_2", "judge", "baseline")
    rows = tables.read(path, ("question_id",), optional)
    found = Imported()

    def add(row: Row) -> None:
        games = _pair(row) if row.get(GAMES[0]) else _list(row)
        judge = _judge(row.get("judge"))
        # Two games of one question are one judge's word said twice.
        for model_a, model_b, winner in games:
            found.vote(
                model_a,
                model_b,
                winner,
                user_id=judge,
                prompt_id=row["question_id"],
                weight=1 / len(games),
            )

    found.take(rows, add)
    return found


def _pair(row: Row) -> list[tuple[str | None, str | None, str]]:
    """MT-bench's: `model_1`, `model_2` and ties in words, both games from the models' view."""
    first = row.get("model_1")
    second = row.get("model_2")
    won = {"model_1": "model_a", "model_2": "model_b", "tie": "tie"}
    games = [row.get(name) or "" for name in GAMES]
    if unknown := [text for text in games if text not in won]:
        raise NoVoteError(f"{unknown[0]!r} is none of model_1, model_2 and tie")
    return [(first, second, won[text]) for text in games]


def _list(row: Row) -> list[tuple[str | None, str | None, str]]:
    """Arena-Hard's: the baseline is shown first in the first game, second in the second."""
    try:
        games = json.loads(row.get("games") or "")
        scores = [str(game["score"]) for game in games]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise NoVoteError("games is not a list of judgements with a score") from None
    baseline = row.get("baseline") or BASELINE
    found: list[tuple[str | None, str | None, str]] = []
    for i, score in enumerate(scores):
        outcome = winners.outcome(score)
        if outcome is None:
            raise NoVoteError(f"score {score!r} is none of A>>B, A>B, A=B, B>A and B>>A")
        models = (baseline, row.get("model")) if i % 2 == 0 else (row.get("model"), baseline)
        found.append((*models, winners.NAMES[outcome]))
    if not found:
        raise NoVoteError("without a game")
    return found


def _judge(text: str | None) -> str | None:
    """MT-bench names a judge and its prompt as a list."""
    try:
        content = json.loads(text or "")
    except (ValueError, RecursionError):
        return text
    return str(content[0]) if isinstance(content, list) and content else text
