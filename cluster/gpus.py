"""How large the GPUs of a cluster are."""

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from electorate.inference import gpus

ANSWER_S = 60.0
ASKED = 0.01  # of a GPU, so that a task sees one without keeping others from it


def smallest() -> int | None:
    """Bytes of the smallest GPU of the nodes that are alive; None where none tells."""
    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("GPU")]
    asked = [
        _memory.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=True)
        ).remote()
        for node in nodes
    ]
    answered, _ = ray.wait(asked, num_returns=len(asked), timeout=ANSWER_S) if asked else ([], [])
    found = [size for sizes in ray.get(answered) for size in sizes]
    return min(found, default=None)


@ray.remote(num_cpus=0, num_gpus=ASKED)
def _memory() -> list[int]:
    return [gpu.memory for gpu in gpus.on_this_machine()]
