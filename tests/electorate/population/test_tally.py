from pathlib import Path

import numpy as np

from electorate.base.votes import BOTH_BAD, TIE, Votes
from electorate.population.tally import Counts, Tally
from electorate.population.voters import BLOCK
from electorate.storage.run_folder import RunFolder
from electorate.study.cohort import Cohort
from tests.conftest import made_config
from tests.electorate.population.test_personas import made_electorate, population


def test_votes_are_counted_once_in_any_order_and_again_from_the_log(tmp_path: Path) -> None:
    electorate = made_electorate(
        made_config(population=population(size=BLOCK + 100), votes={"checkpoints": [2, 5]})
    )
    cohort = Cohort(electorate, RunFolder(tmp_path))
    tally = Tally(electorate)
    backwards = Tally(electorate)
    parts = [(r, b, cohort.judge(r, b)) for r in (0, 1) for b in (0, 1)]
    for part in parts:
        assert tally.ingest(*part)
        assert not tally.ingest(*part)
    for part in reversed(parts):
        backwards.ingest(*part)
    rebuilt = Tally.from_log(electorate, tmp_path / "votes")
    assert tally.votes == 5 * (BLOCK + 100)
    for other in (backwards, rebuilt):
        assert np.array_equal(tally.counts(1), other.counts(1))
        assert np.array_equal(tally.counts(0, archetype=2), other.counts(0, archetype=2))
    assert np.array_equal(tally.counts(1), sum(tally.counts(1, k) for k in range(6)))


def test_a_blocks_votes_can_be_counted_anew(tmp_path: Path) -> None:
    """As if they had been cast as they are now: whatever was added, in whatever order."""
    electorate = made_electorate(
        made_config(population=population(size=200), votes={"checkpoints": [4]})
    )
    cohort = Cohort(electorate, RunFolder(tmp_path))
    tally = Tally(electorate)
    expected = Tally(electorate)
    before = cohort.judge(0, 0)
    tally.ingest(0, 0, before)
    after = Counts(before.place[::2], before.weight[::2] // 3)
    tally.revise(0, before, after)
    expected.ingest(0, 0, after)
    assert np.array_equal(tally.units(0), expected.units(0))


def test_both_bad_counts_as_a_tie() -> None:
    nobody = np.zeros(4, dtype=np.int64)
    votes = Votes(user=nobody, a=nobody, b=nobody + 1, outcome=np.array([0, 1, TIE, BOTH_BAD]))
    assert list(votes.outcome_of_3) == [0, 1, 2, 2]
    assert votes.by_battle(2)[0, 1].tolist() == [1, 1, 2]
