"""Tastes fitted to the votes of model voters, and a planted population with tastes like these."""

import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from electorate.base.draws import Stream, generator
from electorate.base.scale import Floats
from electorate.data import features, run_files
from electorate.data.prompts import SPLITS
from electorate.polls import tastes
from electorate.polls.tastes import TasteVotes
from electorate.polls.voters import JudgedPersonas
from electorate.storage import files
from electorate.storage.run_folder import RunFolder
from electorate.storage.vote_columns import column, votes_of
from electorate.storage.vote_log import VoteLog

FEWEST = 60
FEWEST_OF_A_SPLIT = 10
MOST = 20_000  # votes of the first personas; Newton's method holds a row of parameters for each
MOST_SEGMENTS = 100  # each has a parameter an axis, and Newton's steps grow with their cube
SHARES = (0.6, 0.2, 0.2)  # of the prompts, for SPLITS
SPLIT = 4  # of Stream.POLL_CHECKS: which prompts are held out
SIZE = 100_000  # personas that population.yaml asks for


def write(folder: RunFolder, personas: JudgedPersonas) -> str:
    """Write tastes.parquet, and population.yaml for a run of planted personas with such tastes.

    Returns:
        Whether a persona's fitted taste predicts its votes, in a sentence; or why none was fitted,
        and nothing was written.
    """
    segments = personas.archetypes
    if len(segments) > MOST_SEGMENTS:
        return f"no tastes were fitted: {len(segments):,} archetypes, and at most {MOST_SEGMENTS}"
    votes = _votes(folder, personas)
    fewest = min(int((votes.split == name).sum()) for name in SPLITS)
    if len(votes) < FEWEST or fewest < FEWEST_OF_A_SPLIT:
        return "no tastes were fitted: too few votes to fit and to check them on"
    fitted = tastes.fit(votes, personas.models, len(segments), 1 + int(votes.user.max()))
    used = np.concatenate([personas.training_prompts, personas.test_prompts])
    measured = _measured(folder, personas)[used]
    population = tastes.population(fitted, _names(segments), personas.shares, measured)
    section = {"size": SIZE, **population}
    files.write_text(
        folder.population, yaml.safe_dump(section, sort_keys=False, allow_unicode=True)
    )
    axes = {
        "segment": np.repeat(segments, len(features.AXES)),
        "axis": list(features.AXES) * len(segments),
        "taste": fitted.shared.taste.ravel(),
    }
    files.write_table(folder.tastes, pa.table(axes))
    return fitted.verdict()


def _votes(folder: RunFolder, personas: JudgedPersonas) -> TasteVotes:
    """The votes of the first personas, MOST of them at most."""
    config = personas.config
    each = config.votes.checkpoints[-1]
    users = min(personas.size, len(personas.archetype_of(0)), max(2, MOST // each))
    log = VoteLog(folder.votes, config.contestant_names)
    parts = [log.read(round_, 0) for round_ in range(len(config.votes.checkpoints))]
    table = pa.concat_tables(parts, promote_options="default")
    table = table.filter(pc.less(table["user_id"], users))
    votes = votes_of(table)
    prompt = column(table, "prompt_id")
    z = _measured(folder, personas)
    p = np.stack([table[name].to_numpy() for name in ("p_a", "p_b", "p_tie")], axis=1)
    return TasteVotes.of(
        votes,
        outcome=votes.outcome_of_3,
        segment=personas.archetype[votes.user],
        z=z[prompt, votes.a] - z[prompt, votes.b],
        p=p.astype(float),
        split=_splits(personas)[prompt],
    )


def _splits(personas: JudgedPersonas) -> np.ndarray:
    """(prompts,) which of SPLITS each prompt's votes are in: prompts, not votes, are held out."""
    voted_on = personas.training_prompts
    order = generator(personas.seed, Stream.POLL_CHECKS, SPLIT).permutation(voted_on)
    ends = np.rint(np.cumsum(SHARES) * len(order)).astype(int)
    found = np.full(1 + max(voted_on.max(), personas.test_prompts.max()), "", dtype="<U10")
    for name, own in zip(SPLITS, np.split(order, ends[:-1]), strict=True):
        found[own] = name
    return found


def _measured(folder: RunFolder, personas: JudgedPersonas) -> Floats:
    """(prompts, models, axes) standardised measures of the responses."""
    prompts = run_files.read_prompts(folder)
    return run_files.read_features(folder, len(prompts), personas.config.contestant_names)


def _names(segments: Sequence[str]) -> list[str]:
    """The segments as archetypes may be called."""
    written = [re.sub(r"[^A-Za-z0-9._-]+", "-", segment).strip("._-")[:80] for segment in segments]
    return [name or f"segment-{i}" for i, name in enumerate(written)]
