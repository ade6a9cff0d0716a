"""The Ray Train job that trains System B on a run's votes.

What a worker does is in rewards/job.py.
"""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray.train
import ray.train.torch
import torch
from ray.train import (
    Checkpoint,
    CheckpointConfig,
    FailureConfig,
    LoggingConfig,
    RunConfig,
    ScalingConfig,
    TrainingFailedError,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from actors import metrics, ray_private
from electorate.base.errors import ElectorateError, WorkLostError
from electorate.config.reward import Reward
from electorate.rewards import job as jobs
from electorate.rewards.adapters import Adapted
from electorate.rewards.answer_votes import AnswerVotes
from electorate.rewards.job import HELD_OUT, Job
from electorate.rewards.network import Network
from electorate.storage import files
from electorate.storage.places import ObjectPath, Place
from electorate.storage.run_folder import RunFolder

LOG = logging.getLogger("electorate.training")
CPUS_PER_WORKER = 1.0
MAX_FAILURES = 3  # of workers, before the job gives up; each goes on from the last checkpoint
BEGUN = "ray_train.txt"  # in a training's folder: what Ray Train calls the latest try
# How often Ray Train's controller looks at its workers, who wait with an epoch's report until it
# has taken the one before; its default, 2 s, is far longer than an epoch on few votes.
POLLING = {"RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2"}


def train(run: RunFolder, settings: Reward, round_: int, cache_dir: Path) -> None:
    """Train on the votes of rounds 0..round_ and keep the best epoch in the run's folder.

    A training that was stopped goes on from its last checkpoint. How far it has come is in the
    folder's history.

    Raises:
        ElectorateError: for whatever the user can put right.
    """
    job = jobs.job_of_run(run, settings, round_, cache_dir)
    for name, value in POLLING.items():
        os.environ.setdefault(name, value)
    trainer = ray.train.torch.TorchTrainer(
        _work,
        train_loop_config={"job": job},
        scaling_config=ScalingConfig(
            num_workers=settings.workers,
            use_gpu=settings.accelerator == "gpu",
            resources_per_worker={"CPU": CPUS_PER_WORKER},
        ),
        run_config=RunConfig(
            **_storage(job.folder.parent),
            name=job.folder.name,
            failure_config=FailureConfig(max_failures=MAX_FAILURES),
            checkpoint_config=CheckpointConfig(
                num_to_keep=2,
                checkpoint_score_attribute=HELD_OUT,
                checkpoint_score_order="min",
            ),
            logging_config=LoggingConfig(log_level="ERROR"),
        ),
    )
    logging.getLogger("ray.train").setLevel(logging.ERROR)
    begun = job.folder / BEGUN
    if begun.exists():
        ray_private.give_up_reservation(begun.read_text("utf-8"))
    files.write_text(begun, ray_private.training_id(trainer))
    try:
        result = trainer.fit()
    except TrainingFailedError as error:
        LOG.error("training failed", extra={"round": round_, "error": str(error)})
        last = (str(error).strip().splitlines() or [""])[-1]
        raise WorkLostError(f"System B's training failed ({last[:300]})") from error
    if result.return_value is not None:
        raise ElectorateError(result.return_value)
    jobs.keep_best(job.folder)


def adapted(
    run: RunFolder, settings: Reward, version: int, cache_dir: Path, votes: AnswerVotes
) -> Adapted:
    """A model of its own for each user of `votes`, from the training after round `version`, on
    one worker's resources.
    """
    job = jobs.job_of_run(run, settings, version, cache_dir)
    gpus = float(settings.accelerator == "gpu")
    found: Adapted = ray.get(
        _adapt.options(num_cpus=CPUS_PER_WORKER, num_gpus=gpus).remote(job, votes)
    )
    return found


@ray.remote
def _adapt(job: Job, votes: AnswerVotes) -> Adapted:
    return jobs.adapt(job, votes)


def _storage(folder: Place) -> dict[str, Any]:
    """Where Ray Train keeps checkpoints, in its words."""
    if isinstance(folder, ObjectPath):
        return {"storage_path": folder.path, "storage_filesystem": folder.filesystem}
    return {"storage_path": str(folder)}


def _work(config: dict[str, Any]) -> str | None:
    """One worker, to its end; what is wrong where trying again would not mend it, which the job
    would do otherwise.
    """
    try:
        jobs.work(config["job"], RayWorker())
    except ElectorateError as error:
        return str(error)
    return None


class RayWorker:
    """A worker of the Ray Train job. See electorate.rewards.job.Worker."""

    def __init__(self) -> None:
        self.rank: int = ray.train.get_context().get_world_rank()
        self.device: torch.device = ray.train.torch.get_device()
        # On CPUs a worker has the one it asked for; on GPUs those of a node have its cores.
        on_node = ray.train.get_context().get_local_world_size()
        cores = len(os.sched_getaffinity(0))
        self.threads = max(1, cores // on_node) if self.device.type == "cuda" else 1

    def shared(self, network: Network, settings: Reward) -> torch.nn.Module:
        """Gradients averaged; with fsdp workers share the layers out among them too."""
        world = ray.train.get_context().get_world_size()
        if settings.sharding == "ddp" or world == 1:
            wrapped: torch.nn.Module = ray.train.torch.prepare_model(network)
            return wrapped
        mesh = init_device_mesh(self.device.type, (world,))
        model = network.encoder.model
        for layers in model.modules():
            if isinstance(layers, torch.nn.ModuleList):
                for layer in layers:
                    fully_shard(layer, mesh=mesh)
        fully_shard(model, mesh=mesh)
        # What reads the layers is every worker's whole: it is asked outside forward too.
        of_model = [*model.named_parameters(), *model.named_buffers()]
        sharded = [f"encoder.model.{name}" for name, _ in of_model]
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(network, sharded)
        return DistributedDataParallel(network)

    def report(self, found: Mapping[str, Any], checkpoint: Path | None) -> None:
        """To Ray Train, and the losses to Prometheus."""
        if checkpoint is not None:
            for prompts, losses in (("training", found["loss"]), (HELD_OUT, found[HELD_OUT])):
                for form, value in losses.items():
                    metrics.say("electorate_training_loss", value, form=form, prompts=prompts)
        mean = sum(found[HELD_OUT].values()) / len(found[HELD_OUT])
        saved = None if checkpoint is None else Checkpoint.from_directory(checkpoint)
        ray.train.report({HELD_OUT: mean, "epoch": found["epoch"]}, checkpoint=saved)
