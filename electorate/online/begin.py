"""Votes of compared people, taken into the store that their rankings are served from."""

from electorate.base.progress import Bar
from electorate.data.votes import Votes
from electorate.online.base import Base
from electorate.online.store import NO_PROMPT, Batch, Vote, VoteStore

KEY = "human"  # that the votes are said to come from
AT_ONCE = 1000
DONE = "votes-taken"


def take_in(base: Base, store: VoteStore, bar: Bar) -> None:
    """Take the votes of the base's people into the store, once.

    What was begun and stopped is finished: a vote is known by its row in the file. A user who was
    erased since does not come back, as this is done before anybody can be.

    Raises:
        ElectorateError: the file of votes is gone or changed.
    """
    done = base.folder / DONE
    if base.people is None or done.exists():
        return
    votes = base.people.votes()
    for name in sorted(set(votes.models) - set(store.models.names)):
        store.add_model(name, KEY)
    with bar("Taking votes in", len(votes), 0) as advance:
        for first in range(0, len(votes), AT_ONCE):
            batch = _batch(votes, first, min(first + AT_ONCE, len(votes)))
            (taken,) = store.add([batch])
            if isinstance(taken, Exception):
                raise taken
            advance(len(batch.votes))
    done.touch()


def _batch(votes: Votes, first: int, last: int) -> Batch:
    users = votes.users
    prompt = votes.prompt
    rows = [
        Vote(
            id=str(row),
            user=votes.user_names[users[row]],
            model_a=votes.models[votes.a[row]],
            model_b=votes.models[votes.b[row]],
            outcome=int(votes.outcome[row]),
            prompt=NO_PROMPT if prompt is None else int(prompt[row]),
        )
        for row in range(first, last)
    ]
    return Batch(KEY, rows)
