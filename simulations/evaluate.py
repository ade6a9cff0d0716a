"""Stage 4: every system rated at every checkpoint and compared on the same personas and prompts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import ray
from ray.actor import ActorHandle
from rich.console import Console

from actors.pool import CohortPool
from electorate import arena, personas
from electorate.cohort import Labels, UserRatings
from electorate.evaluation import agreement, predictions, scoring
from electorate.evaluation.agreement import Agreement
from electorate.evaluation.intervals import Bootstrap, Estimate
from electorate.evaluation.predictions import Prediction
from electorate.personas import BLOCK, Electorate, Personas
from electorate.prompts import PromptSet
from electorate.ratings import leaderboard, offsets
from electorate.ratings.bradley_terry import Fit
from electorate.ratings.offsets import Prior
from electorate.ratings.ties import MODELS
from electorate.scale import ELO_PER_NAT, Ints, to_nats
from electorate.storage import files
from electorate.storage.run_folder import RunFolder
from simulations.progress import bar

LABELS: dict[str, Labels] = {"elo_offset": "true", "elo_offset_no_labels": "none", "elo_offset_wrong_labels": "wrong"}
FITTED_BLOCKS = 8  # 32,768 users say what the prior is; more would cost passes over the log and change nothing
BASELINES = ("global_bt", "segment_bt")
EVERYONE = "all"


@dataclass(frozen=True)
class Comparison:
    """metrics and gains: tables with a row a (system, prompts, segment, checkpoint, metric). users: how many were compared."""

    metrics: pa.Table
    gains: pa.Table
    leaderboard: pa.Table
    agreement: Agreement
    offset_sd: dict[str, float]
    users: int


def compare(electorate: Electorate, pool: CohortPool, ranking: ActorHandle, folder: RunFolder, console: Console) -> Comparison:
    """Rate and score the systems at each checkpoint, with paired intervals."""
    config = electorate.config
    sample = personas.sample(electorate, config.evaluation.users)
    people = personas.draw_users(electorate, sample)
    test_prompts = PromptSet.from_table(files.read_table(folder.prompts)).ids("test")
    settings = config.evaluation
    bootstrap = Bootstrap(config.seed, len(sample), len(test_prompts), settings.bootstrap, settings.confidence)
    metrics, gains, boards = list[dict[str, Any]](), list[dict[str, Any]](), list[dict[str, Any]]()
    offset_sd: dict[str, float] = {}
    with bar(console, "Comparing systems", len(config.votes.checkpoints)) as advance:
        for round_, votes in enumerate(config.votes.checkpoints):
            whole, segments = ray.get(ranking.rate.remote(round_))
            boards += _leaderboard_rows(electorate, votes, [whole, *segments], config.evaluation.confidence)
            said, offset_sd = _predictions(electorate, people, sample, pool, round_, whole, segments, folder)
            scores = scoring.score(said, electorate, people, test_prompts)
            scores = {system: scores[system] for system in settings.systems if system in scores}
            for segment, rows in _segments(electorate, people).items():
                where = {"users": "seen", "segment": segment, "votes_per_user": votes}
                metrics += _rows(bootstrap.estimates(scores, rows), where)
                for baseline in BASELINES:
                    if baseline in scores:
                        gains += _rows(bootstrap.gains(scores, baseline, rows), where | {"baseline": baseline})
            advance()
    voters = agreement.simulated(scoring.truths(electorate, people, test_prompts), config.seed)
    return Comparison(
        pa.Table.from_pylist(metrics, schema=METRICS),
        pa.Table.from_pylist(gains, schema=GAINS),
        pa.Table.from_pylist(boards),
        voters,
        offset_sd,
        len(sample),
    )


METRICS = pa.schema(
    [
        ("system", pa.string()),
        ("users", pa.string()),
        ("prompts", pa.string()),
        ("segment", pa.string()),
        ("votes_per_user", pa.int32()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("ci_low", pa.float64()),
        ("ci_high", pa.float64()),
        ("n_users", pa.int64()),
    ]
)
GAINS = METRICS.insert(1, pa.field("baseline", pa.string()))


def _rows(estimates: dict[str, dict[tuple[str, str], Estimate]], where: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"system": system, "prompts": prompts, "metric": metric, "value": e.value, "ci_low": e.ci_low}
        | {"ci_high": e.ci_high, "n_users": e.users}
        | where
        for system, by_key in estimates.items()
        for (prompts, metric), e in by_key.items()
    ]


def _segments(electorate: Electorate, people: Personas) -> dict[str, Ints]:
    """Everyone, then each archetype that the sample holds: rows of the sample."""
    rows = {EVERYONE: np.arange(len(people))}
    own = {name: np.flatnonzero(people.archetype == k) for k, name in enumerate(electorate.archetypes)}
    return rows | {name: members for name, members in own.items() if len(members)}


def _predictions(
    electorate: Electorate,
    people: Personas,
    sample: Ints,
    pool: CohortPool,
    round_: int,
    whole: Fit,
    segments: list[Fit],
    folder: RunFolder,
) -> tuple[dict[str, Prediction], dict[str, float]]:
    """What each configured system says of the sampled personas after a round; arena only if every model has a rating."""
    config = electorate.config
    ties = MODELS[config.ratings.ties]
    by_archetype = predictions.from_fits(segments, ties)
    said = {
        "global_bt": predictions.from_fits([whole], ties),
        "segment_bt": Prediction(by_archetype.strength[people.archetype], by_archetype.odds[people.archetype]),
    }
    official = arena.ratings([c.arena_name for c in config.contestants], "raw")
    if not np.isnan(official).any():
        strength = (official - official.mean())[None] * to_nats(1.0)
        said["arena"] = predictions.from_strength(strength, np.array([whole.eta]), ties)
    offset_sd: dict[str, float] = {}
    for system in [s for s in config.evaluation.systems if s in LABELS]:
        last = round_ == len(config.votes.checkpoints) - 1
        keep = folder.offsets if last and system == "elo_offset" else None
        prior, rated = _fit_offsets(electorate, pool, round_, LABELS[system], whole, sample, keep)
        offset_sd[system] = ELO_PER_NAT * prior.sd
        said[system] = predictions.from_posterior(rated.mode, rated.covariance, ties)
    return said, offset_sd


def _fit_offsets(
    electorate: Electorate, pool: CohortPool, round_: int, labels: Labels, whole: Fit, sample: Ints, keep: Path | None
) -> tuple[Prior, UserRatings]:
    """System A: the cohorts do the users, in blocks; the prior they share is fitted here, on the first
    FITTED_BLOCKS of them. Ratings of the sample come back.
    """

    def sums(prior: Prior) -> list[Any]:
        shared = ray.put(prior)
        return pool.map(min(electorate.blocks, FITTED_BLOCKS), lambda actor, b: actor.offset_sums.remote(round_, b, labels, shared))

    prior = offsets.fit(sums, whole, kinds=1 if labels == "none" else len(electorate.archetypes))
    shared = ray.put(prior)
    rows = [sample[sample // BLOCK == block] % BLOCK for block in range(electorate.blocks)]
    rated = pool.map(electorate.blocks, lambda actor, b: actor.offset_ratings.remote(round_, b, labels, shared, rows[b], keep))
    return prior, UserRatings(*(np.concatenate(columns) for columns in zip(*rated, strict=True)))


def _leaderboard_rows(electorate: Electorate, votes: int, fits: list[Fit], confidence: float) -> list[dict[str, Any]]:
    names = [c.name for c in electorate.config.contestants]
    return [
        {"segment": segment, "votes_per_user": votes, **row, "connected": fit.connected}
        for segment, fit in zip((EVERYONE, *electorate.archetypes), fits, strict=True)
        for row in leaderboard.rows(names, fit, confidence)
    ]
