"""How many requests an endpoint is given at once: as many as it bears, found by asking."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

START = (
    64  # what an engine of one's own takes at once; fewer would leave it idle in the first rounds
)
EIGHTH = 1 / 8


class Concurrency:
    """A number of slots that follows what the endpoint can bear: additive increase,
    multiplicative decrease (Chiu and Jain, 1989).

    It doubles with every round of answers until the endpoint first pushes back, then grows by one a
    round, and halves at every push, but never passes `most`. Requests that were under way at a push
    halve nothing; but where so many of them are refused too that fewer than half were borne, that
    many are tried next, at least an EIGHTH, as an endpoint that is away for a moment refuses all.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = float(min(START, most))
        self._in_flight = 0
        self._doubling = True
        self._pushed_at = 0.0
        self._borne = 0.0  # of those under way at the last push, as far as known
        self._least = 1.0
        self._waiting = deque[asyncio.Future[None]]()

    @property
    def limit(self) -> int:
        """Requests in flight at most."""
        return int(self._limit)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[float]:
        """Wait for a slot, in order of asking, and hold it; gives the moment it was had, to say
        when the endpoint pushes back.
        """
        if self._waiting or self._in_flight >= self.limit:
            await self._turn()
        else:
            self._in_flight += 1
        try:
            yield time.monotonic()
        finally:
            self._in_flight -= 1
            self._hand_out()

    async def _turn(self) -> None:
        """Wait until a slot is handed over, which then counts as in flight."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._in_flight -= 1
                self._hand_out()
            raise

    def _hand_out(self) -> None:
        """Wake as many of those who wait as there are slots, and no more."""
        while self._waiting and self._in_flight < self.limit:
            turn = self._waiting.popleft()
            if not turn.done():
                self._in_flight += 1
                turn.set_result(None)

    def answered(self) -> None:
        """The endpoint bore a request."""
        self._limit = min(self._most, self._limit + (1.0 if self._doubling else 1.0 / self._limit))
        self._hand_out()

    def pushed_back(self, began: float) -> None:
        """The endpoint said that a request, begun then, is one too many, or let it time out."""
        self._doubling = False
        if began >= self._pushed_at:
            self._borne = self._limit
            self._least = max(1.0, EIGHTH * self._limit)
            self._limit = max(1.0, self._limit / 2)
            self._pushed_at = time.monotonic()
        self._borne -= 1
        self._limit = max(self._least, min(self._limit, self._borne))
