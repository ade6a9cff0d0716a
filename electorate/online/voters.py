"""Who votes online, how much of the boards that makes, and what is odd about it.

A flag says what to look at, not that anything is wrong: whoever likes one model best votes for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from electorate.base.votes import BOTH_BAD, MISSING, TIE
from electorate.online.counter import Counter
from electorate.online.sent import battles
from electorate.online.store import VoteStore
from electorate.storage.vote_columns import column

FEWEST = 20  # decided votes that a flag rests on
ODD = 0.95  # share of them that is odd
FAST = 60  # votes within FAST_S seconds
FAST_S = 60


@dataclass(frozen=True)
class Voter:
    """A user or a key. weight: of each vote in the boards; share: of all online votes' weight."""

    name: str
    votes: int
    weight: float
    share: float
    flags: tuple[str, ...]


@dataclass(frozen=True)
class Voters:
    """rule : what votes weigh, in words. users, keys : who weighs most first."""

    rule: str
    users: Sequence[Voter]
    keys: Sequence[Voter]


def found(counter: Counter, store: VoteStore, limit: int) -> Voters:
    """Of what is counted: so many of the users who voted most, and every key that sent votes."""
    counts = counter.counts
    total = max(1.0, float(counts.weight_of_keys @ counts.key_weights))
    most = np.argsort(-counts.votes_of, kind="stable")[:limit]
    most = most[counts.votes_of[most] > 0]
    names = store.users.names(most)
    weight_of_users = counts.weight_of_users
    users = []
    for number in most.tolist():
        votes = int(counts.votes_of[number])
        weight = float(counts.caps.of_user(votes))
        flags = flags_of(counter.votes_of(number))
        if votes > counts.caps.user:
            flags = ("over the cap of a user", *flags)
        share = float(weight_of_users[number]) / total
        users.append(Voter(names.get(number, ""), votes, weight, share, flags))
    keys = []
    known = store.keys
    for key, weight_of_all in enumerate(counts.weight_of_keys.tolist()):
        weight = float(counts.key_weights[key])
        if weight_of_all:
            flags = ("over the cap of a key",) if weight < 1 else ()
            share = weight * weight_of_all / total
            keys.append(Voter(known.get(key, ""), round(weight_of_all), weight, share, flags))
    return Voters(str(counts.caps), users, sorted(keys, key=lambda one: -one.share))


def flags_of(votes: pa.Table) -> tuple[str, ...]:
    """What is odd about a user's votes."""
    flags = []
    thumbs_too = votes
    votes = battles(votes)
    outcome = column(votes, "outcome")
    decided = (outcome != TIE) & (outcome != BOTH_BAD)
    if decided.sum() >= FEWEST:
        won = np.where(outcome == 0, column(votes, "model_a"), column(votes, "model_b"))[decided]
        if np.bincount(won).max() >= ODD * len(won):
            flags.append("votes for one model")
    first_shown = column(votes, "first_shown")
    placed = decided & (first_shown != MISSING)
    if placed.sum() >= FEWEST:
        first = (outcome == first_shown)[placed]
        if max(first.mean(), 1 - first.mean()) >= ODD:
            flags.append("votes for one place on the screen")
    at = np.sort(column(thumbs_too, "at"))
    at = at[at > 0]  # votes from before times were kept have none
    if len(at) >= FAST and np.any(at[FAST - 1 :] - at[: len(at) - FAST + 1] < FAST_S):
        flags.append(f"{FAST} votes within {FAST_S} seconds")
    return tuple(flags)
