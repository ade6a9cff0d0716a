"""A run from its config to its report: the stages in the order they happen."""

import logging
import time
from contextlib import closing
from math import ceil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray
from ray.actor import ActorHandle
from rich.console import Console

from actors.cohort import CohortActor
from actors.pool import CohortPool
from actors.ranking import RankingActor
from cluster import placement
from cluster.placement import ON_HEAD, SPREAD
from cluster.session import connected
from electorate import features, founding, personas, prompts
from electorate.config import Config
from electorate.personas import Electorate
from electorate.prompts import PromptSet
from electorate.ratings.posteriors import Prior
from electorate.storage import files
from electorate.storage.places import Place
from electorate.storage.response_cache import ResponseCache
from electorate.storage.run_folder import RunFolder
from electorate.storage.vote_log import VoteLog
from simulations import evaluate, plan, rewards, systems
from simulations.answers import Answers
from simulations.asking import Asking
from simulations.engines import Engines
from simulations.progress import bar
from simulations.report import page, summary
from simulations.stages import UnderWay, carry_out
from simulations.trainings import Trainings

LOG = logging.getLogger("electorate.votes")
Run = UnderWay[Config]


def run(config: Config, out: Place, resume: bool, console: Console) -> RunFolder:
    """Do the run, or the rest of it, in folder `out`. Returns the folder, with everything in it.

    Raises ElectorateError for whatever the user can put right; the folder is then resumable.
    """
    folder, anew = carry_out("run", config, out, resume, console, _stages)
    if anew:
        page.write(folder)
    return folder


def _stages(this: Run) -> None:
    config, settings = this.config, this.config.cluster
    prompt_set = prompts.select(config)
    founding.check(config)
    cache_dir = Path(settings.cache_dir).expanduser()
    if config.reward is not None:
        rewards.check(config.reward, cache_dir)
    with closing(ResponseCache(cache_dir / "answers.sqlite")) as cache:
        answers = None if this.folder.responses.exists() else Answers(config, prompt_set, cache)
        models = answers.models_asked if answers else {}
        engines = Engines(models, (), cache_dir, settings.serve_port, this.console)
        parts = plan.of_run(config, engines.served)
        with connected(settings.address, placement.needed(parts, "CPU"), ceil(placement.needed(parts, "GPU"))):
            plan.tell(parts, this.console)
            try:
                engines.app()  # which takes a minute or two to come up
                ranking = RankingActor.options(**ON_HEAD).remote(this.folder.path)  # type: ignore[attr-defined]  # by ray.remote
                actor = CohortActor.options(num_cpus=settings.cpus_per_cohort, **SPREAD)  # type: ignore[attr-defined]
                cohorts = [actor.remote(this.folder.path) for _ in range(settings.cohorts)]
                if answers:
                    _answer(this, answers, prompt_set, Asking(cohorts, engines, cache, this.console))
            finally:
                engines.stop()
            _voted_and_compared(this, CohortPool(cohorts), ranking)


def _voted_and_compared(this: Run, pool: CohortPool, ranking: ActorHandle) -> None:
    """From the answers to the table."""
    config, electorate = this.config, founding.of_run(this.folder)
    _write_personas(this, electorate)
    trainings = None if config.reward is None else Trainings(electorate, config.reward, this.folder)
    _vote(this, electorate, pool, ranking, trainings)
    if trainings is not None:
        with this.stage("reward") as counts:
            trainings.finish(this.console, counts)
    with this.stage("evaluate") as counts:
        comparison = evaluate.compare(electorate, pool, ranking, this.folder, this.console)
        counts["users"] = comparison.users
    summary.write(this.folder, comparison, this.manifest)


def _answer(this: Run, answers: Answers, prompt_set: PromptSet, asking: Asking) -> None:
    with this.stage("answers") as counts:
        counts["asked"] = answers.gather(asking)
        if counts["asked"]:
            counts["requests"], counts["sent_again"] = asking.asked, dict(asking.sent_again)
        table = answers.table()
        counts["answers"], counts["failed"] = table.num_rows, table.num_rows - table["error"].null_count
        failed = set(table.filter(table["error"].is_valid())["prompt_id"].to_pylist())
        files.write_table(this.folder.prompts, prompt_set.leaving_out(failed).table())
        contestants = len(this.config.contestants)
        raw = features.measure([text or "" for text in table["response"].to_pylist()])
        raw = raw.reshape(-1, contestants, len(features.AXES))
        # A prompt that was left out has answers missing, which must not move the others' scale.
        used, z = np.array([i not in failed for i in range(len(raw))]), np.zeros_like(raw)
        z[used] = features.standardise(raw[used])
        files.write_table(this.folder.features, _features_table(table, z))
        # Last, since its being there says that this stage is done.
        files.write_table(this.folder.responses, table)


def _features_table(responses: pa.Table, z: np.ndarray) -> pa.Table:
    flat = z.reshape(-1, len(features.AXES))
    columns = {axis: pa.array(flat[:, i]) for i, axis in enumerate(features.AXES)}
    return pa.table({"prompt_id": responses["prompt_id"], "contestant": responses["contestant"]} | columns)


def _write_personas(this: Run, electorate: Electorate) -> None:
    with this.stage("personas") as counts:
        counts["personas"] = electorate.population.size
        if this.folder.personas.exists():
            return
        with (
            files.replacing(this.folder.personas) as path,
            bar(this.console, "Drawing personas", electorate.blocks) as advance,
        ):
            tables = (personas.draw(electorate, b).table(electorate.archetypes) for b in range(electorate.blocks))
            first = next(tables)
            with pq.ParquetWriter(path, first.schema, compression="zstd") as writer:
                writer.write_table(first)
                advance()
                for table in tables:
                    writer.write_table(table)
                    advance()


def _vote(this: Run, electorate: Electorate, pool: CohortPool, ranking: ActorHandle, trainings: Trainings | None) -> None:
    """Every block of every round that the log lacks, each by whichever cohort is free. Trainings are told of each round."""
    log, settings, blocks = VoteLog(this.folder.votes, this.config.contestant_names), this.config.votes, electorate.blocks
    rounds = range(len(settings.checkpoints))
    missing = [sorted(set(range(blocks)).difference(log.blocks(round_))) for round_ in rounds]
    asks_back = settings.pairing == "active" or settings.stop_at_tau is not None
    with this.stage("votes") as counts:
        total = len(rounds) * blocks
        with bar(this.console, "Voting (blocks)", total, total - sum(map(len, missing))) as advance:

            def judge(todo: list[tuple[int, int]], prior: Prior | None) -> None:
                shared = ray.put(prior)
                begun = time.monotonic()
                for (of, block), votes in pool.run(todo, lambda actor, place: actor.judge.remote(*place, shared, ranking)):
                    seconds = round(time.monotonic() - begun, 3)
                    LOG.info("block judged", extra={"round": of, "block": block, "votes": votes, "seconds": seconds})
                    advance()

            for round_ in rounds:
                # Where pairs are chosen, what is asked next hangs on all the votes before it.
                known = asks_back and round_ and missing[round_]
                prior = systems.prior_for_asking(electorate, pool, ranking, round_ - 1) if known else None
                judge([(round_, block) for block in missing[round_]], prior)
                if trainings is not None:
                    trainings.votes_are_in(round_)
        cast = ray.get(ranking.votes_by_round.remote())
        counts["votes"] = int(cast.sum())
        counts["votes_a_persona"] = [round(float(n), 3) for n in np.cumsum(cast) / electorate.population.size]
