"""What the vLLM engines of a study's models ask of a cluster."""

from collections.abc import Mapping

from electorate.config.engines import VllmModel

CPUS_PER_ENGINE = 1.0


def cpus_needed(models: Mapping[str, VllmModel]) -> float:
    """Ray CPUs that the engines of these models take."""
    return CPUS_PER_ENGINE * sum(
        model.replicas for model in models.values() if model.accelerator == "cpu"
    )


def gpus_needed(models: Mapping[str, VllmModel]) -> float:
    """GPUs that the engines of these models take, one a replica unless it takes a share of one
    or vLLM is told to split the model.
    """
    return sum(
        model.replicas * model.gpus * model.gpu_share
        for model in models.values()
        if model.accelerator == "gpu"
    )
