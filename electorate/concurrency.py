"""How many requests an endpoint is given at once: as many as it bears, found by asking."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

START = 64  # what an engine of one's own takes at once; fewer would leave it idle in the first rounds


class Concurrency:
    """A number of slots that follows what the endpoint can bear: additive increase, multiplicative decrease (Chiu and Jain, 1989).

    It doubles with every round of answers until the endpoint first pushes back, then grows by one a round, and halves at
    every push, but never passes `most`. Requests that were under way at a push say nothing new and halve nothing.
    """

    def __init__(self, most: int) -> None:
        self._most, self._limit = most, float(min(START, most))
        self._in_flight, self._doubling, self._pushed_at = 0, True, 0.0
        self._changed = asyncio.Condition()

    @property
    def limit(self) -> int:
        """Requests in flight at most."""
        return int(self._limit)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[float]:
        """Wait for a slot, in order of asking, and hold it; gives the moment it was had, to say when the endpoint pushes back."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._in_flight < self.limit)
            self._in_flight += 1
        try:
            yield time.monotonic()
        finally:
            async with self._changed:
                self._in_flight -= 1
                self._changed.notify_all()

    def answered(self) -> None:
        """The endpoint bore a request."""
        self._limit = min(self._most, self._limit + (1.0 if self._doubling else 1.0 / self._limit))

    def pushed_back(self, began: float) -> None:
        """The endpoint said that a request, begun then, is one too many, or let it time out."""
        self._doubling = False
        if began >= self._pushed_at:
            self._limit, self._pushed_at = max(1.0, self._limit / 2), time.monotonic()
