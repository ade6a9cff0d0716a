"""PRISM (Kirk et al., 2024): utterances.jsonl, in which people scored the answers of up to four
models.

Only a conversation's opening turn sets models against each other; later turns are two answers of
the model that was chosen. Every pair of an opening turn is a vote for the higher score, equal
scores a tie; with k answers each of the k(k-1)/2 pairs has weight 2/k, so that a person's opening
counts as much as the k-1 comparisons it takes to order them.
"""

from collections import defaultdict
from itertools import combinations
from pathlib import Path

from electorate.importers.imported import Imported, NoVoteError, Row
from electorate.storage import tables

COLUMNS = (
    "interaction_id",
    "user_id",
    "turn",
    "user_prompt",
    "model_response",
    "model_name",
    "score",
)
Opening = tuple[str, str, str]  # interaction, user, prompt
Answered = tuple[str, float, str]  # model, score, response


def read(path: Path) -> Imported:
    """The votes of every opening turn. PATH is the file, or the folder that holds it."""
    found = Imported()
    openings = defaultdict[Opening, list[Answered]](list)

    def add(row: Row) -> None:
        if _number(row, "turn") > 0:
            found.notes["answers in later turns, which set no models against each other"] += 1
            return
        opening, answered = _answer(row)
        if any(answered[0] == model for model, _, _ in openings[opening]):
            raise NoVoteError("a model answers an opening twice")
        openings[opening].append(answered)

    found.take(tables.read(path / "utterances.jsonl" if path.is_dir() else path, COLUMNS), add)
    for opening, answers in openings.items():
        _vote(found, *opening, answers)
    return found


def _answer(row: Row) -> tuple[Opening, Answered]:
    values = {
        name: value
        for name, value in row.items()
        if value is not None and (value or name == "model_response")
    }
    if missing := [name for name in COLUMNS if name not in values]:
        raise NoVoteError(f"without {missing[0]}")
    score = _number(row, "score")
    if not 1 <= score <= 100:
        raise NoVoteError("score not from 1 to 100")
    opening = values["interaction_id"], values["user_id"], values["user_prompt"]
    return opening, (values["model_name"], score, values["model_response"])


def _number(row: Row, name: str) -> float:
    try:
        return float(row[name] or "")
    except ValueError:
        raise NoVoteError(f"{name} is not a number") from None


def _vote(
    found: Imported, interaction: str, user: str, prompt: str, answers: list[Answered]
) -> None:
    if len(answers) < 2:
        found.notes["openings with one usable answer, which are no battle"] += 1
    for (model_a, score_a, a), (model_b, score_b, b) in combinations(answers, 2):
        winner = "tie" if score_a == score_b else "model_a" if score_a > score_b else "model_b"
        found.vote(
            model_a,
            model_b,
            winner,
            user_id=user,
            prompt_id=interaction,
            weight=2 / len(answers),
            prompt=[prompt],
            response_a=[a],
            response_b=[b],
        )
