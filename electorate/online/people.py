"""Who a request speaks of, and the votes that are that user's own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pyarrow as pa

from electorate.base.errors import RequestError
from electorate.base.scale import Ints
from electorate.online import rounds
from electorate.online.base import Base
from electorate.online.sent import NO_SEGMENT, as_persona
from electorate.online.snapshot import ONLINE, Snapshot
from electorate.population.logged_votes import COLUMNS, LoggedVotes
from electorate.population.voters import BLOCK
from electorate.storage.vote_columns import column
from electorate.storage.vote_log import VoteLog

BLOCKS_KEPT = 32  # 3 MB each at 50 votes a user
LOGS_KEPT = 4  # each is there for at least a fold's time, seconds at the highest rate of votes
NONE: Ints = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class Person:
    """number: None for a user nobody knows. segment: NO_SEGMENT for none."""

    number: int | None
    segment: int


class People:
    """Everybody who voted, in the run or online.

    Keeps the blocks of the run that were read last.
    """

    def __init__(self, base: Base) -> None:
        self._base = base
        self._block = lru_cache(BLOCKS_KEPT)(self._read)
        self._archetypes = lru_cache(BLOCKS_KEPT)(self._draw_archetypes)
        self._opened: dict[tuple[int, ...], Sequence[pa.Table]] = {}
        self._erasures = 0

    def open(self, snapshot: Snapshot) -> Sequence[pa.Table]:
        """The snapshot's rounds of the log, so that no request waits for them.

        Those of the ones before stay open, as requests may be under way on them while the writer
        has merged their files into others. Raises ElectorateError if one is gone, as there is a
        newer snapshot.
        """
        opened = self._opened
        if snapshot.rounds in opened:
            return opened[snapshot.rounds]
        known = {
            n: log for numbers, logs in opened.items() for n, log in zip(numbers, logs, strict=True)
        }
        folder = self._base.folder / "votes"
        logs = [known[n] if n in known else rounds.read(folder, n) for n in snapshot.rounds]
        before = list(opened.items())[1 - LOGS_KEPT :]
        if snapshot.erasures != self._erasures:
            # A file that is open stays on disk, with the votes of who was erased.
            before = []
            self._erasures = snapshot.erasures
        self._opened = {**dict(before), snapshot.rounds: logs}
        return logs

    def segment(self, name: str | None) -> int:
        """A segment's place; NO_SEGMENT for None. Raises RequestError if there is none of this
        name.
        """
        if name is None:
            return NO_SEGMENT
        if name not in self._base.segments:
            raise RequestError(
                f"segment: {name!r} is not one; there are "
                f"{', '.join(self._base.segments) or 'none'}"
            )
        return self._base.segments.index(name)

    def who(self, snapshot: Snapshot, user: str | None, segment: str | None) -> Person:
        """segment: counts where the user has none of its own."""
        named = self.segment(segment)
        persona = None if user is None else as_persona(user, self._base.personas)
        if persona is not None and self._base.run is not None:
            block, row = divmod(persona, BLOCK)
            return Person(persona, int(self._archetypes(block)[row]))
        found = None if user is None else snapshot.users.find(self._base.pseudonyms.of(user))
        if found is None:
            return Person(None, named)
        return Person(found[0], named if found[1] == NO_SEGMENT else found[1])

    def votes(self, snapshot: Snapshot, person: Person) -> LoggedVotes:
        """A person's own, as of one user: from the run, and those that came online."""
        number = person.number
        if number is None:
            return snapshot.recent.of_users(NONE)
        parts = self._votes_of_run(number, snapshot.erasures)
        for log in self.open(snapshot):
            own = rounds.of_users(log, np.array([number]))
            if len(own):
                parts.append(LoggedVotes.of_block(own, number, ONLINE))
        first, last = np.searchsorted(snapshot.recent.user, (number, number + 1))
        recent = snapshot.recent.take(slice(first, last))
        return LoggedVotes.by_user([*parts, replace(recent, user=recent.user - number)])

    def many_votes(self, snapshot: Snapshot, person: Person) -> int:
        """How many those are, in a moment."""
        if person.number is None:
            return 0
        ends = (person.number, person.number + 1)
        found = [np.searchsorted(user, ends) for user in self._columns(snapshot, person.number)]
        return int(sum(last - first for first, last in found))

    def _columns(self, snapshot: Snapshot, number: int) -> Iterator[Ints]:
        """Users by vote, ascending, of everything that may hold this one's."""
        run = self._base.run
        if run is not None and number < self._base.personas:
            for round_ in range(run.rounds):
                block = self._block(round_, number // BLOCK, snapshot.erasures)
                if block is not None:
                    yield block["user_id"].to_numpy()
        for log in self.open(snapshot):
            yield log["user_id"].to_numpy()
        yield snapshot.recent.user

    def _votes_of_run(self, number: int, erasures: int) -> list[LoggedVotes]:
        run = self._base.run
        if run is None or number >= self._base.personas:
            return []
        parts = []
        for round_ in range(run.rounds):
            block = self._block(round_, number // BLOCK, erasures)
            if block is not None:
                first, last = np.searchsorted(column(block, "user_id"), (number, number + 1))
                parts.append(LoggedVotes.of_block(block.slice(first, last - first), number, round_))
        return parts

    def _draw_archetypes(self, block: int) -> Ints:
        run = self._base.run
        return NONE if run is None else run.voters.archetype_of(block)

    def _read(self, round_: int, block: int, erasures: int) -> pa.Table | None:  # noqa: ARG002
        """A file of the run's log, if it is there. erasures: as each may rewrite it."""
        run = self._base.run
        if run is None:
            return None
        log = VoteLog(run.folder.votes, run.voters.config.contestant_names)
        return log.read(round_, block, COLUMNS) if log.has(round_, block) else None
