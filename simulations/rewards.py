"""System B in a run: trained once its votes are in, then asked what it says of the people
compared.
"""

from pathlib import Path
from typing import Any

import numpy as np

from electorate.config.reward import Reward
from electorate.data import run_files
from electorate.data.features import AXES
from electorate.data.prompts import PromptSet
from electorate.inference import model_files
from electorate.population.planted import Planted
from electorate.population.voters import Voters
from electorate.rewards import store
from electorate.rewards.forms import FORMS
from electorate.rewards.ratings_beside import SYSTEM_A
from electorate.rewards.weights import PersonalRead
from electorate.storage.run_folder import RunFolder
from electorate.study import reward_systems


def check(settings: Reward, cache_dir: Path) -> str:
    """Where the model's files lie; ElectorateError if it cannot be what the settings ask of it,
    before anybody votes.
    """
    source = model_files.resolve("reward.model", settings.model, cache_dir)
    from electorate.rewards import pretrained  # seconds to import

    pretrained.check(source, settings.layers, settings.score_head)
    return source


def training_counts(voters: Voters, folder: RunFolder) -> dict[str, Any]:
    """What the manifest keeps of the trainings: held-out log loss of each form, which give a
    simpler one's rankings, what is in force, and what tastes read.
    """
    config = voters.config
    counts = dict[str, Any]()
    for round_, version in store.read_versions(folder).items():
        votes = config.votes.checkpoints[round_]
        best = store.best_epoch(store.of_round(folder, version))
        counts[f"held_out_{votes}"] = {
            form: round(value, 4) for form, value in best["held_out"].items()
        }
        fallen = store.read_fallbacks(folder).get(round_, [])
        shown = best["gives"] | dict.fromkeys(fallen, SYSTEM_A)
        counts |= {f"version_{votes}": store.version_name(folder, version), "gives": shown}
    where = store.of_round(folder, version)
    for form in FORMS:
        # The last there is: the hybrid before the text alone.
        read = store.read(where, form) if form in config.evaluation.systems else None
        if isinstance(voters, Planted) and isinstance(read, PersonalRead) and read.taste.size:
            counts["axes"] = axes_read(voters, run_files.read_prompts(folder), read)
    return counts


def histories(folder: RunFolder) -> dict[int, store.History]:
    """Votes a persona to the training's history, epoch by epoch; empty where there is no System
    B.
    """
    config = run_files.read_config(folder)
    return {
        config.votes.checkpoints[round_]: store.read_history(store.of_round(folder, round_))
        for round_ in reward_systems.rounds(config)
    }


def axes_read(electorate: Planted, prompts: PromptSet, read: PersonalRead) -> dict[str, float]:
    """Each planted taste axis's R^2 on unseen prompts, from the directions of taste that a form
    of System B reads.
    """
    taste = read.taste.reshape(*electorate.z.shape[:2], -1)
    taste = taste - taste.mean(axis=1, keepdims=True)
    (x, y), (unseen, true) = (
        (taste[rows].reshape(-1, taste.shape[2]), electorate.z[rows].reshape(-1, len(AXES)))
        for rows in map(prompts.ids, ("train", "test"))
    )
    left = true - unseen @ np.linalg.lstsq(x, y, rcond=None)[0]
    total = (true**2).sum(axis=0)
    return {
        axis: round(float(1 - lost / of), 3)
        for axis, lost, of in zip(AXES, (left**2).sum(axis=0), total, strict=True)
        if of > 0
    }
