"""The one that writes online votes and makes the snapshots: many requests share one write."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from electorate.base.errors import ElectorateError, RequestError
from electorate.base.progress import unshown
from electorate.online import base as bases
from electorate.online import begin, export, voters
from electorate.online.counter import Counter
from electorate.online.counts import Caps
from electorate.online.handover import Outbox
from electorate.online.ledger import Answered, Spent
from electorate.online.sent import Batch, Taken
from electorate.online.snapshot import Snapshot
from electorate.online.store import MODELS_PER_KEY
from electorate.online.voters import Voters

LOG = logging.getLogger("ray.serve")
EVERY_S = 0.25  # that snapshots are made while votes come in
AGAIN_S = 0.5  # after one that failed, then twice as long each time
LONGEST_AGAIN_S = 10.0
TELL_S = 1.0  # at most, until a replica hears how far snapshots are
DAY_S = 86_400.0
FORGET_S = 600.0  # between looks for votes that are kept no longer
ERASED_S = 5.0  # at most, until a snapshot without an erased user is there


@dataclass(frozen=True)
class Rules:
    """Who may name models, what votes weigh, and how long and under which ids they are kept. See
    VoteStore, Caps and Settings.
    """

    declared: Sequence[str] = ()
    models_per_key: int = MODELS_PER_KEY
    caps: Caps = field(default_factory=Caps)
    retain_days: float | None = None
    hash_ids: Path | None = None


@dataclass(frozen=True)
class Progress:
    """How far snapshots are.

    name : of the last one, for Inbox.take; empty before the first. behind_s : seconds since the
    first write that it does not count. failed : how many could not be made; why : the last one,
    in one line, empty once one could again.
    """

    name: str
    behind_s: float
    failed: int
    why: str


class Writer:
    """For one process and one event loop.

    Everything that touches the database runs in one thread, in order; ratings in another, so that
    votes do not wait for them; and how users differ, which takes seconds, in a third.
    """

    def __init__(self, folder: Path, rules: Rules) -> None:
        base = bases.of_folder(folder, rules.hash_ids)
        self._base = base
        self._retain_s = None if rules.retain_days is None else DAY_S * rules.retain_days
        self._forgot = float("-inf")
        self._store = base.open_store(rules.declared, rules.models_per_key)
        begin.take_in(base, self._store, unshown)
        self._counter = Counter(base, self._store, rules.caps)
        self._outbox = Outbox(base.folder / "snapshots")
        self._threads = {part: ThreadPoolExecutor(1, part) for part in ("store", "rate", "refresh")}
        self._waiting: list[tuple[Batch, asyncio.Future[Taken | ElectorateError]]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._committing = False
        self._counting = False
        self._refreshing = False
        self._newer = asyncio.Condition()
        self._name = ""
        self._erasures = 0
        self._version = -1
        self._written = self._store.fact("version")
        self._behind_since: float | None = time.monotonic()
        self._failed = 0
        self._why = ""
        self._begin()

    def _begin(self) -> None:
        """The first snapshot, before anybody asks; where it fails the loop goes on trying."""
        begun = time.monotonic()
        try:
            if self._is_time_to_forget():
                self._forget()
            snapshot, name = self._hand_over(self._counter.snapshot)
            self._took_over(snapshot, name, begun)
        except Exception as error:
            self._note_failure(error)

    async def vote(self, batch: Batch) -> Taken | ElectorateError:
        """Returns when the votes are on disk, with all that came during the write before."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((batch, future))
        if not self._committing:
            self._committing = True
            self._start(self._commit())
        taken: Taken | ElectorateError = await future
        return taken

    async def _commit(self) -> None:
        try:
            while self._waiting:
                taken = self._waiting
                self._waiting = []
                await self._write(taken)
        finally:
            self._committing = False

    async def _write(
        self, taken: list[tuple[Batch, asyncio.Future[Taken | ElectorateError]]]
    ) -> None:
        results: Sequence[Taken | ElectorateError]
        try:
            results = await self._in("store", self._store.add, [batch for batch, _ in taken])
        except Exception as error:
            LOG.exception("votes could not be written; nothing of them was counted")
            results = [ElectorateError(str(error))] * len(taken)
        for (_, future), result in zip(taken, results, strict=True):
            if not future.done():
                future.set_result(result)
        self._wrote(max((one.version for one in results if isinstance(one, Taken)), default=-1))

    async def answered(self, answers: Sequence[Answered]) -> Mapping[str, Spent]:
        """Keep what a gateway answered; what each key spent by now."""
        found: Mapping[str, Spent] = await self._in("store", self._store.answered, answers)
        return found

    async def export(self, user: str) -> dict[str, Any] | None:
        """What is kept of a user; None if it is not known."""
        found: dict[str, Any] | None = await self._in(
            "store", export.of_user, self._base, self._store, user
        )
        return found

    async def erase(self, user: str, key: str) -> int | None:
        """Returns when nothing of the user is left on disk; None if it is not known."""
        version: int | None = await self._in("store", self._store.erase, user, key)
        if version is not None:
            self._wrote(version)
            try:
                async with asyncio.timeout(ERASED_S), self._newer:
                    await self._newer.wait_for(lambda: self._version >= version)
            except TimeoutError:
                LOG.warning("a user is erased, but no snapshot without it could be made yet")
        return version

    async def add_model(self, name: str, key: str) -> int | RequestError:
        """The version that knows the model."""
        return await self._changed(self._store.add_model, name, key)

    async def change_model(
        self, name: str, key: str, to: str | None, retired: bool | None
    ) -> int | RequestError:
        """The version that knows the change."""
        return await self._changed(self._store.change_model, name, key, to, retired)

    async def _changed(self, change: Callable[..., int], *arguments: object) -> int | RequestError:
        try:
            version: int = await self._in("store", change, *arguments)
        except RequestError as error:
            return error
        self._wrote(version)
        return version

    async def voters(self, limit: int) -> Voters:
        """Who votes most, and what is odd about it."""
        found: Voters = await self._in("store", voters.found, self._counter, self._store, limit)
        return found

    async def progress(self, last: str) -> Progress:
        """As soon as there is another snapshot than this one, or after TELL_S."""
        if self._behind_since is not None or self._is_time_to_forget():
            self._count()
        try:
            async with asyncio.timeout(TELL_S), self._newer:
                await self._newer.wait_for(lambda: self._name != last)
        except TimeoutError:
            pass
        since = self._behind_since
        behind = 0.0 if since is None else time.monotonic() - since
        return Progress(self._name, behind, self._failed, self._why)

    def _wrote(self, version: int) -> None:
        if version <= self._written:
            return
        self._written = version
        if self._behind_since is None:
            self._behind_since = time.monotonic()
        self._count()

    def _count(self) -> None:
        if not self._counting:
            self._counting = True
            self._start(self._keep_current())

    async def _keep_current(self) -> None:
        """Make snapshots until one counts everything written, whatever goes wrong meanwhile."""
        again = AGAIN_S
        try:
            while self._behind_since is not None or self._is_time_to_forget():
                try:
                    await self._make()
                    again = AGAIN_S
                    await asyncio.sleep(EVERY_S)
                except Exception as error:
                    self._note_failure(error)
                    await asyncio.sleep(again)
                    again = min(2 * again, LONGEST_AGAIN_S)
        finally:
            self._counting = False

    async def _make(self) -> None:
        begun = time.monotonic()
        if self._is_time_to_forget():
            await self._in("store", self._forget)
        reading = await self._in("store", self._counter.read)
        make = partial(self._counter.count, reading)
        snapshot, name = await self._in("rate", self._hand_over, make)
        self._took_over(snapshot, name, begun)
        async with self._newer:
            self._newer.notify_all()
        if self._counter.is_due() and not self._refreshing:
            self._refreshing = True
            self._start(self._refresh())

    def _is_time_to_forget(self) -> bool:
        return self._retain_s is not None and time.monotonic() - self._forgot >= FORGET_S

    def _forget(self) -> None:
        """Take out votes that are kept no longer, while nothing is being counted."""
        assert self._retain_s is not None  # noqa: S101 it is time to
        if self._store.forget_before(time.time() - self._retain_s):
            self._counter.begin_again()
            self._written = self._store.fact("version")
        self._forgot = time.monotonic()

    def _hand_over(self, make: Callable[[], Snapshot]) -> tuple[Snapshot, str]:
        """Make a snapshot and put it where replicas take it from; the snapshot, and its name."""
        snapshot = make()
        if snapshot.erasures != self._erasures:
            # What was handed over before may hold votes of who was erased.
            self._outbox.empty()
            self._erasures = snapshot.erasures
        return snapshot, self._outbox.put(snapshot)

    def _took_over(self, snapshot: Snapshot, name: str, begun: float) -> None:
        """Tell of a snapshot, in the loop, where writes are told of too. begun: when it was
        read.
        """
        self._name = name
        self._version = snapshot.version
        self._behind_since = None if snapshot.version >= self._written else begun
        self._why = ""

    def _note_failure(self, error: Exception) -> None:
        self._failed += 1
        self._why = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        LOG.exception("no snapshot could be made; the votes are on disk", exc_info=error)

    async def _refresh(self) -> None:
        try:
            await self._in("refresh", self._counter.refresh)
            if self._behind_since is None:
                self._behind_since = time.monotonic()
        except Exception:
            LOG.exception("the spread of users could not be fitted again; the previous fit is kept")
        finally:
            self._refreshing = False
        self._count()

    async def _in(self, part: str, call: Callable[..., Any], *arguments: object) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads[part], call, *arguments)

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        # The loop alone would let it be collected half done.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
