"""A study of people's votes: whether personal rankings predict them better than the global one.

`human` runs it in this process, `run` with cohorts on Ray; the folder is the same. It holds the
votes by block, the comparison, a learning curve, everybody's own ratings and the leaderboard;
`serve` ranks from it.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from rich.console import Console

from electorate.base.scale import Floats, Ints
from electorate.commands import human_tables, people_verdict
from electorate.commands.progress import bar
from electorate.commands.stages import Run, carry_out
from electorate.config import config_file
from electorate.config.run import Config
from electorate.config.systems import SYSTEMS, for_voters
from electorate.data import run_files, vote_files, vote_times
from electorate.data.votes import NamedVotes, effective
from electorate.evaluation import held_out, orders, people, rating, user_ratings
from electorate.evaluation.people import (
    FOLDS,
    SEEDS,
    SEEDS_OF_SYSTEM_B,
    Compared,
    Curve,
    Predicted,
)
from electorate.evaluation.results import (
    EVERYONE,
    GAINS,
    METRICS,
    NOT_CONVERGED,
    calibration_table,
    metric_rows,
)
from electorate.evaluation.two_systems import BASELINE, SYSTEM_A
from electorate.inference import model_files
from electorate.population import people as voters_module
from electorate.population.people import People
from electorate.population.voters import BLOCK
from electorate.ratings import leaderboard, prior_file
from electorate.ratings.offsets import NotConvergedError
from electorate.storage import files
from electorate.storage.places import Place
from electorate.storage.run_folder import RunFolder
from electorate.storage.vote_log import VoteLog
from electorate.study import everybody
from electorate.study.everybody import Findings
from electorate.study.pool import InProcessPool, Pool
from electorate.study.systems import prior_fit

OUTCOMES = ("a", "b", "tie")


def human(
    path: Path,
    out: Place,
    ties: str,
    reward: Path | None,
    console: Console,
    by: str | None = None,
) -> RunFolder:
    """Predict each vote from votes on other prompts, in this process. Returns the folder.

    Args:
        path: a file of votes; rows that are no votes are counted and left out.
        reward: a config whose reward section says what System B reads the answers with; None: no
            System B.
        by: a column by whose values gains are told too.

    Raises:
        ElectorateError: what the user can put right.
    """
    content: dict[str, Any] = {
        "voters": {"kind": "people", "votes": str(path), "by": by},
        "ratings": {"ties": ties},
        "cluster": {"cohorts": 0},
    }
    if reward is not None:
        settings, cache_dir = config_file.load_reward(reward)
        content["reward"] = settings.model_dump()
        content["cluster"]["cache_dir"] = str(cache_dir)
    config = config_file.validated(Config, content, str(path))
    given = read(config, console)

    def stages(this: Run) -> None:
        PeopleStudy(this, InProcessPool(this.folder), given.votes, given.prompt).go_through()

    folder, _ = carry_out(given.config, out, True, console, stages)
    return folder


@dataclass(frozen=True)
class Given:
    """A file of people's votes, and the config with what it says of them.

    prompt: (n,) of each vote, counted from 0.
    """

    config: Config
    votes: NamedVotes
    prompt: Ints


def read(config: Config, console: Console) -> Given:
    """The votes that a config names. Rows that are no votes are counted and left out.

    Raises:
        ElectorateError: the file cannot be read, or its votes name no users or too few prompts.
    """
    if config.people is None:
        raise ValueError("a config whose voters are no people")
    path = Path(config.people.votes)
    texts = config.reward is not None
    votes, set_aside = vote_files.read(path, texts=texts, by=config.people.by, measured=True)
    for line in vote_files.by_reason(set_aside):
        console.print(f"left out: {line}", highlight=False, soft_wrap=True)
    votes = vote_times.in_order(votes)
    prompt = people.prompts(votes, str(path))
    named = voters_module.with_voters(config, votes, files.sha256(path))
    return Given(named, replace(effective(votes), prompt=prompt), prompt)


@dataclass(frozen=True)
class PeopleStudy:
    """The stages of a study of people's votes; what is on disk is not done again.

    prompt: (n,) of each vote, counted from 0.
    """

    run: Run
    pool: Pool
    votes: NamedVotes
    prompt: Ints

    def go_through(self) -> None:
        """From the votes to the tables.

        Raises:
            ElectorateError: the reward model cannot be read.
        """
        self._write_voters()
        self._record()
        seeds = SEEDS if self._config.reward is None else SEEDS_OF_SYSTEM_B
        with self.run.stage("evaluate") as counts:
            counts["users"] = len(self.votes.user_names)
            predicted, not_converged = self._predict(seeds)
            drawn = people.replicates(self.votes, self.prompt, predicted)
            users = len(np.unique(self.votes.user))
            over = people.gains_over_others(drawn, users)
            whole = Compared(None, *people.summarised(drawn, users), not_converged, over)
            curve = self._curve()
            self._write_tables([whole, *curve.points], predicted)
            self._write_groups(predicted)
            self.run.manifest["who_gains"] = self._write_gains(predicted)
            self.run.manifest["first_place"] = self._write_ratings()
        self.run.manifest.update(self._found(whole, curve, seeds))

    @property
    def _config(self) -> Config:
        return self.run.config

    @property
    def _folder(self) -> RunFolder:
        return self.run.folder

    @property
    def _systems(self) -> tuple[str, ...]:
        """Those compared."""
        return for_voters(self._config.evaluation.systems, self._config.voters.kind)

    @property
    def _ties(self) -> str:
        ties: str = self._config.ratings.ties
        return ties

    def _write_voters(self) -> None:
        """Who votes, and on what."""
        with self.run.stage("personas") as counts:
            counts["personas"] = len(self.votes.user_names)
            prompts = voters_module.prompt_set(self.votes, self.prompt).table()
            files.write_table(self._folder.personas, voters_module.personas_table(self.votes))
            files.write_table(self._folder.prompts, prompts)
            self.run.manifest["tables"] = run_files.digests(prompts=prompts)

    def _record(self) -> None:
        """Every block that the log lacks is written by a cohort, and counted by the ranking."""
        voters = voters_module.of_run(self._folder)
        log = VoteLog(self._folder.votes, self._config.contestant_names)
        todo = sorted({*range(voters.blocks)} - set(log.blocks(0)))
        rows = (voters_module.vote_log_rows(self.votes, self.prompt, block) for block in todo)
        work = [(0, block, table) for block, table in zip(todo, rows, strict=True)]
        done = voters.blocks - len(todo)
        with (
            self.run.stage("votes") as counts,
            bar(self.run.console, "Recording votes (blocks)", voters.blocks, done) as advance,
        ):
            for _ in self.pool.run("record", work):
                advance()
            counts["votes"] = int(self.pool.votes_by_round().sum())

    def _predict(self, seeds: int) -> tuple[Predicted, people.NotConverged]:
        """Each vote by each system that the config names, learned from votes on other prompts."""
        by_text = [name for name in self._systems if SYSTEMS[name].reward]
        others = [name for name in self._systems if name not in by_text]
        with bar(self.run.console, "Predicting held-out votes (fold seeds)", seeds) as advance:
            predicted, not_converged = people.predict(
                self.votes, self.prompt, self._config.ratings, others, seeds, advance
            )
        if by_text:
            found = self._predict_by_text(predicted[SYSTEM_A][0])
            predicted |= {name: found[name] for name in by_text}
        return {name: predicted[name] for name in SYSTEMS if name in predicted}, not_converged

    def _predict_by_text(self, system_a: Floats) -> Predicted:
        """By System B and what it is compared with, fold by fold.

        Args:
            system_a: (n, 3) System A's odds, from the same folds.
        """
        from electorate.rewards import corpus, pretrained
        from electorate.rewards import held_out as rewards_held_out

        settings = self._config.reward
        if settings is None:
            raise ValueError("a config without a reward section")
        cache_dir = Path(self._config.cluster.cache_dir).expanduser()
        source = model_files.resolve("reward.model", settings.model, cache_dir)
        reader, tokenizer = pretrained.of_settings(settings, source, 0)
        of = corpus.of_votes(self.votes, tokenizer, settings.max_tokens)
        fold = held_out.folds(self.prompt, FOLDS, seed=0)
        folds = rewards_held_out.Folds(of, fold, settings, reader, self._ties)
        done = self._done_folds()
        processes = 1 if settings.accelerator == "gpu" else min(FOLDS, os.cpu_count() or 1)
        with bar(self.run.console, "Training System B (folds)", FOLDS, len(done)) as advance:

            def keep(number: int, odds: Mapping[str, Floats]) -> None:
                files.write_table(self._fold(number), _odds_table(odds))
                advance()

            of_form = rewards_held_out.predict(folds, processes, done, keep)
        rewards_held_out.falling_back(of_form, system_a, of.battles, fold)
        return {str(form): odds[None] for form, odds in of_form.items()}

    def _fold(self, number: int) -> Place:
        return self._folder.rewards / f"fold={number}.parquet"

    def _done_folds(self) -> dict[int, dict[str, Floats]]:
        """Folds that were predicted before the study was stopped."""
        return {
            number: _odds_of(files.read_table(self._fold(number)))
            for number in range(FOLDS)
            if self._fold(number).exists()
        }

    def _curve(self) -> Curve:
        """The learning curve of users to whose votes nothing was fitted; none for fewer users than
        FOLDS.
        """
        users = len(self.votes.user_names)
        if users < FOLDS:
            line = f"no learning curve: {users} users; at least {FOLDS} are needed, one a fold"
            self.run.console.print(line, highlight=False)
            return Curve([], {})
        fits = len(people.newcomer_folds(self.votes))
        with bar(self.run.console, "Predicting for new users (fits)", fits) as advance:
            return people.learning_curve(
                self.votes, self.prompt, self._config.ratings, self._systems, advance
            )

    def _write_tables(self, compared: list[Compared], predicted: Predicted) -> None:
        all_on_others = round(len(self.votes) * (1 - 1 / FOLDS) / len(self.votes.user_names))
        metrics = list[dict[str, Any]]()
        gains = list[dict[str, Any]]()
        for one in compared:
            known = all_on_others if one.known is None else one.known
            where = {"users": one.users, "segment": EVERYONE, "votes_per_user": known}
            versions = dict.fromkeys(one.not_converged, NOT_CONVERGED)
            metrics += metric_rows(one.estimates, where, versions)
            for other, by_system in ({BASELINE: one.gains} | one.over).items():
                gains += metric_rows(by_system, where | {"baseline": other}, versions)
        folder = self._folder
        files.write_table(folder.metrics, pa.Table.from_pylist(metrics, schema=METRICS))
        files.write_table(folder.gains, pa.Table.from_pylist(gains, schema=GAINS))
        sums = people.calibration_sums(self.votes, predicted)
        files.write_table(folder.calibration, calibration_table(sums))
        mean = {name: by_seed.mean(axis=0) for name, by_seed in predicted.items()}
        outcome = {"outcome": pa.array(self.votes.outcome_of_3)}
        odds = _odds_table(mean)
        for name in odds.column_names:
            outcome[name] = odds[name]
        files.write_table(folder.path / "predictions.parquet", pa.table(outcome))
        values = {
            name: {metric: e.value for (_, metric), e in by_key.items()}
            for name, by_key in compared[0].estimates.items()
        }
        files.write_text(folder.summary, json.dumps(values, indent=2) + "\n")

    def _write_groups(self, predicted: Predicted) -> None:
        """System A's gains by the values of the column that the config names."""
        if self.votes.group is None:
            return
        found = people.group_gains(self.votes, self.prompt, predicted)
        files.write_table(self._folder.by_group, human_tables.groups_table(found))

    def _write_gains(self, predicted: Predicted) -> str:
        """Who gains from System A; in words too."""
        gains = people.user_gains(self.votes, self.prompt, predicted)
        rate = self._config.evaluation.false_discovery_rate
        names = self.votes.user_names
        cast = np.bincount(self.votes.user, minlength=len(names))
        files.write_table(
            self._folder.who_gains, human_tables.gains_table(gains, names, cast, rate)
        )
        return human_tables.gains_line(gains, rate)

    def _write_ratings(self) -> list[str]:
        """The leaderboard, everybody's own ratings by System A, and what is found of everybody;
        only the first where System A did not converge. How sure the first place is, in words.
        """
        folder = self._folder
        rated = rating.fit(self.votes, rating.Options(self._ties))
        sure = rating.first_place(self.votes, rated, self._ties)
        if rated.first is not None:
            sure = [rating.position_line(*rated.first), *sure]
        rows = leaderboard.rows(self.votes.models, rated.fit, people.CONFIDENCE)
        where = {"segment": EVERYONE, "connected": rated.fit.connected, "ties": self._ties}
        files.write_table(folder.leaderboard, pa.Table.from_pylist([where | row for row in rows]))
        try:
            own = user_ratings.table(self.votes, self._ties)
            found = self._write_findings(voters_module.of_run(folder))
        except NotConvergedError as error:
            line = f"no own ratings: {error}"
            self.run.console.print(line, highlight=False, soft_wrap=True)
            return sure
        models = len(self.votes.models)
        differs = np.repeat(self._differ(found), models)
        files.write_table(folder.people, own.append_column("differs", pa.array(differs)))
        table = orders.table(
            self.votes.models,
            rated.fit.strength,
            own["rating"].to_numpy().reshape(-1, models),
            None,
            {EVERYONE: np.arange(len(self.votes.user_names))},
            people.CONFIDENCE,
        )
        files.write_table(folder.orders, table)
        return sure

    def _differ(self, found: Findings) -> npt.NDArray[np.bool_]:
        """(users,) who is said to have another first model than the global ranking."""
        blocks = -(-len(self.votes.user_names) // BLOCK)
        same = [
            files.read_table(self._folder.users / f"block={block}.parquet")["p_same_first"]
            for block in range(blocks)
        ]
        most = found["differ"]["first"]["most_null"]
        differ: npt.NDArray[np.bool_] = np.concatenate(same) <= (-1.0 if most is None else most)
        return differ

    def _write_findings(self, voters: People) -> Findings:
        """Who differs, and who votes without looking. Raises NotConvergedError."""
        global_fit, _ = self.pool.rate(0)
        fit = prior_fit(voters, self.pool, global_fit, 0)
        prior = fit.plain("none")
        prior_file.write(self._folder.prior, prior)
        try:
            of_users = fit.low_rank(prior)
        except NotConvergedError:
            of_users = prior
        with bar(self.run.console, "Rating everybody (blocks)", voters.blocks) as advance:
            found = everybody.take(voters, self.pool, global_fit, of_users, advance)
        # Of many models no order is sure enough to be told from another's.
        found["differ"] = {"first": found["differ"]["first"]}
        files.write_text(self._folder.findings, json.dumps(found, indent=2) + "\n")
        return found

    def _found(self, whole: Compared, curve: Curve, seeds: int) -> dict[str, Any]:
        """What the manifest says of the comparison."""
        of = self._config.people
        if of is None:
            raise ValueError("a config whose voters are no people")
        return {
            "ties": self._ties,
            "not_converged": whole.not_converged,
            "verdict": people_verdict.verdict(whole, curve),
            "ahead": people_verdict.ahead_line(curve),
            "votes": str(Path(of.votes).absolute()),
            "sha256": of.sha256,
            "rows": len(self.votes),
            "users": len(self.votes.user_names),
            "models": len(self.votes.models),
            "prompts": int(self.prompt.max()) + 1,
            "folds": FOLDS,
            "fold_seeds": seeds,
        }


def _odds_table(odds: Mapping[str, Floats]) -> pa.Table:
    """(n, 3) probabilities of each system as columns."""
    columns = {
        f"{name}_{outcome}": of_system[:, i]
        for name, of_system in odds.items()
        for i, outcome in enumerate(OUTCOMES)
    }
    return pa.table(columns)


def _odds_of(table: pa.Table) -> dict[str, Floats]:
    """What `_odds_table` was made of."""
    names = dict.fromkeys(column.rpartition("_")[0] for column in table.column_names)
    return {
        name: np.column_stack([table[f"{name}_{outcome}"].to_numpy() for outcome in OUTCOMES])
        for name in names
    }
