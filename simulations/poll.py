"""`poll`: language models read personas' cards and judge for them; the votes, and how far they
can be believed.
"""

import json
import re
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml
from rich.console import Console

from electorate.base.errors import ElectorateError
from electorate.base.scale import Floats
from electorate.commands import beliefs
from electorate.commands.stages import UnderWay, carry_out
from electorate.config.judging import MOST_RANKED, Poll
from electorate.data import features, prompts
from electorate.data import votes as votes_module
from electorate.data.prompts import PromptSet
from electorate.data.votes import Votes
from electorate.evaluation import rating
from electorate.evaluation.metrics import Standing
from electorate.inference.asking import Asking
from electorate.polls import battles, cards, own_templates, tastes, truth, verdicts
from electorate.polls.battles import Texts
from electorate.polls.cards import Card
from electorate.polls.tastes import Fitted, TasteVotes
from electorate.polls.validity import Check
from electorate.ratings import leaderboard
from electorate.storage import files
from electorate.storage.places import Place
from electorate.storage.response_cache import ResponseCache
from electorate.storage.run_folder import RunFolder
from simulations import backends, polling, written_prompts
from simulations.answers import Answers
from simulations.engines import Engines
from simulations.panel import Panel
from simulations.polling import Material, Polled, Ranked
from simulations.report import poll_page

FEWEST_TASTE_VOTES = 60


@dataclass
class Sitting:
    """A poll on its way, and who asks for it."""

    way: UnderWay[Poll]
    asking: Asking
    cache: ResponseCache

    @property
    def poll(self) -> Poll:
        """Its config."""
        return self.way.config

    @property
    def folder(self) -> RunFolder:
        """Where it is kept."""
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
        else votes_module.read(Path(config.checks.people), texts=True)[0]
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
        prompt_set, texts = _answers(this, prompt_set, counts)
    usable = np.flatnonzero(np.isin(prompt_set.split, prompts.SPLITS))
    names = config.contestant_names
    material = Material(personas, texts, usable, prompt_set.ids("test"), names)
    with this.way.stage("votes") as counts:
        fought = battles.drawn(len(personas), usable, len(names), config.battles, config.seed)
        polled = polling.votes(panel, material, fought, config.modes)
        table = _write_votes(this, polled, material)
        counts |= {"battles": len(polled.battles), "votes": table.num_rows}
        if not table.num_rows:
            raise ElectorateError(f"judges: no battle got a vote; why: {_kinds(panel)}")
    with this.way.stage("checks"):
        checks = polling.checks_of_votes(polled, material)
        checks += polling.checks_by_repeats(panel, material, polled)
        checks += polling.checks_by_pleas(panel, material, polled)
        checks += [] if people is None else polling.checks_by_people(panel, material, people)
    with this.way.stage("rankings"):
        ranked = polling.rankings(panel, material) if len(names) <= MOST_RANKED else []
    board = _write_leaderboard(this)
    strength = np.array(
        [{row["model"]: row["rating"] for row in board}.get(name, np.nan) for name in names]
    )
    checks += _write_rankings(this, ranked, material, strength)
    fitted = _fit_tastes(this, polled, material, prompt_set)
    files.write_table(
        this.folder.path / beliefs.NAME,
        pa.Table.from_pylist([asdict(check) for check in checks], schema=beliefs.VALIDITY),
    )
    summary = {
        "asked": this.asking.asked,
        "sent_again": dict(this.asking.sent_again),
        "unread": dict(panel.unread),
        "lost": dict(panel.lost),
        "tastes": None if fitted is None else fitted.verdict(),
        "self_judged": config.self_judged(config),
        "ranked": len(names) <= MOST_RANKED,
    }
    files.write_text(this.folder.summary, json.dumps(summary, indent=2) + "\n")
    poll_page.write(this.folder)


def _kinds(panel: Panel) -> str:
    return ", ".join(f"{n} {kind}" for kind, n in panel.lost.most_common()) or "nothing was asked"


def _answers(
    this: Sitting, prompt_set: PromptSet, counts: dict[str, Any]
) -> tuple[PromptSet, Texts]:
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
    said = [text or "" for text in table["response"].to_pylist()]
    models = len(this.poll.contestants)
    return kept, Texts(
        prompt_set.text, [said[i * models : (i + 1) * models] for i in range(len(prompt_set))]
    )


def _write_votes(this: Sitting, polled: Polled, material: Material) -> pa.Table:
    """votes.parquet, as `rate`, `human` and `predict` read it, and judgements.parquet, each
    judge's own in both orders.
    """
    table = verdicts.votes(polled.battles, polled.odds, polled.both_bad, material.contestants)
    persona = table["persona"].to_pylist()
    prompt = table["prompt_id"].to_pylist()
    place = {name: i for i, name in enumerate(material.contestants)}
    texts = {
        "user_id": [material.cards[i].persona for i in persona],
        "archetype": [material.cards[i].segment for i in persona],
        "judge": [" + ".join(judge.name for judge in this.poll.judges)] * len(persona),
        "prompt": [material.texts.prompts[i] for i in prompt],
        "response_a": [
            material.texts.answers[i][place[m]]
            for i, m in zip(prompt, table["model_a"].to_pylist(), strict=True)
        ],
        "response_b": [
            material.texts.answers[i][place[m]]
            for i, m in zip(prompt, table["model_b"].to_pylist(), strict=True)
        ],
    }
    table = pa.table(
        {**{name: table[name] for name in table.column_names if name != "persona"}, **texts}
    )
    files.write_table(this.folder.path / "votes.parquet", table)
    parts = []
    for name, judged in polled.judged.items():
        columns: dict[str, Any] = {
            "judge": [name] * len(polled.battles),
            "user_id": [material.cards[i].persona for i in polled.battles.persona],
        }
        columns |= {
            "prompt_id": polled.battles.prompt,
            "model_a": [material.contestants[i] for i in polled.battles.a],
        }
        columns |= {"model_b": [material.contestants[i] for i in polled.battles.b]}
        for order, odds in (("a_first", judged.forward), ("b_first", judged.backward)):
            columns |= {
                f"{order}_{what}": pa.array(np.exp(odds[:, i]), from_pandas=True)
                for i, what in enumerate(("a", "b", "tie"))
            }
        parts.append(pa.table(columns))
    files.write_table(this.folder.path / "judgements.parquet", pa.concat_tables(parts))
    return table


def _write_leaderboard(this: Sitting) -> list[dict[str, Any]]:
    with files.local(this.folder.path / "votes.parquet") as path:
        votes, _ = votes_module.read(path)
    rated = rating.fit(votes, rating.Options())
    rows = leaderboard.rows(votes.models, rated.fit, rating.CONFIDENCE, 0.0, rated.draws)
    rows = [rows[i] for i in Standing(np.array([row["rating"] for row in rows])).order]
    files.write_table(this.folder.leaderboard, pa.Table.from_pylist(rows))
    return rows


def _write_rankings(
    this: Sitting, ranked: Sequence[Ranked], material: Material, strength: Floats
) -> list[Check]:
    tables = []
    checks = list[Check]()
    for one in ranked:
        personas = [material.cards[i].persona for i in one.persona]
        tables.append(
            truth.table(
                one.judge, personas, one.prompt, material.contestants, one.listwise, one.round_robin
            )
        )
        checks += truth.agreement(one.judge, one.listwise, one.round_robin, strength, one.persona)
    if tables:
        files.write_table(this.folder.path / "rankings.parquet", pa.concat_tables(tables))
    return checks


def _fit_tastes(
    this: Sitting, polled: Polled, material: Material, prompt_set: PromptSet
) -> Fitted | None:
    """Tastes fitted to the votes, and a population.yaml of personas with tastes like these; None
    where votes are too few.
    """
    rows = np.flatnonzero(~np.isnan(polled.odds[:, 0]))
    split = np.array(prompt_set.split)[polled.battles.prompt[rows]]
    if (
        min((split == name).sum() for name in prompts.SPLITS) < FEWEST_TASTE_VOTES / 6
        or len(rows) < FEWEST_TASTE_VOTES
    ):
        return None
    models = len(material.contestants)
    raw = features.measure(
        [text for answers in material.texts.answers for text in answers]
    ).reshape(-1, models, len(features.AXES))
    z = np.zeros_like(raw)
    z[material.prompts] = features.standardise(raw[material.prompts])
    segments = sorted({card.segment for card in material.cards})
    of_card = np.array([segments.index(card.segment) for card in material.cards])
    fought = polled.battles.take(rows)
    odds = polled.odds[rows]
    contrast = z[fought.prompt, fought.a] - z[fought.prompt, fought.b]
    votes = TasteVotes(
        fought.persona,
        of_card[fought.persona],
        fought.a,
        fought.b,
        contrast,
        np.exp(odds),
        verdicts.choice(odds),
        split,
    )
    fitted = tastes.fit(votes, models, len(segments), len(material.cards))
    shares = np.bincount(of_card, minlength=len(segments)) / len(of_card)
    names = [
        re.sub(r"[^A-Za-z0-9._-]+", "-", segment).strip("._-")[:80] or f"segment-{i}"
        for i, segment in enumerate(segments)
    ]
    section = {"size": 100_000, **tastes.population(fitted, names, shares, z[material.prompts])}
    files.write_text(
        this.folder.path / "population.yaml",
        yaml.safe_dump(section, sort_keys=False, allow_unicode=True),
    )
    axes = pa.table(
        {
            "segment": np.repeat(segments, len(features.AXES)),
            "axis": list(features.AXES) * len(segments),
            "taste": fitted.shared.taste.ravel(),
        }
    )
    files.write_table(this.folder.path / "tastes.parquet", axes)
    return fitted
