"""How long voting takes on a cluster, and what holds it up first: a discrete-event model of the
pool, its cohorts and the ranking actor.

A cohort works on its blocks by itself, waits until the one ranking actor has counted them, and
until the one driver hands it the next. So cohorts add up, and the ranking and the driver are queues
that all of them stand in. How many blocks are handed out at a time is the pool's own rule
(actors/pool.py). What a block, a count and a call take is measured (`python -m
benchmarks.raylets`); nodes are as fast as the one that was measured, and storage keeps up.
"""

import heapq
from dataclasses import dataclass
from typing import Literal

from actors.pool import together

Part = Literal["cohorts", "ranking", "driver"]


@dataclass(frozen=True)
class Costs:
    """Seconds. block: to draw, judge, log and count one, on a core. merge: of the ranking actor,
    a block. call: of the driver, a block. trip: from a result to the next block's start,
    where nobody is waited for.
    """

    block: float
    merge: float
    call: float
    trip: float


@dataclass(frozen=True)
class Predicted:
    """seconds: of the voting. busy: the share of it that each part works; the first bottleneck
    is the busiest.
    """

    seconds: float
    busy: dict[Part, float]

    @property
    def bottleneck(self) -> Part:
        """Cohorts where more of them would help."""
        return max(self.busy, key=lambda part: self.busy[part])


def predict(
    blocks: int, rounds: int, cohorts: int, costs: Costs, at_once: bool = True
) -> Predicted:
    """Voting on so many blocks by cohorts with a core each; a round begins when the one before
    is done.

    Args:
        at_once: several blocks are handed out at a time, as the pool does; False: one.
    """
    now = 0.0
    worked = {"cohorts": 0.0, "ranking": 0.0, "driver": 0.0}
    for _ in range(rounds):
        driver_free = ranking_free = end = now
        waiting = blocks
        # (when, what happens then): a cohort asks the driver for a block, or the ranking to count
        # one.
        events: list[tuple[float, Literal["ask", "count"]]] = [(now, "ask")] * min(cohorts, blocks)
        heapq.heapify(events)
        while events:
            when, what = heapq.heappop(events)
            if what == "ask":
                if not waiting:
                    continue
                own = 1
                if at_once:
                    own = min(waiting, together(waiting, blocks, cohorts, costs.block, costs.call))
                waiting -= own
                driver_free = max(driver_free, when) + costs.call
                worked["driver"] += costs.call
                worked["cohorts"] += own * costs.block
                heapq.heappush(events, (driver_free + costs.trip + own * costs.block, "count"))
            else:
                ranking_free = max(ranking_free, when) + costs.merge
                worked["ranking"] += costs.merge
                end = max(end, ranking_free)
                heapq.heappush(events, (ranking_free, "ask"))
        now = end + costs.trip
    working = {"cohorts": min(cohorts, blocks), "ranking": 1, "driver": 1}
    busy: dict[Part, float] = {}
    for part in ("cohorts", "ranking", "driver"):
        busy[part] = worked[part] / (now * working[part]) if now else 0.0
    return Predicted(now, busy)
