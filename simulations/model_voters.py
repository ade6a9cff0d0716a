"""What language models do in a run that they vote in: they write prompts, judge battles for
personas block by block, rank responses to test prompts, and are checked.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from electorate.base.errors import ElectorateError
from electorate.base.scale import Ints
from electorate.commands import beliefs
from electorate.commands.progress import bar
from electorate.commands.stages import Run
from electorate.config.judging import MOST_RANKED
from electorate.config.voters import ModelVoters
from electorate.data import run_files, run_votes, vote_files
from electorate.data.votes import NamedVotes
from electorate.inference.asking import Asking
from electorate.polls import battles, cards, voters
from electorate.polls.battles import Battles, JudgedTexts
from electorate.polls.validity import Check
from electorate.polls.voters import JudgedPersonas
from electorate.polls.wording import Attempt
from electorate.population.voters import BLOCK, compared
from electorate.storage import files
from electorate.storage.vote_log import VoteLog
from electorate.study.pool import Pool
from simulations import judge_tables, judged_tastes, polling
from simulations.panel import Panel
from simulations.polling import Material

CHECKED = 2000  # battles that the checks of the votes are made on, at most


@dataclass
class ModelVoting:
    """The voting of a run whose voters are models, and who asks them. people: votes that the
    judges are compared with.
    """

    run: Run
    judging: ModelVoters
    pool: Pool
    asking: Asking
    people: NamedVotes | None
    _counted: set[tuple[str, Attempt]] = field(default_factory=set)

    def vote(self) -> None:
        """Every stage from the personas' votes to the checks; what is on disk is not done again.

        Raises:
            ElectorateError: no battle of a block got a vote, or a persona is to judge more battles
                than there are.
        """
        personas = voters.of_run(self.run.folder)
        voters.check_votes(personas.config, len(personas.training_prompts))
        texts = _texts(self.run)
        self._votes(personas, texts)
        self._truth(personas, texts)
        self._checks(personas, texts)
        self._tables(personas)

    def _votes(self, personas: JudgedPersonas, texts: JudgedTexts) -> None:
        """Every block of every round that the log lacks."""
        log = VoteLog(self.run.folder.votes, personas.config.contestant_names)
        todo = [
            (round_, block)
            for round_ in range(len(personas.config.votes.checkpoints))
            for block in sorted(set(range(personas.blocks)).difference(log.blocks(round_)))
        ]
        with self._stage("votes") as counts:
            for round_, block in todo:
                self._vote(personas, texts, round_, block, counts)
            counted = self.pool.votes_by_round()
            counts["votes"] = int(counted.sum())
            a_persona = np.cumsum(counted) / personas.size
            counts["votes_a_persona"] = [round(float(n), 3) for n in a_persona]

    def _vote(
        self,
        personas: JudgedPersonas,
        texts: JudgedTexts,
        round_: int,
        block: int,
        counts: dict[str, Any],
    ) -> None:
        """Have a block's battles of a round judged, and the votes pushed to the log."""
        fought = personas.battles(round_, block)
        users = block * BLOCK + np.unique(fought.persona)
        # Checks come back to the first block's battles alone.
        panel = self._panel(personas, users, self._counted if block == 0 else set())
        mode = self.judging.modes[:1]
        polled = polling.votes(panel, _material(personas, users, texts), fought, mode)
        judge = " + ".join(one.name for one in self.judging.judges)
        table = personas.votes(round_, block, fought, polled.odds, polled.both_bad, judge)
        if not len(table):
            raise ElectorateError(f"judges: no battle got a vote; why: {_kinds(panel)}")
        for _ in self.pool.run("record", [(round_, block, table)]):
            self._count(panel, counts)

    def _truth(self, personas: JudgedPersonas, texts: JudgedTexts) -> None:
        """The judges' own rankings, which systems are compared with."""
        if self.run.folder.truth.exists():
            return
        with self._stage("truth") as counts:
            users = compared(personas)
            prompts = personas.truth_prompts(personas.test_prompts)
            panel = self._panel(personas, users, self._counted)
            fought = battles.round_robin(np.arange(len(users)), prompts, personas.models)
            material = _material(personas, users, texts)
            polled = polling.votes(panel, material, fought, self.judging.modes[:1])
            judged = ~np.isnan(polled.odds[:, 0])
            if not judged.any():
                raise ElectorateError(f"judges: no test prompt was judged; why: {_kinds(panel)}")
            # Where nothing was said, neither response is preferred.
            odds = np.where(judged[:, None], np.exp(polled.odds), 1 / 3)
            counts |= {"battles": len(fought), "undecided": int((~judged).sum())}
            self._count(panel, counts)
            shaped = odds.reshape(len(users), len(prompts), -1, 3)
            table = voters.truth_table(users, prompts, shaped, personas.models)
            files.write_table(self.run.folder.truth, table)

    def _checks(self, personas: JudgedPersonas, texts: JudgedTexts) -> None:
        """How far the judges can be believed, on the battles of the first personas."""
        place = self.run.folder.path / beliefs.NAME
        if place.exists() and self.run.folder.judgements.exists():
            return
        rounds = range(len(personas.config.votes.checkpoints))
        votes = personas.config.votes.checkpoints[-1]
        first = min(len(personas.archetype_of(0)), max(2, CHECKED // votes))
        with self._stage("checks") as counts:
            fought = Battles.joined([personas.battles(round_, 0, first) for round_ in rounds])
            users = np.arange(first)
            panel = self._panel(personas, users, self._counted)
            material = _material(personas, users, texts)
            polled = polling.votes(panel, material, fought, self.judging.modes)
            checks = polling.checks(panel, material, polled, self.people)
            judge_tables.write_judgements(self.run.folder, polled, material)
            self._count(panel, counts)
            checks += self._rankings(personas, texts, counts)
            rows = [asdict(check) for check in checks]
            files.write_table(place, pa.Table.from_pylist(rows, schema=beliefs.VALIDITY))

    def _rankings(
        self, personas: JudgedPersonas, texts: JudgedTexts, counts: dict[str, Any]
    ) -> list[Check]:
        """How the personas that are compared rank all responses at once, beside every pair."""
        if personas.models > MOST_RANKED:
            return []
        users = compared(personas)[: max(2, CHECKED // personas.config.votes.checkpoints[-1])]
        panel = self._panel(personas, users, self._counted)
        material = _material(personas, users, texts)
        last = len(personas.config.votes.checkpoints) - 1
        strength = self.pool.rate(last)[0].strength
        ranked = polling.rankings(panel, material)
        self._count(panel, counts)
        return judge_tables.write_rankings(self.run.folder, ranked, material, strength)

    @contextmanager
    def _stage(self, name: str) -> Iterator[dict[str, Any]]:
        """A stage of the run that counts what it asks, on top of what it had counted when it was
        stopped.
        """
        asked = self.asking.asked
        sent_again = Counter(self.asking.sent_again)
        before = self.run.counted(name)
        with self.run.stage(name) as counts:
            counts |= {kind: before[kind] for kind in ("unread", "lost") if kind in before}
            try:
                yield counts
            finally:
                counts["requests"] = before.get("requests", 0) + self.asking.asked - asked
                again = Counter(before.get("sent_again", {})) + self.asking.sent_again - sent_again
                if again:
                    counts["sent_again"] = dict(again)
                # Where it is stopped here, what it counted so far stays.
                self.run.keep(name, {"seconds": before.get("seconds", 0.0), **counts})

    def _tables(self, personas: JudgedPersonas) -> None:
        """The votes with their texts, and tastes fitted to them."""
        folder = self.run.folder
        if folder.votes_file.exists():
            return
        with self.run.stage("tables"):
            self.run.manifest["tastes"] = judged_tastes.write(folder, personas)
            run_votes.write(folder)

    def _panel(
        self, personas: JudgedPersonas, user_id: Ints, counted: set[tuple[str, Attempt]]
    ) -> Panel:
        of_run = (personas.config, self.judging, personas.cards(user_id), self.asking)
        return Panel(*of_run, counted)

    def _count(self, panel: Panel, counts: dict[str, Any]) -> None:
        """Keep in the manifest what could not be read, by kind."""
        for name, found in (("unread", panel.unread), ("lost", panel.lost)):
            if found:
                counts[name] = dict(Counter(counts.get(name, {})) + found)


def people(judging: ModelVoters) -> NamedVotes | None:
    """People's votes that the judges are compared with, read before anything is asked."""
    place = judging.checks.people
    return None if place is None else vote_files.read(Path(place), texts=True)[0]


def write_personas(run: Run, judging: ModelVoters) -> None:
    """personas.parquet, block by block, and the archetypes' order in the manifest.

    Raises:
        ElectorateError: nobody is of the archetype that is to be compared.
    """
    with run.stage("personas") as counts:
        counts["personas"] = judging.personas.size
        if run.folder.personas.exists() and "archetypes" in run.manifest:
            return
        archetypes = _write_cards(run, judging)
        persona = run.config.evaluation.persona
        if persona not in (None, *archetypes):
            raise ElectorateError(
                f"evaluation.persona: {persona!r} is no archetype of the voters "
                f"({', '.join(archetypes)})"
            )
        run.manifest["archetypes"] = archetypes


def _write_cards(run: Run, judging: ModelVoters) -> list[str]:
    """Every persona's card; returns the archetypes in the order in which they occur."""
    archetypes = dict[str, None]()
    of_blocks = cards.in_blocks(judging.personas, run.config.seed, BLOCK)
    first = next(of_blocks)
    schema = cards.numbered(first, 0).schema
    with (
        bar(run.console, "Drawing personas", -(-judging.personas.size // BLOCK)) as advance,
        files.replacing(run.folder.personas) as path,
        pq.ParquetWriter(path, schema, compression="zstd") as writer,
    ):
        for i, own in enumerate([first, *of_blocks]):
            writer.write_table(cards.numbered(own, i * BLOCK))
            archetypes |= dict.fromkeys(card.segment for card in own)
            advance()
    return list(archetypes)


def _texts(run: Run) -> JudgedTexts:
    names = run.config.contestant_names
    prompts = run_files.read_prompts(run.folder)
    table = run_files.read_responses(run.folder, len(prompts), names)
    responses = [text or "" for text in table["response"].to_pylist()]
    models = len(names)
    return JudgedTexts(
        prompts.text, [responses[i * models : (i + 1) * models] for i in range(len(prompts))]
    )


def _material(personas: JudgedPersonas, user_id: Ints, texts: JudgedTexts) -> Material:
    return Material(user_id, texts, personas.test_prompts, personas.config.contestant_names)


def _kinds(panel: Panel) -> str:
    return ", ".join(f"{n} {kind}" for kind, n in panel.lost.most_common()) or "nothing was asked"
