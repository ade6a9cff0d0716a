"""`poll`: language models read personas' cards and judge for them; the votes, and how far they
can be believed.
"""

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from rich.console import Console

from electorate.base.errors import ElectorateError
from electorate.commands import beliefs
from electorate.commands.stages import UnderWay, carry_out
from electorate.config.judging import MOST_RANKED, Poll
from electorate.data import prompts, vote_files
from electorate.data.prompts import PromptSet
from electorate.data.votes import Votes
from electorate.inference.asking import Asking
from electorate.polls import battles, cards, own_templates
from electorate.polls.battles import JudgedTexts
from electorate.polls.cards import Card
from electorate.polls.tastes import Fitted
from electorate.storage import files
from electorate.storage.places import Place
from electorate.storage.response_cache import ResponseCache
from electorate.storage.run_folder import RunFolder
from simulations import backends, poll_tables, polling, written_prompts
from simulations.answers import Answers
from simulations.engines import Engines
from simulations.panel import Panel
from simulations.polling import Material, Polled
from simulations.report import poll_page


@dataclass
class Sitting:
    """A poll on its way, and who asks for it."""

    way: UnderWay[Poll]
    asking: Asking
    cache: ResponseCache

    @property
    def poll(self) -> Poll:
        """The poll's config."""
        return self.way.config

    @property
    def folder(self) -> RunFolder:
        """The folder that the poll is kept in."""
        return self.way.folder


def poll(config: Poll, out: Place, resume: bool, console: Console) -> RunFolder:
    """Do the poll, or the rest of one, in folder `out`. Returns the folder, with everything in it.

    What a judge said once is on disk and never asked again. Raises ElectorateError for whatever the
    user can put right.
    """
    config = own_templates.with_texts(config)
    folder, _ = carry_out("poll", config, out, resume, console, _sit)
    return folder


def _sit(way: UnderWay[Poll]) -> None:
    config = way.config
    settings = way.config.cluster
    people = (
        None
        if config.checks.people is None
        else vote_files.read(Path(config.checks.people), texts=True)[0]
    )
    personas = cards.of(config.personas, config.seed)
    files.write_table(way.folder.personas, cards.table(personas))
    cache_dir = Path(settings.cache_dir).expanduser()
    engines = Engines(
        config.models,
        {judge.model for judge in config.judges},
        cache_dir,
        settings.serve_port,
        config.budget,
        way.console,
    )
    engines.check()
    cache = ResponseCache(cache_dir / "answers.sqlite")
    on_cluster = backends.of_poll(settings, engines.served, way.console)
    with closing(cache), on_cluster as askers, closing(engines):
        asking = engines.asking(askers, cache)
        _stages(Sitting(way, asking, cache), personas, people)


def _stages(this: Sitting, personas: Sequence[Card], people: Votes | None) -> None:
    config = this.poll
    panel = Panel(config, config, personas, this.asking)
    prompt_set, texts = _asked(this, personas)
    usable = np.flatnonzero(np.isin(prompt_set.split, prompts.SPLITS))
    names = config.contestant_names
    material = Material(personas, texts, usable, prompt_set.ids("test"), names)
    polled = _vote(this, panel, material)
    with this.way.stage("checks"):
        checks = polling.checks(panel, material, polled, people)
    with this.way.stage("rankings"):
        ranked = polling.rankings(panel, material) if len(names) <= MOST_RANKED else []
    board = poll_tables.write_leaderboard(this.folder)
    rating_of = {row["model"]: row["rating"] for row in board}
    strength = np.array([rating_of.get(name, np.nan) for name in names])
    checks += poll_tables.write_rankings(this.folder, ranked, material, strength)
    fitted = poll_tables.write_tastes(this.folder, polled, material, prompt_set)
    rows = pa.Table.from_pylist([asdict(check) for check in checks], schema=beliefs.VALIDITY)
    files.write_table(this.folder.path / beliefs.NAME, rows)
    _write_summary(this, panel, fitted)
    poll_page.write(this.folder)


def _asked(this: Sitting, personas: Sequence[Card]) -> tuple[PromptSet, JudgedTexts]:
    """The prompts, which personas may write, and every contestant's answers."""
    config = this.poll
    with this.way.stage("prompts") as counts:
        prompt_set = (
            prompts.select(config)
            if config.new_prompts is None
            else written_prompts.write(
                this.asking, config.new_prompts, config, personas, this.way.console
            )
        )
        counts["prompts"] = len(prompt_set)
    with this.way.stage("answers") as counts:
        return _answers(this, prompt_set, counts)


def _vote(this: Sitting, panel: Panel, material: Material) -> Polled:
    """Have battles judged.

    Raises:
        ElectorateError: none of them got a vote.
    """
    config = this.poll
    with this.way.stage("votes") as counts:
        personas = len(material.cards)
        models = len(material.contestants)
        fought = battles.drawn(personas, material.prompts, models, config.battles, config.seed)
        polled = polling.votes(panel, material, fought, config.modes)
        judge = " + ".join(one.name for one in config.judges)
        votes = poll_tables.write_votes(this.folder, polled, material, judge)
        poll_tables.write_judgements(this.folder, polled, material)
        counts |= {"battles": len(polled.battles), "votes": votes}
        if not votes:
            raise ElectorateError(f"judges: no battle got a vote; why: {_kinds(panel)}")
    return polled


def _write_summary(this: Sitting, panel: Panel, fitted: Fitted | None) -> None:
    """What was asked, and what could not be read."""
    config = this.poll
    summary = {
        "asked": this.asking.asked,
        "sent_again": dict(this.asking.sent_again),
        "unread": dict(panel.unread),
        "lost": dict(panel.lost),
        "tastes": None if fitted is None else fitted.verdict(),
        "self_judged": config.self_judged(config),
        "ranked": len(config.contestant_names) <= MOST_RANKED,
    }
    files.write_text(this.folder.summary, json.dumps(summary, indent=2) + "\n")


def _kinds(panel: Panel) -> str:
    return ", ".join(f"{n} {kind}" for kind, n in panel.lost.most_common()) or "nothing was asked"


def _answers(
    this: Sitting, prompt_set: PromptSet, counts: dict[str, Any]
) -> tuple[PromptSet, JudgedTexts]:
    """Every contestant's answer to every prompt; a prompt that one of them failed on is in no
    split.
    """
    answers = Answers(this.poll, prompt_set, this.cache)
    counts["asked"] = answers.gather(this.asking)
    table = answers.table()
    files.write_table(this.folder.responses, table)
    failed = set(table.filter(table["error"].is_valid())["prompt_id"].to_pylist())
    kept = prompt_set.leaving_out(failed)
    files.write_table(this.folder.prompts, kept.table())
    responses = [text or "" for text in table["response"].to_pylist()]
    models = len(this.poll.contestants)
    return kept, JudgedTexts(
        prompt_set.text, [responses[i * models : (i + 1) * models] for i in range(len(prompt_set))]
    )
