"""Who a request speaks of, and the votes that are that user's own."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa

from electorate.cast import COLUMNS, Cast
from electorate.errors import ElectorateError
from electorate.online.base import Base
from electorate.online.standings import Standings
from electorate.online.store import NO_SEGMENT, as_persona
from electorate.personas import BLOCK, draw_archetypes
from electorate.scale import Ints
from electorate.storage.vote_log import VoteLog, column

BLOCKS_KEPT = 32  # 3 MB each at 50 votes a user
NONE: Ints = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class Person:
    """number: None for a user nobody knows. segment: NO_SEGMENT for none."""

    number: int | None
    segment: int


class People:
    """Everybody who voted, in the run or online. Keeps the blocks of the logs that were read last."""

    def __init__(self, base: Base) -> None:
        self._base = base
        self._block = lru_cache(BLOCKS_KEPT)(self._read)
        self._archetypes = lru_cache(BLOCKS_KEPT)(self._draw_archetypes)

    def segment(self, name: str | None) -> int:
        """A segment's place; NO_SEGMENT for None. Raises ElectorateError if there is none of this name."""
        if name is None:
            return NO_SEGMENT
        if name not in self._base.segments:
            raise ElectorateError(f"segment: {name!r} is not one; there are {', '.join(self._base.segments) or 'none'}")
        return self._base.segments.index(name)

    def who(self, standings: Standings, user: str | None, segment: str | None) -> Person:
        """segment: counts where the user has none of its own."""
        said = self.segment(segment)
        persona = None if user is None else as_persona(user, self._base.personas)
        if persona is not None and self._base.run is not None:
            block, row = divmod(persona, BLOCK)
            return Person(persona, int(self._archetypes(block)[row]))
        found = None if user is None else standings.users.find(user)
        if found is None:
            return Person(None, said)
        return Person(found[0], said if found[1] == NO_SEGMENT else found[1])

    def votes(self, standings: Standings, person: Person) -> Cast:
        """A person's own, as of one user: from the run, from the log of online votes, and those not in it yet."""
        number, run = person.number, self._base.run
        if number is None:
            return standings.recent.of_users(NONE)
        rounds = [(True, r) for r in range(run.rounds)] if run is not None and number < self._base.personas else []
        rounds += [(False, r) for r in range(standings.folds)]
        parts = []
        for of_run, round_ in rounds:
            block = self._block(of_run, round_, number // BLOCK, standings.models, standings.erasures)
            if block is not None:
                first, last = np.searchsorted(column(block, "user_id"), (number, number + 1))
                parts.append(Cast.of(block.slice(first, last - first), number, round_))
        return Cast.joined([*parts, standings.recent.of_users(np.array([number]))])

    def _draw_archetypes(self, block: int) -> Ints:
        return NONE if self._base.run is None else draw_archetypes(self._base.run.electorate, block)

    def _read(self, of_run: bool, round_: int, block: int, models: Sequence[str], erasures: int) -> pa.Table | None:  # noqa: ARG002
        """A file of a log, if it is there. erasures: as each may rewrite it."""
        log = VoteLog(self._base.run.folder.votes if of_run and self._base.run else self._base.folder / "votes", models)
        return log.read(round_, block, COLUMNS) if log.has(round_, block) else None
