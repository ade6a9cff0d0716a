"""Online votes are counted once, survive whatever stops the process, and can be forgotten."""

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from electorate.base.errors import (
    ConflictError,
    ElectorateError,
    LimitError,
    RequestError,
    UnknownNameError,
)
from electorate.online import base as bases
from electorate.online import database, folder_lock, rounds
from electorate.online.counter import Counter
from electorate.online.sent import Batch, Taken, Vote, as_persona
from electorate.online.store import VoteStore
from tests.conftest import ROOT


def votes(user: str, first: int, last: int, **changes: int) -> Batch:
    return Batch(
        "key", [Vote(f"v{i}", user, "a", "b", i % 4, **changes) for i in range(first, last)]
    )


def taken(store: VoteStore, *batches: Batch) -> list[Taken]:
    found = store.add(batches)
    assert all(isinstance(one, Taken) for one in found)
    return [one for one in found if isinstance(one, Taken)]


def folded(store: VoteStore) -> list[pa.Table]:
    return [store.round(n) for n in store.rounds]


def everything(store: VoteStore) -> int:
    return len(store.unfolded()[1]) + sum(len(votes) for votes in folded(store))


def fold(store: VoteStore) -> int:
    return store.fold(store.unfolded()[0])


def test_a_vote_sent_again_is_not_counted_again(tmp_path: Path) -> None:
    store = VoteStore(tmp_path)
    assert taken(store, votes("u", 0, 3), votes("v", 0, 3)) == [Taken(1, 3), Taken(1, 3)]
    # Two users may use the same ids; one user's are its own.
    assert taken(store, votes("u", 1, 5)) == [Taken(2, 2)]
    # The version of a repeat is that of the first time, so that whoever waits for it does not wait
    # for nothing.
    assert taken(store, votes("u", 0, 3)) == [Taken(1, 0)]
    assert len(store.unfolded()[1]) == 8


def test_the_log_has_what_was_folded_and_the_database_the_rest(tmp_path: Path) -> None:
    store = VoteStore(tmp_path, ["a", "b"], personas=5000)
    taken(store, votes("u", 0, 40, prompt=7), votes("17", 0, 4), votes("w", 0, 5))
    assert fold(store) == 49
    taken(store, votes("u", 40, 50), votes("u", 0, 3, prompt=7))
    assert (store.rounds, len(store.unfolded()[1])) == ((1,), 10)
    (log,) = folded(store)
    # Personas keep their numbers; others come after the last persona's block.
    assert log["user_id"].to_pylist() == [17] * 4 + [8192] * 40 + [8193] * 5
    assert log["outcome"].to_pylist()[4:8] == [0, 1, 2, 3]
    assert log["prompt_id"].to_pylist()[4] == 7
    assert min(log["at"].to_pylist()) > time.time() - 60
    store.close()
    again = VoteStore(tmp_path, ["a", "b"], personas=5000)
    assert taken(again, votes("u", 0, 40, prompt=7)) == [Taken(1, 0)]


def test_a_user_who_is_erased_leaves_nothing(tmp_path: Path) -> None:
    store = VoteStore(tmp_path)
    taken(store, votes("known-by-name", 0, 6), votes("other", 0, 6))
    fold(store)
    taken(store, votes("known-by-name", 6, 9))
    assert store.erase("nobody", "key") is None
    assert store.erase("known-by-name", "key") == 3
    assert [set(votes["user_id"].to_pylist()) for votes in folded(store)] == [{2}]
    assert store.users.above().name == ("other",)
    assert len(store.unfolded()[1]) == 0
    store.close()
    on_disk = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"known-by-name" not in on_disk
    # Who comes back is a new user.
    assert taken(VoteStore(tmp_path), votes("known-by-name", 0, 6))[0].new == 6


def test_an_erasure_that_was_cut_short_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = VoteStore(tmp_path)
    taken(store, votes("u", 0, 6), votes("w", 0, 6))
    fold(store)
    with monkeypatch.context() as context:
        context.setattr(VoteStore, "_finish_erasing", lambda *_: None)
        store.erase("u", "key")
    store.close()
    again = VoteStore(tmp_path)
    assert [set(votes["user_id"].to_pylist()) for votes in folded(again)] == [{2}]
    assert again.users.above().name == ("w",)


def test_a_fold_that_was_cut_short_counts_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = VoteStore(tmp_path)
    taken(store, votes("u", 0, 6))

    def die(*_: object) -> int:
        (tmp_path / "votes" / "round=1.arrow").write_bytes(b"half a round")
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(rounds, "write", die)
        with pytest.raises(KeyboardInterrupt):
            fold(store)
    assert (folded(store), len(store.unfolded()[1])) == ([], 6)
    taken(store, votes("u", 6, 8))
    store.close()
    again = VoteStore(tmp_path)
    # What nobody counts is gone.
    assert list((tmp_path / "votes").iterdir()) == []
    fold(again)
    assert [len(votes) for votes in folded(again)] == [8]


def test_rounds_are_merged_so_that_there_are_few(tmp_path: Path) -> None:
    store = VoteStore(tmp_path)
    sizes = []
    for turn in range(32):
        taken(store, votes(f"u{turn % 3}", 10 * turn, 10 * turn + 10))
        fold(store)
        sizes.append([len(votes) for votes in folded(store)])
    assert max(len(one) for one in sizes) <= 5
    assert sum(sizes[-1]) == 320
    for log in folded(store):
        assert np.all(np.diff(log["user_id"].to_numpy()) >= 0)
    assert len(list((tmp_path / "votes").iterdir())) == len(sizes[-1])


def test_a_fold_takes_what_was_counted_alone(tmp_path: Path) -> None:
    store = VoteStore(tmp_path)
    taken(store, votes("u", 0, 6))
    place, _ = store.unfolded()
    taken(store, votes("u", 6, 9))
    assert store.fold(place) == 6
    assert (len(store.unfolded()[1]), len(folded(store)[0])) == (3, 6)


def test_what_was_acknowledged_outlives_a_kill(tmp_path: Path) -> None:
    script = f"""
import sys
from electorate.online.sent import *
from electorate.online.store import *
from pathlib import Path
store = VoteStore(Path({str(tmp_path)!r}))
for i in range(100_000):
    store.add([Batch("k", [Vote(str(i), f"u{{i % 7}}", "a", "b", i % 3)])])
    print(i, flush=True)
    if i % 50 == 49:
        store.fold(store.unfolded()[0])
"""
    highest = 0
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        acknowledged = [
            int(process.stdout.readline())
            for _ in range(int(np.random.default_rng().integers(60, 160)))
        ]
        time.sleep(0.01)
        process.kill()
        acknowledged += [int(line) for line in process.stdout.read().splitlines() if line]
        process.wait()
        store = VoteStore(tmp_path)
        there = everything(store)
        highest = max(highest, *acknowledged)
        # The last one may have been on disk before its acknowledgement was.
        assert there in (highest + 1, highest + 2)
        highest = there - 1
        store.close()


def test_a_second_process_waits_for_the_first(tmp_path: Path) -> None:
    store = VoteStore(tmp_path)
    script = (
        f"from electorate.online.store import *; VoteStore(Path({str(tmp_path)!r})); print('in')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(3)
    store.close()
    assert process.communicate(timeout=60)[0] == "in\n"


def test_models_are_the_runs_or_whoever_votes_names_them(tmp_path: Path) -> None:
    open_ = VoteStore(tmp_path / "open")
    closed = VoteStore(tmp_path / "closed", ["a", "b"])
    assert isinstance(open_.add([Batch("k", [Vote("1", "u", "x", "y", 0)])])[0], Taken)
    assert open_.models.names == ("x", "y")
    refused = closed.add([Batch("k", [Vote("1", "u", "x", "b", 0)]), votes("u", 0, 2)])
    assert isinstance(refused[0], RequestError)
    assert "'x' is not a contestant; there are a, b" in str(refused[0])
    assert refused[1] == Taken(1, 2)


def name_models(
    store: VoteStore, key: str, user: str, first: int, last: int
) -> Taken | RequestError:
    return store.add(
        [Batch(key, [Vote(f"{key}-{i}", user, f"m{i}", "x", 0) for i in range(first, last)])]
    )[0]


def test_a_key_names_so_many_models_and_erasing_gives_them_back(tmp_path: Path) -> None:
    store = VoteStore(tmp_path, models_per_key=100)
    assert isinstance(name_models(store, "k", "junk", 0, 99), Taken)
    refused = name_models(store, "k", "junk", 99, 101)
    assert isinstance(refused, RequestError)
    assert isinstance(refused, LimitError)
    assert "its votes may name 100 new ones, and named 100" in str(refused)
    # Another key is not locked out, until there are as many models as can be rated.
    for k in range(1, 5):
        assert isinstance(name_models(store, f"k{k}", f"junk{k}", 100 * k, 100 * k + 100), Taken)
    full = name_models(store, "k9", "late", 900, 901)
    assert isinstance(full, RequestError)
    assert "at most 500" in str(full)
    fold(store)
    assert store.erase("junk2", "admin") is not None
    assert len([name for name in store.models.names if name]) == 400
    assert isinstance(name_models(store, "k9", "late", 900, 901), Taken)
    # Nothing that votes are on was given back.
    names = store.models.names
    for log in folded(store):
        assert all(
            names[m] for m in set(log["model_a"].to_pylist()) | set(log["model_b"].to_pylist())
        )


def test_a_refused_batch_leaves_nothing(tmp_path: Path) -> None:
    store = VoteStore(tmp_path, models_per_key=3)
    one = Batch(
        "k", [Vote("1", "u", "a", "b", 0), *(Vote(f"{i}", "w", f"m{i}", "a", 0) for i in range(9))]
    )
    assert isinstance(store.add([one])[0], RequestError)
    assert (
        store.models.names,
        store.users.above().name,
        everything(store),
        store.fact("version"),
    ) == (
        (),
        (),
        0,
        0,
    )


def test_models_are_added_renamed_and_retired(tmp_path: Path) -> None:
    store = VoteStore(tmp_path, declared=["b", "a"])
    assert isinstance(store.add([Batch("k", [Vote("1", "u", "a", "c", 0)])])[0], RequestError)
    assert store.add_model("c", "admin") == 1
    assert isinstance(store.add([Batch("k", [Vote("1", "u", "a", "c", 0)])])[0], Taken)
    assert store.change_model("c", "admin", "C", None) == 3
    assert store.models.names == ("a", "b", "C")
    store.change_model("b", "admin", None, True)
    retired = store.add([Batch("k", [Vote("2", "u", "a", "b", 0)])])[0]
    assert "'b' is retired; it takes no more votes" in str(retired)
    store.change_model("b", "admin", None, False)
    assert isinstance(store.add([Batch("k", [Vote("2", "u", "a", "b", 0)])])[0], Taken)
    for name, to, kind in (("nobody", None, UnknownNameError), ("a", "b", ConflictError)):
        with pytest.raises(kind):
            store.change_model(name, "admin", to, None)
    with pytest.raises(ConflictError, match="is a contestant already"):
        store.add_model("a", "admin")
    assert next(row["what"] for row in store.audit() if row["key"] == "admin") == "model 'c' added"
    store.close()
    assert VoteStore(tmp_path, declared=["b", "a"]).models.names == ("a", "b", "C")


def test_another_list_of_contestants_keeps_the_votes(tmp_path: Path) -> None:
    """The run that a folder belongs to was made again with other contestants, in another order."""
    store = VoteStore(tmp_path, ["a", "b", "c"])
    sent = [Vote("1", "u", "a", "b", 0), Vote("2", "u", "c", "a", 1)]
    store.add([Batch("k", sent)])
    fold(store)
    store.add([Batch("k", [Vote("3", "w", "b", "c", 2)])])
    store.close()
    again = VoteStore(tmp_path, ["c", "new", "a"])
    assert again.models.names == ("c", "new", "a", "b")
    assert again.models.retired == {"b"}
    names = again.models.names
    tables = [again.unfolded()[1], *folded(again)]
    pairs = {
        (names[a], names[b])
        for votes in tables
        for a, b in zip(votes["model_a"].to_pylist(), votes["model_b"].to_pylist(), strict=True)
    }
    assert pairs == {("a", "b"), ("c", "a"), ("b", "c")}
    # What was sent before is still known by its content.
    assert again.add([Batch("k", sent[1:])]) == [Taken(1, 0)]


def test_an_id_is_of_one_vote_of_its_key(tmp_path: Path) -> None:
    store = VoteStore(tmp_path)
    first = Batch("k", [Vote("1", "u", "a", "b", 0), Vote("2", "u", "a", "b", 1)])
    assert taken(store, first) == [Taken(1, 2)]
    for changed in (
        Vote("2", "u", "a", "b", 0),
        Vote("2", "u", "b", "a", 1),
        Vote("2", "u", "a", "b", 1, 1),
    ):
        refused = store.add([Batch("k", [Vote("3", "u", "a", "b", 0), changed])])[0]
        assert isinstance(refused, RequestError)
        assert isinstance(refused, ConflictError)
        assert "'u' has sent id '2' before with another vote" in str(refused)
    assert everything(store) == 2
    # Another key's ids are its own, and so are another user's.
    assert taken(store, Batch("other", [Vote("2", "u", "b", "a", 0)])) == [Taken(2, 1)]
    assert taken(store, Batch("k", [Vote("2", "w", "b", "a", 0)])) == [Taken(3, 1)]
    twice = Batch("k", [Vote("9", "u", "a", "b", 0), Vote("9", "u", "a", "b", 1)])
    assert isinstance(store.add([twice])[0], RequestError)


@pytest.mark.parametrize("kind", ["run", "new"])
def test_a_folder_of_the_first_format_opens_and_counts_the_same(old: Path, kind: str) -> None:
    expected = json.loads((old / "expected.json").read_text())[kind]
    base = bases.of_folder(old / kind)
    store = base.open_store()
    snapshot = Counter(base, store).snapshot()
    assert (snapshot.version, list(snapshot.models), snapshot.online) == (
        expected["version"],
        expected["models"],
        expected["online"],
    )
    assert np.array_equal(snapshot.counts.sum(axis=0), expected["counts"])
    assert not list((old / kind / "online" / "votes").rglob("*.parquet"))
    # What was sent before is known, whichever key sends it again.
    ids = store._db.execute("SELECT name, id FROM taken JOIN users ON user = number").fetchall()
    name, id_ = ids[0]
    models = snapshot.models
    assert store.add([Batch("another", [Vote(id_, name, models[0], models[1], 0)])])[0].new == 0  # type: ignore[union-attr]
    store.close()
    again = base.open_store()
    assert again._db.execute("PRAGMA user_version").fetchone() == (database.FORMAT,)


def test_who_is_erased_from_a_folder_of_the_first_format_is_gone_from_its_logs(old: Path) -> None:
    base = bases.of_folder(old / "run")
    store = base.open_store()
    counter = Counter(base, store)
    before = counter.snapshot()
    online = store.users.above().name[0]
    persona = base.votes_of_run(3)
    kept = [store.export(user) for user in ("3", online)]
    votes = [*persona, *(known.votes for known in kept if known is not None)]
    gone = sum(len(one) for one in votes)
    assert len(votes) == 4
    assert all(len(one) for one in votes)
    for user in ("3", online):
        store.erase(user, "test")
    after = counter.snapshot()
    assert before.counts.sum() - after.counts.sum() == pytest.approx(gone, abs=1e-6)
    assert not any(len(votes) for votes in base.votes_of_run(3))
    assert np.array_equal(Counter(base, store).snapshot().counts, after.counts)
    store.close()


def test_a_migration_that_is_cut_short_is_done_again(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = bases.of_folder(old / "new")

    def die(*_: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(rounds, "write", die)
        with pytest.raises(KeyboardInterrupt):
            base.open_store()
    expected = json.loads((old / "expected.json").read_text())["new"]
    # Another process, as this one still has the lock.
    shutil.copytree(old / "new", old / "copy", ignore=shutil.ignore_patterns(".lock"))
    base = bases.of_folder(old / "copy")
    assert Counter(base, base.open_store()).snapshot().online == expected["online"]


def test_a_folder_from_the_future_is_one_line(tmp_path: Path) -> None:
    VoteStore(tmp_path).close()
    with sqlite3.connect(tmp_path / "votes.sqlite") as db:
        db.execute(f"PRAGMA user_version = {database.FORMAT + 1}")
    with pytest.raises(
        ElectorateError,
        match=f"later version of Electorate .format {database.FORMAT + 1}, this one reads up to",
    ):
        VoteStore(tmp_path)


def test_a_round_that_is_damaged_or_gone_is_one_line(tmp_path: Path) -> None:
    store = VoteStore(tmp_path)
    taken(store, votes("u", 0, 60))
    fold(store)
    store.close()
    place = tmp_path / "votes" / "round=1.arrow"
    content = bytearray(place.read_bytes())
    content[len(content) // 2] ^= 1
    place.write_bytes(content)
    with pytest.raises(ElectorateError, match=r"round=1\.arrow: is missing or damaged"):
        VoteStore(tmp_path)
    place.unlink()
    with pytest.raises(ElectorateError, match=r"round=1\.arrow: is missing or damaged"):
        VoteStore(tmp_path)


def test_a_folder_that_cannot_be_one_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ElectorateError, match="file: cannot be written: Not a directory"):
        VoteStore(tmp_path / "file")


def test_whoever_has_a_folder_is_named(tmp_path: Path) -> None:
    assert folder_lock.holder(tmp_path / "nowhere") is None
    store = VoteStore(tmp_path)
    assert f"process {os.getpid()} on {socket.gethostname()} since " in str(
        folder_lock.holder(tmp_path)
    )
    store.close()
    assert folder_lock.holder(tmp_path) is None


def test_a_damaged_database_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "votes.sqlite").write_bytes(b"not a database, " * 100)
    with pytest.raises(ElectorateError, match=r"votes\.sqlite: cannot be opened"):
        VoteStore(tmp_path)


def test_a_full_disk_counts_nothing_and_says_so(tmp_path: Path) -> None:
    store = VoteStore(tmp_path)
    taken(store, votes("u", 0, 3))
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(ElectorateError, match="cannot be written: database or disk is full"):
        store.add([votes("u", 3, 20_000)])
    store._db.execute("PRAGMA max_page_count = 1000000")
    before = len(store.unfolded()[1])
    assert taken(store, votes("w", 0, 5)) == [Taken(store.fact("version"), 5)]
    assert len(store.unfolded()[1]) == before + 5


def test_everything_written_is_in_the_audit(tmp_path: Path) -> None:
    store = VoteStore(tmp_path)
    store.add([Batch("app", votes("u", 0, 3).votes)])
    store.erase("u", "admin")
    assert [
        (row["key"], row["what"], row["user"], row["votes"], row["version"])
        for row in store.audit()
    ] == [
        ("app", "votes", None, 3, 1),
        ("admin", "erased", 1, None, 2),
    ]


def test_durable_by_what_sqlite_is_told(tmp_path: Path) -> None:
    store = VoteStore(tmp_path)
    assert store._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store._db.execute("PRAGMA synchronous").fetchone() == (2,)
    with sqlite3.connect(tmp_path / "votes.sqlite") as other:
        assert other.execute("SELECT count(*) FROM votes").fetchone() == (0,)


@pytest.mark.parametrize(
    ("name", "persona"),
    [
        ("0", 0),
        ("41", 41),
        ("42", None),
        ("07", None),
        ("-1", None),
        ("²", None),
        ("u", None),
        ("9" * 30, None),
    ],
)
def test_a_persona_is_called_by_its_number(name: str, persona: int | None) -> None:
    assert as_persona(name, 42) == persona
