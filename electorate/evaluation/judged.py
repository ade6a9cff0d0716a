"""People's votes and a model's on one board; see electorate/ratings/prediction_powered.py."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from electorate.base.errors import ElectorateError
from electorate.data import vote_files
from electorate.data.vote_files import PROMPT, REQUIRED, WEIGHT
from electorate.data.votes import NamedVotes
from electorate.evaluation.rating import Rated
from electorate.ratings import bradley_terry, prediction_powered
from electorate.ratings.prediction_powered import Powered
from electorate.ratings.ties import MODELS
from electorate.ratings.user_votes import UserVotes
from electorate.storage import tables
from electorate.storage.tables import SetAside

WHO = "user_id"
PEOPLE = "people"
MODEL = "model"
FEWEST_PROMPTS = 10


def read(people: Path, judged: Path) -> tuple[NamedVotes, NamedVotes, list[SetAside]]:
    """The votes of both files, their models and prompts numbered alike; and the rows that are no
    votes.

    Raises:
        ElectorateError: a file cannot be read, or lacks a column, or no row of it is a vote.
    """
    both = []
    set_aside = list[SetAside]()
    for path, who in ((people, PEOPLE), (judged, MODEL)):
        rows = tables.read(path, REQUIRED, (*PROMPT, WEIGHT))
        set_aside += rows.set_aside
        named = [name for name in PROMPT if name in rows.table.column_names]
        if not named:
            raise ElectorateError(
                f"{path}: has no column {' or '.join(PROMPT)}, by which battles that people and "
                "the model both judged are found"
            )
        columns = {name: rows.table[name].cast(pa.string()) for name in REQUIRED}
        columns[PROMPT[0]] = rows.table[named[0]].cast(pa.string())
        columns[WHO] = pa.array([who] * len(rows.table))
        if WEIGHT in rows.table.column_names:
            columns[WEIGHT] = rows.table[WEIGHT].cast(pa.string())
        else:
            columns[WEIGHT] = pa.array(["1"] * len(rows.table))
        both.append(pa.table(columns))
    votes, aside = vote_files.of_table(pa.concat_tables(both))
    parts = []
    for path, who in ((people, PEOPLE), (judged, MODEL)):
        if who not in votes.user_names:
            raise ElectorateError(f"{path}: no row is a vote")
        parts.append(votes.take(np.flatnonzero(votes.user == votes.user_names.index(who))))
    return parts[0], parts[1], [*set_aside, *aside]


def rate(people: NamedVotes, model: NamedVotes, ties: str) -> tuple[Rated, Powered]:
    """Ratings of both; the notes say what the model's votes add.

    Args:
        people, model: as `read` gives them.
        ties: name of the tie model.

    Raises:
        ElectorateError: people's votes alone cannot be rated, or are on too few prompts.
    """
    counts = people.by_battle(len(people.models))
    if not bradley_terry.estimable(counts):
        raise ElectorateError(
            "people's votes alone rate these models only by a prior (some models only won, only "
            "lost, or never met the rest), so a model's votes cannot be corrected by them"
        )
    prompts = 0 if people.prompt is None else len(np.unique(people.prompt))
    if prompts < FEWEST_PROMPTS:
        raise ElectorateError(
            f"people's votes are on {prompts} prompts; at least {FEWEST_PROMPTS} are needed to see "
            "how far the model's votes follow them"
        )
    alone = bradley_terry.fit(counts, MODELS[ties], None)
    found = prediction_powered.rate(
        _as_one_users(people), _as_one_users(model), alone, MODELS[ties]
    )
    return Rated(found.fit, [_described(found, len(people))]), found


def _as_one_users(votes: NamedVotes) -> UserVotes:
    """Whose votes they are makes no difference here."""
    nobody = np.zeros(len(votes), dtype=np.int64)
    return UserVotes.of(
        votes, archetype=nobody[:1], user=nobody, outcome=votes.outcome_of_3, first_shown=None
    )


def _described(found: Powered, votes: int) -> str:
    """What the model's votes add, in words."""
    if not found.paired or not found.others:
        what = "judged no battle that people did" if not found.paired else "judged no other battle"
        return f"the model {what}: these are the ratings by people's votes alone"
    return (
        f"{found.paired:,} of the model's votes are on battles that people judged, "
        f"{found.others:,} on others, which count for {found.weight:.2f} of what people's would: "
        f"intervals are as narrow as those of {found.worth:.2f} times as many votes of people "
        f"({(found.worth - 1) * votes:+,.0f}). This holds where the battles that people judged are "
        "a random sample of all"
    )
