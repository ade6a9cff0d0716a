"""The Ray Train job that trains System B on a run's votes, and leaves it in the run's folder."""

import logging
import time
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ray.train
import ray.train.torch
import torch
from ray.train import Checkpoint, CheckpointConfig, FailureConfig, LoggingConfig, RunConfig, ScalingConfig, TrainingFailedError
from safetensors.torch import save_file
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from actors import metrics
from electorate import founding, model_files
from electorate.config import TOLD_BY_PROMPT, Reward
from electorate.errors import ElectorateError
from electorate.personas import Electorate
from electorate.ratings.ties import MODELS
from electorate.rewards import adapters, corpus, encoder, store
from electorate.rewards.adapters import Adapted
from electorate.rewards.battles import Battles
from electorate.rewards.corpus import Corpus
from electorate.rewards.forms import FOR_ALL, own_say, wanted
from electorate.rewards.network import Network
from electorate.rewards.reader import restore
from electorate.rewards.training import Plan, Training, standardise
from electorate.storage import files
from electorate.storage.places import ObjectPath, Place
from electorate.storage.run_folder import RunFolder

LOG = logging.getLogger("electorate.training")
CPUS_PER_WORKER = 1.0
MAX_FAILURES = 3  # of workers, before the job gives up; each goes on from the last checkpoint
STATE = "state.pt"
HELD_OUT = "held_out"


@dataclass(frozen=True)
class Job:
    """What a worker is told: the settings, the run's folder, up to which round votes count, and where the model's files lie."""

    settings: Reward
    run: Place
    round_: int
    model: str


def train(run: RunFolder, settings: Reward, round_: int, cache_dir: Path) -> None:
    """Train on the votes of rounds 0..round_ and leave the best epoch in the run's folder; goes on where it was stopped.

    Raises ElectorateError for whatever the user can put right. How far it has come is in the folder's history.
    """
    folder, on_gpu = store.of_round(run, round_), settings.accelerator == "gpu"
    job = Job(settings, run.path, round_, model_files.resolve("reward.model", settings.model, cache_dir))
    trainer = ray.train.torch.TorchTrainer(
        _work,
        train_loop_config={"job": job},
        scaling_config=ScalingConfig(num_workers=settings.workers, use_gpu=on_gpu, resources_per_worker={"CPU": CPUS_PER_WORKER}),
        run_config=RunConfig(
            **_storage(folder.parent),
            name=folder.name,
            failure_config=FailureConfig(max_failures=MAX_FAILURES),
            checkpoint_config=CheckpointConfig(num_to_keep=2, checkpoint_score_attribute=HELD_OUT, checkpoint_score_order="min"),
            logging_config=LoggingConfig(log_level="ERROR"),
        ),
    )
    logging.getLogger("ray.train").setLevel(logging.ERROR)
    try:
        result = trainer.fit()
    except TrainingFailedError as error:
        LOG.error("training failed", extra={"round": round_, "error": str(error)})
        last = (str(error).strip().splitlines() or [""])[-1]
        raise ElectorateError(f"System B's training failed ({last[:300]}); its checkpoints are kept, --resume goes on") from error
    if result.return_value is not None:
        raise ElectorateError(result.return_value)
    for checkpoint, _ in sorted(result.best_checkpoints, key=lambda pair: pair[1][HELD_OUT]):
        with checkpoint.as_directory() as files_of_it:
            if _state(Path(files_of_it)) is not None:
                store.promote(Path(files_of_it), folder)
                return
    raise ElectorateError(f"{folder}: no checkpoint of System B's training is whole; remove it and run again with --resume")


def _storage(folder: Place) -> dict[str, Any]:
    """Where Ray Train keeps checkpoints, in its words."""
    if isinstance(folder, ObjectPath):
        return {"storage_path": folder.path, "storage_filesystem": folder.filesystem}
    return {"storage_path": str(folder)}


def adapted(run: RunFolder, settings: Reward, version: int, cache_dir: Path, votes: Battles) -> Adapted:
    """A model of its own for each user of `votes`, from the training after round `version`, on one worker's resources."""
    job = Job(settings, run.path, version, model_files.resolve("reward.model", settings.model, cache_dir))
    on_gpu = settings.accelerator == "gpu"
    found: Adapted = ray.get(_adapt.options(num_cpus=CPUS_PER_WORKER, num_gpus=float(on_gpu)).remote(job, votes))
    return found


@ray.remote
def _adapt(job: Job, votes: Battles) -> Adapted:
    run = RunFolder(job.run)
    electorate, folder = founding.of_run(run), store.of_round(run, job.round_)
    network, texts = _network(job, run, electorate, "cuda" if job.settings.accelerator == "gpu" else "cpu")
    restore(network, folder)
    return adapters.adapt(network, texts.answers, votes, job.settings, electorate.config.ratings.ties)


def _work(config: dict[str, Any]) -> str | None:
    """One worker, to its end; what is wrong where trying again would not mend it, which the job would do otherwise."""
    try:
        _train(config["job"])
    except ElectorateError as error:
        return str(error)
    return None


def _train(job: Job) -> None:
    """Every epoch trained on this worker's share, reported, and by the first worker saved."""
    run = RunFolder(job.run)
    electorate, folder = founding.of_run(run), store.of_round(run, job.round_)
    network, training = _prepared(job, run, electorate)
    if state := _last_state(folder):
        training.load(state)
    systems = electorate.config.evaluation.systems
    teacher = next(form for form in TOLD_BY_PROMPT if form in systems) if store.PROMPT_HEAD in systems else None
    is_first = ray.train.get_context().get_world_rank() == 0
    history = store.read_history(folder)[: training.epochs_done]
    for epoch in range(training.epochs_done, job.settings.epochs):
        start = time.monotonic()
        found = training.epoch()
        reads, gives = training.reads(), own_say(training.said, training.held_out.prompt, FOR_ALL)
        with TemporaryDirectory() as unsaved:
            # All workers take part, as they may share layers.
            state = training.state()
            prompts_told = None if teacher is None else training.told_by_prompts(reads[gives[teacher]])
            if is_first:
                _save(Path(unsaved), network, state["network"])
                told = {form: reads[giver] for form, giver in gives.items()}
                if prompts_told is not None:
                    head, told[store.PROMPT_HEAD] = prompts_told
                    store.write_prompt_head(Path(unsaved), head)
                store.write_reads(Path(unsaved), told)
                torch.save(state, Path(unsaved) / STATE)
            if is_first:
                # Before the checkpoint, as it is cut to the epochs that have one: told after it, a kill between would lose the epoch.
                simpler = {form: giver for form, giver in gives.items() if form != giver}
                history.append({"epoch": epoch, **found, "gives": simpler, "seconds": round(time.monotonic() - start, 2)})
                store.write_history(folder, history)
                _draw(run, job.round_, history[-1])
                for prompts, losses in (("training", found["loss"]), (HELD_OUT, found[HELD_OUT])):
                    for form, value in losses.items():
                        metrics.say("electorate_training_loss", value, form=form, prompts=prompts)
            mean = sum(found[HELD_OUT].values()) / len(found[HELD_OUT])
            ray.train.report({HELD_OUT: mean, "epoch": epoch}, checkpoint=Checkpoint.from_directory(unsaved) if is_first else None)


def _prepared(job: Job, run: RunFolder, electorate: Electorate) -> tuple[Network, Training]:
    settings, ties = job.settings, MODELS[electorate.config.ratings.ties]
    network, texts = _network(job, run, electorate, ray.train.torch.get_device())
    return network, Training(network, _shared(network, settings), texts, ties, electorate.seed, Plan.of(settings))


def _network(job: Job, run: RunFolder, electorate: Electorate, device: Any) -> tuple[Network, Corpus]:
    """The network, untrained, and what it is trained on."""
    settings = job.settings
    reader, tokenizer = encoder.load(
        job.model, settings.layers, settings.score_head, settings.lora_rank, electorate.seed, settings.precision
    )
    texts = corpus.of_run(run, electorate, settings, job.round_, tokenizer)
    ties, forms = electorate.config.ratings.ties, wanted(electorate.config.evaluation.systems)
    network = Network(reader, forms, len(electorate.archetypes), len(electorate.strength), settings.rank, ties)
    network.to(device)
    standardise(network, texts, electorate.seed)
    return network, texts


def _shared(network: Network, settings: Reward) -> torch.nn.Module:
    """The network with gradients averaged over the workers; with fsdp they share its layers out among them too."""
    world = ray.train.get_context().get_world_size()
    if settings.sharding == "ddp" or world == 1:
        return ray.train.torch.prepare_model(network)
    mesh, model = init_device_mesh(ray.train.torch.get_device().type, (world,)), network.encoder.model
    for layers in [module for module in model.modules() if isinstance(module, torch.nn.ModuleList)]:
        for layer in layers:
            fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    # What reads the layers is every worker's whole: it is asked outside forward too.
    shared = [f"encoder.model.{name}" for name, _ in [*model.named_parameters(), *model.named_buffers()]]
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(network, shared)
    return DistributedDataParallel(network)


def _last_state(folder: Place) -> dict[str, Any] | None:
    """Of the newest checkpoint that is whole; a crash may have left a later one in part."""
    newest = sorted((path.name for path in folder.glob("checkpoint_2*")), reverse=True)
    return next((state for name in newest if (state := _state(folder / name)) is not None), None)


def _state(checkpoint: Place) -> dict[str, Any] | None:
    """A checkpoint's, None if it is damaged."""
    try:
        state: dict[str, Any] = torch.load(BytesIO((checkpoint / STATE).read_bytes()), weights_only=True)
    except ElectorateError:
        raise
    except Exception:
        return None
    return state


def _save(folder: Path, network: Network, trained: dict[str, torch.Tensor]) -> None:
    """The adapter as peft's files, and what else was trained as one file of tensors."""
    of_encoder = {name.removeprefix("encoder."): value for name, value in trained.items() if name.startswith("encoder.")}
    encoder.save_adapter(network.encoder, of_encoder, folder / store.ADAPTER)
    own = {name: value.contiguous() for name, value in trained.items() if not name.startswith("encoder.model.")}
    save_file(own, folder / store.HEADS)


def _draw(run: RunFolder, round_: int, found: dict[str, Any]) -> None:
    """An epoch's curves for TensorBoard."""
    from tensorboardX import SummaryWriter

    with TemporaryDirectory() as folder:
        with SummaryWriter(folder, filename_suffix=f".epoch={found['epoch']}") as writer:
            for name in ("loss", HELD_OUT):
                for form, value in found[name].items():
                    writer.add_scalar(f"{name}/{form}", value, found["epoch"])
        files.copy(Path(folder), run.rewards / "tensorboard" / f"round={round_}")
