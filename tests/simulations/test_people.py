"""Votes of people from the file to the verdict, the report and rankings served by name."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from electorate.base.errors import ElectorateError
from electorate.base.progress import unshown
from electorate.online import base as bases
from electorate.online import begin
from electorate.storage.run_folder import RunFolder
from simulations import cli
from tests.electorate.commands.test_human import made
from tests.serve.local import LocalService


def compared(folder: Path, **spread: float) -> RunFolder:
    """People with these differences, compared."""
    made(folder / "v.parquet", users=24, each=100, **spread)
    assert cli.main(["human", str(folder / "v.parquet"), "--out", str(folder / "people")]) == 0
    return RunFolder(folder / "people")


@pytest.fixture(scope="module")
def differing(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return compared(tmp_path_factory.mktemp("differing"), offset_sd=1.0)


@pytest.fixture
def folder(differing: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy of it, beside its votes."""
    shutil.copytree(Path(str(differing.path)).parent, tmp_path / "copy")
    copy = RunFolder(tmp_path / "copy" / "people")
    votes = {"votes": str(tmp_path / "copy" / "v.parquet")}
    copy.write_manifest({**copy.read_manifest(), **votes})
    return copy


def test_a_new_user_gains_with_every_vote_where_people_differ(differing: RunFolder) -> None:
    gains = [
        (row["votes_per_user"], row["value"], row["ci_high"])
        for row in pq.read_table(differing.gains).to_pylist()
        if (row["users"], row["system"], row["metric"]) == ("unseen", "elo_offset", "log_loss")
    ]
    known, values, highs = zip(*sorted(gains), strict=True)
    assert known == (0, 2, 5, 10, 20, 50)
    # Nothing of a user's own votes is in what is known of it by none.
    assert abs(values[0]) < 0.02
    assert values[-1] < values[2] < values[0]
    assert highs[-1] < 0
    verdict = differing.read_manifest()["verdict"]
    assert verdict.startswith("Yes: System A predicts these people better than the global ranking")
    assert "more winners picked of 100 pairs. A new user gains from" in verdict


def test_the_report_answers_first_and_says_for_whom(
    differing: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    report = differing.report.read_text()
    verdict = differing.read_manifest()["verdict"]
    assert report.index(verdict[:60]) < report.index("A new user, from vote to vote")
    assert "of 24 people are said to have another one" in report
    assert report.count("<svg") == 1
    differing.report.unlink()
    assert cli.main(["report", str(differing.path)]) == 0
    assert differing.report.read_text() == report


@pytest.mark.parametrize(
    ("spread", "says"), [({}, ("No", "Not known yet")), ({"tie_sd": 1.0}, ("In part",))]
)
def test_what_is_no_ranking_of_ones_own_is_called_none(
    spread: dict[str, float], says: tuple[str, ...], tmp_path: Path
) -> None:
    folder = compared(tmp_path, **spread)
    assert folder.read_manifest()["verdict"].startswith(says)


def test_their_rankings_are_served_by_name_and_erased(folder: RunFolder) -> None:
    service = LocalService(bases.of_folder(Path(str(folder.path))))
    store = service.counter.store
    begin.take_in(service.counter.base, store, unshown)
    assert len(store.users().name) == 24
    snapshot = service.counter.snapshot()
    assert snapshot.models == tuple(f"m{i}" for i in range(6))
    own = pq.read_table(folder.people).to_pylist()
    served = service.rankings.of_user(snapshot, "17")
    assert (served.personal, served.votes, served.system) == (True, 100, "elo_offset")
    expected = {row["model"]: row["rating"] for row in own if row["user_id"] == "17"}
    # The boards cap a user's votes, so that the ratings others are drawn toward differ a little.
    for entry in served.ranking:
        assert entry.rating == pytest.approx(expected[entry.model], abs=15)

    # Again it takes nothing, and who is erased stays so.
    version = store.fact("version")
    store.erase("17", "test")
    begin.take_in(service.counter.base, store, unshown)
    assert store.fact("version") == version + 1
    assert "17" not in store.users().name
    assert "17" not in pq.read_table(folder.people)["user_id"].to_pylist()


def test_votes_that_are_gone_or_changed_are_one_line(folder: RunFolder) -> None:
    place = Path(str(folder.path)).parent / "v.parquet"
    service = LocalService(bases.of_folder(Path(str(folder.path))))
    pq.write_table(pq.read_table(place).slice(1), place)
    for _ in range(2):
        with pytest.raises(ElectorateError, match="are gone or changed; put the file back"):
            begin.take_in(service.counter.base, service.counter.store, unshown)
        place.unlink(missing_ok=True)


def test_a_stop_among_the_votes_taken_in_is_made_good(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = LocalService(bases.of_folder(Path(str(folder.path))))
    store = service.counter.store
    monkeypatch.setattr(begin, "AT_ONCE", 100)
    add = store.add
    calls = iter(range(100))

    def failing(batches: object) -> object:
        if next(calls) == 3:
            raise KeyboardInterrupt
        return add(batches)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "add", failing)
    with pytest.raises(KeyboardInterrupt):
        begin.take_in(service.counter.base, store, unshown)
    monkeypatch.setattr(store, "add", add)
    begin.take_in(service.counter.base, store, unshown)
    assert store.unfolded()[1].num_rows == 2400


def test_few_people_have_no_curve_and_are_told_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = {
        "user_id": np.arange(40) % 3,
        "prompt_id": np.arange(40) // 3,
        "model_a": ["x"] * 40,
        "model_b": ["y"] * 40,
        "winner": ["model_a", "model_b"] * 20,
    }
    pq.write_table(pa.table(columns), tmp_path / "v.parquet")
    assert cli.main(["human", str(tmp_path / "v.parquet"), "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "no learning curve: 3 users; at least 5 are needed" in printed
    assert "A new user, from vote to vote" not in (tmp_path / "out" / "report.html").read_text()
