"""What a gateway's answers read, write and cost, and the budgets of keys.

Each replica tells the writer what was answered, and hears what each key spent in all; until then
what it knows itself, and what is under way, counts too. So a key may go over its budget by what
other replicas answer within TELL_S.
"""

import asyncio
import logging
import re
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from electorate.base.errors import ElectorateError
from electorate.online.ledger import DAY_S, Answered, Spent
from serve.security import Key, Refused
from serve.service import Service
from serve.upstreams import LETTERS

LOG = logging.getLogger("ray.serve")
TELL_S = 0.5
MOST_UNTOLD = 100_000  # answers that wait while the writer is away
_READ = re.compile(rb'"prompt_tokens"\s*:\s*(\d+)')
_WRITTEN = re.compile(rb'"completion_tokens"\s*:\s*(\d+)')


class Meter:
    """Tokens of one answer, by the contestant's own count, else about.

    Args:
        letters: of what was asked.
    """

    def __init__(self, letters: int) -> None:
        self._read = round(letters / LETTERS)
        self._written: int | None = None
        self._parts = 0  # of a stream, each about a token
        self._bytes = 0
        self._rest = b""

    def see(self, content: bytes) -> None:
        """Some of the answer's body, whole or as it streams."""
        self._bytes += len(content)
        *lines, self._rest = (self._rest + content).split(b"\n")
        for line in lines:
            self._see_line(line)

    def _see_line(self, line: bytes) -> None:
        self._parts += line.startswith(b"data: {")
        if found := _READ.findall(line):
            self._read = int(found[-1])
        if found := _WRITTEN.findall(line):
            self._written = int(found[-1])

    def tokens(self) -> tuple[int, int]:
        """Read and written, once all was seen."""
        written = self.written
        return self._read, round(self._bytes / LETTERS) if written is None else written

    @property
    def written(self) -> int | None:
        """As the contestant counts them, or the parts of its stream; None where neither is there,
        once all was seen.
        """
        self._see_line(self._rest)
        self._rest = b""
        return self._written if self._written is not None else self._parts or None


@dataclass
class Spending:
    """What the keys of a replica's requests have spent."""

    _known: dict[str, Spent] = field(default_factory=dict)
    _untold: list[Answered] = field(default_factory=list)
    _under_way: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    _telling: asyncio.Task[None] | None = None

    def check(self, key: Key | None) -> None:
        """Raises Refused where the key has spent what it may."""
        if key is None:
            return
        known = self._known.get(key.name, Spent(0, 0.0))
        untold = [one for one in self._untold if one.key == key.name]
        tokens = known.tokens_a_minute + sum(one.tokens for one in untold)
        if key.tokens_a_minute is not None and tokens >= key.tokens_a_minute:
            raise Refused(429, f"the key's {key.tokens_a_minute:,} tokens a minute are used", 10)
        usd = known.usd_today + sum(one.usd for one in untold) + self._under_way[key.name]
        if key.usd_a_day is not None and usd >= key.usd_a_day:
            left = DAY_S - int(time.time()) % DAY_S
            why = f"the key's {key.usd_a_day:g} USD of today are spent; it goes on at 00:00 UTC"
            raise Refused(429, why, left)

    def begin(self, key: str, expected_usd: float) -> None:
        """A request is under way that is expected to cost so much."""
        self._under_way[key] += expected_usd

    def end(self, key: str, expected_usd: float, answered: Answered | None) -> None:
        """It is over. answered: None where nothing was."""
        self._under_way[key] = max(0.0, self._under_way[key] - expected_usd)
        if answered is not None and len(self._untold) < MOST_UNTOLD:
            self._untold.append(answered)

    def tell_soon(self, service: Service) -> None:
        """Tell the writer, which others do meanwhile too."""
        if self._untold and (self._telling is None or self._telling.done()):
            self._telling = asyncio.ensure_future(self._tell_later(service))

    async def _tell_later(self, service: Service) -> None:
        await asyncio.sleep(TELL_S)
        await self.tell(service)
        self._telling = None
        self.tell_soon(service)

    async def tell(self, service: Service) -> None:
        """Tell the writer now; where it is away what was answered is told the next time."""
        # A copy, as more is answered while the writer writes.
        telling = [*self._untold]
        if not telling:
            return
        try:
            found: Mapping[str, Spent] = await service.answered(telling)
        except (ElectorateError, Refused) as error:
            LOG.warning("what was answered is not kept yet: %s", error)
            return
        self._known = dict(found)
        self._untold = self._untold[len(telling) :]
