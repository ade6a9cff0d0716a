"""Stage 4: every system rated at every checkpoint and compared on the same personas and prompts."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from ray.actor import ActorHandle
from rich.console import Console

from actors.pool import CohortPool
from electorate import judges, personas
from electorate.evaluation import agreement, orders, scoring
from electorate.evaluation.agreement import Agreement
from electorate.evaluation.intervals import Bootstrap
from electorate.evaluation.predictions import Systems
from electorate.evaluation.results import GAINS, METRICS, metric_rows
from electorate.evaluation.scoring import Scores
from electorate.personas import Electorate, Personas
from electorate.prompts import PromptSet
from electorate.ratings import leaderboard, priors
from electorate.ratings.bradley_terry import Fit
from electorate.scale import Ints
from electorate.storage import files
from electorate.storage.run_folder import RunFolder
from simulations import census
from simulations.census import Findings
from simulations.progress import bar
from simulations.systems import LOW_RANK, Rated, Rater, spread

BASELINES = ("global_bt", "segment_bt")
# What System B has to beat, on everyone.
CONTROLS = ("elo_offset", "pooled_rm", "segment_rm", "pooled_hybrid", "segment_hybrid", "ratings_only")
EVERYONE = "all"


@dataclass(frozen=True)
class Comparison:
    """Tables: metrics and gains with a row a (system, prompts, segment, checkpoint, metric); leaderboard; calibration and
    orders at the last checkpoint. findings: see simulations/census.py. spread: of users, by form of System A. users: how
    many were compared.
    """

    metrics: pa.Table
    gains: pa.Table
    leaderboard: pa.Table
    calibration: pa.Table
    orders: pa.Table
    agreement: Agreement
    findings: Findings
    spread: dict[str, Any]
    users: int


def compare(electorate: Electorate, pool: CohortPool, ranking: ActorHandle, folder: RunFolder, console: Console) -> Comparison:
    """Rate and score the systems at each checkpoint, with paired intervals."""
    settings, checkpoints = electorate.config.evaluation, electorate.config.votes.checkpoints
    known, newcomers = personas.compared(electorate), personas.newcomers(electorate)
    compared, seen = np.concatenate([known, newcomers]), np.arange(len(known))
    people = personas.draw_users(electorate, compared)
    segments = _segments(electorate, people.take(seen))
    groups = [("seen", segment, rows) for segment, rows in segments.items()]
    groups += [("unseen", EVERYONE, len(known) + np.arange(len(newcomers)))] if len(newcomers) else []
    test_prompts = PromptSet.from_table(files.read_table(folder.prompts)).ids("test")
    bootstrap = Bootstrap(electorate.seed, len(people), len(test_prompts), settings.bootstrap, settings.confidence)
    rater = Rater(electorate, compared, pool, ranking, folder)
    metrics, gains, boards = list[dict[str, Any]](), list[dict[str, Any]](), list[dict[str, Any]]()
    rounds = list(enumerate(checkpoints)) if settings.incremental else [(len(checkpoints) - 1, checkpoints[-1])]
    with bar(console, "Comparing systems", len(rounds)) as advance:
        for round_, votes in rounds:
            # Tastes may have drifted.
            people = personas.draw_users(electorate, compared, round_)
            rated = rater.after(round_, people)
            scores = _score(rated, people, test_prompts, pool)
            boards += _leaderboard_rows(electorate, votes, rated.fits)
            for users, segment, rows in groups:
                where = {"users": users, "segment": segment, "votes_per_user": votes}
                metrics += metric_rows(bootstrap.estimates(scores, rows), where, rated.versions)
                beaten = (*BASELINES, *CONTROLS) if segment == EVERYONE and "hybrid" in scores else BASELINES
                for baseline in [system for system in beaten if system in scores]:
                    gains += metric_rows(bootstrap.gains(scores, baseline, rows), where | {"baseline": baseline}, rated.versions)
            advance()
    if "elo_offset" in rated.priors:
        priors.write(folder.prior, rated.priors["elo_offset"])
    told = {name: system.take(seen) for name, system in rated.said.items()}
    people = people.take(seen)
    return Comparison(
        pa.Table.from_pylist(metrics, schema=METRICS),
        pa.Table.from_pylist(gains, schema=GAINS),
        pa.Table.from_pylist(boards),
        _calibration(scores, seen),
        _orders(electorate, people, told, rated.fits[0], segments),
        agreement.simulated(scoring.truths(electorate, people, test_prompts), electorate.seed),
        _findings(electorate, pool, rater, people, rated, console),
        {system: spread(prior) for system, prior in rated.priors.items()},
        len(known),
    )


def _findings(electorate: Electorate, pool: CohortPool, rater: Rater, people: Personas, rated: Rated, console: Console) -> Findings:
    """Everybody by System A's low-rank form; nothing where it is not wanted."""
    prior = rated.priors.get(LOW_RANK)
    if prior is None:
        return {}
    with bar(console, "Rating everybody (blocks)", electorate.blocks) as advance:
        found = census.take(electorate, pool, rated.fits[0], prior, advance)
    last = len(electorate.config.votes.checkpoints) - 1
    return found | {"noise": census.ceiling(electorate, people, rater.cast(last).of_users(np.arange(len(people))), prior)}


def _score(rated: Rated, people: Personas, prompts: Ints, pool: CohortPool) -> dict[str, Scores]:
    """The systems' scores, users shared out among the cohorts in chunks."""
    chunks = scoring.chunks(len(people))

    def call(actor: ActorHandle, i: int) -> Any:
        own = {name: system.take(chunks[i]) for name, system in rated.said.items()}
        return actor.score.remote(own, people.take(chunks[i]), prompts)

    return scoring.joined(pool.map(len(chunks), call))


def _calibration(scores: dict[str, Scores], users: Ints) -> pa.Table:
    """A row a system and bin of predicted probability: the mean prediction, the mean truth, and how many predictions."""
    rows = []
    for system, own in scores.items():
        for i, (said, true, count) in enumerate(own.calibration[users].sum(axis=0)):
            if count:
                rows.append({"system": system, "bin": i, "predicted": said / count, "true": true / count, "predictions": int(count)})
    return pa.Table.from_pylist(rows)


def _orders(electorate: Electorate, people: Personas, told: Systems, whole: Fit, segments: dict[str, Ints]) -> pa.Table:
    """Personal orders, by System A where it is rated and else by archetype, beside the global one."""
    names = electorate.config.contestant_names
    personal = told.get("elo_offset", told.get("segment_bt"))
    if personal is None:
        return orders.SCHEMA.empty_table()
    own = np.broadcast_to(personal.overall, (len(people), len(names)))
    true = judges.mean_utilities(electorate, people)
    return orders.table(names, whole.strength, own, true, segments, electorate.config.evaluation.confidence)


def _segments(electorate: Electorate, people: Personas) -> dict[str, Ints]:
    """Everyone, then each archetype that the sample holds: rows of the sample."""
    rows = {EVERYONE: np.arange(len(people))}
    own = {name: np.flatnonzero(people.archetype == k) for k, name in enumerate(electorate.archetypes)}
    return rows | {name: members for name, members in own.items() if len(members)}


def _leaderboard_rows(electorate: Electorate, votes: int, fits: list[Fit]) -> list[dict[str, Any]]:
    names = electorate.config.contestant_names
    return [
        {"segment": segment, "votes_per_user": votes, **row, "connected": fit.connected}
        for segment, fit in zip((EVERYONE, *electorate.archetypes), fits, strict=True)
        for row in leaderboard.rows(names, fit, electorate.config.evaluation.confidence)
    ]
