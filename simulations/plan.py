"""What a run asks of a cluster, part by part; said, and refused where it could never be."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console

from actors.ray_pool import HEAD, ON_HEAD
from cluster import gpus as cluster_gpus
from cluster import placement
from cluster.placement import Part, Room
from cluster.reward_job import CPUS_PER_WORKER
from cluster.session import connected
from electorate.config.contest import Cluster
from electorate.config.engines import VllmModel
from electorate.config.run import Config
from electorate.inference.engine_resources import CPUS_PER_ENGINE
from simulations import memory
from simulations.memory import Need


def of_run(config: Config, to_serve: Mapping[str, VllmModel]) -> list[Part]:
    """Its parts. to_serve: the models whose engines have to be started."""
    ranking = Part(
        "ranking",
        1,
        [{HEAD: ON_HEAD["resources"][HEAD]}],
        "throughout",
        "on the head's node",
        "nothing",
    )
    return [
        _cohorts(config.cluster),
        ranking,
        *(_engine(name, model) for name, model in to_serve.items()),
        *_training(config),
    ]


@contextmanager
def on_cluster(
    settings: Cluster, parts: Sequence[Part], needs: Sequence[Need], console: Console
) -> Iterator[None]:
    """Connect to Ray for the length of the block, and tell the plan.

    Raises:
        ElectorateError: no cluster can be reached, it could never hold the parts, or its GPUs are
            too small for what they need.
    """
    cpus = placement.needed(parts, "CPU")
    gpus = placement.needed(parts, "GPU")
    with connected(settings.address, cpus, gpus):
        room = Room.of_cluster()
        placement.require(parts, room)
        placement.tell(parts, room, console)
        memory.tell(needs, console)
        if any(need.device == "GPU" for need in needs):
            memory.require(needs, cluster_gpus.smallest())
        yield


def _cohorts(settings: Cluster) -> Part:
    return Part(
        "cohorts",
        settings.cohorts,
        [{"CPU": settings.cpus_per_cohort}],
        "throughout",
        "spread",
        "cluster.cohorts",
    )


def _engine(name: str, model: VllmModel) -> Part:
    on_cpu = model.accelerator == "cpu"
    bundles = [{"CPU": CPUS_PER_ENGINE}] if on_cpu else [{"GPU": model.gpu_share}] * model.gpus
    where = "packed" if model.gpus > 1 else "wherever there is room"
    return Part(
        f"engine {name}", model.replicas, bundles, "answers", where, f"models.{name}.replicas"
    )


def _training(config: Config) -> list[Part]:
    """System B's workers, when the engines are gone."""
    reward = config.reward
    if reward is None:
        return []
    worker = {"CPU": CPUS_PER_WORKER} | ({"GPU": 1.0} if reward.accelerator == "gpu" else {})
    return [
        Part(
            "training",
            reward.fewest_workers,
            [worker],
            "training",
            "packed, a placement group of its own",
            "reward.workers",
        )
    ]
