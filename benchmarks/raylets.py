"""Voting on two raylets pinned to a core each beside one raylet with both, in steady state; how
much is done again after a kill; and the model of scale (benchmarks/scaling.py): calibrated
on one pinned raylet, held against one and two on a population it has not seen, then asked
about clusters.
"""

import json
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.cohort import CohortActor
from actors.pool import CohortPool
from actors.ranking import RankingActor
from actors.ray_pool import ON_HEAD
from benchmarks import made
from benchmarks.scaling import Costs, predict
from cluster.session import connected
from electorate.population import planted
from electorate.population.voters import BLOCK
from electorate.storage.run_folder import RunFolder
from serve.ports import free_port

MOST = 1.15
WITHIN = 0.2
VOTES = 50
MODELS_N = 24
# blocks, of the personas that costs are taken from, and of those predicted
CALIBRATED = 24
UNSEEN = 60
PASSES = 3
NODES = (1, 8, 64, 512)
CORES = 16
PERSONAS = (100_000_000, 10_000_000_000)
BUSY_MOST = 0.2  # of the driver and of the ranking, at the most nodes
CALLS = 300


@contextmanager
def cluster(cores: list[str]) -> Iterator[str]:
    """Raylets on this machine, each pinned to cores ("0" or "0,1"); gives their address."""
    folder = Path(tempfile.mkdtemp(prefix="elr", dir="/tmp"))
    port = free_port()
    started = list[subprocess.Popen[bytes]]()
    ray_ = str(Path(sys.executable).parent / "ray")
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parent.parent),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    try:
        for i, pinned in enumerate(cores):
            joins = (
                [f"--address=127.0.0.1:{port}"]
                if i
                else [
                    "--head",
                    f"--port={port}",
                    "--include-dashboard=false",
                    f"--temp-dir={folder}",
                ]
            )
            command = [
                "taskset",
                "-c",
                pinned,
                ray_,
                "start",
                "--block",
                "--node-ip-address=127.0.0.1",
                *joins,
            ]
            command += [
                f"--num-cpus={len(pinned.split(','))}",
                f"--dashboard-agent-listen-port={free_port()}",
            ]
            started.append(
                subprocess.Popen(
                    command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
            )
            time.sleep(8.0)
        yield f"127.0.0.1:{port}"
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


def measure(address: str, on_head: int) -> dict[str, Any]:
    """In a process of its own, as Ray keeps an address for a process's life: seconds of voting,
    and what the model needs to know.

    on_head: cohorts on the head's node; as many on the others.
    """
    with tempfile.TemporaryDirectory() as scratch, connected(address, 1.0):
        run = made.run_folder(
            made.config(UNSEEN * BLOCK, MODELS_N, [VOTES, 2 * VOTES]),
            RunFolder(Path(scratch) / "run"),
        )
        ranking = RankingActor.options(**ON_HEAD).remote(run.path)
        blocks = planted.of_run(run).blocks
        nodes = sorted(
            ray.nodes(), key=lambda node: "node:__internal_head__" not in node["Resources"]
        )
        here = [node["NodeID"] for node in nodes[:1] for _ in range(on_head)] + [
            node["NodeID"] for node in nodes[1:]
        ]
        cohorts = [
            CohortActor.options(
                num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)
            ).remote(run.path)
            for node in here
        ]
        pool = CohortPool(cohorts)

        def voted(round_: int, count: int) -> float:
            start = time.perf_counter()
            for _ in pool.run(
                [(round_, b) for b in range(count)],
                lambda actor, places: actor.vote.remote("judge", ranking, places, None),
            ):
                pass
            return time.perf_counter() - start

        voted(1, 2 * len(cohorts))  # so that everything is loaded
        calibrated = statistics.median(voted(0, CALIBRATED) for _ in range(PASSES))
        found = {"cohorts": len(cohorts), "blocks": blocks, "calibrated": calibrated}
        found["unseen"] = [voted(1, blocks) for _ in range(PASSES)]
        start = time.perf_counter()
        for _ in range(CALLS):
            ray.get(cohorts[0].ping.remote())
        found["trip"] = (time.perf_counter() - start) / CALLS
        start = time.perf_counter()
        ray.get([cohorts[i % len(cohorts)].ping.remote() for i in range(CALLS)])
        found["call"] = (time.perf_counter() - start) / CALLS
        start = time.perf_counter()
        ray.get([ranking.votes_by_round.remote() for _ in range(CALLS)])
        found["merge"] = (time.perf_counter() - start) / CALLS
        found["again"] = _again(pool, ranking, blocks)
        return found


def _again(pool: CohortPool, ranking: Any, blocks: int) -> int:
    """Blocks begun more than once when a cohort is killed amid a round."""
    begun = list[tuple[int, int]]()

    def call(actor: Any, places: list[tuple[int, int]]) -> Any:
        begun.extend(places)
        return actor.vote.remote("judge", ranking, places, None)

    for done, _ in enumerate(pool.run([(0, block) for block in range(blocks)], call)):
        if done == blocks // 2:
            ray.kill(pool.actors[0], no_restart=False)
    return len(begun) - blocks


def measured(address: str, on_head: int) -> Mapping[str, Any]:
    """`measure` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.raylets", address, str(on_head)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    found: Mapping[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def main() -> None:
    """Print each figure beside its reference."""
    # Raylets listen on the network, whatever address they are given.
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    with cluster(["0"]) as address:
        one = measured(address, 1)
    with cluster(["0", "1"]) as address:
        two = measured(address, 1)
    with cluster(["0,1"]) as address:
        both = measured(address, 2)
    pinned, together = (statistics.median(found["unseen"]) for found in (two, both))
    print(
        f"{UNSEEN * BLOCK:,} personas x {VOTES} votes on two raylets with a core each: "
        f"{pinned / together:.2f} times one raylet with both "
        f"({pinned:.1f} and {together:.1f} s; at most {MOST:g} asked)"
    )
    print(
        f"  after a cohort's kill {two['again']} blocks were begun again (at most the "
        f"{two['cohorts']} in flight asked)"
    )
    costs = Costs(
        one["calibrated"] / CALIBRATED - one["merge"] - one["call"] - one["trip"],
        one["merge"],
        one["call"],
        one["trip"],
    )
    print(
        f"model of scale, from {CALIBRATED} blocks on one pinned raylet: {1e3 * costs.block:.0f} "
        "ms a block, "
        f"{1e3 * costs.merge:.2f} a count, {1e3 * costs.call:.2f} a call, {1e3 * costs.trip:.2f} a "
        "trip"
    )
    for name, found in (("one pinned raylet", one), ("two", two)):
        says = predict(UNSEEN, 1, found["cohorts"], costs).seconds
        was = statistics.median(found["unseen"])
        off = f"{says / was - 1:+.0%} (within {WITHIN:.0%} asked)"
        print(
            f"  {UNSEEN} other blocks on {name}: {says:.1f} s predicted, {was:.1f} s measured, "
            f"{off}"
        )
    for personas in PERSONAS:
        for nodes in NODES:
            says = predict(-(-personas // BLOCK), 1, nodes * CORES, costs)
            busy = ", ".join(f"{part} {share:.0%}" for part, share in says.busy.items())
            print(
                f"  {personas:,} personas on {nodes} nodes of {CORES} cores: {says.seconds:,.1f} "
                f"s, held up by the {says.bottleneck} ({busy})"
            )
    print(f"  (driver and ranking at most {BUSY_MOST:.0%} busy on {NODES[-1]} nodes asked)")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
    else:
        main()
