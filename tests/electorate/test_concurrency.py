"""Slots that follow what an endpoint can bear."""

import asyncio
import time

from electorate.concurrency import START, Concurrency


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
    slots, order, at_once, most = Concurrency(most=2), list[int](), 0, 0

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
