"""System B in a run: trained once its votes are in, then asked what it says of the people compared."""

from pathlib import Path
from typing import Any, get_args

import numpy as np

from electorate import config_file, model_files
from electorate.cast import Cast
from electorate.config import TOLD_BY_PROMPT, Config, Reward, RewardSystem
from electorate.evaluation.predictions import System
from electorate.features import AXES
from electorate.personas import Electorate, Personas
from electorate.prompts import PromptSet
from electorate.ratings.ties import MODELS
from electorate.rewards import prompt_head, store, weights
from electorate.rewards.battles import Battles
from electorate.rewards.forms import FORMS
from electorate.rewards.systems import Adapters, Personal, Pooled
from electorate.rewards.weights import PersonalRead
from electorate.storage import files
from electorate.storage.run_folder import RunFolder


def check(settings: Reward, cache_dir: Path) -> str:
    """Where the model's files lie; ElectorateError if it cannot be what the settings ask of it, before anybody votes."""
    from electorate.rewards import encoder

    source = model_files.resolve("reward.model", settings.model, cache_dir)
    encoder.check(source, settings.layers, settings.score_head)
    return source


def reader(settings: Reward, cache_dir: Path) -> tuple[Any, Any]:
    """The settings' encoder, untrained, and its tokenizer. Raises ElectorateError as `check` does."""
    from electorate.rewards import encoder

    source = model_files.resolve("reward.model", settings.model, cache_dir)
    return encoder.load(source, settings.layers, settings.score_head, settings.lora_rank, 0, settings.precision)


def rounds(config: Config) -> list[int]:
    """After which rounds it is trained."""
    if config.reward is None:
        return []
    last = len(config.votes.checkpoints) - 1
    return list(range(last + 1)) if config.reward.incremental and config.evaluation.incremental else [last]


def told(electorate: Electorate, folder: RunFolder) -> dict[str, Any]:
    """What the manifest keeps of the trainings: held-out log loss of each form, which give a simpler one's rankings, what is in
    force, and what tastes read.
    """
    config, counts = electorate.config, dict[str, Any]()
    for round_, version in store.read_versions(folder).items():
        votes = config.votes.checkpoints[round_]
        best = store.best_epoch(store.of_round(folder, version))
        counts[f"held_out_{votes}"] = {form: round(value, 4) for form, value in best["held_out"].items()}
        counts |= {f"version_{votes}": store.version_name(folder, version), "gives": best["gives"]}
    where = store.of_round(folder, version)
    for form in FORMS:
        # The last there is: the hybrid before the text alone.
        read = store.read(where, form) if form in config.evaluation.systems else None
        if isinstance(read, PersonalRead) and read.taste.size:
            counts["axes"] = axes_read(electorate, PromptSet.from_table(files.read_table(folder.prompts)), read)
    return counts


def versions(electorate: Electorate, folder: RunFolder, round_: int) -> dict[str, str]:
    """System to the version of it whose rankings are in force after a round."""
    if round_ not in rounds(electorate.config):
        return {}
    name = store.version_name(folder, store.read_versions(folder)[round_])
    return dict.fromkeys(get_args(RewardSystem), name)


def said(electorate: Electorate, folder: RunFolder, round_: int, cast: Cast, people: Personas) -> dict[str, System]:
    """What every form that is in force after this round says of these people, given their own votes."""
    if round_ not in rounds(electorate.config):
        return {}
    version, ties = store.read_versions(folder)[round_], MODELS[electorate.config.ratings.ties]
    where = store.of_round(folder, version)
    found: dict[str, System] = {}
    wanted, label, mix = electorate.config.evaluation.systems, people.archetype, electorate.prompt_weights
    battles = Battles.of(cast, label, len(electorate.strength))
    for form in (form for form in FORMS if form in wanted):
        read = store.read(where, form)
        if isinstance(read, PersonalRead):
            found[form] = Personal(read, label, mix, weights.solve(read, battles, ties), ties)
        else:
            found[form] = Pooled(read, label, mix, ties)
    if store.PROMPT_HEAD in wanted:
        # Weights come from votes on answers that are there; only what they are applied to is told by the prompt.
        teacher = prompt_head.personal(store.read(where, next(form for form in TOLD_BY_PROMPT if form in wanted)))
        told = store.read(where, store.PROMPT_HEAD)
        if isinstance(told, PersonalRead):
            found[store.PROMPT_HEAD] = Personal(told, label, mix, weights.solve(teacher, battles, ties), ties)
    if "personal_rm" in wanted and electorate.config.reward is not None:
        from cluster import reward_job

        cache_dir = Path(electorate.config.cluster.cache_dir).expanduser()
        own = reward_job.adapted(folder, electorate.config.reward, version, cache_dir, battles)
        found["personal_rm"] = Adapters(own.base, own.eta, label, mix, ties)
    return found


def histories(folder: RunFolder) -> dict[int, store.History]:
    """Votes a persona to the training's history, epoch by epoch; empty where there is no System B."""
    config = config_file.load(folder.config)
    return {config.votes.checkpoints[round_]: store.read_history(store.of_round(folder, round_)) for round_ in rounds(config)}


def axes_read(electorate: Electorate, prompts: PromptSet, read: PersonalRead) -> dict[str, float]:
    """Each planted taste axis's R^2 on unseen prompts, from the directions of taste that a form of System B reads."""
    taste = read.taste.reshape(*electorate.z.shape[:2], -1)
    taste = taste - taste.mean(axis=1, keepdims=True)
    (x, y), (unseen, true) = (
        (taste[rows].reshape(-1, taste.shape[2]), electorate.z[rows].reshape(-1, len(AXES))) for rows in map(prompts.ids, ("train", "test"))
    )
    left = true - unseen @ np.linalg.lstsq(x, y, rcond=None)[0]
    total = (true**2).sum(axis=0)
    return {axis: round(float(1 - lost / of), 3) for axis, lost, of in zip(AXES, (left**2).sum(axis=0), total, strict=True) if of > 0}
