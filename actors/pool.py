"""Cohorts that pull blocks: work goes to whoever is free, and outlives the actor that held it.

Many cohorts are handed several blocks at a time, so that the driver, which hands them out, and the
ranking, which counts what comes back, are never what holds them up.
"""

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import ray
from ray.actor import ActorHandle
from ray.exceptions import ActorDiedError, ActorUnavailableError, ObjectLostError, RayTaskError

from actors import metrics
from electorate.base.errors import ElectorateError, WorkLostError

LOG = logging.getLogger("electorate.pool")
ATTEMPTS = 3
# The driver's time for a call until it is measured, and the share of its time that calls may take.
# The ranking takes about as long for what a call brings (docs/scaling.md).
CALL_S = 2e-4
BUSY = 0.1
Work = TypeVar("Work", int, tuple[int, int])  # a block, or (round, block)


class _Queue(Generic[Work]):
    """Blocks that wait, and those that were lost too often."""

    def __init__(self, blocks: Iterable[Work], actors: int) -> None:
        self.waiting: deque[Work] = deque(blocks)
        # Lost with others: which of them kills is to be found.
        self._alone: set[Work] = set()
        self._losses: Counter[Work] = Counter()
        self._set_aside: list[Work] = []
        self._actors = actors
        self._total = len(self.waiting)
        self._seconds: float | None = None  # that a block took of late
        self._call_s = CALL_S  # that a call took the driver of late

    def take(self) -> list[Work]:
        """The next blocks for an actor, as `together` has it once it is known what one takes."""
        most = 1
        if self._seconds:
            left = len(self.waiting)
            most = together(left, self._total, self._actors, self._seconds, self._call_s)
        blocks = [self.waiting.popleft()]
        while (
            len(blocks) < most and self.waiting and not self._alone & {blocks[0], self.waiting[0]}
        ):
            blocks.append(self.waiting.popleft())
        return blocks

    def took(self, seconds: float, blocks: int) -> None:
        """An actor worked so long on so many blocks."""
        now = seconds / blocks
        self._seconds = now if self._seconds is None else (3 * self._seconds + now) / 4

    def called(self, seconds: float) -> None:
        """A call kept the driver so long: giving the work, and taking what came of it."""
        self._call_s = (3 * self._call_s + seconds) / 4

    def lost(self, blocks: Sequence[Work], error: Exception) -> None:
        """Their actor was lost: they wait again, alone if they were several."""
        if len(blocks) > 1:
            self._alone |= set(blocks)
        for block in blocks:
            self._lost(block, error)

    def _lost(self, block: Work, error: Exception) -> None:
        """It waits again, or is set aside after ATTEMPTS losses."""
        self._losses[block] += 1
        attempt = self._losses[block]
        (self.waiting if attempt < ATTEMPTS else self._set_aside).append(block)
        metrics.count("electorate_blocks_lost", 1)
        extra = {**_place(block), "attempt": attempt, "error": type(error).__name__}
        LOG.warning("block lost", extra=extra)

    def check_nothing_is_left(self) -> None:
        """Raises WorkLostError if a block was set aside, or waits and no actor is left."""
        if not (self.waiting or self._set_aside):
            return
        lost = sorted({*self.waiting, *self._set_aside})
        raise WorkLostError(
            f"blocks {lost} were lost {ATTEMPTS} times with the actor that held them (out of "
            "memory?)"
        )


def together(waiting: int, total: int, actors: int, seconds: float, call_s: float) -> int:
    """How many blocks an actor is given at a time.

    At most so many that calls to all actors take the driver BUSY of the time that the actors take
    for them, and toward the end fewer, half of an even share of what is left, so that those who
    finish early find work (guided self-scheduling; Polychronopoulos and Kuck, 1987); but never
    under half of those most, or the last blocks would cost the driver more than all before.

    Args:
        waiting, total: blocks that are left, and that there were.
        seconds: that a block takes.
        call_s: that a call takes the driver.
    """
    most = actors * call_s / BUSY / seconds
    least = min(most / 2, total / actors)
    return max(1, int(min(most, max(least, waiting / (2 * actors)))))


class CohortPool:
    """Actors of one kind that can each do any block."""

    def __init__(self, actors: list[ActorHandle]) -> None:
        self.actors = actors

    def run(
        self, blocks: Iterable[Work], call: Callable[[ActorHandle, list[Work]], Any]
    ) -> Iterator[tuple[Work, Any]]:
        """(block, result) as they finish. call(actor, blocks) starts the work on some and returns
        a reference to the list of their results.

        A block whose actor was lost goes back to the queue; after ATTEMPTS losses it is set aside.
        Raises ElectorateError at the end if any was, when all others are done.
        """
        queue = _Queue[Work](blocks, len(self.actors))
        running: dict[Any, tuple[ActorHandle, list[Work], float]] = {}

        def give(actor: ActorHandle) -> None:
            if queue.waiting:
                taken = queue.take()
                running[call(actor, taken)] = actor, taken, time.monotonic()

        for actor in self.actors:
            give(actor)
        while running:
            held = sum(len(taken) for _, taken, _ in running.values())
            metrics.say("electorate_blocks_in_flight", held)
            # Of this thread's work: neither what it waits for nor what others do meanwhile.
            begun = time.thread_time()
            (done,), _ = ray.wait(list(running), num_returns=1)
            actor, taken, since = running.pop(done)
            try:
                results = ray.get(done)
            except (ActorUnavailableError, ActorDiedError, ObjectLostError) as error:
                queue.lost(taken, error)
                if isinstance(error, ActorUnavailableError) and (queue.waiting or running):
                    # Its restart takes seconds; until it answers it gets no block to lose.
                    ping = actor.ping.options(max_task_retries=20).remote()
                    running[ping] = actor, [], since
                continue
            except RayTaskError as error:
                raise _own(error) from None
            if taken:
                queue.took(time.monotonic() - since, len(taken))
            give(actor)
            if taken:
                queue.called(time.thread_time() - begun)
                yield from zip(taken, results, strict=True)
        metrics.say("electorate_blocks_in_flight", 0)
        queue.check_nothing_is_left()

    def map(self, blocks: int, call: Callable[[ActorHandle, list[int]], Any]) -> list[Any]:
        """Results of blocks 0..blocks-1 in block order."""
        results = dict(self.run(range(blocks), call))
        return [results[block] for block in range(blocks)]


def _place(block: int | tuple[int, int]) -> dict[str, int]:
    return {"block": block} if isinstance(block, int) else {"round": block[0], "block": block[1]}


def _own(error: RayTaskError) -> BaseException:
    """The error a user can act on, out of Ray's wrapping; else the wrapped one with its remote
    traceback.
    """
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, ElectorateError) else error
