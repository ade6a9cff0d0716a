"""A replica follows the writer's snapshots whatever goes wrong with one, and says when it is
behind.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from electorate.base.errors import ElectorateError
from electorate.online.base import Base
from electorate.online.counter import Counter
from electorate.online.handover import Outbox
from electorate.online.sent import Batch, Vote
from serve import follower as module
from serve.follower import Follower
from serve.security import Refused
from serve.writer import Progress


class MadeWriter:
    """Its progress is what a test says next, or raises; then it waits."""

    def __init__(self) -> None:
        self.next: list[Progress | Exception] = []
        self.progress = SimpleNamespace(remote=self._progress)

    async def _progress(self, _: str) -> Progress:
        while not self.next:
            await asyncio.sleep(0.01)
        found = self.next.pop(0)
        if isinstance(found, Exception):
            raise found
        return found


class Metric:
    def __init__(self, *_: object) -> None:
        self.value: float | None = None

    def set(self, value: float) -> None:
        self.value = value

    def inc(self, *_: object, **__: object) -> None:
        return None


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AGAIN_S", 0.02)
    monkeypatch.setattr(module, "WAIT_S", 2.0)
    monkeypatch.setattr(module, "REPORT_S", 0.02)
    monkeypatch.setattr(module, "serve_metrics", SimpleNamespace(Counter=Metric, Gauge=Metric))


def follow(
    folder: Path, work: Callable[[Follower, MadeWriter], Awaitable[None]], max_lag_s: float = 10.0
) -> None:
    async def main() -> None:
        writer: Any = MadeWriter()
        follower = Follower(Base(folder, None), writer, None, None, max_lag_s)
        await follower.start()
        try:
            await work(follower, writer)
        finally:
            await follower.stop()

    asyncio.run(main())


def test_any_exception_is_logged_and_the_next_snapshot_is_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Base(tmp_path, None).open_store()
    counter = Counter(Base(tmp_path, None), store)
    outbox = Outbox(tmp_path / "snapshots")

    def put(version: int) -> Progress:
        store.add([Batch("k", [Vote(str(version), "u", "a", "b", 0)])])
        return Progress(outbox.put(counter.snapshot()), 0.0, 0, "")

    async def work(follower: Follower, writer: MadeWriter) -> None:
        writer.next = [put(1)]
        assert (await follower.snapshot(1)).online == 1
        # A file that is gone, another kind of answer, and what Serve raises for too large a
        # message.
        writer.next = [
            Progress("gone.snapshot", 0.0, 0, ""),
            "nonsense",
            RuntimeError("RESOURCE_EXHAUSTED"),
            put(2),
        ]  # type: ignore[list-item]
        assert (await follower.snapshot(2)).online == 2

    follow(tmp_path, work)
    assert caplog.text.count("a snapshot could not be taken over") == 3
    assert "RESOURCE_EXHAUSTED" in caplog.text


def test_a_replica_that_is_behind_is_not_ready_and_a_metric_says_by_how_much(
    tmp_path: Path,
) -> None:
    store = Base(tmp_path, None).open_store()
    counter = Counter(Base(tmp_path, None), store)
    outbox = Outbox(tmp_path / "snapshots")

    async def refused(follower: Follower) -> str:
        with pytest.raises(Refused) as error:
            await follower.check_ready()
        assert error.value.status == 503
        return error.value.why

    async def work(follower: Follower, writer: MadeWriter) -> None:
        assert "there is no snapshot yet" in await refused(follower)
        name = outbox.put(counter.snapshot())
        writer.next = [Progress(name, 0.0, 0, "")]
        await follower.snapshot(0)
        await follower.check_ready()
        writer.next = [Progress(name, 3.0, 7, "LinAlgError: singular")]
        await asyncio.sleep(0.1)
        assert (
            "the snapshot is 3 s behind the votes (at most 0.5); see the server log"
            in await refused(follower)
        )
        lag = follower._lag
        failures = follower._failures
        assert (lag.value > 3, failures.value) == (True, 7)  # type: ignore[attr-defined]
        writer.next = [Progress(name, 0.0, 7, "")]
        await asyncio.sleep(0.1)
        await follower.check_ready()
        # And where the writer says nothing any more, it is not known how far behind it is.
        give_up = time.monotonic() + 5
        while time.monotonic() < give_up and follower.lag_s <= 0.5:
            await asyncio.sleep(0.05)
        assert "the writer was not heard for 0.5 s" in await refused(follower)

    follow(tmp_path, work, max_lag_s=0.5)


def test_a_write_that_fails_there_is_raised_here(tmp_path: Path) -> None:
    async def work(follower: Follower, writer: Any) -> None:
        async def fails(*_: object) -> ElectorateError:
            return ElectorateError("votes.sqlite: cannot be written")

        writer.vote = SimpleNamespace(remote=fails)
        with pytest.raises(ElectorateError, match="cannot be written"):
            await follower.vote(Batch("k", []))

    follow(tmp_path, work)
