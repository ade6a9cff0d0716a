"""Where System B lies in a run's folder, a folder for every round it was trained after:

adapter/             the LoRA adapter as peft writes it, where layers run
heads.safetensors    the pooling and every form's heads
reads/FORM.npz       what a form says of every answer; prompt_head: what prompts alone tell of it
prompt_head.npz      how a prompt is told from, for prompts still to come
history.json         loss and held-out log loss, epoch by epoch

and beside them versions.json: after each round, the round whose training is in force; and
stale.json, once votes were erased: which trainings had learned from them.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from electorate.base.errors import StorageError
from electorate.rewards.prompt_head import PromptHead, PromptRead
from electorate.rewards.weights import PersonalRead, Read
from electorate.storage import files
from electorate.storage.places import Place
from electorate.storage.run_folder import RunFolder

History = list[dict[str, Any]]
ADAPTER = "adapter"
HEADS = "heads.safetensors"
READS = "reads"
HISTORY = "history.json"
VERSIONS = "versions.json"
FALLBACKS = "fallbacks.json"
STALE = "stale.json"
PROMPT_HEAD = "prompt_head"
PROMOTED = (ADAPTER, READS, f"{PROMPT_HEAD}.npz", HEADS)


def of_round(run: RunFolder, round_: int) -> Place:
    """The folder of what was trained on the votes of rounds 0..round_."""
    return run.rewards / f"round={round_}"


def is_there(folder: Place) -> bool:
    """Whether the training is done."""
    return (folder / HEADS).exists()


def read_history(folder: Place) -> History:
    """Epoch by epoch: loss and held_out, {form: nats}; gives, {form: simpler form whose rankings
    it gives}; seconds, and seconds_in, what they went into.
    """
    path = folder / HISTORY
    history: History = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return history


def time_shares(history: History) -> dict[str, float]:
    """What share of a training's time went into what; none where its history does not say."""
    spent = dict[str, float]()
    for epoch in history:
        for what, seconds in epoch.get("seconds_in", {}).items():
            spent[what] = spent.get(what, 0.0) + seconds
    total = sum(spent.values())
    return {what: seconds / total for what, seconds in spent.items()} if total else {}


def write_history(folder: Place, history: History) -> None:
    """Replace the history of a training, whole or not at all."""
    files.write_text(folder / HISTORY, json.dumps(history) + "\n")


def best_epoch(folder: Place) -> dict[str, Any]:
    """The one that was kept."""
    return min(read_history(folder), key=lambda epoch: sum(epoch["held_out"].values()))


def read_versions(run: RunFolder) -> dict[int, int]:
    """Round to the round after which what is in force was trained."""
    path = run.rewards / VERSIONS
    content: dict[str, int] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {int(round_): version for round_, version in content.items()}


def write_versions(run: RunFolder, versions: dict[int, int]) -> None:
    """Replace the list of versions, whole or not at all."""
    files.write_text(run.rewards / VERSIONS, json.dumps(versions) + "\n")


def read_fallbacks(run: RunFolder) -> dict[int, list[str]]:
    """Round to the forms that give System A's rankings after it."""
    path = run.rewards / FALLBACKS
    text = path.read_text(encoding="utf-8") if path.exists() else "{}"
    return {int(round_): forms for round_, forms in json.loads(text).items()}


def write_fallbacks(run: RunFolder, fallbacks: dict[int, list[str]]) -> None:
    """Replace the list of fallbacks, whole or not at all."""
    files.write_text(run.rewards / FALLBACKS, json.dumps(fallbacks) + "\n")


def mark_stale(run: RunFolder) -> None:
    """Everything trained so far learned from votes that have been erased since."""
    if trained := sorted(path.name for path in run.rewards.glob("round=*")):
        files.write_text(run.rewards / STALE, json.dumps(trained) + "\n")


def is_stale(run: RunFolder, version: int) -> bool:
    """Whether the training after this round learned from votes that have been erased since."""
    path = run.rewards / STALE
    return path.exists() and of_round(run, version).name in json.loads(
        path.read_text(encoding="utf-8")
    )


def version_name(run: RunFolder, version: int) -> str:
    """As rankings name the version that made them."""
    return f"round={version}/epoch={best_epoch(of_round(run, version))['epoch']}"


def write_reads(folder: Path, reads: Mapping[str, Read]) -> None:
    """What each form says of all answers."""
    for form, read in reads.items():
        files.write_arrays(folder / READS / f"{form}.npz", **asdict(read))


def write_prompt_head(folder: Path, head: PromptHead) -> None:
    """Keep it for prompts still to come."""
    files.write_arrays(folder / f"{PROMPT_HEAD}.npz", **asdict(head))


def read_prompt_head(folder: Place) -> PromptHead | None:
    """What `write_prompt_head` kept; None where prompts alone were not learned from."""
    path = folder / f"{PROMPT_HEAD}.npz"
    return PromptHead(**files.read_arrays(path)) if path.exists() else None


def read(folder: Place, form: str) -> Read:
    """What a form says of all answers. Raises ElectorateError if the file is missing or damaged."""
    path = folder / READS / f"{form}.npz"
    try:
        values: dict[str, Any] = {
            name: value if value.ndim else value.item()
            for name, value in files.read_arrays(path).items()
        }
        return (PromptRead if "unsaid" in values else PersonalRead if "taste" in values else Read)(
            **values
        )
    except (OSError, ValueError, TypeError, BadZipFile) as error:
        raise StorageError(
            f"{path}: cannot be read ({error}); remove {folder}, to train anew"
        ) from None


def promote(checkpoint: Path, folder: Place) -> None:
    """Make a checkpoint's files the trained model; heads last, as their being there says that it
    is whole.
    """
    for name in PROMOTED:
        if (checkpoint / name).exists():
            files.copy(checkpoint / name, folder / name)
