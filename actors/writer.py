"""The one that writes online votes and makes the standings: many requests share one write to disk."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from electorate.errors import ElectorateError
from electorate.online import base as bases
from electorate.online.standings import Counter, Standings
from electorate.online.store import Batch, Taken

EVERY_S = 0.25  # that standings are made anew while votes come in
LONGEST_WAIT_S = 10.0  # of a reader for newer standings, so that one that is gone is not waited for


class Writer:
    """For one process and one event loop. Everything that touches the database runs in one thread, in order."""

    def __init__(self, folder: Path) -> None:
        base = bases.of_folder(folder)
        self._store = base.open_store()
        self._counter = Counter(base, self._store)
        self._standings = self._counter.standings()
        self._thread = ThreadPoolExecutor(1, "writer")
        self._waiting: list[tuple[Batch, asyncio.Future[Taken | ElectorateError]]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._committing = self._counting = False
        self._newer = asyncio.Condition()

    async def vote(self, batch: Batch) -> Taken | ElectorateError:
        """Returns when the votes are on disk, together with all that came while the write before was under way."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((batch, future))
        if not self._committing:
            self._committing = True
            self._start(self._commit())
        taken: Taken | ElectorateError = await future
        return taken

    async def erase(self, user: str, key: str) -> int | None:
        """Returns when nothing of the user is left on disk; None if it is not known."""
        version: int | None = await self._in_thread(self._store.erase, user, key)
        self._count()
        return version

    async def standings(self, newer_than: int) -> Standings | None:
        """As soon as they count more than this version; None if that takes longer than LONGEST_WAIT_S."""
        try:
            async with asyncio.timeout(LONGEST_WAIT_S), self._newer:
                await self._newer.wait_for(lambda: self._standings.version > newer_than)
        except TimeoutError:
            return None
        return self._standings

    async def _commit(self) -> None:
        try:
            while self._waiting:
                taken, self._waiting = self._waiting, []
                await self._write(taken)
        finally:
            self._committing = False
        self._count()

    async def _write(self, taken: list[tuple[Batch, asyncio.Future[Taken | ElectorateError]]]) -> None:
        try:
            results = await self._in_thread(self._store.add, [batch for batch, _ in taken])
        except ElectorateError as error:
            results = [error] * len(taken)
        for (_, future), result in zip(taken, results, strict=True):
            if not future.done():
                future.set_result(result)

    def _count(self) -> None:
        if not self._counting:
            self._counting = True
            self._start(self._make_standings())

    async def _make_standings(self) -> None:
        """Until they count everything written, at most every EVERY_S."""
        try:
            while self._standings.version < await self._in_thread(self._store.fact, "version"):
                made = await self._in_thread(self._counter.standings)
                async with self._newer:
                    self._standings = made
                    self._newer.notify_all()
                await asyncio.sleep(EVERY_S)
        except Exception:
            logging.getLogger(__name__).exception("no standings could be made; the votes are on disk")
        finally:
            self._counting = False

    async def _in_thread(self, call: Any, *arguments: object) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)

    def _start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        # The loop alone would let it be collected half done.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
