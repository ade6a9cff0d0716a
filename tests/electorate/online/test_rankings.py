"""Standings and the rankings read from them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from electorate import founding, judges, personas
from electorate.errors import ElectorateError
from electorate.online import base as bases
from electorate.online import standings as standings_module
from electorate.online.rankings import Rankings
from electorate.online.standings import Counter, Standings
from electorate.online.store import Batch, Vote
from electorate.ratings import posteriors, priors
from electorate.ratings.posteriors import Prior
from electorate.scale import to_nats
from electorate.storage.run_folder import RunFolder
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


def add(counter: Counter, user: str, winner: str, others: list[str], times: int = 10, **changes: int) -> Standings:
    votes = [Vote(f"{winner}-{o}-{i}", user, winner, o, 0, **changes) for i in range(times) for o in others]
    counter.store.add([Batch("k", votes)])
    return counter.standings()


def test_a_persona_is_ranked_as_the_run_ranked_it(counter: Counter) -> None:
    standings, rankings = counter.standings(), Rankings(counter.base)
    run = counter.base.run
    assert run is not None
    truth = judges.mean_utilities(run.electorate, personas.draw_users(run.electorate, np.arange(100)))
    agreed = []
    for persona in range(100):
        ranking = rankings.of_user(standings, str(persona))
        assert (ranking.system, ranking.votes, ranking.personal) == ("elo_offset", CHECKPOINTS[-1], True)
        order = [standings.models.index(name) for name in names(ranking)]
        agreed.append(np.corrcoef(np.argsort(order), np.argsort(np.argsort(-truth[persona])))[0, 1])
    assert np.mean(agreed) > 0.7
    assert sum(entry.p_top1 for entry in ranking.ranking) == pytest.approx(1, abs=1e-3)
    assert all(entry.ci_low < entry.rating < entry.ci_high for entry in ranking.ranking)
    assert np.mean([entry.rating for entry in ranking.ranking]) == pytest.approx(1000)


def test_online_votes_move_the_ranking_and_everyones(counter: Counter) -> None:
    rankings, before = Rankings(counter.base), counter.standings()
    last = names(rankings.of_user(before, "5"))[-1]
    after = add(counter, "5", last, [m for m in before.models if m != last], 20)
    assert names(rankings.of_user(after, "5"))[0] == last
    assert rankings.of_user(after, "5").votes == CHECKPOINTS[-1] + 100
    # What was read before stays as it was: standings are never changed.
    assert names(rankings.of_user(before, "5"))[-1] == last
    board = {row["model"]: row["votes"] for row in rankings.leaderboard(after, None, None)}
    assert board[last] - {row["model"]: row["votes"] for row in rankings.leaderboard(before, None, None)}[last] == 100


def test_folding_changes_no_ranking(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    rankings, models = Rankings(counter.base), counter.store.models
    add(counter, "new", models[2], [m for m in models if m != models[2]], segment=1)
    before = add(counter, "7", models[3], [m for m in models if m != models[3]])
    monkeypatch.setattr(standings_module, "FOLD_AT", 10)
    after = counter.standings()
    assert (before.folds, after.folds, len(after.recent.user)) == (0, 1, 0)
    for user in ("new", "7", "8", "nobody"):
        one, other = rankings.of_user(before, user), rankings.of_user(after, user)
        assert one == other
    assert np.array_equal(before.counts, after.counts)
    # And whoever starts anew counts the same.
    counter.store.close()
    again = Counter(counter.base, counter.base.open_store()).standings()
    assert np.array_equal(again.counts, after.counts)
    assert Rankings(counter.base).of_user(again, "new") == rankings.of_user(after, "new")


def test_who_is_not_known_gets_the_segments_or_everyones_and_is_told(counter: Counter) -> None:
    standings, rankings = counter.standings(), Rankings(counter.base)
    everyones, coders = rankings.of_user(standings, "stranger"), rankings.of_user(standings, "stranger", "coder")
    assert (everyones.system, everyones.personal, everyones.votes) == ("global_bt", False, 0)
    assert everyones.note == "the user is not known; this is everyone's ranking"
    assert (coders.system, coders.note) == ("segment_bt", "the user is not known; this is coder's ranking")
    assert rankings.of_user(standings, None).note == "no user was named; this is everyone's ranking"
    with pytest.raises(ElectorateError, match="segment: 'cooks' is not one; there are coder, academic"):
        rankings.of_user(standings, "stranger", "cooks")
    assert names(everyones) == [row["model"] for row in rankings.leaderboard(standings, None, None)]


def test_a_segment_is_the_one_of_the_first_vote(counter: Counter) -> None:
    models = counter.store.models
    add(counter, "u", models[0], [models[1]], segment=2)
    after = add(counter, "u", models[0], [models[2]], segment=4)
    rankings = Rankings(counter.base)
    assert rankings.of_user(after, "u", "coder").segment == counter.base.segments[2]
    assert after.counts[2].sum() - counter.standings().counts[2].sum() == 0
    assert after.counts[-1].sum() == 0


def test_rankings_differ_by_prompt_where_something_reads_the_answers(counter: Counter) -> None:
    standings, rankings, run = counter.standings(), Rankings(counter.base), counter.base.run
    assert run is not None
    people = personas.draw_users(run.electorate, np.arange(40))
    agreed = []
    for persona in range(40):
        for prompt in (0, 11):
            ranking = rankings.on_stored(standings, str(persona), prompt)
            assert ranking.system == "hybrid"
            assert ranking.version == "round=1/epoch=0"
            true = judges.utilities(run.electorate, people.take(np.array([persona])), np.array([prompt]))[0].ravel()
            order = [standings.models.index(name) for name in names(ranking)]
            agreed.append(np.corrcoef(np.argsort(order), np.argsort(np.argsort(-true)))[0, 1])
    assert np.mean(agreed) > 0.8
    stranger = rankings.on_stored(standings, "stranger", 0)
    assert (stranger.system, stranger.personal) == ("hybrid", False)
    assert rankings.prompt(run.prompts.text[3]) == 3
    assert rankings.prompt("never asked") is None


def test_candidates_are_ranked_among_themselves(counter: Counter) -> None:
    standings, rankings = counter.standings(), Rankings(counter.base)
    chosen = list(standings.models[:3])
    for ranking in (rankings.of_user(standings, "1", None, chosen), rankings.on_stored(standings, "1", 0, None, chosen)):
        assert sorted(names(ranking)) == sorted(chosen)
        assert [entry.rank for entry in ranking.ranking] == [1, 2, 3]
        assert sum(entry.p_top1 for entry in ranking.ranking) == pytest.approx(1, abs=1e-3)
    with pytest.raises(ElectorateError, match="candidates: 'gpt' is not a contestant"):
        rankings.of_user(standings, "1", None, ["gpt"])


def test_who_is_erased_is_forgotten_by_the_standings(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    before, models = counter.standings(), counter.store.models
    add(counter, "u", models[5], list(models[:5]))
    monkeypatch.setattr(standings_module, "FOLD_AT", 10)
    with_user = counter.standings()
    assert with_user.folds == 1
    counter.store.erase("u", "k")
    after = counter.standings()
    assert np.array_equal(after.counts, before.counts)
    assert Rankings(counter.base).of_user(after, "u").personal is False


def test_a_persona_who_is_erased_leaves_the_runs_log_and_makes_its_trainings_stale(tmp_path: Path) -> None:
    run = finished_run(tmp_path)
    base = bases.of_folder(run.path)
    counter, rankings = Counter(base, base.open_store()), Rankings(base)
    before = counter.standings()
    label = rankings.people.who(before, "17", None).segment
    assert not rankings.on_stored(before, "17", 0).stale
    assert rankings.of_user(before, "17").votes == CHECKPOINTS[-1]
    assert counter.store.erase("17", "k") == 1
    after = counter.standings()
    gone = before.counts.sum(axis=(1, 2, 3)) - after.counts.sum(axis=(1, 2, 3))
    assert gone.tolist() == [CHECKPOINTS[-1] * (k == label) for k in range(len(gone))]
    assert rankings.of_user(after, "17").note == f"the user has no votes; this is {base.segments[label]}'s ranking"
    assert rankings.on_stored(after, "17", 0).stale
    assert rankings.of_user(after, "18") == replace(rankings.of_user(before, "18"), standings=1)


def test_nothing_yet_is_an_empty_board(tmp_path: Path) -> None:
    base = bases.of_folder(tmp_path / "new")
    counter, rankings = Counter(base, base.open_store()), Rankings(base)
    nothing = counter.standings()
    assert rankings.leaderboard(nothing, None, None) == []
    assert rankings.of_user(nothing, "u").ranking == ()
    with pytest.raises(ElectorateError, match="nothing here reads prompts"):
        rankings.on_stored(nothing, "u", 0)


def test_without_a_run_users_who_differ_are_found_to_differ(tmp_path: Path) -> None:
    """Two kinds of users of opposite tastes: what they have in common is nothing, what each likes is clear."""
    base = bases.of_folder(tmp_path / "new")
    counter, rankings, random = Counter(base, base.open_store()), Rankings(base), np.random.default_rng(0)
    for user in range(60):
        good = ["x", "y", "z"] if user % 2 else ["z", "y", "x"]
        votes = []
        for i in range(30):
            a, b = random.choice(3, 2, replace=False)
            better = a < b if random.random() < 0.85 else a > b
            votes.append(Vote(str(i), f"u{user}", good[a], good[b], 0 if better else 1))
        counter.store.add([Batch("k", votes)])
    standings = counter.standings()
    assert standings.unlabelled is not None
    assert standings.unlabelled.sd > to_nats(100)
    firsts = [names(rankings.of_user(standings, f"u{user}"))[0] for user in range(60)]
    assert sum(first == ("x" if user % 2 else "z") for user, first in enumerate(firsts)) > 50
    assert rankings.of_user(standings, "u1").system == "elo_offset"


def test_other_tie_models_can_be_asked_for(counter: Counter) -> None:
    standings, rankings = counter.standings(), Rankings(counter.base)
    half, davidson = (rankings.leaderboard(standings, "coder", ties) for ties in ("half", "davidson"))
    assert half != davidson
    assert davidson == rankings.leaderboard(standings, "coder", None)


def test_the_prior_survives_its_file(tmp_path: Path) -> None:
    prior = Prior(np.arange(8.0).reshape(2, 4), 0.4, 0.3, np.ones((1, 3)))
    priors.write(tmp_path / "ratings" / "prior.npz", prior)
    again = priors.read(tmp_path / "ratings" / "prior.npz")
    assert np.array_equal(again.covariance, prior.covariance)
    assert again.mean_covariance is None
    (tmp_path / "damaged.npz").write_bytes(b"PK")
    for path in ("damaged.npz", "missing.npz"):
        with pytest.raises(ElectorateError, match=f"{path}: cannot be read"):
            priors.read(tmp_path / path)


def test_a_user_of_any_archetype_has_the_mixtures_mean_and_covariance() -> None:
    random, shares = np.random.default_rng(1), np.array([0.2, 0.5, 0.3])
    prior = Prior(random.normal(size=(3, 5)), 0.4, 0.3, random.normal(size=(2, 4)))
    mixed = priors.without_label(prior, shares)
    away = prior.mean[:, :-1] - shares @ prior.mean[:, :-1]
    between = np.einsum("k,ki,kj->ij", shares, away, away)
    assert np.allclose(mixed.covariance[:-1, :-1], prior.covariance[:-1, :-1] + between)
    assert isinstance(posteriors.Prior, type)


def test_what_cannot_be_served_is_one_line(run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ElectorateError, match="holds files but no finished run"):
        bases.of_folder(tmp_path)
    stopped = RunFolder(tmp_path / "stopped")
    stopped.path.mkdir()
    stopped.write_manifest({"status": "stopped", "kind": "run"})
    with pytest.raises(ElectorateError, match="a run that is stopped; only a finished run can be served"):
        bases.of_folder(stopped.path)
    assert founding.of_run(run).config.contestant_names[0] == "c0"
