"""Slots that follow what an endpoint can bear."""

import asyncio
import time

from electorate.inference.completions import Answer, Call
from electorate.inference.concurrency import START, Concurrency
from electorate.inference.endpoints import AHEAD, Connection, HttpAsker


def test_it_doubles_then_halves_once_a_push_then_grows_by_one_a_round() -> None:
    slots = Concurrency(most=1000)
    for _ in range(START):
        slots.answered()
    assert slots.limit == 2 * START
    began = time.monotonic()
    slots.pushed_back(began)
    assert slots.limit == START
    slots.pushed_back(began)  # a request of the same time says nothing new
    assert slots.limit == START
    for _ in range(START + 1):
        slots.answered()
    assert slots.limit == START + 1
    for _ in range(20):
        slots.pushed_back(time.monotonic())
    assert slots.limit == 1


def test_it_never_passes_its_most() -> None:
    slots = Concurrency(most=3)
    for _ in range(50):
        slots.answered()
    assert slots.limit == 3


def test_slots_are_had_in_order_and_never_too_many() -> None:
    slots = Concurrency(most=2)
    order = list[int]()
    at_once = 0
    most = 0

    async def work(i: int) -> None:
        nonlocal at_once, most
        async with slots.slot():
            order.append(i)
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0.01)
            at_once -= 1

    async def all_() -> None:
        await asyncio.gather(*(work(i) for i in range(12)))

    asyncio.run(all_())
    assert order == list(range(12))
    assert most == 2


def test_who_stops_waiting_leaves_its_turn_to_the_next() -> None:
    slots = Concurrency(most=1)
    order = list[int]()

    async def work(i: int) -> None:
        async with slots.slot():
            order.append(i)
            await asyncio.sleep(0.01)

    async def all_() -> None:
        tasks = [asyncio.create_task(work(i)) for i in range(6)]
        await asyncio.sleep(0.005)
        tasks[2].cancel()
        # Handed a turn and cancelled before it could take it.
        tasks[0].add_done_callback(lambda _: tasks[1].cancel())
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(asyncio.wait_for(all_(), 5))
    assert order[0] == 0
    assert order[-3:] == [3, 4, 5]
    assert slots._in_flight == 0


def test_a_slow_model_holds_up_no_other() -> None:
    """Calls to a model that answers nothing stand before the others; these are answered at once."""
    release = asyncio.Event()

    async def ask(_: object, connection: Connection, call: Call) -> tuple[Answer, float]:
        if connection.model == "slow":
            await release.wait()
        return Answer(call.key, "stop", 1, 0.0), 0.0

    def reached(name: str) -> Connection:
        return Connection("http://nowhere", name, None, 4, 1.0, 0, ask)

    calls = [Call(f"slow {i}", "slow", {}) for i in range(100)]
    calls += [Call(f"fast {i}", "fast", {}) for i in range(100)]

    async def all_() -> list[str]:
        found = []
        async for call, answer in HttpAsker({n: reached(n) for n in ("slow", "fast")}).ask(calls):
            assert answer.text == call.key
            found.append(call.key)
            if len(found) == 100:
                release.set()
        return found

    found = asyncio.run(asyncio.wait_for(all_(), 30))
    assert found[:100] == [f"fast {i}" for i in range(100)]
    assert sorted(found[100:]) == sorted(f"slow {i}" for i in range(100))


def test_answers_that_nobody_reads_hold_up_the_asking() -> None:
    asked = 0

    async def ask(_: object, connection: Connection, call: Call) -> tuple[Answer, float]:
        nonlocal asked
        asked += 1
        return Answer(call.key, "stop", 1, 0.0), 0.0

    in_flight = 4
    reached = {"m": Connection("http://nowhere", "m", None, in_flight, 1.0, 0, ask)}

    async def read() -> int:
        read = 0
        async for _ in HttpAsker(reached).ask([Call(str(i), "m", {}) for i in range(100)]):
            read += 1
            await asyncio.sleep(0.002)
            assert asked <= read - 1 + AHEAD * in_flight
        return read

    assert asyncio.run(asyncio.wait_for(read(), 30)) == 100
