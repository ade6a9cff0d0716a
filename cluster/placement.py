"""Where a run's parts go: said before anything starts, and refused where the cluster could never
hold them.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Literal

import ray
from rich.console import Console

from actors import ray_private
from electorate.base.errors import ElectorateError

Bundle = Mapping[str, float]  # resource to how much of it, on one node
Phase = Literal["throughout", "answers", "training"]
COUNTED = ("CPU", "GPU")
MOST_NODES = 100_000  # of a group that may grow without end


@dataclass(frozen=True)
class Part:
    """So many alike, each asking for its bundles, which may lie on different nodes. during: when
    they are there. lower: the config's keys that make it smaller.
    """

    what: str
    count: int
    bundles: Sequence[Bundle]
    during: Phase
    where: str
    lower: str


@dataclass(frozen=True)
class Room:
    """What there is: nodes that are alive, and those that an autoscaler may add."""

    alive: Sequence[Bundle]
    to_come: Sequence[tuple[Bundle, int]] = field(default=())

    @classmethod
    def of_cluster(cls) -> "Room":
        """Of the cluster that this process is connected to."""
        alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        groups = ray_private.node_groups()
        sizes = [
            (dict(group.resources), MOST_NODES if group.max_count < 0 else group.max_count)
            for group in groups
        ]
        # Groups count nodes that are alive already; they are taken off so that none is counted
        # twice.
        return cls(
            alive,
            [
                (size, max(0, most - sum(_alike(node, size) for node in alive)))
                for size, most in sizes
            ],
        )

    def total(self, resource: str, to_come: bool) -> float:
        """Of one resource, over nodes alive or over those that may come."""
        if to_come:
            return sum(size.get(resource, 0.0) * most for size, most in self.to_come)
        return sum(node.get(resource, 0.0) for node in self.alive)

    def lacking(self, bundles: Sequence[Bundle]) -> Bundle | None:
        """The first bundle, largest first, that finds no node any more; None if all have one. First
        fit, GPUs first.
        """
        left = [dict(node) for node in self.alive]
        to_come = [most for _, most in self.to_come]
        for bundle in sorted(
            bundles, key=lambda bundle: (-bundle.get("GPU", 0.0), -bundle.get("CPU", 0.0))
        ):
            node = next((node for node in left if _fits(bundle, node)), None)
            if node is None:
                group = next(
                    (
                        i
                        for i, (size, _) in enumerate(self.to_come)
                        if to_come[i] and _fits(bundle, size)
                    ),
                    None,
                )
                if group is None:
                    return bundle
                to_come[group] -= 1
                left.append(node := dict(self.to_come[group][0]))
            for resource, amount in bundle.items():
                node[resource] = node.get(resource, 0.0) - amount
        return None


def needed(parts: Sequence[Part], resource: str) -> float:
    """Of one resource, by the parts that are there at the same time."""
    phases: tuple[Phase, ...] = ("answers", "training")
    return max(
        sum(
            part.count * bundle.get(resource, 0.0)
            for part in parts
            if part.during in ("throughout", phase)
            for bundle in part.bundles
        )
        for phase in phases
    )


def require(parts: Sequence[Part], room: Room) -> None:
    """ElectorateError if the cluster could never hold the parts that are there at the same time."""
    for phase in ("answers", "training"):
        together = [part for part in parts if part.during in ("throughout", phase)]
        lacking = room.lacking(
            list(chain.from_iterable(part.bundles for part in together for _ in range(part.count)))
        )
        if lacking is not None:
            part = next(part for part in together if lacking in part.bundles)
            raise ElectorateError(
                f"cluster: {part.what} ({part.count} x {_described(part.bundles)}) does not fit "
                f"beside the other parts: {_there(room)}; "
                f"lower {part.lower}, or start a larger cluster"
            )


def tell(parts: Sequence[Part], room: Room, console: Console) -> None:
    """The plan, a line a part."""
    console.print(f"plan: {_there(room)}", highlight=False)
    for part in parts:
        asks = f"{part.count} x {_described(part.bundles)}"
        console.print(f"  {part.what:<28} {asks:<20} {part.where}", highlight=False)


def _there(room: Room) -> str:
    nodes = len(room.alive)
    has = " and ".join(f"{room.total(resource, False):g} {resource}" for resource in COUNTED)
    largest = ", ".join(
        f"{max((node.get(resource, 0.0) for node in room.alive), default=0.0):g} {resource}"
        for resource in COUNTED
    )
    more = [
        f"{room.total(resource, True):g} {resource}"
        for resource in COUNTED
        if room.total(resource, True)
    ]
    coming = f", and may grow by {' and '.join(more)}" if more else ""
    return f"{nodes} node{'s' * (nodes != 1)} with {has}, at most {largest} on one{coming}"


def _described(bundles: Sequence[Bundle]) -> str:
    if len(bundles) > 1:
        return f"{len(bundles)} x {_described(bundles[:1])}"
    return (
        " + ".join(
            f"{amount:g} {resource}"
            for resource, amount in bundles[0].items()
            if resource in COUNTED and amount
        )
        or "nothing"
    )


def _fits(bundle: Bundle, node: Bundle) -> bool:
    return all(
        node.get(resource, 0.0) >= amount - sys.float_info.epsilon
        for resource, amount in bundle.items()
    )


def _alike(node: Bundle, size: Bundle) -> bool:
    return all(node.get(resource, 0.0) == size.get(resource, 0.0) for resource in COUNTED)
