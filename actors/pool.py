"""Cohorts that pull blocks: work goes to whoever is free, and outlives the actor that held it."""

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

import ray
from ray.actor import ActorHandle
from ray.exceptions import ActorDiedError, ActorUnavailableError, ObjectLostError, RayTaskError

from actors import metrics
from electorate.base.errors import ElectorateError, WorkLostError

LOG = logging.getLogger("electorate.pool")
ATTEMPTS = 3
Work = TypeVar("Work", int, tuple[int, int])  # a block, or (round, block)


class _Queue(Generic[Work]):
    """Blocks that wait, and those that were lost too often."""

    def __init__(self, blocks: Iterable[Work]) -> None:
        self.waiting: deque[Work] = deque(blocks)
        self._losses: Counter[Work] = Counter()
        self._set_aside: list[Work] = []

    def lost(self, block: Work, error: Exception) -> None:
        """Its actor was lost: it waits again, or is set aside after ATTEMPTS losses."""
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


class CohortPool:
    """Actors of one kind that can each do any block."""

    def __init__(self, actors: list[ActorHandle]) -> None:
        self.actors = actors

    def run(
        self, blocks: Iterable[Work], call: Callable[[ActorHandle, Work], Any]
    ) -> Iterator[tuple[Work, Any]]:
        """(block, result) as they finish. call(actor, block) starts the work and returns its
        reference.

        A block whose actor was lost goes back to the queue; after ATTEMPTS losses it is set aside.
        Raises ElectorateError at the end if any was, when all others are done.
        """
        queue = _Queue[Work](blocks)
        running: dict[Any, tuple[ActorHandle, Work | None]] = {}

        def give(actor: ActorHandle) -> None:
            if queue.waiting:
                block = queue.waiting.popleft()
                running[call(actor, block)] = actor, block

        for actor in self.actors:
            give(actor)
        while running:
            held = sum(block is not None for _, block in running.values())
            metrics.say("electorate_blocks_in_flight", held)
            (done,), _ = ray.wait(list(running), num_returns=1)
            actor, block = running.pop(done)
            try:
                result = ray.get(done)
            except (ActorUnavailableError, ActorDiedError, ObjectLostError) as error:
                if block is not None:
                    queue.lost(block, error)
                if isinstance(error, ActorUnavailableError) and (queue.waiting or running):
                    # Its restart takes seconds; until it answers it gets no block to lose.
                    running[actor.ping.options(max_task_retries=20).remote()] = actor, None
                continue
            except RayTaskError as error:
                raise _own(error) from None
            if block is not None:
                yield block, result
            give(actor)
        metrics.say("electorate_blocks_in_flight", 0)
        queue.check_nothing_is_left()

    def map(self, blocks: int, call: Callable[[ActorHandle, int], Any]) -> list[Any]:
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
