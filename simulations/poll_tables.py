"""What a poll leaves as tables: votes, judgements, the leaderboard, rankings and fitted tastes."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import yaml

from electorate.base.scale import Floats, Ints
from electorate.data import features, prompts, vote_files
from electorate.data.prompts import PromptSet
from electorate.evaluation import rating
from electorate.evaluation.metrics import Standing
from electorate.polls import tastes, truth, verdicts
from electorate.polls.tastes import Fitted, TasteVotes
from electorate.polls.validity import Check
from electorate.polls.verdicts import Judged
from electorate.ratings import leaderboard
from electorate.storage import files
from electorate.storage.run_folder import RunFolder
from simulations.polling import Material, Polled, Ranked

FEWEST_TASTE_VOTES = 60


def write_votes(folder: RunFolder, polled: Polled, material: Material, judge: str) -> int:
    """votes.parquet, as `rate`, `human` and `predict` read it. Returns how many there are.

    Args:
        judge: who cast them.
    """
    table = verdicts.votes(polled.battles, polled.odds, polled.both_bad, material.contestants)
    cards = [material.cards[i] for i in table["persona"].to_pylist()]
    prompt = table["prompt_id"].to_pylist()
    place = {name: i for i, name in enumerate(material.contestants)}
    answers = material.texts.answers

    def responses(models: str) -> list[str]:
        shown = zip(prompt, table[models].to_pylist(), strict=True)
        return [answers[i][place[model]] for i, model in shown]

    texts = {
        "user_id": [card.persona for card in cards],
        "archetype": [card.segment for card in cards],
        "judge": [judge] * len(cards),
        "prompt": [material.texts.prompts[i] for i in prompt],
        "response_a": responses("model_a"),
        "response_b": responses("model_b"),
    }
    kept = {name: table[name] for name in table.column_names if name != "persona"}
    files.write_table(folder.path / "votes.parquet", pa.table({**kept, **texts}))
    return len(cards)


def write_judgements(folder: RunFolder, polled: Polled, material: Material) -> None:
    """judgements.parquet, each judge's own in both orders."""
    parts = [_judgements(name, own, polled, material) for name, own in polled.judged.items()]
    files.write_table(folder.path / "judgements.parquet", pa.concat_tables(parts))


def _judgements(name: str, judged: Judged, polled: Polled, material: Material) -> pa.Table:
    fought = polled.battles
    columns: dict[str, Any] = {
        "judge": [name] * len(fought),
        "user_id": [material.cards[i].persona for i in fought.persona],
        "prompt_id": fought.prompt,
        "model_a": [material.contestants[i] for i in fought.a],
        "model_b": [material.contestants[i] for i in fought.b],
    }
    for order, odds in (("a_first", judged.forward), ("b_first", judged.backward)):
        for i, what in enumerate(("a", "b", "tie")):
            columns[f"{order}_{what}"] = pa.array(np.exp(odds[:, i]), from_pandas=True)
    return pa.table(columns)


def write_leaderboard(folder: RunFolder) -> list[dict[str, Any]]:
    """Rate votes.parquet; returns the rows, best first."""
    with files.local(folder.path / "votes.parquet") as path:
        votes, _ = vote_files.read(path)
    rated = rating.fit(votes, rating.Options())
    rows = leaderboard.rows(votes.models, rated.fit, rating.CONFIDENCE, 0.0, rated.draws)
    rows = [rows[i] for i in Standing(np.array([row["rating"] for row in rows])).order]
    files.write_table(folder.leaderboard, pa.Table.from_pylist(rows))
    return rows


def write_rankings(
    folder: RunFolder, ranked: Sequence[Ranked], material: Material, strength: Floats
) -> list[Check]:
    """rankings.parquet, the judges' own. Returns how they agree with the ratings.

    Args:
        strength: (M,) ratings, NaN of a model without votes.
    """
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
        files.write_table(folder.path / "rankings.parquet", pa.concat_tables(tables))
    return checks


def write_tastes(
    folder: RunFolder, polled: Polled, material: Material, prompt_set: PromptSet
) -> Fitted | None:
    """Tastes fitted to the votes, and a population.yaml of personas with tastes like these; None
    where votes are too few.
    """
    rows = np.flatnonzero(~np.isnan(polled.odds[:, 0]))
    split = np.array(prompt_set.split)[polled.battles.prompt[rows]]
    fewest = min((split == name).sum() for name in prompts.SPLITS)
    if fewest < FEWEST_TASTE_VOTES / 6 or len(rows) < FEWEST_TASTE_VOTES:
        return None
    z = _features(material)
    segments = sorted({card.segment for card in material.cards})
    of_card = np.array([segments.index(card.segment) for card in material.cards])
    votes = _taste_votes(polled, rows, z, of_card, split)
    models = len(material.contestants)
    fitted = tastes.fit(votes, models, len(segments), len(material.cards))
    shares = np.bincount(of_card, minlength=len(segments)) / len(of_card)
    population = tastes.population(fitted, _names(segments), shares, z[material.prompts])
    section = {"size": 100_000, **population}
    text = yaml.safe_dump(section, sort_keys=False, allow_unicode=True)
    files.write_text(folder.path / "population.yaml", text)
    axes = {
        "segment": np.repeat(segments, len(features.AXES)),
        "axis": list(features.AXES) * len(segments),
        "taste": fitted.shared.taste.ravel(),
    }
    files.write_table(folder.path / "tastes.parquet", pa.table(axes))
    return fitted


def _features(material: Material) -> Floats:
    """(prompts, models, axes) standardised measures of the answers to prompts that are voted on."""
    texts = [text for answers in material.texts.answers for text in answers]
    raw = features.measure(texts).reshape(-1, len(material.contestants), len(features.AXES))
    z = np.zeros_like(raw)
    z[material.prompts] = features.standardise(raw[material.prompts])
    return z


def _taste_votes(
    polled: Polled, rows: Ints, z: Floats, of_card: Ints, split: np.ndarray
) -> TasteVotes:
    """The votes in these rows.

    Args:
        of_card: (cards,) the segment of each.
        split: (n,) of the votes' prompts.
    """
    fought = polled.battles.take(rows)
    odds = polled.odds[rows]
    contrast = z[fought.prompt, fought.a] - z[fought.prompt, fought.b]
    who = (fought.persona, of_card[fought.persona], fought.a, fought.b)
    return TasteVotes(*who, contrast, np.exp(odds), verdicts.choice(odds), split)


def _names(segments: Sequence[str]) -> list[str]:
    """The segments as archetypes may be called."""
    written = [re.sub(r"[^A-Za-z0-9._-]+", "-", segment).strip("._-")[:80] for segment in segments]
    return [name or f"segment-{i}" for i, name in enumerate(written)]
