"""Votes into the ranking actor over Ray in batches, as ratios to one call a vote and to counting in one process."""

import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import ray

from actors.ranking import RankingActor
from cluster.session import connected
from electorate import founding, prompts
from electorate.cohort import Cohort
from electorate.config import Config
from electorate.config_file import dump
from electorate.features import AXES, standardise
from electorate.ratings.tally import Tally
from electorate.storage import files
from electorate.storage.run_folder import RunFolder

BLOCKS, VOTES, SINGLE = 12, 20, 1500


def _run_folder(path: Path) -> RunFolder:
    content = {
        "models": {"m": {"engine": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "m"}},
        "contestants": [{"name": f"c{i}", "model": "m"} for i in range(6)],
        "population": {"size": BLOCKS * 4096, "archetypes": {name: {} for name in ("coder", "academic")}},
        "votes": {"checkpoints": [VOTES]},
    }
    config, folder = Config.model_validate(content), RunFolder(path)
    chosen = prompts.select(config)
    z = standardise(np.random.default_rng(0).normal(size=(len(chosen), 6, len(AXES)))).reshape(-1, len(AXES))
    files.write_text(folder.config, dump(config))
    files.write_table(folder.prompts, chosen.table())
    files.write_table(folder.features, pa.table({axis: z[:, i] for i, axis in enumerate(AXES)}))
    return folder


def main() -> None:
    """Print votes a second, and the ratios."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = _run_folder(Path(scratch) / "run")
        electorate = founding.of_run(folder)
        cohort = Cohort(electorate, Path(scratch) / "votes")
        tables = [cohort.judge(0, block) for block in range(BLOCKS)]
        total = sum(table.num_rows for table in tables)

        tally, start = Tally(electorate), time.perf_counter()
        for block, table in enumerate(tables):
            tally.ingest(0, block, table)
        in_process = total / (time.perf_counter() - start)

        with connected(None, 1.0):
            ranking = RankingActor.remote(folder.path)  # type: ignore[attr-defined]
            ray.get(ranking.votes.remote())
            start = time.perf_counter()
            ray.get([ranking.ingest.remote(0, block, table) for block, table in enumerate(tables)])
            batched = total / (time.perf_counter() - start)
            single = RankingActor.remote(folder.path)  # type: ignore[attr-defined]
            one = tables[0].slice(0, 1)
            ray.get(single.ingest.remote(0, 0, one))
            start = time.perf_counter()
            ray.get([single.ingest.remote(0, 0, one) for _ in range(SINGLE)])
            by_call = SINGLE / (time.perf_counter() - start)
    print(f"votes into the ranking actor, {total:,} votes in {BLOCKS} blocks:")
    print(f"  batches {batched:,.0f}/s, one call a vote {by_call:,.0f}/s, counting in one process {in_process:,.0f}/s")
    print(f"  {batched / by_call:,.0f} times one call a vote; {batched / in_process:.2f} of counting in one process")
