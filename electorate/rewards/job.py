"""One training of System B: epochs over a run's votes, each saved, from which the best is kept.

The loop is written once for whoever runs it: this process (`train` below) or the workers of a Ray
Train job (cluster/reward_job.py).
"""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import numpy as np
import torch
from safetensors.torch import save_file

from electorate.base.errors import ElectorateError, StorageError
from electorate.config.reward import TOLD_BY_PROMPT, Reward
from electorate.inference import model_files
from electorate.population import voters as voters_module
from electorate.population.voters import Voters
from electorate.ratings.ties import MODELS
from electorate.rewards import adapters, corpus, pretrained, store
from electorate.rewards.adapters import Adapted
from electorate.rewards.answer_votes import AnswerVotes
from electorate.rewards.corpus import Corpus
from electorate.rewards.forms import FOR_ALL, fallbacks, wanted
from electorate.rewards.network import Network
from electorate.rewards.reader import restore
from electorate.rewards.training import Plan, Training, standardise
from electorate.storage import files
from electorate.storage.places import Place
from electorate.storage.run_folder import RunFolder

STATE = "state.pt"
HELD_OUT = "held_out"


@dataclass(frozen=True)
class Job:
    """What a worker is told: the settings, the run's folder, the last round whose votes count,
    where the model's files lie, and where a machine keeps what it need not compute twice.
    """

    settings: Reward
    run: Place
    round_: int
    model: str
    cache_dir: Path

    @property
    def folder(self) -> Place:
        """Where the training is kept."""
        return store.of_round(RunFolder(self.run), self.round_)


class Worker(Protocol):
    """One of the processes that train together."""

    rank: int
    device: torch.device
    threads: int

    def shared(self, network: Network, settings: Reward, /) -> torch.nn.Module:
        """The network with gradients averaged over all workers."""
        ...

    def report(self, found: Mapping[str, Any], checkpoint: Path | None) -> None:
        """Tell of an epoch.

        Args:
            found: `epoch`, and `loss` and `held_out` by form, nats.
            checkpoint: its files, gone afterwards; None on all workers but the first.
        """
        ...


def job_of_run(run: RunFolder, settings: Reward, round_: int, cache_dir: Path) -> Job:
    """The training on the votes of rounds 0..round_."""
    model = model_files.resolve("reward.model", settings.model, cache_dir)
    return Job(settings, run.path, round_, model, cache_dir)


def work(job: Job, worker: Worker) -> None:
    """Every epoch that is not done yet: trained on this worker's share, reported, and saved.

    Raises:
        ElectorateError: for whatever the user can put right.
    """
    run = RunFolder(job.run)
    voters = voters_module.of_run(run)
    folder = job.folder
    training = _begun(job, voters, worker)
    network = training.network
    systems = voters.config.evaluation.systems
    head_wanted = store.PROMPT_HEAD in systems
    teacher = next(form for form in TOLD_BY_PROMPT if form in systems) if head_wanted else None
    history = store.read_history(folder)[: training.epochs_done]
    for epoch in range(training.epochs_done, job.settings.epochs):
        start = time.monotonic()
        found = training.epoch()
        reads = training.reads()
        shown = fallbacks(training.log_likelihood, training.held_out.prompt, FOR_ALL)
        # All workers take part, as they may share layers.
        state = training.state()
        by_prompt = None if teacher is None else training.learn_prompt_head(reads[shown[teacher]])
        if worker.rank:
            worker.report({"epoch": epoch, **found}, None)
            continue
        with TemporaryDirectory() as unsaved:
            _save(Path(unsaved), network, state["network"])
            kept = {form: reads[giver] for form, giver in shown.items()}
            if by_prompt is not None:
                head, kept[store.PROMPT_HEAD] = by_prompt
                store.write_prompt_head(Path(unsaved), head)
            store.write_reads(Path(unsaved), kept)
            torch.save(state, Path(unsaved) / STATE)
            # Before the checkpoint, as it is cut to the epochs that have one: told after it, a
            # kill between would lose the epoch.
            simpler = {form: giver for form, giver in shown.items() if form != giver}
            seconds = round(time.monotonic() - start, 2)
            within = {what: round(spent, 2) for what, spent in training.seconds.items()}
            of_epoch = {"epoch": epoch, **found, "gives": simpler}
            history.append(of_epoch | {"seconds": seconds, "seconds_in": within})
            store.write_history(folder, history)
            _draw(run, job.round_, history[-1])
            worker.report({"epoch": epoch, **found}, Path(unsaved))


def _begun(job: Job, voters: Voters, worker: Worker) -> Training:
    """The training as its last whole checkpoint has it, or from the start."""
    network, texts = _network(job, voters, worker.device)
    ties = MODELS[voters.config.ratings.ties]
    shared = worker.shared(network, job.settings)
    plan = Plan.of(job.settings)
    training = Training(network, shared, texts, ties, voters.seed, plan, worker.threads)
    if state := _last_state(job.folder):
        training.load(state)
    return training


def keep_best(folder: Place) -> None:
    """Make the best whole checkpoint in a training's folder the trained model.

    By held-out log loss, whoever wrote the checkpoints: this process or Ray Train.

    Raises:
        StorageError: none is whole.
    """
    losses = {found["epoch"]: sum(found[HELD_OUT].values()) for found in store.read_history(folder)}
    best: tuple[float, Place] | None = None
    for checkpoint in _checkpoints(folder):
        state = _state(checkpoint)
        loss = np.inf if state is None else losses.get(state["epochs"] - 1, np.inf)
        if state is not None and (best is None or loss < best[0]):
            best = loss, checkpoint
    if best is None:
        raise StorageError(
            f"{folder}: no checkpoint of System B's training is whole; remove it, to train anew"
        )
    with files.local(best[1]) as here:
        store.promote(here, folder)


class Alone:
    """The worker where this process trains by itself. Checkpoints go to the training's folder."""

    rank = 0

    def __init__(self, job: Job) -> None:
        self.device = torch.device("cuda" if job.settings.accelerator == "gpu" else "cpu")
        self.threads = len(os.sched_getaffinity(0))
        self._folder = job.folder

    def shared(self, network: Network, _: Reward) -> torch.nn.Module:
        """The network with gradients averaged over all workers."""
        return network

    def report(self, found: Mapping[str, Any], checkpoint: Path | None) -> None:
        """Tell of an epoch. All checkpoints but the best and the newest are removed."""
        if checkpoint is None:
            return
        epoch = found["epoch"]
        # Named as Ray Train names its own, so that a training may go on elsewhere.
        now = datetime.now(UTC).strftime("%Y-%m-%d_%H-%M-%S.%f")
        files.copy(checkpoint, self._folder / f"checkpoint_{now}_epoch={epoch}")
        best = store.best_epoch(self._folder)["epoch"]
        for path in _own_checkpoints(self._folder):
            if _epoch(path) not in (best, epoch):
                files.remove(path)


def train(run: RunFolder, settings: Reward, round_: int, cache_dir: Path) -> None:
    """Train in this process, and keep the best epoch in the run's folder.

    A training that was stopped goes on from its last checkpoint. How far it has come is in the
    folder's history.
    """
    job = job_of_run(run, settings, round_, cache_dir)
    work(job, Alone(job))
    keep_best(job.folder)


def adapted(
    run: RunFolder, settings: Reward, version: int, cache_dir: Path, votes: AnswerVotes
) -> Adapted:
    """A model of its own for each user of `votes`, from the training after round `version`."""
    return adapt(job_of_run(run, settings, version, cache_dir), votes)


def adapt(job: Job, votes: AnswerVotes) -> Adapted:
    """A model of its own for each user of `votes`, from the training that was kept."""
    voters = voters_module.of_run(RunFolder(job.run))
    device = torch.device("cuda" if job.settings.accelerator == "gpu" else "cpu")
    network, texts = _network(job, voters, device)
    restore(network, job.folder)
    ties = voters.config.ratings.ties
    return adapters.adapt(network, texts.answers, votes, job.settings, ties)


def _own_checkpoints(folder: Place) -> list[Place]:
    """Of trainings in one process."""
    return [folder / path.name for path in folder.glob("checkpoint_2*_epoch=*")]


def _epoch(checkpoint: Place) -> int:
    return int(checkpoint.name.rpartition("=")[2])


def _network(job: Job, voters: Voters, device: torch.device) -> tuple[Network, Corpus]:
    """The network, untrained, and what it is trained on."""
    settings = job.settings
    reader, tokenizer = pretrained.of_settings(settings, job.model, voters.seed)
    texts = corpus.of_run(RunFolder(job.run), voters, settings, job.round_, tokenizer)
    ties = voters.config.ratings.ties
    forms = wanted(voters.config.evaluation.systems)
    network = Network(reader, forms, len(voters.archetypes), voters.models, settings.rank, ties)
    if settings.counter_rate == 0:
        reader.hold_counters()
    network.to(device)
    if settings.sharding == "ddp":
        texts_read = [*texts.answers, *texts.asked]
        reader.keep_frozen(texts_read, job.cache_dir / "frozen")
    standardise(network, texts, voters.seed)
    return network, texts


def _last_state(folder: Place) -> dict[str, Any] | None:
    """Of the newest checkpoint that is whole; a crash may have left a later one in part."""
    states = (_state(checkpoint) for checkpoint in _checkpoints(folder))
    return next((state for state in states if state is not None), None)


def _checkpoints(folder: Place) -> list[Place]:
    """Newest first; their names begin with the time."""
    names = sorted((path.name for path in folder.glob("checkpoint_2*")), reverse=True)
    return [folder / name for name in names]


def _state(checkpoint: Place) -> dict[str, Any] | None:
    """A checkpoint's, None if it is damaged."""
    try:
        state: dict[str, Any] = torch.load(
            BytesIO((checkpoint / STATE).read_bytes()), weights_only=True
        )
    except ElectorateError:
        raise
    except Exception:
        return None
    return state


def _save(folder: Path, network: Network, trained: dict[str, torch.Tensor]) -> None:
    """The adapter as peft's files, and what else was trained as one file of tensors."""
    of_encoder = {
        name.removeprefix("encoder."): value
        for name, value in trained.items()
        if name.startswith("encoder.")
    }
    pretrained.save_adapter(network.encoder, of_encoder, folder / store.ADAPTER)
    own = {
        name: value.contiguous()
        for name, value in trained.items()
        if not name.startswith("encoder.model.")
    }
    save_file(own, folder / store.HEADS)


def _draw(run: RunFolder, round_: int, found: dict[str, Any]) -> None:
    """An epoch's curves for TensorBoard."""
    from tensorboardX import SummaryWriter

    curves = [
        (f"{name}/{form}", value)
        for name in ("loss", HELD_OUT)
        for form, value in found[name].items()
    ]
    with TemporaryDirectory() as folder:
        with SummaryWriter(folder, filename_suffix=f".epoch={found['epoch']}") as writer:
            for curve, value in curves:
                writer.add_scalar(curve, value, found["epoch"])
        files.copy(Path(folder), run.rewards / "tensorboard" / f"round={round_}")
