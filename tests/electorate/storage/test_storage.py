import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import dataset

from electorate.base.errors import ElectorateError, StorageError
from electorate.config import config_file
from electorate.data import run_files
from electorate.storage import files, lock
from electorate.storage.response_cache import ResponseCache
from electorate.storage.run_folder import RunFolder
from electorate.storage.vote_log import VoteLog
from electorate.study.cohort import Cohort
from tests.conftest import ROOT, made_config
from tests.electorate.population.test_personas import made_electorate


def test_a_file_that_fails_half_way_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    files.write_text(path, "old")

    def fail_half_way() -> None:
        with files.replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    with (
        pytest.raises(StorageError, match=r"a.txt: cannot be written: No space left"),
        files.replacing(tmp_path / "a.txt"),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "other columns"])
def test_a_damaged_vote_file_is_named(tmp_path: Path, damage: str) -> None:
    electorate = made_electorate(made_config(votes={"checkpoints": [2]}))
    log = VoteLog(tmp_path / "votes", electorate.config.contestant_names)
    Cohort(electorate, RunFolder(tmp_path)).judge(0, 0)
    path = log.path(0, 0)
    if damage == "other columns":
        files.write_table(path, pa.table({"user_id": [1]}))
    else:
        path.write_bytes(
            {"truncated": path.read_bytes()[:-50], "empty": b"", "text": b"votes"}[damage]
        )
    with pytest.raises(StorageError, match=r"block=0.parquet: not a .*made again") as caught:
        log.read(0, 0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("model_a", 77, "model_a must be from 0 to 5, not from 0 to 77"),
        ("model_b", -1, "model_b must be from 0 to 5, not from -1"),
        ("outcome", 9, "outcome must be from 0 to 3"),
        ("outcome", None, "with 1 missing"),
        ("first_shown", 2, "first_shown must be from 0 to 1"),
        ("model_b", "same", "a model is set against itself"),
    ],
)
def test_votes_that_nobody_can_have_cast_are_named(
    tmp_path: Path, column: str, value: int | str | None, expected: str
) -> None:
    electorate = made_electorate(made_config(votes={"checkpoints": [2]}))
    cohort = Cohort(electorate, RunFolder(tmp_path))
    log = VoteLog(tmp_path / "votes", electorate.config.contestant_names)
    cohort.judge(0, 0)
    votes = log.read(0, 0)
    values = votes[column].to_pylist()
    values[3] = votes["model_a"][3].as_py() if value == "same" else value
    place = votes.schema.get_field_index(column)
    files.write_table(
        log.path(0, 0),
        votes.set_column(
            place, votes.schema.field(column), pa.array(values, votes.schema.field(column).type)
        ),
    )
    with pytest.raises(ElectorateError, match=expected) as caught:
        cohort.logged(0, 0, np.arange(5), 0)
    assert "block=0.parquet" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_log_opens_as_a_hive_partitioned_dataset(tmp_path: Path) -> None:
    electorate = made_electorate(made_config(votes={"checkpoints": [2, 5]}))
    cohort = Cohort(electorate, RunFolder(tmp_path))
    for round_ in (0, 1):
        cohort.judge(round_, 0)
    votes = dataset.dataset(tmp_path / "votes", partitioning="hive").to_table()
    assert votes.num_rows == 5 * 300
    assert {"round", "user_id", "p_tie", "judge"} <= set(votes.column_names)
    assert sorted(set(votes["step"].to_pylist())) == [0, 1, 2, 3, 4]
    assert votes.schema.metadata[b"contestants"].startswith(b'["c0"')


def test_answers_outlive_the_process_and_the_first_stays(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "answers.sqlite"
    cache = ResponseCache(path)
    cache.put("k", {"text": "first"})
    cache.put("k", {"text": "second"})
    cache.close()
    again = ResponseCache(path)
    assert again.get(["k", "other"]) == {"k": {"text": "first"}}
    again.close()


def test_a_cache_that_is_no_database_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "answers.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(ElectorateError, match="cache cannot be opened"):
        ResponseCache(tmp_path / "answers.sqlite")


def test_a_folder_is_claimed_by_one_config_and_one_process(tmp_path: Path) -> None:
    config = made_config()
    folder = RunFolder(tmp_path / "run")
    with lock.held(folder.path):
        assert run_files.claim(folder, config, resume=False) is None
        folder.write_manifest({"status": "stopped", "config_hash": config.digest()})
        with pytest.raises(ElectorateError, match="unfinished run of this config; add --resume"):
            run_files.claim(folder, config, resume=False)
        assert run_files.claim(folder, config, resume=True) is not None
        with pytest.raises(ElectorateError, match="holds a run of another config"):
            run_files.claim(folder, made_config(seed=5), resume=True)
        code = (
            "import sys, pathlib, electorate.storage.lock as l\nwith "
            "l.held(pathlib.Path(sys.argv[1])): pass"
        )
        other = subprocess.run(
            [sys.executable, "-c", code, folder.path],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "another run is writing here" in other.stderr


def test_a_run_of_an_earlier_version_is_known_by_its_config(old: Path) -> None:
    """Its manifest's hash was taken otherwise: what the config says decides."""
    folder = RunFolder(old / "run")
    config = config_file.load(folder.config)
    assert folder.read_manifest()["config_hash"] != config.digest()
    assert run_files.claim(folder, config, resume=False) is not None
    with pytest.raises(ElectorateError, match="holds a run of another config"):
        run_files.claim(folder, config.model_copy(update={"seed": 5}), resume=True)


def test_what_a_later_version_wrote_is_one_line(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_manifest({"format": 99, "status": "complete"})
    with pytest.raises(
        ElectorateError,
        match=r"written by a later version of Electorate .format 99, this one reads up to 2",
    ):
        folder.read_manifest()
    log = VoteLog(tmp_path / "votes", ["a", "b"])
    later = log.schema.with_metadata({"format": "99"})
    files.write_table(log.path(0, 0), later.empty_table())
    with pytest.raises(ElectorateError, match=r"block=0\.parquet: was written by a later version"):
        log.read(0, 0)


def test_a_folder_with_foreign_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ElectorateError, match="holds files that are no run's"):
        run_files.claim(RunFolder(tmp_path), made_config(), resume=True)
    with pytest.raises(ElectorateError, match="not a run's folder"):
        RunFolder(tmp_path).read_manifest()
    with (
        pytest.raises(ElectorateError, match="cannot be written"),
        lock.held(tmp_path / "thesis.tex" / "run"),
    ):
        pass
