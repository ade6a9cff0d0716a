"""A place is a folder or an object store: the same words, the same results; and what happens
when the store is away.
"""

import json
import pickle
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from electorate.base.errors import ElectorateError, StorageError
from electorate.storage import files, lock, places
from electorate.storage.places import ObjectPath, Place, place
from electorate.storage.run_folder import RunFolder
from tests.stores import Store, serving


@pytest.fixture(scope="module", params=["s3", "gs"])
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    with serving(request.param, tmp_path_factory.mktemp("store")) as found:
        yield found


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer tries than a run has."""
    monkeypatch.setattr(places, "PAUSES_S", (0.5, 2.0))


def same(store: Store, tmp_path: Path, key: str) -> list[Place]:
    return [tmp_path / key, store.place(key)]


def test_both_kinds_are_written_read_and_listed_alike(store: Store, tmp_path: Path) -> None:
    votes = pa.table({"a": [1, 2, 3], "b": ["x", "y", "x"]})
    told = []
    for where in same(store, tmp_path, "run=1/a b"):
        assert not where.exists()
        assert not where.is_dir()
        assert places.listing(where) == {}
        files.write_text(where / "text.json", "ä")
        files.write_table(where / "votes" / "block=0.parquet", votes)
        files.write_arrays(where / "read.npz", x=np.arange(3), y=np.float64(2.0))
        assert files.read_table(where / "votes" / "block=0.parquet", ["b"]).equals(
            votes.select(["b"])
        )
        assert files.read_arrays(where / "read.npz")["x"].tolist() == [0, 1, 2]
        written = places.listing(where)["text.json"]
        assert abs(written - time.time()) < 60
        with files.local(where) as here:
            assert sorted(path.relative_to(here).as_posix() for path in here.rglob("*")) == [
                "read.npz",
                "text.json",
                "votes",
                "votes/block=0.parquet",
            ]
        files.copy(where, where / "again")
        told.append(
            [
                (where / "text.json").read_text(encoding="utf-8"),
                sorted(path.name for path in where.iterdir()),
                [path.name for path in where.glob("*.npz")],
                (where / "again" / "votes").is_dir(),
                (where / "votes").exists(),
                (where / "again" / "votes" / "block=0.parquet").read_bytes()
                == (where / "votes" / "block=0.parquet").read_bytes(),
                where.name,
                where.parent.name,
            ]
        )
        (where / "text.json").unlink()
        (where / "text.json").unlink(missing_ok=True)
        with pytest.raises(FileNotFoundError):
            (where / "text.json").read_text(encoding="utf-8")
        with pytest.raises(FileNotFoundError):
            (where / "text.json").unlink()
        with pytest.raises(ElectorateError, match="not a readable Parquet file"):
            files.read_table(where / "text.json")
    assert told[0] == told[1]


def test_a_damaged_object_is_no_reason_to_wait(store: Store) -> None:
    where = store.place("damaged.parquet")
    where.write_buffer(b"PAR1 rubbish PAR1")
    begun = time.monotonic()
    with pytest.raises(ElectorateError, match="not a readable Parquet file"):
        files.read_table(where)
    assert time.monotonic() - begun < 10


def test_a_block_that_fails_leaves_the_object_as_it_was(store: Store) -> None:
    where = store.place("kept.txt")
    files.write_text(where, "before")

    def interrupted() -> None:
        with files.replacing(where) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert where.read_text("utf-8") == "before"


def test_a_place_travels_to_another_process_and_back_from_its_uri(store: Store) -> None:
    where = store.place("a") / "b"
    where.write_buffer(b"x")
    assert pickle.loads(pickle.dumps(where)) == where
    assert place(where.uri) == where
    assert "endpoint" not in str(where)
    assert where.absolute().is_absolute()


def test_a_store_that_is_away_for_moments_is_waited_for(
    store: Store, quick: None, caplog: pytest.LogCaptureFixture
) -> None:
    where = store.place("waited.txt")
    where.write_buffer(b"before")
    store.connection.cut()
    threading.Timer(2.0, store.connection.mend).start()
    assert where.read_bytes() == b"before"
    assert all(
        "does not answer, asked again in" in record.getMessage() for record in caplog.records
    )


def test_a_store_that_stays_away_is_one_line_and_the_next_asked_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "PAUSES_S", (0.5,))
    where = store.place("lost.txt")
    where.write_buffer(b"before")
    store.connection.cut()
    try:
        with pytest.raises(StorageError, match=r"lost.txt: the object store: ") as found:
            files.write_text(where, "after")
        assert "\n" not in str(found.value)
        begun = time.monotonic()
        with pytest.raises(ElectorateError):
            where.exists()
        assert time.monotonic() - begun < 15
    finally:
        store.connection.mend()
    assert where.read_bytes() == b"before"
    # And is waited for again.
    store.connection.cut()
    threading.Timer(2.0, store.connection.mend).start()
    assert where.exists()


def test_no_bucket_is_one_line_at_once(store: Store) -> None:
    where = place(store.uri("x").replace("electorate/", "nobodys-bucket/"))
    begun = time.monotonic()
    with pytest.raises(ElectorateError, match="nobodys-bucket/x"):
        files.write_text(where, "x")
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("http://host/run", r"allowed are a path and s3://BUCKET/KEY, gs://BUCKET/KEY"),
        ("s3://", r"allowed are a path and s3://"),
        ("s3://bucket", r"names no folder in the bucket; give s3://bucket/KEY"),
        ("s3://bucket/../other", r"names no folder"),
        ("s3://name:secret@bucket/run", r"^s3://bucket: no keys in a URI; .*AWS_ACCESS_KEY_ID"),
    ],
)
def test_what_is_no_place_is_one_line(text: str, says: str) -> None:
    with pytest.raises(ElectorateError, match=says):
        place(text)


def test_an_option_that_no_store_has_is_one_line() -> None:
    with pytest.raises(ElectorateError, match=r"s3://bucket: .*colour"):
        place("s3://bucket/run?colour=red").exists()


def test_paths_stay_paths(tmp_path: Path) -> None:
    assert place("runs/x") == Path("runs/x")
    assert place(f"file://{tmp_path}/x") == tmp_path / "x"


def test_one_run_at_a_time(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "BEAT_S", 0.3)
    monkeypatch.setattr(lock, "WATCHED_S", 4.0)
    for where in same(store, tmp_path, "locked"):
        assert not lock.is_held(where)
        with lock.held(where):
            assert lock.is_held(where)
            with (
                pytest.raises(ElectorateError, match="another run is writing here"),
                lock.held(where),
            ):
                pass
            assert lock.is_held(where)
        assert not lock.is_held(where)
        with lock.held(where):
            RunFolder(where).require_empty()  # a lock is nothing


def test_a_lock_whose_holder_was_killed_is_taken_over(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "WATCHED_S", 3.0)
    where = store.place("killed")
    (where / lock.LOCK).write_buffer(b"host 1 abc 7")
    with lock.held(where):
        assert (where / lock.LOCK).read_bytes() != b"host 1 abc 7"


def test_a_lock_is_kept_while_the_store_is_away(
    store: Store, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "BEAT_S", 0.2)
    monkeypatch.setattr(lock, "WATCHED_S", 8.0)
    where = store.place("away")
    with lock.held(where):
        store.connection.cut()
        time.sleep(1.0)
        store.connection.mend()
        assert lock.is_held(where)
    assert isinstance(where, ObjectPath)
    assert not (where / lock.LOCK).exists()


def test_an_object_that_is_replaced_meanwhile_is_read_whole(store: Store) -> None:
    where = store.place("history.json")
    contents = ["[1]", json.dumps(list(range(2000))), "[2, 3]", json.dumps(list(range(5000)))]
    files.write_text(where, contents[0])
    done = threading.Event()

    def replace() -> None:
        while not done.is_set():
            for content in contents:
                files.write_text(where, content)

    writer = threading.Thread(target=replace)
    writer.start()
    try:
        found = {where.read_text(encoding="utf-8") for _ in range(30)}
    finally:
        done.set()
        writer.join()
    assert found <= set(contents)
    assert len(found) > 1
