"""The writer goes on whatever fails: votes are acknowledged, and snapshots come when they can."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from electorate.base.errors import ConflictError, UnknownNameError
from electorate.online.counter import Counter, Reading
from electorate.online.handover import Inbox
from electorate.online.sent import Batch, Taken, Vote
from electorate.online.snapshot import Snapshot
from electorate.ratings import bradley_terry
from serve.writer import Progress, Rules, Writer


def votes(user: str, first: int, last: int) -> Batch:
    return Batch("k", [Vote(f"v{i}", user, "a", "b", i % 2) for i in range(first, last)])


async def until(writer: Writer, is_so: Callable[[Progress], bool]) -> Progress:
    give_up = time.monotonic() + 20
    while time.monotonic() < give_up:
        progress = await writer.progress("")
        if is_so(progress):
            return progress
        await asyncio.sleep(0.02)
    raise AssertionError(progress)


def run(folder: Path, work: Callable[[Writer], Awaitable[None]]) -> None:
    async def main() -> None:
        await work(Writer(folder, Rules()))

    asyncio.run(main())


def test_a_fit_that_raises_stops_no_snapshots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = bradley_terry.fit

    def raises(*_: object) -> None:
        raise FloatingPointError("a test says so")

    async def work(writer: Writer) -> None:
        inbox = Inbox(tmp_path / "online" / "snapshots")
        await writer.vote(votes("u", 0, 4))
        assert inbox.take((await until(writer, lambda one: one.behind_s == 0)).name).online == 4
        monkeypatch.setattr(bradley_terry, "fit", raises)
        assert isinstance(await writer.vote(votes("u", 4, 9)), Taken)
        failing = await until(writer, lambda one: one.failed >= 2)
        assert failing.behind_s > 0
        assert failing.why == "FloatingPointError: a test says so"
        # What is there is the last good one.
        assert inbox.take(failing.name).online == 4
        monkeypatch.setattr(bradley_terry, "fit", plain)
        well = await until(writer, lambda one: one.behind_s == 0)
        # Counted once, however often it was begun.
        assert (inbox.take(well.name).online, well.why) == (9, "")

    run(tmp_path, work)


def test_a_writer_whose_first_snapshot_fails_still_takes_votes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Counter.count

    def raises(*_: object) -> None:
        raise RuntimeError("a test says so")

    monkeypatch.setattr(Counter, "count", raises)

    async def work(writer: Writer) -> None:
        assert (await writer.progress("")).why == "RuntimeError: a test says so"
        assert isinstance(await writer.vote(votes("u", 0, 4)), Taken)
        monkeypatch.setattr(Counter, "count", plain)
        name = (await until(writer, lambda one: one.behind_s == 0)).name
        assert Inbox(tmp_path / "online" / "snapshots").take(name).online == 4

    run(tmp_path, work)


def test_votes_do_not_wait_for_ratings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Counter.count
    go_on = threading.Event()

    def waits(self: Counter, new: Reading) -> Snapshot:
        assert go_on.wait(20)
        return plain(self, new)

    async def work(writer: Writer) -> None:
        monkeypatch.setattr(Counter, "count", waits)
        for i in range(20):
            assert isinstance(await writer.vote(votes("u", i, i + 1)), Taken)
        behind = await writer.progress("x")
        assert behind.behind_s > 0
        go_on.set()
        name = (await until(writer, lambda one: one.behind_s == 0)).name
        assert Inbox(tmp_path / "online" / "snapshots").take(name).online == 20

    run(tmp_path, work)


def test_nothing_of_who_is_erased_is_left_on_disk(tmp_path: Path) -> None:
    async def work(writer: Writer) -> None:
        for i in range(4):
            await writer.vote(votes("known-by-name", 5 * i, 5 * i + 5))
            await writer.vote(votes("other", 5 * i, 5 * i + 5))
            await until(writer, lambda one: one.behind_s == 0)
        before = {path.name for path in (tmp_path / "online" / "snapshots").iterdir()}
        assert await writer.erase("known-by-name", "admin") is not None
        after = {path.name for path in (tmp_path / "online" / "snapshots").iterdir()}
        assert not before & after
        assert await writer.erase("known-by-name", "admin") is None
        (name,) = [name for name in after if name.endswith(".snapshot")]
        assert Inbox(tmp_path / "online" / "snapshots").take(name).online == 20

    run(tmp_path, work)


def test_refusals_come_back_as_such(tmp_path: Path) -> None:
    async def work(writer: Writer) -> None:
        await writer.vote(votes("u", 0, 1))
        refused = await writer.change_model("nobody", "admin", None, True)
        assert isinstance(refused, UnknownNameError)
        assert isinstance(await writer.add_model("a", "admin"), ConflictError)
        version = await writer.add_model("c", "admin")
        name = (await until(writer, lambda one: one.behind_s == 0)).name
        snapshot = Inbox(tmp_path / "online" / "snapshots").take(name)
        assert (snapshot.version, snapshot.models) == (version, ("a", "b", "c"))

    run(tmp_path, work)


def test_votes_are_forgotten_when_their_time_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the start, and while it runs; what comes meanwhile stays."""
    day = 86_400
    now = time.time()

    def at(days: float) -> None:
        monkeypatch.setattr(time, "time", lambda: now + days * day)

    async def main() -> None:
        monkeypatch.setattr("serve.writer.FORGET_S", 0.05)
        inbox = Inbox(tmp_path / "online" / "snapshots")
        writer = Writer(tmp_path, Rules(retain_days=30))
        await writer.vote(votes("old", 0, 5))
        at(20)
        await writer.vote(votes("new", 0, 3))
        first = await until(writer, lambda one: one.behind_s == 0)
        assert inbox.take(first.name).online == 8
        at(40)
        later = await until(writer, lambda one: inbox.take(one.name).online == 3)
        assert await writer.export("old") is None
        kept = await writer.export("new")
        assert kept is not None
        assert len(kept["votes"]) == 3
        assert inbox.take(later.name).erasures == 1
        writer._store.close()
        at(51)
        again = Writer(tmp_path, Rules(retain_days=30))
        assert (await again.progress("")).name
        assert await again.export("new") is None

    asyncio.run(main())
