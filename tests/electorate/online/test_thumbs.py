"""Thumbs on single answers move their user's ranking and nobody else's."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from electorate.online import base as bases
from electorate.online import counter as counter_module
from electorate.online import export
from electorate.online.counter import Counter
from electorate.online.rankings import Rankings
from electorate.online.sent import NOBODY, Batch, Vote
from electorate.online.snapshot import Snapshot
from tests.electorate.online.finished import finished_run


def thumb(user: str, model: str, up: bool, id_: str) -> Vote:
    return Vote(f"thumb-{id_}", user, model, NOBODY, outcome=0 if up else 1)


def of(counter: Counter, user: str, snapshot: Snapshot | None = None) -> dict[str, float]:
    rankings = Rankings(counter.base)
    found = rankings.of_user(snapshot or counter.snapshot(), user)
    return {entry.model: entry.rating for entry in found.ranking}


@pytest.fixture
def counter(tmp_path: Path) -> Counter:
    base = bases.of_folder(finished_run(tmp_path / "run", reward=False).path)
    return Counter(base, base.open_store())


def test_thumbs_move_their_user_alone(counter: Counter) -> None:
    before = counter.snapshot()
    own = of(counter, "new", before)
    worst = min(own, key=lambda model: own[model])
    best = max(own, key=lambda model: own[model])
    votes = [thumb("new", worst, True, f"u{i}") for i in range(8)]
    votes += [thumb("new", best, False, f"d{i}") for i in range(8)]
    counter.store.add([Batch("app", votes)])
    after = counter.snapshot()
    moved = of(counter, "new", after)
    assert moved[worst] > own[worst] + 50
    assert moved[best] < own[best] - 50
    np.testing.assert_array_equal(before.counts, after.counts)
    assert of(counter, "3", before) == of(counter, "3", after)
    found = Rankings(counter.base).of_user(after, "new")
    assert (found.personal, found.votes, found.system) == (True, 16, "elo_offset")


def test_who_thumbs_alone_stops_no_snapshot(tmp_path: Path) -> None:
    """The last of the first users has no battle that is counted."""
    base = bases.Base(tmp_path / "online", None)
    counter = Counter(base, base.open_store(declared="ab"))
    battles = [Vote(str(i), f"u{i % 4}", "a", "b", i % 2) for i in range(20)]
    counter.store.add([Batch("k", [*battles, thumb("thumbs alone", "a", True, "1")])])
    counter.snapshot()
    counter.refresh()
    assert Rankings(base).of_user(counter.snapshot(), "thumbs alone").votes == 1


def test_who_thumbs_everything_up_says_little_of_the_order(counter: Counter) -> None:
    """A user's own threshold takes it up."""
    before = of(counter, "new")
    votes = [thumb("new", f"c{i % 6}", True, str(i)) for i in range(60)]
    counter.store.add([Batch("app", votes)])
    after = of(counter, "new")
    assert sorted(after, key=lambda m: after[m]) == sorted(before, key=lambda m: before[m])
    assert max(abs(after[model] - before[model]) for model in after) < 40


@pytest.mark.parametrize("folded", [False, True])
def test_they_are_kept_exported_erased_and_forgotten_like_votes(
    counter: Counter, folded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = counter.store
    battle = Vote("1", "al", "c0", "c1", 0)
    store.add([Batch("app", [battle, thumb("al", "c2", False, "a"), thumb("bo", "c3", True, "b")])])
    if folded:
        monkeypatch.setattr(counter_module, "FOLD_AT", 0)
        counter.snapshot()
        counter.snapshot()
        assert store.rounds
    found = export.of_user(counter.base, store, "al")
    assert found is not None
    told = [(v["model_a"], v["model_b"], v["winner"]) for v in found["votes"]]
    assert told == [("c0", "c1", "model_a"), ("c2", None, "down")]
    with_thumbs = counter.snapshot()
    store.erase("bo", "test")
    after = counter.snapshot()
    np.testing.assert_array_equal(with_thumbs.counts, after.counts)
    # Read from disk anew it is the same.
    store.close()
    again = Counter(counter.base, counter.base.open_store())
    np.testing.assert_array_equal(again.snapshot().counts, after.counts)
    assert of(again, "al") == of(counter, "al", after)


def test_a_model_keeps_its_thumbs_when_a_run_gives_it_another_place(tmp_path: Path) -> None:
    """Models that votes named are numbered anew behind a run's."""
    first = bases.of_folder(tmp_path / "new")
    store = first.open_store()
    votes = [Vote("1", "al", "other", "c5", 0), thumb("al", "c5", True, "a")]
    store.add([Batch("app", [*votes, thumb("al", "other", False, "b")])])
    store.fold(1)
    store.close()
    run = bases.of_folder(finished_run(tmp_path / "run", reward=False).path)
    moved = replace(run, folder=first.folder)
    found = export.of_user(moved, moved.open_store(), "al")
    assert found is not None
    told = [(v["model_a"], v["model_b"], v["winner"]) for v in found["votes"]]
    assert told == [("other", "c5", "model_a"), ("c5", None, "up"), ("other", None, "down")]
