"""Battles of the Chatbot Arena as its data sets hold them: arena-human-preference-55k, -100k and
-140k.

The texts are messages of both conversations (`conversation_a`, `conversation_b`, whose content may
be a list of parts), or those of one (`full_conversation` is not read). A session or a judge is the
user.
"""

from pathlib import Path

from electorate.base.errors import ElectorateError
from electorate.importers.imported import Imported, NoVoteError, Row, known_winner, sides
from electorate.storage import tables

CONVERSATIONS = ("conversation_a", "conversation_b")
USERS = ("evaluation_session_id", "judge_hash", "judge", "user_id")
IDS = ("question_id", "id")


def read(path: Path) -> Imported:
    """Every battle as a vote; the last turn's prompt and what came before it are its prompt."""
    needed = ("model_a", "model_b", "winner", *CONVERSATIONS)
    rows = tables.read(path, needed, (*USERS, *IDS))
    there = set(rows.table.column_names)
    user = next((name for name in USERS if name in there), "")
    id_ = next((name for name in IDS if name in there), "")
    if not id_:
        raise ElectorateError(f"{path}: has none of the columns {', '.join(IDS)}")
    found = Imported()

    def add(row: Row) -> None:
        a_asked, a = sides(row[CONVERSATIONS[0]], CONVERSATIONS[0])
        b_asked, b = sides(row[CONVERSATIONS[1]], CONVERSATIONS[1])
        if a_asked != b_asked:
            raise NoVoteError("the two conversations have different prompts")
        found.vote(
            row["model_a"],
            row["model_b"],
            known_winner(row),
            user_id=row.get(user),
            prompt_id=row[id_],
            prompt=a_asked,
            response_a=a,
            response_b=b,
        )

    found.take(rows, add)
    return found
