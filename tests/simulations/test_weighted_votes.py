"""Weights of people's votes, from the file through the log to the ratings and the served board."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from electorate.base.errors import ElectorateError
from electorate.base.progress import unshown
from electorate.base.scale import Floats
from electorate.data import vote_files
from electorate.data.votes import NamedVotes, effective
from electorate.online import base as bases
from electorate.online import begin, voters
from electorate.online.counter import Counter
from electorate.population import people
from electorate.population.tally import Tally
from electorate.ratings import bradley_terry
from electorate.ratings.ties import MODELS
from electorate.storage import files
from electorate.storage.run_folder import RunFolder
from electorate.storage.vote_log import VoteLog
from simulations import cli
from tests.electorate.commands.test_human import made

pytestmark = pytest.mark.usefixtures("few_folds")
PRIOR_SD = 1000.0


def weighted(path: Path, weight: Floats) -> Path:
    """Votes of 12 people, 60 each, with these weights."""
    made(path, users=12, each=60, offset_sd=1.0)
    pq.write_table(pq.read_table(path).append_column("weight", pa.array(weight)), path)
    return path


def drawn(seed: int = 0) -> Floats:
    return np.random.default_rng(seed).choice([0.25, 0.5, 1.0, 3.0], 12 * 60)


def compared(file: Path) -> RunFolder:
    out = file.with_suffix("")
    assert cli.main(["human", str(file), "--out", str(out)]) == 0
    return RunFolder(out)


def served(path: Path) -> Counter:
    base = bases.of_folder(path)
    counter = Counter(base, base.open_store())
    begin.take_in(base, counter.store, unshown)
    return counter


def strengths(votes: NamedVotes) -> Floats:
    counts = votes.by_battle(len(votes.models))
    return bradley_terry.fit(counts, MODELS["davidson"], PRIOR_SD).strength


def of_boards(counter: Counter) -> Floats:
    counts = counter.snapshot().counts.sum(axis=0)
    return bradley_terry.fit(counts, MODELS["davidson"], PRIOR_SD).strength


def test_they_reach_the_log_everybodys_counts_and_the_board(tmp_path: Path) -> None:
    file = weighted(tmp_path / "votes.parquet", drawn())
    votes = effective(vote_files.read(file)[0])
    run = compared(file)
    # Everybody's counts are those of the weighted votes, and not of all votes alike.
    counted = Tally.from_log(people.of_run(run), run.votes).counts(0)
    assert counted == pytest.approx(votes.by_battle(len(votes.models)), abs=1e-4)
    assert counted.sum() == pytest.approx(votes.weight.sum(), abs=1e-2) != len(votes)
    # The log is as good as the file: what is compared again, or served, has the same votes.
    logged = people.votes_of_run(run)
    assert logged.by_battle(len(logged.models)) == pytest.approx(votes.by_battle(len(votes.models)))
    for path in (Path(str(run.path)), begin.folder_of(file, tmp_path / "served")):
        counter = served(path)
        everybody = counter.snapshot().counts.sum(axis=0)
        assert everybody == pytest.approx(counted, abs=1e-3)
        # In the log of online votes as in the database.
        counter.store.fold(counter.read().place)
        counter.begin_again()
        assert counter.snapshot().counts.sum(axis=0) == pytest.approx(everybody, abs=1e-9)


def test_a_user_erased_takes_its_weight_along(tmp_path: Path) -> None:
    file = weighted(tmp_path / "votes.parquet", drawn())
    votes = effective(vote_files.read(file)[0])
    others = votes.take(np.flatnonzero(votes.user != votes.user_names.index("7")))
    counter = served(begin.folder_of(file, tmp_path / "served"))
    counter.snapshot()
    shares = {one.name: one.share for one in voters.found(counter, counter.store, 99).users}
    own = np.bincount(votes.user, votes.weight) / votes.weight.sum()
    assert shares == pytest.approx(dict(zip(votes.user_names, own, strict=True)), abs=1e-4)
    counter.store.erase("7", "test")
    found = counter.snapshot().counts.sum(axis=0)
    assert found == pytest.approx(others.by_battle(len(others.models)), abs=1e-4)
    fresh = Counter(counter.base, counter.store).snapshot().counts.sum(axis=0)
    assert fresh == pytest.approx(found, abs=1e-9)


def test_their_unit_changes_nothing(tmp_path: Path) -> None:
    one = compared(weighted(tmp_path / "one.parquet", drawn()))
    other = compared(weighted(tmp_path / "other.parquet", 40 * drawn()))
    for place in ("people", "metrics", "gains"):
        tables = (pq.read_table(getattr(run, place)).to_pandas() for run in (one, other))
        pd.testing.assert_frame_equal(*tables, rtol=1e-6, atol=1e-9)


def test_votes_that_count_for_next_to_nothing_are_as_good_as_away(tmp_path: Path) -> None:
    weight = np.where(drawn() == 3, 1e-6, 1.0)
    votes = effective(vote_files.read(weighted(tmp_path / "votes.parquet", weight))[0])
    rest = votes.take(np.flatnonzero(weight == 1))
    counter = served(begin.folder_of(tmp_path / "votes.parquet", tmp_path / "served"))
    assert of_boards(counter) == pytest.approx(strengths(rest), abs=1e-3)
    assert np.abs(of_boards(counter) - strengths(votes.take(slice(0, 300)))).max() > 0.01


@pytest.mark.parametrize("wrong", [0.0, -1.0, np.inf])
def test_a_log_with_a_weight_that_is_none_is_one_line(tmp_path: Path, wrong: float) -> None:
    run = compared(weighted(tmp_path / "votes.parquet", drawn()))
    log = VoteLog(run.votes, people.of_run(run).config.contestant_names)
    table = log.read(0, 0)
    at = table.column_names.index("weight")
    weight = table["weight"].to_numpy().copy()
    weight[5] = wrong
    files.write_table(log.path(0, 0), table.set_column(at, "weight", pa.array(weight)))
    with pytest.raises(ElectorateError, match="weight must be a number above 0; remove it"):
        log.read(0, 0)
