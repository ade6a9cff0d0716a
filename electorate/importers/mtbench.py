"""MT-bench human judgements (Zheng et al., 2023), as conversations or as lists of turns.

Either the published columns conversation_a and conversation_b (lists of {role, content}), or
prompt, response_a and response_b as JSON lists. `turn` is the turn that was judged.
"""

from pathlib import Path

from electorate.base.errors import ElectorateError
from electorate.importers.imported import (
    Imported,
    NoVoteError,
    Row,
    Turns,
    known_winner,
    sides,
    turns,
)
from electorate.storage import tables

REQUIRED = ("question_id", "model_a", "model_b", "winner", "judge")
CONVERSATIONS = ("conversation_a", "conversation_b")
LISTS = ("prompt", "response_a", "response_b")


def read(path: Path) -> Imported:
    """Every judgement as a vote of its judge, on the conversation up to the turn that was
    judged.
    """
    rows = tables.read(path, REQUIRED, (*CONVERSATIONS, *LISTS, "turn"))
    found = Imported()
    there = set(rows.table.column_names)
    if not (there.issuperset(CONVERSATIONS) or there.issuperset(LISTS)):
        raise ElectorateError(
            f"{path}: has neither the columns {' and '.join(CONVERSATIONS)} nor {', '.join(LISTS)}"
        )
    split = _from_conversations if there.issuperset(CONVERSATIONS) else _from_lists

    def add(row: Row) -> None:
        prompt, a, b = split(row)
        judged = _turn(row.get("turn"), min(len(prompt), len(a), len(b)))
        found.vote(
            row["model_a"],
            row["model_b"],
            known_winner(row),
            user_id=row["judge"],
            prompt_id=row["question_id"],
            prompt=prompt[:judged],
            response_a=a[:judged],
            response_b=b[:judged],
        )

    found.take(rows, add)
    return found


def _turn(text: str | None, turns_there: int) -> int:
    if text is None:
        return turns_there
    if text not in {str(turn) for turn in range(1, turns_there + 1)}:
        raise NoVoteError("turn is not one of the conversation's")
    return int(text)


def _from_lists(row: Row) -> tuple[Turns, Turns, Turns]:
    return (
        turns(row["prompt"], "prompt", may_be_empty=False),
        turns(row["response_a"], "response_a"),
        turns(row["response_b"], "response_b"),
    )


def _from_conversations(row: Row) -> tuple[Turns, Turns, Turns]:
    (prompt, a), (_, b) = (sides(row[name], name) for name in CONVERSATIONS)
    return prompt, a, b
