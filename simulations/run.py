"""A run from its config to its report: the stages in the order they happen."""

import logging
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from rich.console import Console

from electorate.base.progress import Advance
from electorate.commands import human
from electorate.commands.progress import bar
from electorate.commands.stages import Run, carry_out
from electorate.config.run import Config
from electorate.data import features, prompts, run_files
from electorate.data.votes import NamedVotes
from electorate.inference.asking import Asking
from electorate.polls import cards, own_templates
from electorate.polls import voters as judged
from electorate.population import planted, voters
from electorate.population.voters import BLOCK, Casting, Voters
from electorate.ratings.prior import Prior
from electorate.storage import files
from electorate.storage.places import Place
from electorate.storage.response_cache import ResponseCache
from electorate.storage.run_folder import RunFolder
from electorate.storage.vote_log import VoteLog
from electorate.study import systems
from electorate.study.pool import Pool
from simulations import backends, evaluate, model_voters, rewards, written_prompts
from simulations.answers import Answers
from simulations.engines import Engines
from simulations.model_voters import ModelVoting
from simulations.report import finished, summary
from simulations.trainings import Trainings

LOG = logging.getLogger("electorate.run")


def run(config: Config, out: Place, resume: bool, console: Console) -> RunFolder:
    """Do the run, or the rest of it, in folder `out`. Returns the folder, with everything in it.

    Raises ElectorateError for whatever the user can put right; the folder is then resumable.
    """
    if config.people is not None:
        return _run_of_people(config, out, resume, console)
    config = own_templates.with_texts(config)
    folder, anew = carry_out(config, out, resume, console, _stages)
    if anew:
        finished.write(folder)
    return folder


def _run_of_people(config: Config, out: Place, resume: bool, console: Console) -> RunFolder:
    """A run whose votes are in a file."""
    given = human.read(config, console)

    def stages(this: Run) -> None:
        with backends.of_run(this.config, this.folder, {}, console) as pool:
            human.PeopleStudy(this, pool, given.votes, given.prompt).go_through()

    folder, anew = carry_out(given.config, out, resume, console, stages)
    if anew:
        finished.write(folder)
    return folder


def _stages(this: Run) -> None:
    config = this.config
    cache_dir = Path(config.cluster.cache_dir).expanduser()
    if config.population is not None:
        planted.check(config)
    people = None if config.judging is None else model_voters.people(config.judging)
    with closing(ResponseCache(cache_dir / "answers.sqlite")) as cache:
        answers = _known_answers(this, cache)
        engines = _engines(this, answers, cache_dir)
        backends.check(config.cluster, engines.served)
        engines.check()
        if config.reward is not None:
            rewards.check(config.reward, cache_dir)
        with backends.of_run(config, this.folder, engines.served, this.console) as pool:
            with closing(engines):
                _ask_models(this, pool, engines, answers, cache, people)
            _voted_and_compared(this, pool)


def _known_answers(this: Run, cache: ResponseCache) -> Answers | None:
    """The answers of the run as far as the cache has them; None where the run has all of them
    already, or its prompts are not written yet.
    """
    judging = this.config.judging
    written_later = judging is not None and judging.new_prompts is not None
    if this.folder.responses.exists() or written_later:
        return None
    selected = prompts.select(this.config)
    if judging is not None:
        judged.check_votes(this.config, len(selected.ids("train")))
    return Answers(this.config, selected, cache)


def _engines(this: Run, answers: Answers | None, cache_dir: Path) -> Engines:
    """The models that the run asks."""
    config = this.config
    models = answers.models_asked if answers else {}
    judges = set[str]()
    if config.judging is not None:
        judges = {judge.model for judge in config.judging.judges}
        models |= {name: config.models[name] for name in judges}
        if config.judging.new_prompts is not None:
            models = dict(config.models)
    port = config.cluster.serve_port
    return Engines(models, judges, cache_dir, port, config.budget, this.console)


def _ask_models(
    this: Run,
    pool: Pool,
    engines: Engines,
    answers: Answers | None,
    cache: ResponseCache,
    people: NamedVotes | None,
) -> None:
    """Everything that models do: answer, and where they vote, write prompts and judge.

    answers: None where the run has them already, or its prompts are not written yet. people: votes
    that judges are compared with.
    """
    asking = engines.asking(pool.askers, cache)
    judging = this.config.judging
    if judging is None:
        if answers is not None:
            engines.app()  # which takes a minute or two to come up
            _answer(this, answers, asking)
        return
    model_voters.write_personas(this, judging)
    settings = judging.new_prompts
    if settings is not None and not this.folder.responses.exists():
        with this.stage("prompts") as counts:
            writers = cards.with_ids(this.folder.personas, np.arange(min(BLOCK, this.config.users)))
            written = written_prompts.write(asking, settings, this.config, writers, this.console)
            counts["prompts"] = len(written)
        answers = Answers(this.config, written, cache)
    if answers is not None:
        _answer(this, answers, asking)
    ModelVoting(this, judging, pool, asking, people).vote()


def _voted_and_compared(this: Run, pool: Pool) -> None:
    """From the answers to the table; planted personas vote here."""
    config = this.config
    electorate = voters.of_run(this.folder)
    trainings = None
    if config.reward is not None:
        trainings = Trainings(electorate, config.reward, this.folder, config.cluster)
    if isinstance(electorate, Casting):
        _write_personas(this, electorate)
        _vote(this, electorate, pool, trainings)
    elif trainings is not None:
        for round_ in range(len(config.votes.checkpoints)):
            trainings.votes_are_in(round_)
    if trainings is not None:
        with this.stage("reward") as counts:
            trainings.finish(this.console, counts)
    with this.stage("evaluate") as counts:
        comparison = evaluate.compare(electorate, pool, this.folder, config.cluster, this.console)
        counts["users"] = comparison.users
    summary.write(this.folder, comparison, this.manifest)


def _answer(this: Run, answers: Answers, asking: Asking) -> None:
    """Have the contestants answer."""
    with this.stage("answers") as counts:
        counts["asked"] = answers.gather(asking)
        if counts["asked"]:
            counts["requests"] = asking.asked
            counts["sent_again"] = dict(asking.sent_again)
        table = answers.table()
        counts["answers"] = table.num_rows
        counts["failed"] = table.num_rows - table["error"].null_count
        failed = set(table.filter(table["error"].is_valid())["prompt_id"].to_pylist())
        kept_prompts = answers.prompts.leaving_out(failed).table()
        files.write_table(this.folder.prompts, kept_prompts)
        contestants = len(this.config.contestants)
        raw = features.measure([text or "" for text in table["response"].to_pylist()])
        raw = raw.reshape(-1, contestants, len(features.AXES))
        # A prompt that was left out has answers missing, which must not move the others' scale.
        used = np.array([i not in failed for i in range(len(raw))])
        z = np.zeros_like(raw)
        z[used] = features.standardise(raw[used])
        measured = run_files.features_table(z, this.config.contestant_names)
        files.write_table(this.folder.features, measured)
        this.manifest["tables"] = run_files.digests(
            prompts=kept_prompts, features=measured, responses=table
        )
        # Last, since its being there says that this stage is done.
        files.write_table(this.folder.responses, table)


def _write_personas(this: Run, electorate: Casting) -> None:
    with this.stage("personas") as counts:
        counts["personas"] = electorate.size
        if this.folder.personas.exists():
            return
        first = electorate.personas_table(0)
        with (
            bar(this.console, "Drawing personas", electorate.blocks) as advance,
            files.replacing(this.folder.personas) as path,
            pq.ParquetWriter(path, first.schema, compression="zstd") as writer,
        ):
            writer.write_table(first)
            advance()
            for block in range(1, electorate.blocks):
                writer.write_table(electorate.personas_table(block))
                advance()


def _vote(this: Run, electorate: Voters, pool: Pool, trainings: Trainings | None) -> None:
    """Every block of every round that the log lacks, each by whichever cohort is free.

    Trainings are told of each round.
    """
    log = VoteLog(this.folder.votes, this.config.contestant_names)
    settings = this.config.votes
    rounds = range(len(settings.checkpoints))
    blocks = range(electorate.blocks)
    missing = [sorted(set(blocks).difference(log.blocks(round_))) for round_ in rounds]
    asks_back = settings.pairing == "active" or settings.stop_at_tau is not None
    total = len(rounds) * len(blocks)
    done = total - sum(map(len, missing))
    with this.stage("votes") as counts, bar(this.console, "Voting (blocks)", total, done) as tick:
        for round_ in rounds:
            # Where pairs are chosen, what is asked next hangs on all the votes before it.
            known = asks_back and round_ and missing[round_]
            prior = systems.prior_for_asking(electorate, pool, round_ - 1) if known else None
            _judge(pool, [(round_, block) for block in missing[round_]], prior, tick)
            if trainings is not None:
                trainings.votes_are_in(round_)
        counted = pool.votes_by_round()
        counts["votes"] = int(counted.sum())
        a_persona = np.cumsum(counted) / electorate.size
        counts["votes_a_persona"] = [round(float(n), 3) for n in a_persona]


def _judge(pool: Pool, todo: list[tuple[int, int]], prior: Prior | None, tick: Advance) -> None:
    """Have these (round, block)s vote."""
    begun = time.monotonic()
    for i, votes in pool.run("judge", todo, prior):
        round_, block = todo[i]
        seconds = round(time.monotonic() - begun, 3)
        fields = {"round": round_, "block": block, "votes": votes, "seconds": seconds}
        LOG.info("block judged", extra=fields)
        tick()
