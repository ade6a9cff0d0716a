"""Where System B lies in a run's folder, a folder for every round it was trained after:

adapter/             the LoRA adapter as peft writes it, where layers run
heads.safetensors    the pooling and every form's heads
reads/FORM.npz       what a form says of every answer; prompt_head: what prompts alone tell of it
prompt_head.npz      how a prompt is told from, for prompts still to come
history.json         loss and held-out log loss, epoch by epoch

and beside them versions.json: after each round, the round whose training is in force; and stale.json, once votes were erased:
which trainings had learned from them.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from electorate.errors import ElectorateError
from electorate.rewards.prompt_head import PromptHead, PromptRead
from electorate.rewards.weights import PersonalRead, Read
from electorate.storage import files
from electorate.storage.run_folder import RunFolder

History = list[dict[str, Any]]
ADAPTER, HEADS = "adapter", "heads.safetensors"
READS, HISTORY, VERSIONS, STALE = "reads", "history.json", "versions.json", "stale.json"
PROMPT_HEAD = "prompt_head"
PROMOTED = (ADAPTER, HEADS, f"{PROMPT_HEAD}.npz", READS)


def of_round(run: RunFolder, round_: int) -> Path:
    """The folder of what was trained on the votes of rounds 0..round_."""
    return run.rewards / f"round={round_}"


def is_there(folder: Path) -> bool:
    """Whether the training is done."""
    return (folder / READS).is_dir()


def read_history(folder: Path) -> History:
    """Epoch by epoch: loss and held_out, {form: nats}; gives, {form: simpler form whose rankings it gives}; and seconds."""
    path = folder / HISTORY
    history: History = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return history


def write_history(folder: Path, history: History) -> None:
    """Replace it whole."""
    files.write_text(folder / HISTORY, json.dumps(history) + "\n")


def best_epoch(folder: Path) -> dict[str, Any]:
    """The one that was kept."""
    return min(read_history(folder), key=lambda epoch: sum(epoch["held_out"].values()))


def read_versions(run: RunFolder) -> dict[int, int]:
    """Round to the round after which what is in force was trained."""
    path = run.rewards / VERSIONS
    content: dict[str, int] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {int(round_): version for round_, version in content.items()}


def write_versions(run: RunFolder, versions: dict[int, int]) -> None:
    """Replace them whole."""
    files.write_text(run.rewards / VERSIONS, json.dumps(versions) + "\n")


def mark_stale(run: RunFolder) -> None:
    """Everything trained so far learned from votes that have been erased since."""
    if trained := [path.name for path in run.rewards.glob("round=*")]:
        files.write_text(run.rewards / STALE, json.dumps(sorted(trained)) + "\n")


def is_stale(run: RunFolder, version: int) -> bool:
    """Whether the training after this round learned from votes that have been erased since."""
    path = run.rewards / STALE
    return path.exists() and of_round(run, version).name in json.loads(path.read_text(encoding="utf-8"))


def version_name(run: RunFolder, version: int) -> str:
    """As rankings name the version that made them."""
    return f"round={version}/epoch={best_epoch(of_round(run, version))['epoch']}"


def write_reads(folder: Path, reads: Mapping[str, Read]) -> None:
    """What each form says of all answers."""
    (folder / READS).mkdir()
    for form, read in reads.items():
        columns: dict[str, Any] = asdict(read)
        np.savez(folder / READS / f"{form}.npz", **columns)


def write_prompt_head(folder: Path, head: PromptHead) -> None:
    """Keep it for prompts still to come."""
    columns: dict[str, Any] = asdict(head)
    np.savez(folder / f"{PROMPT_HEAD}.npz", **columns)


def read_prompt_head(folder: Path) -> PromptHead | None:
    """What `write_prompt_head` kept; None where prompts alone were not learned from."""
    path = folder / f"{PROMPT_HEAD}.npz"
    if not path.exists():
        return None
    with np.load(path) as columns:
        return PromptHead(**{name: columns[name] for name in columns.files})


def read(folder: Path, form: str) -> Read:
    """What a form says of all answers. Raises ElectorateError if the file is missing or damaged."""
    path = folder / READS / f"{form}.npz"
    try:
        with np.load(path) as columns:
            values: dict[str, Any] = {name: columns[name] if columns[name].ndim else columns[name].item() for name in columns.files}
        return (PromptRead if "unsaid" in values else PersonalRead if "taste" in values else Read)(**values)
    except (OSError, ValueError, TypeError, BadZipFile) as error:
        raise ElectorateError(f"{path}: cannot be read ({error}); remove {folder} and run again with --resume") from None


def promote(checkpoint: Path, folder: Path) -> None:
    """Make a checkpoint's files the trained model; reads last, as their being there says that it is whole."""
    for name in PROMOTED:
        source, target = checkpoint / name, folder / name
        if source.is_dir():
            shutil.rmtree(target, ignore_errors=True)
            unfinished = folder / f".{name}.tmp"
            shutil.rmtree(unfinished, ignore_errors=True)
            shutil.copytree(source, unfinished)
            unfinished.rename(target)
        elif source.exists():
            shutil.copy(source, target)
