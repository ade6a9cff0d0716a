"""Cohorts that pull blocks: work goes to whoever is free, and outlives the actor that held it."""

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import ray
from ray.actor import ActorHandle
from ray.exceptions import ActorDiedError, ActorUnavailableError, ObjectLostError, RayTaskError

from actors import metrics
from electorate.base.errors import ElectorateError, WorkLostError

LOG = logging.getLogger("electorate.pool")
ATTEMPTS = 3
Work = TypeVar("Work", int, tuple[int, int])  # a block, or (round, block)


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
        waiting: deque[Work] = deque(blocks)
        losses: Counter[Work] = Counter()
        set_aside: list[Work] = []
        running: dict[Any, tuple[ActorHandle, Work | None]] = {}

        def give(actor: ActorHandle) -> None:
            if waiting:
                block = waiting.popleft()
                running[call(actor, block)] = actor, block

        for actor in self.actors:
            give(actor)
        while running:
            metrics.say(
                "electorate_blocks_in_flight",
                sum(block is not None for _, block in running.values()),
            )
            (done,), _ = ray.wait(list(running), num_returns=1)
            actor, block = running.pop(done)
            try:
                result = ray.get(done)
            except (ActorUnavailableError, ActorDiedError, ObjectLostError) as error:
                if block is not None:
                    losses[block] += 1
                    (waiting if losses[block] < ATTEMPTS else set_aside).append(block)
                    metrics.count("electorate_blocks_lost", 1)
                    LOG.warning(
                        "block lost",
                        extra={
                            **_place(block),
                            "attempt": losses[block],
                            "error": type(error).__name__,
                        },
                    )
                if isinstance(error, ActorUnavailableError) and (waiting or running):
                    # Its restart takes seconds; until it answers it gets no block to lose.
                    running[actor.ping.options(max_task_retries=20).remote()] = actor, None
                continue
            except RayTaskError as error:
                raise _own(error) from None
            if block is not None:
                yield block, result
            give(actor)
        metrics.say("electorate_blocks_in_flight", 0)
        if waiting or set_aside:
            lost = sorted({*waiting, *set_aside})
            raise WorkLostError(
                f"blocks {lost} were lost {ATTEMPTS} times with the actor that held them (out of "
                "memory?)"
            )

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
