"""Votes as they are sent, and what the store says of them."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from electorate.base.scale import Ints
from electorate.base.votes import MISSING
from electorate.storage.vote_columns import column

NO_SEGMENT = -1
NOBODY = ""  # a thumb's second model
NO_MODEL = -1  # and its place
NO_PROMPT = -1


@dataclass(frozen=True)
class Routed:
    """How a gateway chose an answer.

    Attributes:
        answer: makes it different from any other.
        probability: with which its contestant was chosen; 0 where no ranking chose it.
        by_user: the best contestant by the user's own ranking.
        by_all: the best by everyone's.
    """

    answer: str
    probability: float
    by_user: str
    by_all: str


@dataclass(frozen=True)
class Vote:
    """One vote as it came.

    id: the client's, one of its key's and its user's. outcome: 0 A, 1 B, 2 tie, 3 both bad.
    model_b: NOBODY for a thumb on A's answer alone, which is up (outcome 0) or down (1).
    first_shown: 0 A, 1 B, MISSING where it is not known. prompt: of the run, or NO_PROMPT. segment:
    of its user, which counts with a user's first vote. weight: as how many votes it counts before
    any cap. board: the segment whose board it counts in, one more than the last for none's, and
    NO_SEGMENT for its user's. routed: of a thumb, how its answer was chosen, where a gateway chose
    it.
    """

    id: str
    user: str
    model_a: str
    model_b: str
    outcome: int
    first_shown: int = 0
    prompt: int = NO_PROMPT
    segment: int = NO_SEGMENT
    weight: float = 1.0
    board: int = NO_SEGMENT
    routed: Routed | None = None

    @property
    def content(self) -> int:
        """What it says, as 64 bits: an id that comes again has to say the same."""
        # Which answer was first was 0 where it is not known, and votes had neither weight nor
        # board: what was begun then is finished now.
        first = 0 if self.first_shown == MISSING else self.first_shown
        battle = f"{self.model_a}\0{self.model_b}\0{self.outcome}\0{first}"
        whole = f"{battle}\0{self.prompt}\0{self.segment}"
        digest = hashlib.blake2b(whole.encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big", signed=True)


@dataclass(frozen=True)
class Batch:
    """Votes of one request. key: the name of the key that sent them."""

    key: str
    votes: Sequence[Vote]


@dataclass(frozen=True)
class Taken:
    """Votes that are on disk.

    version: a snapshot of this version or a later one counts all votes of the batch. new: how many
    were not known before.
    """

    version: int
    new: int


@dataclass(frozen=True)
class Users:
    """Users who voted online and are no personas. number, segment: (n,)."""

    name: tuple[str, ...]
    number: Ints
    segment: Ints


@dataclass(frozen=True)
class Erased:
    """A user who is no more, and its votes: in the log of online votes, and in the run's."""

    number: int
    folded: pa.Table
    of_run: Sequence[pa.Table]


@dataclass(frozen=True)
class Known:
    """What is kept of a user.

    Attributes:
        segment: NO_SEGMENT for none.
        votes: that came online or were given, with the columns of a round.
        written: what was written about it, see VoteStore.audit.
        answered: what a gateway answered, see Ledger.of_user.
        thumbs: on these, see Ledger.thumbs_of_user.
    """

    segment: int
    votes: pa.Table
    written: Sequence[Mapping[str, object]]
    answered: Sequence[Mapping[str, object]]
    thumbs: Sequence[Mapping[str, object]]


def battles(votes: pa.Table) -> pa.Table:
    """The votes that are no thumbs, with the columns of a round."""
    is_battle = column(votes, "model_b") != NO_MODEL
    return votes if is_battle.all() else votes.filter(pa.array(is_battle))


def as_persona(user: str, personas: int) -> int | None:
    """The persona that a user's name says, if it is one: its number, written plainly."""
    plain = user.isascii() and user.isdecimal() and len(user) < 12 and str(int(user)) == user
    return int(user) if plain and int(user) < personas else None
