"""Online votes are counted once, survive whatever stops the process, and can be forgotten."""

import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from electorate.errors import ElectorateError
from electorate.online.store import Batch, Taken, Vote, VoteStore, as_persona
from tests.conftest import ROOT


def votes(user: str, first: int, last: int, **changes: int) -> Batch:
    return Batch("key", [Vote(f"v{i}", user, "a", "b", i % 4, **changes) for i in range(first, last)])


def taken(store: VoteStore, *batches: Batch) -> list[Taken]:
    found = store.add(batches)
    assert all(isinstance(one, Taken) for one in found)
    return [one for one in found if isinstance(one, Taken)]


def test_a_vote_sent_again_is_not_counted_again(tmp_path: Path) -> None:
    store = VoteStore(tmp_path)
    assert taken(store, votes("u", 0, 3), votes("v", 0, 3)) == [Taken(1, 3), Taken(1, 3)]
    # Two users may use the same ids; one user's are its own.
    assert taken(store, votes("u", 1, 5)) == [Taken(2, 2)]
    # The version of a repeat is that of the first time, so that whoever waits for it does not wait for nothing.
    assert taken(store, votes("u", 0, 3)) == [Taken(1, 0)]
    assert len(store.unfolded()[1]) == 8


def test_the_log_has_what_was_folded_and_the_database_the_rest(tmp_path: Path) -> None:
    store = VoteStore(tmp_path, ["a", "b"], personas=5000)
    taken(store, votes("u", 0, 40, prompt=7), votes("17", 0, 4), votes("w", 0, 5))
    assert store.fold() == 49
    taken(store, votes("u", 40, 50), votes("u", 0, 3))
    assert (store.fact("folds"), len(store.unfolded()[1])) == (1, 10)
    files = {block: table for _, block, table in store.folded()}
    # Personas keep their numbers; others come after the last persona's block.
    assert files[0]["user_id"].to_pylist() == [17] * 4
    assert files[2]["user_id"].to_pylist() == [8192] * 40 + [8193] * 5
    assert files[2]["outcome"].to_pylist()[:4] == [0, 1, 2, 3]
    assert files[2]["prompt_id"].to_pylist()[:1] == [7]
    store.close()
    again = VoteStore(tmp_path, ["a", "b"], personas=5000)
    assert taken(again, votes("u", 0, 50)) == [Taken(2, 0)]


def test_a_user_who_is_erased_leaves_nothing(tmp_path: Path) -> None:
    store = VoteStore(tmp_path)
    taken(store, votes("known-by-name", 0, 6), votes("other", 0, 6))
    store.fold()
    taken(store, votes("known-by-name", 6, 9))
    assert store.erase("nobody", "key") is None
    assert store.erase("known-by-name", "key") == 3
    assert [set(table["user_id"].to_pylist()) for _, _, table in store.folded()] == [{2}]
    assert store.users().name == ("other",)
    assert len(store.unfolded()[1]) == 0
    store.close()
    everything = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"known-by-name" not in everything
    # Who comes back is a new user.
    assert taken(VoteStore(tmp_path), votes("known-by-name", 0, 6))[0].new == 6


def test_an_erasure_that_was_cut_short_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = VoteStore(tmp_path)
    taken(store, votes("u", 0, 6), votes("w", 0, 6))
    store.fold()
    with monkeypatch.context() as context:
        context.setattr(VoteStore, "_finish_erasing", lambda *_: None)
        store.erase("u", "key")
    store.close()
    again = VoteStore(tmp_path)
    assert [set(table["user_id"].to_pylist()) for _, _, table in again.folded()] == [{2}]
    assert again.users().name == ("w",)


def test_a_fold_that_was_cut_short_counts_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = VoteStore(tmp_path)
    taken(store, votes("u", 0, 6))

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(VoteStore, "_transaction", die)
        with pytest.raises(KeyboardInterrupt):
            store.fold()
    assert (list(store.folded()), len(store.unfolded()[1])) == ([], 6)
    taken(store, votes("u", 6, 8))
    store.fold()
    assert [len(table) for _, _, table in store.folded()] == [8]


def test_what_was_acknowledged_outlives_a_kill(tmp_path: Path) -> None:
    script = f"""
import sys
from electorate.online.store import *
from pathlib import Path
store = VoteStore(Path({str(tmp_path)!r}))
for i in range(100_000):
    store.add([Batch("k", [Vote(str(i), f"u{{i % 7}}", "a", "b", i % 3)])])
    print(i, flush=True)
    if i % 50 == 49:
        store.fold()
"""
    highest = 0
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        acknowledged = [int(process.stdout.readline()) for _ in range(int(np.random.default_rng().integers(60, 160)))]
        time.sleep(0.01)
        process.kill()
        acknowledged += [int(line) for line in process.stdout.read().splitlines() if line]
        process.wait()
        store = VoteStore(tmp_path)
        there = len(store.unfolded()[1]) + sum(len(table) for _, _, table in store.folded())
        highest = max(highest, *acknowledged)
        # The last one may have been on disk before its acknowledgement was.
        assert there in (highest + 1, highest + 2)
        highest = there - 1
        store.close()


def test_a_second_process_waits_for_the_first(tmp_path: Path) -> None:
    store = VoteStore(tmp_path)
    script = f"from electorate.online.store import *; VoteStore(Path({str(tmp_path)!r})); print('in')"
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(3)
    store.close()
    assert process.communicate(timeout=60)[0] == "in\n"


def test_models_are_the_runs_or_whoever_votes_name_them(tmp_path: Path) -> None:
    open_, closed = VoteStore(tmp_path / "open"), VoteStore(tmp_path / "closed", ["a", "b"])
    assert isinstance(open_.add([Batch("k", [Vote("1", "u", "x", "y", 0)])])[0], Taken)
    assert open_.models == ("x", "y")
    refused = closed.add([Batch("k", [Vote("1", "u", "x", "b", 0)]), votes("u", 0, 2)])
    assert isinstance(refused[0], ElectorateError)
    assert "'x' is not a contestant; the run has a, b" in str(refused[0])
    assert refused[1] == Taken(1, 2)
    many = Batch("k", [Vote(f"{i}", "u", f"m{i}", "x", 0) for i in range(600)])
    assert "at most 500" in str(open_.add([many])[0])
    closed.close()
    with pytest.raises(ElectorateError, match="votes on other contestants"):
        VoteStore(tmp_path / "closed", ["a", "c"])


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
    assert [(row["key"], row["what"], row["user"], row["votes"], row["version"]) for row in store.audit()] == [
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
    ("name", "persona"), [("0", 0), ("41", 41), ("42", None), ("07", None), ("-1", None), ("²", None), ("u", None), ("9" * 30, None)]
)
def test_a_persona_is_called_by_its_number(name: str, persona: int | None) -> None:
    assert as_persona(name, 42) == persona
