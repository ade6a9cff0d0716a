"""What is kept of users: given to them, forgotten with age, and under ids that tell nobody."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from electorate.base.errors import ElectorateError
from electorate.online import base as bases
from electorate.online import export, pseudonyms
from electorate.online.base import Base
from electorate.online.counter import Counter
from electorate.online.rankings import Rankings
from electorate.online.sent import Batch, Vote
from electorate.online.store import VoteStore
from tests.electorate.online.finished import finished_run


def battles(user: str, many: int, seed: int = 0, prefix: str = "") -> list[Vote]:
    random = np.random.default_rng(seed)
    a = random.integers(0, 3, many)
    b = (a + random.integers(1, 3, many)) % 3
    return [
        Vote(f"{prefix}{i}", user, f"m{a[i]}", f"m{b[i]}", int(random.integers(0, 3)), i % 2)
        for i in range(many)
    ]


def sent(store: VoteStore, votes: list[Vote], at: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: at)
    (taken,) = store.add([Batch("app", votes)])
    assert not isinstance(taken, Exception)


def everything_on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("folded", [False, True])
def test_an_export_has_every_vote_as_it_was_sent(tmp_path: Path, folded: bool) -> None:
    base = bases.of_folder(tmp_path / "new")
    store = base.open_store()
    votes = battles("al", 10)
    store.add([Batch("app", votes), Batch("other", battles("bo", 3, 1))])
    if folded:
        store.fold(store.unfolded()[0])
    found = export.of_user(base, store, "al")
    assert found is not None
    assert (found["user_id"], found["segment"]) == ("al", None)
    told = [(v["model_a"], v["model_b"], v["first_shown"]) for v in found["votes"]]
    shown = ("model_a", "model_b")
    assert told == [(v.model_a, v.model_b, shown[v.first_shown]) for v in votes]
    assert {v["key"] for v in found["votes"]} == {"app"}
    assert all(abs(v["at"] - time.time()) < 60 for v in found["votes"])
    assert export.of_user(base, store, "nobody") is None
    store.erase("al", "admin")
    assert export.of_user(base, store, "al") is None


def test_a_personas_votes_of_the_run_are_in_its_export(tmp_path: Path) -> None:
    base = bases.of_folder(finished_run(tmp_path / "run", reward=False).path)
    store = base.open_store()
    store.add([Batch("app", [Vote("1", "3", "c0", "c1", 2)])])
    found = export.of_user(base, store, "3")
    assert found is not None
    assert len(found["votes"]) == 31
    assert [v["key"] for v in found["votes"]] == [None] * 30 + ["app"]
    assert all(v["at"] is None for v in found["votes"][:30])
    assert found["votes"][-1]["winner"] == "tie"


@pytest.mark.parametrize("folded", [False, True])
def test_old_votes_are_forgotten_as_if_they_had_never_come(
    tmp_path: Path, folded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Boards and rankings are those of the votes that stay; who has none is not known any more."""
    base = bases.of_folder(tmp_path / "new")
    store = base.open_store()
    counter = Counter(base, store)
    recent = [battles(f"user {i}", 20, i, "new-") for i in range(6)]
    sent(store, [*battles("user 0", 30, 7), *battles("gone", 30, 8)], 1000.0, monkeypatch)
    if folded:
        store.fold(store.unfolded()[0])
    for votes in recent:
        sent(store, votes, 2000.0, monkeypatch)
    counter.snapshot()
    assert store.forget_before(1500.0) == 60
    counter.begin_again()
    after = counter.snapshot()

    alone = replace(base, folder=tmp_path / "alone" / "online")
    other = Counter(alone, alone.open_store())
    for votes in recent:
        sent(other.store, votes, 2000.0, monkeypatch)
    expected = other.snapshot()
    assert after.models == expected.models
    np.testing.assert_array_equal(after.counts, expected.counts)
    of_one, of_other = (
        Rankings(b).of_user(s, "user 0") for b, s in ((base, after), (alone, expected))
    )
    assert of_one.votes == of_other.votes == 20
    assert of_one.ranking == of_other.ranking
    assert after.users.find("gone") is None
    assert export.of_user(base, store, "gone") is None
    assert b"gone" not in everything_on_disk(base.folder)
    assert store.forget_before(1500.0) == 0
    assert [row["votes"] for row in store.audit() if row["key"] == "retention"] == [60]
    # An id of a user who is there still is known; one who is gone may send it again.
    assert "user 0" in store.users.above().name


def test_a_model_only_old_votes_named_gives_its_place_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = bases.of_folder(tmp_path / "new").open_store()
    sent(store, [Vote("1", "al", "old", "m0", 0)], 1000.0, monkeypatch)
    sent(store, [Vote("2", "al", "m1", "m0", 0)], 2000.0, monkeypatch)
    store.forget_before(1500.0)
    assert set(store.models.names) - {""} == {"m0", "m1"}


def hashed(folder: Path, key: Path) -> Base:
    return bases.of_folder(folder, key)


def test_ids_are_nowhere_on_disk_and_users_are_ranked_for_all_the_same(tmp_path: Path) -> None:
    key = tmp_path / "secrets" / "ids.key"
    base = hashed(tmp_path / "new", key)
    counter = Counter(base, base.open_store())
    counter.store.add([Batch("app", battles("alexander", 40))])
    counter.store.add([Batch("app", battles("barbara", 40, 1))])
    snapshot = counter.snapshot()
    rankings = Rankings(base)
    assert rankings.of_user(snapshot, "alexander").votes == 40
    assert rankings.of_user(snapshot, "nobody").votes == 0
    assert b"alexander" not in everything_on_disk(base.folder)
    found = export.of_user(base, counter.store, "alexander")
    assert found is not None
    assert len(found["votes"]) == 40
    counter.store.close()
    # With the key it goes on, and another one knows nobody.
    again = hashed(tmp_path / "new", key)
    store = again.open_store()
    assert export.of_user(again, store, "barbara") is not None
    assert store.erase("barbara", "test") is not None
    assert store.erase("barbara", "test") is None
    store.close()
    other = hashed(tmp_path / "new", tmp_path / "other.key")
    assert export.of_user(other, other.open_store(), "alexander") is None


def test_ids_are_kept_in_one_way_alone(tmp_path: Path) -> None:
    plain = bases.of_folder(tmp_path / "plain")
    store = plain.open_store()
    store.add([Batch("app", battles("al", 3))])
    store.close()
    with pytest.raises(ElectorateError, match="kept as they are there, and cannot be hashed"):
        hashed(tmp_path / "plain", tmp_path / "key").open_store()
    with_key = hashed(tmp_path / "hashed", tmp_path / "key")
    store = with_key.open_store()
    store.add([Batch("app", battles("al", 3))])
    store.close()
    with pytest.raises(ElectorateError, match=r"kept hashed there, .* give hash_ids"):
        bases.of_folder(tmp_path / "hashed").open_store()


def test_personas_keep_their_numbers(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "run", reward=False)
    base = hashed(run.path, tmp_path / "key")
    counter = Counter(base, base.open_store())
    counter.store.add([Batch("app", [Vote("1", "3", "c0", "c1", 0)])])
    found = Rankings(base).of_user(counter.snapshot(), "3")
    assert (found.personal, found.votes) == (True, 31)


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 33])
def test_what_is_no_key_is_one_line(tmp_path: Path, content: bytes) -> None:
    place = tmp_path / "ids.key"
    place.write_bytes(content)
    with pytest.raises(ElectorateError, match=r"ids.key: is no key, which has 32 random bytes"):
        pseudonyms.of_file(place)
    with pytest.raises(ElectorateError, match="cannot be read or made"):
        pseudonyms.of_file(place / "below")
