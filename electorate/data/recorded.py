"""Contestants whose answers are in a file: prompt, model, response, and optionally the model's
arena_name.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from electorate.base.errors import ElectorateError
from electorate.base.visible import visible
from electorate.config.config_file import ContestT, validated
from electorate.config.contest import Contest
from electorate.config.engines import recordings
from electorate.data import topics
from electorate.storage import tables

REQUIRED = ("prompt", "model", "response")
MIN_PROMPTS = 5


@dataclass(frozen=True)
class Recording:
    """Responses by (model, prompt); prompts and models in the file's order; arena_names by
    model.
    """

    prompts: tuple[str, ...]
    models: tuple[str, ...]
    responses: dict[tuple[str, str], str]
    arena_names: dict[str, str]


@lru_cache(4)
def read(path: str) -> Recording:
    """A file of responses. Raises ElectorateError that names the first row which cannot be used."""
    rows = tables.read(Path(path), REQUIRED, ("arena_name",))
    if rows.set_aside:
        row = rows.set_aside[0]
        raise ElectorateError(
            f"{path}: row {row.row}: {row.reason}; every row must have {', '.join(REQUIRED)}"
        )
    responses = dict[tuple[str, str], str]()
    arena_names = dict[str, str]()
    for number, row in zip(rows.number, rows.table.to_pylist(), strict=True):
        prompt = row["prompt"]
        model = row["model"]
        response = row["response"]
        if not prompt or not prompt.strip() or not model or not model.strip():
            raise ElectorateError(
                f"{path}: row {number}: has no prompt or no model; every row must have "
                f"{', '.join(REQUIRED)}"
            )
        # Null is no answer at all; an empty text is what the model said.
        if response is None:
            continue
        if responses.setdefault((model, prompt), response) != response:
            raise ElectorateError(
                f"{path}: row {number}: a second response of {model!r} to the prompt "
                f"{prompt[:60]!r}; each pair once"
            )
        if row.get("arena_name"):
            arena_names[model] = row["arena_name"]
    if not responses:
        raise ElectorateError(f"{path}: holds no response")
    models, prompts = zip(*responses, strict=True)
    return Recording(
        tuple(dict.fromkeys(prompts)), tuple(dict.fromkeys(models)), responses, arena_names
    )


def with_contestants(config: ContestT) -> ContestT:
    """The config, with every model of its recordings as a contestant if it names none; names and
    models checked.
    """
    files = recordings(config.models)
    found = {name: read(model.responses) for name, model in files.items()}
    if not config.contestants:
        everyone = [
            {
                "name": as_name(model),
                "model": name,
                "recorded_as": model,
                "arena_name": recording.arena_names.get(model),
            }
            for name, recording in found.items()
            for model in recording.models
        ]
        return validated(
            type(config),
            config.model_dump() | {"contestants": everyone},
            ", ".join(f"models.{name}" for name in found),
        )
    for i, contestant in enumerate(config.contestants):
        recording = found.get(contestant.model)
        if recording and contestant.recorded not in recording.models:
            raise ElectorateError(
                f"contestants.{i}: {contestant.recorded!r} is no model of "
                f"{files[contestant.model].responses}; "
                f"it has {', '.join(recording.models[:30])}"
            )
    return config


def prompts(config: Contest) -> list[dict[str, str]]:
    """The prompts that every recorded contestant has answered, with topic and archetype by
    electorate/data/topics.py.

    Raises ElectorateError if they are too few to be split into training, validation and test.
    """
    files = recordings(config.models)
    answered = [
        (read(files[contestant.model].responses), contestant.recorded)
        for contestant in config.contestants
        if contestant.model in files
    ]
    first = answered[0][0]
    common = [
        prompt
        for prompt in first.prompts
        if all((name, prompt) in recording.responses for recording, name in answered)
    ]
    if len(common) < MIN_PROMPTS:
        fewest, name = min(
            (sum(model == name for model, _ in recording.responses), name)
            for recording, name in answered
        )
        raise ElectorateError(
            f"prompts.source: {len(common)} prompts have a recorded response of every contestant, "
            f"at least {MIN_PROMPTS} are needed; "
            f"{name!r} has the fewest, {fewest}; name contestants that answered the same prompts"
        )
    of = [topics.of(prompt) for prompt in common]
    return [
        {"archetype": topic.archetype, "topic": topic.name, "prompt": prompt}
        for topic, prompt in zip(of, common, strict=True)
    ]


def as_name(model: str) -> str:
    """A model's name as a contestant may have it."""
    return " ".join(visible(model).split())[:128].strip()
