"""Prompts that personas write themselves, by a model that reads their cards."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from electorate.base.errors import ElectorateError
from electorate.config.contest import Contest
from electorate.config.judging import NewPrompts
from electorate.data import prompts
from electorate.data.prompts import NOBODYS, PromptSet
from electorate.inference import embeddings, model_files
from electorate.inference.asking import Asking
from electorate.polls import new_prompts, reading
from electorate.polls.cards import Card
from electorate.polls.reading import Unread


def write(
    asking: Asking,
    settings: NewPrompts,
    contest: Contest,
    personas: Sequence[Card],
    console: Console,
) -> PromptSet:
    """What these personas write, without near-duplicates, split by the seed.

    Raises:
        ElectorateError: too few different prompts were written.
    """
    asked = new_prompts.calls(settings, contest.models, personas)
    if settings.most is not None and settings.most > len(asked):
        console.print(
            f"new_prompts.most is {settings.most}, but {len(personas)} personas write "
            f"{settings.per_persona} prompts each: {len(asked)}; raise new_prompts.per_persona or "
            "the number of personas for more",
            highlight=False,
            soft_wrap=True,
        )
    answers = asking.answers([call for call, _ in asked], "Writing prompts")
    rows = list[dict[str, str]]()
    unread = 0
    for call, about in asked:
        text = reading.prompt(answers[call.key])
        if isinstance(text, Unread):
            unread += 1
        else:
            rows.append(about | {"prompt": text})
    kept = list[int]()
    if rows:
        cache_dir = Path(contest.cluster.cache_dir).expanduser()
        encoder = model_files.resolve("new_prompts.encoder", settings.encoder, cache_dir)
        vectors = embeddings.embed([row["prompt"] for row in rows], encoder)
        kept = new_prompts.distinct(vectors, settings.most_alike)[: settings.most]
    console.print(
        f"prompts written: {len(asked)}; {unread} unusable, {len(kept)} distinct ones kept",
        highlight=False,
    )
    if len(kept) < prompts.MIN_PROMPTS:
        raise ElectorateError(
            f"new_prompts: {len(kept)} different prompts were written, at least "
            f"{prompts.MIN_PROMPTS} are needed"
        )
    return prompts.split({NOBODYS: [rows[i] for i in kept]}, contest.seed)
