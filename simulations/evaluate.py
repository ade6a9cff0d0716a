"""Stage 4: every system rated at every checkpoint and compared on the same personas and prompts."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from rich.console import Console

from electorate.base.scale import Ints
from electorate.commands.progress import bar
from electorate.config.contest import Cluster
from electorate.config.systems import BASELINES, baselines
from electorate.data import run_files
from electorate.evaluation import agreement, orders, scoring
from electorate.evaluation.intervals import Bootstrap
from electorate.evaluation.predictions import Systems
from electorate.evaluation.results import (
    EVERYONE,
    GAINS,
    METRICS,
    NOT_CONVERGED,
    Comparison,
    calibration_table,
    metric_rows,
)
from electorate.evaluation.scoring import Scores
from electorate.population import voters as voters_module
from electorate.population.voters import Users, Voters
from electorate.ratings import leaderboard, prior_file
from electorate.ratings.bradley_terry import Fit
from electorate.rewards.answer_votes import AnswerVotes
from electorate.storage.run_folder import RunFolder
from electorate.study import everybody
from electorate.study import pool as pools
from electorate.study.everybody import Findings
from electorate.study.pool import Pool
from electorate.study.reward_systems import Adapt
from electorate.study.systems import LOW_RANK, Rated, Rater, spread
from simulations import backends

if TYPE_CHECKING:
    from electorate.rewards.adapters import Adapted  # which imports torch


def compare(
    voters: Voters, pool: Pool, folder: RunFolder, cluster: Cluster, console: Console
) -> Comparison:
    """Rate and score the systems at each checkpoint, with paired intervals.

    Args:
        voters: those of the run.
        pool: what does the work on their blocks.
        folder: of the run.
        cluster: what trains a model for each user, where that is asked for.
        console: where progress is shown.
    """
    known = voters_module.compared(voters)
    numbers = np.concatenate([known, voters_module.newcomers(voters)])
    seen = np.arange(len(known))
    segments = _segments(voters, voters_module.with_ids(voters, known))
    test_prompts = voters.truth_prompts(run_files.read_prompts(folder).ids("test"))
    tables = _Tables(voters, segments, len(known), len(numbers), len(test_prompts))
    rater = Rater(voters, numbers, pool, folder, _adapter(voters, folder, cluster))
    rounds = list(enumerate(voters.config.votes.checkpoints))
    if not voters.config.evaluation.incremental:
        rounds = rounds[-1:]
    with bar(console, "Comparing systems", len(rounds)) as advance:
        for round_, votes in rounds:
            # Tastes may have drifted.
            people = voters_module.with_ids(voters, numbers, round_)
            rated = rater.after(round_, people)
            scores = _score(rated, people, test_prompts, pool)
            tables.add(votes, rated, scores)
            advance()
    if "elo_offset" in rated.priors:
        prior_file.write(folder.prior, rated.priors["elo_offset"])
    systems = {name: system.take(seen) for name, system in rated.systems.items()}
    people = people.take(seen)
    return Comparison(
        pa.Table.from_pylist(tables.metrics, schema=METRICS),
        pa.Table.from_pylist(tables.gains, schema=GAINS),
        pa.Table.from_pylist(tables.boards),
        calibration_table(
            {name: own.calibration[seen].sum(axis=0) for name, own in scores.items()}
        ),
        _orders(voters, people, systems, rated.fits[0], segments),
        agreement.simulated(voters.truths(people, test_prompts), voters.seed),
        _findings(voters, pool, rater, people, rated, console),
        {system: spread(prior) for system, prior in rated.priors.items()},
        len(known),
        tables.not_converged,
    )


class _Tables:
    """Rows of the comparison's tables, checkpoint by checkpoint.

    Args:
        segments: rows of the users who voted, by segment; the first is everyone.
        known: how many of the users voted; the others are newcomers.
        users: how many there are.
        prompts: how many test prompts.
    """

    def __init__(
        self,
        voters: Voters,
        segments: dict[str, Ints],
        known: int,
        users: int,
        prompts: int,
    ) -> None:
        settings = voters.config.evaluation
        self._voters = voters
        self._groups = [("seen", segment, rows) for segment, rows in segments.items()]
        if users > known:
            self._groups.append(("unseen", EVERYONE, np.arange(known, users)))
        self._bootstrap = Bootstrap(
            voters.seed, users, prompts, settings.bootstrap, settings.confidence
        )
        self.metrics = list[dict[str, Any]]()
        self.gains = list[dict[str, Any]]()
        self.boards = list[dict[str, Any]]()
        self.not_converged = dict[str, dict[str, str]]()

    def add(self, votes: int, rated: Rated, scores: dict[str, Scores]) -> None:
        """What came out at a checkpoint of so many votes a user."""
        versions = rated.versions | dict.fromkeys(rated.not_converged, NOT_CONVERGED)
        if rated.not_converged:
            self.not_converged[str(votes)] = rated.not_converged
        self.boards += _leaderboard_rows(self._voters, votes, rated.fits)
        for users, segment, rows in self._groups:
            where = {"users": users, "segment": segment, "votes_per_user": votes}
            resampled = self._bootstrap.of(scores, rows)
            self.metrics += metric_rows(resampled.estimates(), where, versions)
            # What each system has to beat, on everyone.
            beaten = baselines(tuple(scores)) if segment == EVERYONE else BASELINES
            for baseline in [system for system in beaten if system in scores]:
                gains = resampled.gains(baseline)
                self.gains += metric_rows(gains, where | {"baseline": baseline}, versions)


def _adapter(voters: Voters, folder: RunFolder, cluster: Cluster) -> Adapt | None:
    """Trains a reward model for each user where the run trains any."""
    reward = voters.config.reward
    if reward is None:
        return None
    cache_dir = Path(cluster.cache_dir).expanduser()

    def adapt(version: int, votes: AnswerVotes) -> "Adapted":
        trainer = backends.trainer(cluster)
        return trainer.adapted(folder, reward, version, cache_dir, votes)

    return adapt


def _findings(
    voters: Voters,
    pool: Pool,
    rater: Rater,
    people: Users,
    rated: Rated,
    console: Console,
) -> Findings:
    """Everybody by System A's low-rank form; nothing where it is not wanted."""
    prior = rated.priors.get(LOW_RANK)
    if prior is None:
        return {}
    with bar(console, "Rating everybody (blocks)", voters.blocks) as advance:
        found = everybody.take(voters, pool, rated.fits[0], prior, advance)
    last = len(voters.config.votes.checkpoints) - 1
    return found | {
        "noise": everybody.ceiling(
            voters, people, rater.votes(last).of_users(np.arange(len(people))), prior
        )
    }


def _score(rated: Rated, people: Users, prompts: Ints, pool: Pool) -> dict[str, Scores]:
    """The systems' scores, users shared out among the cohorts in chunks."""
    work = []
    for rows in scoring.chunks(len(people)):
        own = {name: system.take(rows) for name, system in rated.systems.items()}
        work.append((own, people.take(rows)))
    return scoring.joined(pools.results(pool, "score", work, prompts))


def _orders(
    voters: Voters, people: Users, systems: Systems, global_fit: Fit, segments: dict[str, Ints]
) -> pa.Table:
    """Personal orders, by System A where it is rated and else by archetype, beside the global
    one.
    """
    names = voters.config.contestant_names
    personal = systems.get("elo_offset", systems.get("segment_bt"))
    if personal is None:
        return orders.SCHEMA.empty_table()
    own = np.broadcast_to(personal.overall, (len(people), len(names)))
    true = voters.overall(people)
    return orders.table(
        names, global_fit.strength, own, true, segments, voters.config.evaluation.confidence
    )


def _segments(voters: Voters, people: Users) -> dict[str, Ints]:
    """Everyone, then each archetype that the sample holds: rows of the sample."""
    rows = {EVERYONE: np.arange(len(people))}
    own = {name: np.flatnonzero(people.archetype == k) for k, name in enumerate(voters.archetypes)}
    return rows | {name: members for name, members in own.items() if len(members)}


def _leaderboard_rows(voters: Voters, votes: int, fits: list[Fit]) -> list[dict[str, Any]]:
    names = voters.config.contestant_names
    return [
        {
            "segment": segment,
            "votes_per_user": votes,
            **row,
            "connected": fit.connected,
            "ties": voters.config.ratings.ties,
        }
        for segment, fit in zip((EVERYONE, *voters.archetypes), fits, strict=True)
        for row in leaderboard.rows(names, fit, voters.config.evaluation.confidence)
    ]
