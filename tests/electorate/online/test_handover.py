"""Snapshots go from the writer to replicas by files, whatever their size."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from electorate.online.counts import Caps
from electorate.online.handover import KEPT, Inbox, Outbox
from electorate.online.sent import Users
from electorate.online.snapshot import Part, Snapshot, UserIndex, key_of
from electorate.population.logged_votes import LoggedVotes

NONE = np.zeros(0, dtype=np.int64)


def users(first: int, last: int) -> Users:
    number = np.arange(first, last)
    return Users(tuple(f"user {i}" for i in number), number, number % 3)


def snapshot(version: int, index: UserIndex, models: int = 3) -> Snapshot:
    counts = np.random.default_rng(version).random((1, models, models, 3))
    recent = LoggedVotes(user=NONE, a=NONE, b=NONE, outcome=NONE, prompt=NONE, round_=NONE)
    names = tuple(f"m{i}" for i in range(models))
    return Snapshot(
        version, (), 0, names, frozenset(), counts, (), None, None, index, recent, Caps(), 0, 0.0
    )


def test_a_snapshot_of_any_size_arrives_whole(tmp_path: Path) -> None:
    """150,000 users and 500 models: 20 MB, five times what Serve's messages may have."""
    sent = snapshot(1, UserIndex().with_users(users(0, 150_000)), models=500)
    outbox = Outbox(tmp_path)
    inbox = Inbox(tmp_path)
    found = inbox.take(outbox.put(sent))
    assert np.array_equal(found.counts, sent.counts)
    assert found.users.find("user 149999") == (149_999, 149_999 % 3)
    assert found.users.find("user 150000") is None
    with pytest.raises(ValueError, match="read-only"):
        found.counts[0] = 1


def test_what_did_not_change_is_neither_written_nor_read_again(tmp_path: Path) -> None:
    index = UserIndex().with_users(users(0, 100_000))
    outbox = Outbox(tmp_path)
    inbox = Inbox(tmp_path)
    first = inbox.take(outbox.put(snapshot(1, index)))
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    second = inbox.take(outbox.put(snapshot(2, index.with_users(users(100_000, 100_010)))))
    more = sum(path.stat().st_size for path in tmp_path.iterdir()) - size
    assert more < 20_000 < size
    assert second.users.find("user 100003") == (100_003, 100_003 % 3)
    assert np.shares_memory(first.users.parts[0].key, second.users.parts[0].key)


def test_old_ones_go_and_those_who_read_them_keep_them(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    inbox = Inbox(tmp_path)
    names = []
    kept = None
    for version in range(8):
        names.append(
            outbox.put(snapshot(version, UserIndex().with_users(users(0, 20_000 + version))))
        )
        kept = kept or inbox.take(names[0])
    assert len([path for path in tmp_path.iterdir() if path.suffix == ".snapshot"]) == KEPT
    with pytest.raises(FileNotFoundError):
        inbox.take(names[0])
    assert kept.users.find("user 19999") is not None
    outbox.empty()
    assert list(tmp_path.iterdir()) == []
    # Another writer takes no name that this one gave.
    assert Outbox(tmp_path).put(snapshot(0, UserIndex())) not in names


def test_users_are_found_however_they_came() -> None:
    index = UserIndex()
    together = UserIndex().with_users(users(0, 3000))
    for first in range(0, 3000, 7):
        index = index.with_users(users(first, min(3000, first + 7)))
    assert len(index.parts) < 14
    for i in range(0, 3000, 11):
        assert index.find(f"user {i}") == together.find(f"user {i}") == (i, i % 3)
    gone = index.without(1234)
    assert gone.find("user 1234") is None
    assert gone.find("user 1235") == (1235, 1235 % 3)
    part = Part(np.array([key_of("x")], dtype=np.uint64), np.array([5]), np.array([-1]))
    assert replace(index, parts=(*index.parts, part)).find("x") == (5, -1)
