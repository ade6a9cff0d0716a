"""Votes of people from the file to the verdict, the report and rankings served by name."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from electorate.base.errors import ElectorateError
from electorate.base.progress import unshown
from electorate.evaluation import people as comparison
from electorate.online import base as bases
from electorate.online import begin, export
from electorate.population import people
from electorate.storage.run_folder import RunFolder
from simulations import cli
from tests.electorate.commands.test_human import made
from tests.serve.local import LocalService
from tests.simulations.test_row_order import shuffle

pytestmark = pytest.mark.usefixtures("few_folds")


def compared(folder: Path, **spread: float) -> RunFolder:
    """People with these differences, compared."""
    made(folder / "v.parquet", users=24, each=100, **spread)
    assert cli.main(["human", str(folder / "v.parquet"), "--out", str(folder / "people")]) == 0
    return RunFolder(folder / "people")


@pytest.fixture(scope="module")
def differing(few_folds: None, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
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
    assert report.index(verdict[:60]) < report.index("From how many votes on")
    assert "of 24 people are said to have another one" in report
    assert report.count("<svg") == 2  # the learning curve, and calibration
    differing.report.unlink()
    assert cli.main(["report", str(differing.path)]) == 0
    assert differing.report.read_text() == report


def config_of(votes: Path, place: Path, cohorts: int = 0) -> Path:
    """A config of people's votes."""
    content = {
        "voters": {"kind": "people", "votes": str(votes)},
        "cluster": {"cohorts": cohorts, "cpus_per_cohort": 0.25},
    }
    place.write_text(yaml.safe_dump(content))
    return place


def tables(folder: RunFolder) -> dict[str, pa.Table]:
    """What a study found, by file."""
    path = Path(str(folder.path))
    return {
        str(file.relative_to(path)): pq.read_table(file) for file in sorted(path.rglob("*.parquet"))
    }


def test_a_run_of_people_is_what_human_makes_and_goes_on_where_it_was_stopped(
    differing: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    votes = Path(str(differing.path)).parent / "v.parquet"
    config = config_of(votes, tmp_path / "people.yaml")
    arguments = ["run", str(config), "--out", str(tmp_path / "run")]

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(comparison, "predict", stopped)
        assert cli.main(arguments) == 130
    log = tmp_path / "run" / "votes" / "round=0" / "block=0.parquet"
    written = log.stat().st_mtime_ns
    assert cli.main([*arguments, "--resume"]) == 0
    assert log.stat().st_mtime_ns == written
    found = tables(RunFolder(tmp_path / "run"))
    assert found == tables(differing)
    assert set(found) >= {"metrics.parquet", "gains.parquet", "calibration.parquet"}


def test_a_file_that_changed_meanwhile_is_another_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    votes = tmp_path / "v.parquet"
    made(votes, users=8, each=40)
    config = config_of(votes, tmp_path / "people.yaml")
    arguments = ["run", str(config), "--out", str(tmp_path / "run"), "--resume"]
    assert cli.main(arguments) == 0
    pq.write_table(pq.read_table(votes).slice(1), votes)
    capsys.readouterr()
    assert cli.main(arguments) == 2
    assert "holds a run of another config" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ("contestants=[{name: a, model: m}]", "contestants: people voted already"),
        ("models={m: {engine: recorded, responses: r}}", "models: people voted already"),
        ("evaluation.persona=coder", "evaluation.persona: people are of no archetype"),
        ("votes.pairing=active", "votes: pairing: active and stop_at_tau are for planted voters"),
        (
            "population={size: 5, archetypes: {a: {}}}",
            "population: is for planted voters, and voters.kind is",
        ),
        ("voters.votes=nowhere.csv", "nowhere.csv: no such file"),
    ],
)
def test_what_does_not_go_with_peoples_votes_is_one_line(
    changes: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made(tmp_path / "v.parquet", users=5, each=20)
    config = config_of(tmp_path / "v.parquet", tmp_path / "people.yaml")
    out = str(tmp_path / "out")
    assert cli.main(["run", str(config), "--set", changes, "--out", out]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


def test_a_sweep_over_peoples_votes_is_refused_before_it_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made(tmp_path / "v.parquet", users=5, each=20)
    config = config_of(tmp_path / "v.parquet", tmp_path / "people.yaml")
    over = ["--over", "ratings.ties=half,davidson", "--out", str(tmp_path / "out")]
    assert cli.main(["sweep", str(config), *over]) == 2
    assert "people's votes are as they are" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("spread", "says"), [({}, ("No", "Not known yet")), ({"tie_sd": 1.0}, ("In part",))]
)
def test_what_is_no_ranking_of_ones_own_is_called_none(
    spread: dict[str, float], says: tuple[str, ...], tmp_path: Path
) -> None:
    folder = compared(tmp_path, **spread)
    assert folder.read_manifest()["verdict"].startswith(says)


def test_their_rankings_are_served_by_name_and_erased(
    folder: RunFolder, differing: RunFolder
) -> None:
    (Path(str(folder.path)).parent / "v.parquet").unlink()  # the folder has all that is served
    service = LocalService(bases.of_folder(Path(str(folder.path))))
    store = service.counter.store
    begin.take_in(service.counter.base, store, unshown)
    assert len(store.users.above().name) == 24
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
    assert "17" not in store.users.above().name
    assert "17" not in pq.read_table(folder.people)["user_id"].to_pylist()
    assert "17" not in pq.read_table(folder.who_gains)["user_id"].to_pylist()
    assert "17" not in pq.read_table(folder.personas)["name"].to_pylist()
    whole = people.votes_of_run(differing)
    kept = people.votes_of_run(folder)
    gone = whole.user_names.index("17")
    assert len(kept) == len(whole) - 100
    assert gone not in kept.user
    assert gone not in pq.read_table(folder.users / "block=0.parquet")["user_id"].to_pylist()


def test_who_is_kept_under_a_hashed_id_is_erased_by_its_own(
    folder: RunFolder, tmp_path: Path
) -> None:
    service = LocalService(bases.of_folder(Path(str(folder.path)), tmp_path / "ids.key"))
    store = service.counter.store
    begin.take_in(service.counter.base, store, unshown)
    assert "17" not in store.users.above().name
    assert service.rankings.of_user(service.counter.snapshot(), "17").votes == 100
    known = export.of_user(service.counter.base, store, "17")
    assert known is not None
    rows = {name: len(own) for name, own in known["tables"].items()}
    tables = {"people.parquet": 6, "who_gains.parquet": 1, "personas.parquet": 1}
    assert rows == tables | {"block=0.parquet": 1}
    json.dumps(known, allow_nan=False)
    store.erase("17", "test")
    assert service.counter.base.kept_elsewhere("17") == {}
    for place, column in ((folder.people, "user_id"), (folder.personas, "name")):
        names = pq.read_table(place)[column].to_pylist()
        assert "17" not in names
        assert "16" in names


def test_the_order_of_rows_means_nothing(
    folder: RunFolder, differing: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    shuffled = sorted(Path(str(folder.path)).rglob("*.parquet"))
    assert len(shuffled) >= 11
    for seed, path in enumerate(shuffled):
        shuffle(path, seed)
    found = []
    for one in (folder, differing):
        capsys.readouterr()
        assert cli.main(["report", str(one.path)]) == 0
        place = str(Path(str(one.path)).parent)
        texts = (capsys.readouterr().out, one.report.read_text())
        votes = people.votes_of_run(one)
        found.append(
            (
                *(text.replace(place, "") for text in texts),
                votes.by_battle(len(votes.models)).tolist(),
            )
        )
    for one, other in zip(*found, strict=True):
        assert one == other


def test_votes_with_times_are_taken_in_their_order_whatever_the_files(tmp_path: Path) -> None:
    made(tmp_path / "sorted.parquet", users=12, each=60, offset_sd=1.0)
    table = pq.read_table(tmp_path / "sorted.parquet")
    order = np.random.default_rng(0).permutation(len(table))
    first = np.datetime64("2026-01-01T00:00:00")
    when = [str(first + np.timedelta64(minute, "m")) for minute in range(len(table))]
    timed = table.append_column("tstamp", pa.array(when)).take(order)
    pq.write_table(timed, tmp_path / "timed.parquet")
    pq.write_table(table.take(order), tmp_path / "shuffled.parquet")
    found = {}
    for name in ("sorted", "timed", "shuffled"):
        out = tmp_path / name
        assert cli.main(["human", str(tmp_path / f"{name}.parquet"), "--out", str(out)]) == 0
        found[name] = pq.read_table(RunFolder(out).gains).to_pylist()
    assert found["timed"] == found["sorted"]
    assert found["shuffled"] != found["sorted"]


def as_it_once_was(folder: RunFolder) -> Path:
    """Makes it what `human` wrote before it was a run; returns the place of its votes."""
    path = Path(str(folder.path))
    for name in ("votes", "ratings/users"):
        shutil.rmtree(path / name)
    for name in ("config.yaml", "personas.parquet", "prompts.parquet", "findings.json"):
        (path / name).unlink()
    folder.calibration.unlink()
    manifest = folder.read_manifest()
    del manifest["config_hash"]
    folder.write_manifest({**manifest, "kind": "human"})
    return path.parent / "v.parquet"


def test_what_human_wrote_before_it_was_a_run_is_shown_and_served(
    folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    place = as_it_once_was(folder)
    assert cli.main(["report", str(folder.path)]) == 0
    assert "elo_offset" in capsys.readouterr().out
    assert "of 24 people are said to have another one" in folder.report.read_text()
    service = LocalService(bases.of_folder(Path(str(folder.path))))
    begin.take_in(service.counter.base, service.counter.store, unshown)
    assert len(service.counter.store.users.above().name) == 24
    assert cli.main(["human", str(place), "--out", str(folder.path)]) == 2
    assert "holds a comparison that is no run" in capsys.readouterr().err


def test_votes_that_are_gone_or_changed_are_one_line(folder: RunFolder) -> None:
    place = as_it_once_was(folder)
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
    assert "From how many votes on" not in (tmp_path / "out" / "report.html").read_text()
