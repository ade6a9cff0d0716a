"""What a run tells Prometheus through Ray, at every node's metrics port; nothing without Ray.

Names there begin with `ray_electorate_`. cluster/grafana.json draws them.
"""

import sys
from functools import cache
from typing import Any

COUNTERS = {
    "electorate_votes": ("votes that are in the log, by round", ("round",)),
    "electorate_blocks_lost": (
        "blocks whose cohort was lost while it held them; each goes back to the queue",
        (),
    ),
    "electorate_answers": (
        "answers of models, by where they came from: cache or asked",
        ("source",),
    ),
    "electorate_answer_tokens": ("tokens of answers that were asked for, by model", ("model",)),
}
GAUGES = {
    "electorate_blocks_in_flight": ("blocks that cohorts work on", ()),
    "electorate_ranking_lag_seconds": (
        "from a block's votes being in the log to the ranking having counted them, the last block",
        (),
    ),
    "electorate_training_loss": (
        "System B's, by form, of the last epoch: in training and on held-out prompts",
        ("form", "prompts"),
    ),
}


# Made when first used, as Ray has to be there.
@cache
def _metric(name: str) -> Any:
    from ray.util.metrics import Counter, Gauge

    if name in COUNTERS:
        return Counter(name, *COUNTERS[name])
    return Gauge(name, *GAUGES[name])


def count(name: str, times: float, **tags: str) -> None:
    """Add to a Prometheus counter."""
    if times > 0 and _on_ray():
        _metric(name).inc(times, tags=tags)


def say(name: str, value: float, **tags: str) -> None:
    """Set a Prometheus gauge."""
    if _on_ray():
        _metric(name).set(value, tags=tags)


def _on_ray() -> bool:
    # A study in one process never imports Ray, which takes seconds.
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())
