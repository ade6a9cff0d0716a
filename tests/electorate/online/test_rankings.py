"""Snapshot and the rankings read from them."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from electorate.base.errors import ElectorateError
from electorate.base.scale import to_nats
from electorate.online import base as bases
from electorate.online import counter as counter_module
from electorate.online import people as people_module
from electorate.online.counter import Counter
from electorate.online.rankings import Rankings
from electorate.online.sent import Batch, Vote
from electorate.online.snapshot import Snapshot
from electorate.population import judges, planted, voters
from electorate.ratings import bradley_terry, offsets, prior_file
from electorate.ratings.offsets import NotConvergedError
from electorate.ratings.prior import Prior, without_label
from electorate.storage import files
from electorate.storage.run_folder import RunFolder
from tests.conftest import ROOT
from tests.electorate.online.finished import CHECKPOINTS, finished_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return finished_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def counter(run: RunFolder, tmp_path: Path) -> Counter:
    base = bases.of_folder(run.path)
    base = bases.Base(tmp_path / "online", base.run)
    return Counter(base, base.open_store())


def names(ranking: object) -> list[str]:
    return [entry.model for entry in ranking.ranking]  # type: ignore[attr-defined]


def add(
    counter: Counter, user: str, winner: str, others: list[str], times: int = 10, **changes: int
) -> Snapshot:
    votes = [
        Vote(f"{winner}-{o}-{i}", user, winner, o, 0, **changes)
        for i in range(times)
        for o in others
    ]
    counter.store.add([Batch("k", votes)])
    return counter.snapshot()


def test_a_persona_is_ranked_as_the_run_ranked_it(counter: Counter) -> None:
    snapshot = counter.snapshot()
    rankings = Rankings(counter.base)
    run = counter.base.run
    assert run is not None
    truth = judges.mean_utilities(run.voters, voters.with_ids(run.voters, np.arange(100)))
    agreed = []
    for persona in range(100):
        ranking = rankings.of_user(snapshot, str(persona))
        assert (ranking.system, ranking.votes, ranking.personal) == (
            "elo_offset",
            CHECKPOINTS[-1],
            True,
        )
        order = [snapshot.models.index(name) for name in names(ranking)]
        agreed.append(np.corrcoef(np.argsort(order), np.argsort(np.argsort(-truth[persona])))[0, 1])
    assert np.mean(agreed) > 0.7
    assert sum(entry.p_top1 for entry in ranking.ranking) == pytest.approx(1, abs=1e-3)
    assert all(entry.ci_low < entry.rating < entry.ci_high for entry in ranking.ranking)
    assert np.mean([entry.rating for entry in ranking.ranking]) == pytest.approx(
        1000, abs=0.01
    )  # each to 0.01


def test_online_votes_move_the_ranking_and_everyones(counter: Counter) -> None:
    rankings = Rankings(counter.base)
    before = counter.snapshot()
    last = names(rankings.of_user(before, "5"))[-1]
    after = add(counter, "5", last, [m for m in before.models if m != last], 20)
    assert names(rankings.of_user(after, "5"))[0] == last
    assert rankings.of_user(after, "5").votes == CHECKPOINTS[-1] + 100
    # What was read before stays as it was: snapshot are never changed.
    assert names(rankings.of_user(before, "5"))[-1] == last
    board = {row["model"]: row["votes"] for row in rankings.leaderboard(after, None, None)}
    assert (
        board[last]
        - {row["model"]: row["votes"] for row in rankings.leaderboard(before, None, None)}[last]
        == 100
    )


def test_folding_changes_no_ranking(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    rankings = Rankings(counter.base)
    models = counter.store.models.names
    add(counter, "new", models[2], [m for m in models if m != models[2]], segment=1)
    before = add(counter, "7", models[3], [m for m in models if m != models[3]])
    monkeypatch.setattr(counter_module, "FOLD_AT", 10)
    after = counter.snapshot()
    assert (before.rounds, after.rounds, len(after.recent.user)) == ((), (1,), 0)
    for user in ("new", "7", "8", "nobody"):
        one = rankings.of_user(before, user)
        other = rankings.of_user(after, user)
        assert one == other
    assert np.array_equal(before.counts, after.counts)
    # And whoever starts anew counts the same.
    counter.store.close()
    again = Counter(counter.base, counter.base.open_store()).snapshot()
    assert np.array_equal(again.counts, after.counts)
    assert Rankings(counter.base).of_user(again, "new") == rankings.of_user(after, "new")


def test_a_request_under_way_is_answered_from_rounds_that_were_merged_since(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replica opens the next snapshot's rounds while requests are still on the one before."""
    rankings = Rankings(counter.base)
    models = counter.store.models.names
    monkeypatch.setattr(counter_module, "FOLD_AT", 4)
    add(counter, "u", models[2], [models[0]], 5)
    before = counter.snapshot()
    expected = rankings.of_user(before, "u")
    add(counter, "u", models[3], [models[1]], 6)
    after = counter.snapshot()
    assert set(before.rounds).isdisjoint(after.rounds)
    rankings.people.open(after)
    assert rankings.of_user(before, "u") == expected
    assert rankings.of_user(after, "u").votes == 11
    # The last ones are kept, not all there ever were.
    for turn in range(8):
        add(counter, f"u{turn}", models[3], [models[1]], 6)
        rankings.people.open(counter.snapshot())
    assert len(rankings.people._opened) == people_module.LOGS_KEPT
    # And none that has the votes of who was erased.
    counter.store.erase("u", "k")
    rankings.people.open(counter.snapshot())
    assert len(rankings.people._opened) == 1


def test_who_is_not_known_gets_the_segments_or_everyones_and_is_told(counter: Counter) -> None:
    snapshot = counter.snapshot()
    rankings = Rankings(counter.base)
    everyones = rankings.of_user(snapshot, "stranger")
    coders = rankings.of_user(snapshot, "stranger", "coder")
    assert (everyones.system, everyones.personal, everyones.votes) == ("global_bt", False, 0)
    assert everyones.note == "the user is not known; this is everyone's ranking"
    assert (coders.system, coders.note) == (
        "segment_bt",
        "the user is not known; this is coder's ranking",
    )
    assert rankings.of_user(snapshot, None).note == "no user was named; this is everyone's ranking"
    with pytest.raises(
        ElectorateError, match="segment: 'cooks' is not one; there are coder, academic"
    ):
        rankings.of_user(snapshot, "stranger", "cooks")
    assert names(everyones) == [row["model"] for row in rankings.leaderboard(snapshot, None, None)]


def test_a_segment_is_the_one_of_the_first_vote(counter: Counter) -> None:
    models = counter.store.models.names
    add(counter, "u", models[0], [models[1]], segment=2)
    after = add(counter, "u", models[0], [models[2]], segment=4)
    rankings = Rankings(counter.base)
    assert rankings.of_user(after, "u", "coder").segment == counter.base.segments[2]
    assert after.counts[2].sum() - counter.snapshot().counts[2].sum() == 0
    assert after.counts[-1].sum() == 0


def test_rankings_differ_by_prompt_where_something_reads_the_answers(counter: Counter) -> None:
    snapshot = counter.snapshot()
    rankings = Rankings(counter.base)
    run = counter.base.run
    assert run is not None
    people = voters.with_ids(run.voters, np.arange(40))
    agreed = []
    for persona in range(40):
        for prompt in (0, 11):
            ranking = rankings.on_stored(snapshot, str(persona), prompt)
            assert ranking.system == "hybrid"
            assert ranking.version == "round=1/epoch=0"
            true = judges.utilities(
                run.voters, people.take(np.array([persona])), np.array([prompt])
            )[0].ravel()
            order = [snapshot.models.index(name) for name in names(ranking)]
            agreed.append(np.corrcoef(np.argsort(order), np.argsort(np.argsort(-true)))[0, 1])
    assert np.mean(agreed) > 0.8
    stranger = rankings.on_stored(snapshot, "stranger", 0)
    assert (stranger.system, stranger.personal) == ("hybrid", False)
    assert rankings.prompt(run.prompts.text[3]) == 3
    assert rankings.prompt("never asked") is None


def test_candidates_are_ranked_among_themselves(counter: Counter) -> None:
    snapshot = counter.snapshot()
    rankings = Rankings(counter.base)
    chosen = list(snapshot.models[:3])
    for ranking in (
        rankings.of_user(snapshot, "1", None, chosen),
        rankings.on_stored(snapshot, "1", 0, None, chosen),
    ):
        assert sorted(names(ranking)) == sorted(chosen)
        assert [entry.rank for entry in ranking.ranking] == [1, 2, 3]
        assert sum(entry.p_top1 for entry in ranking.ranking) == pytest.approx(1, abs=1e-3)
    with pytest.raises(ElectorateError, match="candidates: 'gpt' is not a contestant"):
        rankings.of_user(snapshot, "1", None, ["gpt"])


def test_who_is_erased_is_forgotten_by_the_snapshot(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = counter.snapshot()
    models = counter.store.models.names
    add(counter, "u", models[5], list(models[:5]))
    monkeypatch.setattr(counter_module, "FOLD_AT", 10)
    with_user = counter.snapshot()
    assert len(with_user.rounds) == 1
    counter.store.erase("u", "k")
    after = counter.snapshot()
    assert np.array_equal(after.counts, before.counts)
    assert Rankings(counter.base).of_user(after, "u").personal is False


def test_erasing_takes_out_what_was_counted_and_counts_nothing_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the user's votes lie in the log or not yet, the counts are those of a folder that
    never had them.
    """
    monkeypatch.setattr(counter_module, "FOLD_AT", 60)
    for name, users in (("with", "abc"), ("without", "ac")):
        base = bases.Base(tmp_path / name, None)
        counter = Counter(base, base.open_store())
        for user in users:
            add(counter, user, "x", ["y", "z"], 20)
        add(counter, users[0], "z", ["y"], 3)
        if name == "with":
            add(counter, "b", "y", ["x"], 5)
            counter.store.erase("b", "k")
            monkeypatch.setattr(Counter, "_begun", lambda self, _: pytest.fail("counted anew"))
        found = counter.snapshot()
        if name == "with":
            erased = found
            monkeypatched = counter
            assert found.users.find("b") is None
            assert len(monkeypatched.store.erased) == 0
            monkeypatch.undo()
            monkeypatch.setattr(counter_module, "FOLD_AT", 60)
    assert erased.models == found.models
    assert np.array_equal(erased.counts, found.counts)
    assert erased.online == found.online == 83


def test_a_prior_that_does_not_converge_leaves_the_last_good_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    base = bases.Base(tmp_path / "online", None)
    counter = Counter(base, base.open_store())
    rankings = Rankings(base)
    before = add(counter, "u", "x", ["y", "z"])

    def fails(*_: object, **__: object) -> Prior:
        raise NotConvergedError("System A did not converge: a test says so")

    monkeypatch.setattr(offsets, "fit", fails)
    after = add(counter, "v", "z", ["x", "y"], 40)
    assert before.unlabelled is not None
    assert after.unlabelled is not None
    assert after.unlabelled.sd == before.unlabelled.sd
    assert after.online == 100
    assert (
        "users keep the ranking they had: System A did not converge: a test says so" in caplog.text
    )
    assert rankings.of_user(after, "v").system == "elo_offset"
    fresh = bases.Base(tmp_path / "fresh", None)
    first = Counter(fresh, fresh.open_store())
    alone = add(first, "u", "x", ["y", "z"])
    assert alone.unlabelled is None
    theirs = Rankings(fresh).of_user(alone, "u")
    assert (theirs.system, theirs.personal, theirs.votes) == ("global_bt", False, 20)
    assert theirs.note == "how far users differ is not known yet; this is everyone's ranking"


def test_boards_take_a_users_votes_as_dependent(tmp_path: Path) -> None:
    base = bases.Base(tmp_path / "online", None)
    counter = Counter(base, base.open_store())
    random = np.random.default_rng(0)
    votes = []
    for user in range(30):
        likes = random.permutation(["x", "y", "z"])
        votes += [
            Vote(f"{i}-{o}", f"u{user}", likes[0], likes[1 + o], 0)
            for i in range(20)
            for o in (0, 1)
        ]
    counter.store.add([Batch("k", votes)])
    snapshot = counter.snapshot()
    plain = bradley_terry.fit(snapshot.counts.sum(axis=0), base.ties, base.prior_sd)
    wider = np.diag(snapshot.fits[0].covariance)[:3] / np.diag(plain.covariance)[:3]
    assert np.all(wider > 4)


def test_a_persona_who_is_erased_leaves_the_runs_log_and_makes_its_trainings_stale(
    tmp_path: Path,
) -> None:
    run = finished_run(tmp_path)
    base = bases.of_folder(run.path)
    counter = Counter(base, base.open_store())
    rankings = Rankings(base)
    before = counter.snapshot()
    label = rankings.people.who(before, "17", None).segment
    assert not rankings.on_stored(before, "17", 0).stale
    assert rankings.of_user(before, "17").votes == CHECKPOINTS[-1]
    assert counter.store.erase("17", "k") == 1
    after = counter.snapshot()
    gone = before.counts.sum(axis=(1, 2, 3)) - after.counts.sum(axis=(1, 2, 3))
    assert gone.tolist() == [CHECKPOINTS[-1] * (k == label) for k in range(len(gone))]
    assert (
        rankings.of_user(after, "17").note
        == f"the user has no votes; this is {base.segments[label]}'s ranking"
    )
    assert rankings.on_stored(after, "17", 0).stale
    assert rankings.of_user(after, "18") == replace(rankings.of_user(before, "18"), snapshot=1)


def test_a_persona_who_is_erased_leaves_the_runs_ratings_and_personas(tmp_path: Path) -> None:
    run = finished_run(tmp_path, reward=False)
    ids = pa.table({"user_id": np.arange(300), "rating": np.zeros(300)})
    for place in (run.personas, run.users / "block=0.parquet"):
        files.write_table(place, ids)
    base = bases.of_folder(run.path)
    assert base.open_store().erase("17", "k") == 1
    for place in (run.personas, run.users / "block=0.parquet"):
        assert files.read_table(place)["user_id"].to_pylist() == [i for i in range(300) if i != 17]


def test_a_model_that_a_runs_folder_is_given_is_ranked_with_its_contestants(
    counter: Counter,
) -> None:
    """By votes that came online: the run's users begin with everyone's rating of it, and move
    from there.
    """
    store = counter.store
    rankings = Rankings(counter.base)
    before = names(rankings.of_user(counter.snapshot(), "5"))
    store.add_model("new", "k")
    empty = counter.snapshot()
    assert sorted(names(rankings.of_user(empty, "5"))) == sorted([*before, "new"])
    others = [model for model in empty.models if model != "new"]
    for user in range(200, 260):
        add(counter, str(user), "new", others, 1)
    liked = counter.snapshot()
    assert names(rankings.of_user(liked, "stranger"))[0] == "new"
    assert [name for name in names(rankings.of_user(liked, "5")) if name != "new"] == before
    # System B read no answers of it, and ranks the others.
    assert sorted(names(rankings.on_stored(liked, "5", 0))) == sorted(others)
    assert rankings.leaderboard(liked, "coder", "half")


def test_nothing_yet_is_an_empty_board(tmp_path: Path) -> None:
    base = bases.of_folder(tmp_path / "new")
    counter = Counter(base, base.open_store())
    rankings = Rankings(base)
    nothing = counter.snapshot()
    assert rankings.leaderboard(nothing, None, None) == []
    assert rankings.of_user(nothing, "u").ranking == ()
    with pytest.raises(ElectorateError, match="nothing here reads prompts"):
        rankings.on_stored(nothing, "u", 0)


def test_without_a_run_users_who_differ_are_found_to_differ(tmp_path: Path) -> None:
    """Two kinds of users of opposite tastes: what they have in common is nothing, what each
    likes is clear.
    """
    base = bases.of_folder(tmp_path / "new")
    counter = Counter(base, base.open_store())
    rankings = Rankings(base)
    random = np.random.default_rng(0)
    for user in range(60):
        good = ["x", "y", "z"] if user % 2 else ["z", "y", "x"]
        votes = []
        for i in range(30):
            a, b = random.choice(3, 2, replace=False)
            better = a < b if random.random() < 0.85 else a > b
            votes.append(Vote(str(i), f"u{user}", good[a], good[b], 0 if better else 1))
        counter.store.add([Batch("k", votes)])
    snapshot = counter.snapshot()
    assert snapshot.unlabelled is not None
    assert snapshot.unlabelled.sd > to_nats(100)
    firsts = [names(rankings.of_user(snapshot, f"u{user}"))[0] for user in range(60)]
    assert sum(first == ("x" if user % 2 else "z") for user, first in enumerate(firsts)) > 50
    assert rankings.of_user(snapshot, "u1").system == "elo_offset"


def test_other_tie_models_can_be_asked_for(counter: Counter) -> None:
    snapshot = counter.snapshot()
    rankings = Rankings(counter.base)
    half, davidson = (
        rankings.leaderboard(snapshot, "coder", ties) for ties in ("half", "davidson")
    )
    assert half != davidson
    assert davidson == rankings.leaderboard(snapshot, "coder", None)


def test_the_prior_survives_its_file(tmp_path: Path) -> None:
    prior = Prior(np.arange(8.0).reshape(2, 4), 0.4, 0.3, np.ones((1, 3)))
    prior_file.write(tmp_path / "ratings" / "prior.npz", prior)
    again = prior_file.read(tmp_path / "ratings" / "prior.npz")
    assert np.array_equal(again.covariance, prior.covariance)
    assert again.mean_covariance is None
    (tmp_path / "damaged.npz").write_bytes(b"PK")
    for path in ("damaged.npz", "missing.npz"):
        with pytest.raises(ElectorateError, match=f"{path}: cannot be read"):
            prior_file.read(tmp_path / path)


def test_a_user_of_any_archetype_has_the_mixtures_mean_and_covariance() -> None:
    random = np.random.default_rng(1)
    shares = np.array([0.2, 0.5, 0.3])
    prior = Prior(random.normal(size=(3, 5)), 0.4, 0.3, random.normal(size=(2, 4)))
    mixed = without_label(prior, shares)
    away = prior.mean[:, :-1] - shares @ prior.mean[:, :-1]
    between = np.einsum("k,ki,kj->ij", shares, away, away)
    assert np.allclose(mixed.covariance[:-1, :-1], prior.covariance[:-1, :-1] + between)


def test_what_cannot_be_served_is_one_line(run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ElectorateError, match="holds files but no finished run"):
        bases.of_folder(tmp_path)
    stopped = RunFolder(tmp_path / "stopped")
    stopped.path.mkdir()
    stopped.write_manifest({"status": "stopped", "kind": "run"})
    with pytest.raises(
        ElectorateError, match="the run is stopped; finish it with --resume, then serve it"
    ):
        bases.of_folder(stopped.path)
    assert planted.of_run(run).config.contestant_names[0] == "c0"


COMPILED_BEFORE = """
from numba.core import event
from pathlib import Path
from electorate.online import base as bases
from electorate.online.counter import Counter
from electorate.online.rankings import Rankings, compile_kernels
from electorate.online.sent import NOBODY, Batch, Vote

base = bases.of_folder(Path({folder!r}))
rankings = Rankings(base)
with event.install_recorder("numba:compile") as first:
    compile_kernels(base.ties)
counter = Counter(base, base.open_store())
counter.store.add([Batch("k", [Vote("1", "al", "c0", "c1", 0), Vote("2", "al", "c2", NOBODY, 1)])])
snapshot = counter.snapshot()
with event.install_recorder("numba:compile") as later:
    rankings.of_user(snapshot, "3")
    rankings.of_user(snapshot, "al")
print(len(first.buffer) > 0, [one.data["dispatcher"] for _, one in later.buffer])
"""


@pytest.mark.slow
def test_no_request_waits_for_what_is_compiled_at_its_first_use(tmp_path: Path) -> None:
    """In a process of its own whose cache is empty, as on a new installation."""
    run = finished_run(tmp_path / "run", reward=False)
    done = subprocess.run(
        [sys.executable, "-c", COMPILED_BEFORE.format(folder=str(run.path))],
        env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "True []"
