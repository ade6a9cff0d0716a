"""`rate` by groups, with who beats whom, with several columns of winners, and as a page."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from electorate.data import vote_files
from electorate.data.votes import NamedVotes
from electorate.evaluation import rating
from electorate.ratings import leaderboard
from simulations import cli

NAMES = ("<b>ada</b>", "bob", "cyd", "dot")


def made(place: Path, votes: int = 600, seed: int = 0) -> Path:
    """Votes of two languages, whose speakers like models in opposite orders; a second judge's
    verdicts stand in a column of their own.
    """
    random = np.random.default_rng(seed)
    french = np.arange(votes) % 2 == 1
    a = random.integers(0, 4, votes)
    b = (a + random.integers(1, 4, votes)) % 4
    strength = np.where(french, -0.8, 0.8) * (b - a)

    def verdicts() -> np.ndarray:
        a_wins = random.random(votes) < 1 / (1 + np.exp(-strength))
        return np.where(a_wins, "model_a", "model_b")

    columns = {
        "model_a": np.array(NAMES)[a],
        "model_b": np.array(NAMES)[b],
        "winner": verdicts(),
        "second": verdicts(),
        "language": np.where(french, "fr", "en"),
        "rare": np.where(np.arange(votes) < 5, "few", "many"),
        "user_id": np.arange(votes) % 20,
        "prompt_id": np.arange(votes) % 30,
    }
    pq.write_table(pa.table(columns), place)
    return place


def test_each_group_has_a_board(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = made(tmp_path / "v.parquet")
    out = tmp_path / "board.parquet"
    assert cli.main(["rate", str(file), "--by", "language", "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert "rank (rating) by language" in told
    rows = pq.read_table(out).to_pylist()
    orders = {
        group: [row["model"] for row in rows if row["group"] == group] for group in ("", "en", "fr")
    }
    assert orders["en"] == list(NAMES)
    assert orders["fr"] == list(NAMES[::-1])
    assert len(orders[""]) == 4
    assert cli.main(["rate", str(file), "--by", "rare"]) == 0
    assert "no board, of fewer than 20 votes: few (5)" in capsys.readouterr().out
    assert cli.main(["rate", str(file), "--by", "country"]) == 2
    assert "country" in capsys.readouterr().err


def test_who_beats_whom_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = made(tmp_path / "v.parquet")
    votes, _ = vote_files.read(file)
    won, met = leaderboard.win_matrix(votes.by_battle(len(votes.models)))
    np.testing.assert_allclose(won + won.T, met)
    np.testing.assert_allclose(won.sum(axis=1) / met.sum(axis=1), rating.win_rates(votes))
    assert met.sum() == 2 * len(votes)
    assert cli.main(["rate", str(file), "--matrix"]) == 0
    assert "won of 100 battles, row against column" in capsys.readouterr().out


def test_several_columns_of_winners_are_votes_that_weigh_less(tmp_path: Path) -> None:
    """Of the same verdict twice the ratings are those of once, and no interval is narrower."""
    file = made(tmp_path / "v.parquet")
    table = pq.read_table(file)
    pq.write_table(table.append_column("again", table["winner"]), tmp_path / "twice.parquet")
    once, _ = vote_files.read(file)
    both, _ = vote_files.read(tmp_path / "twice.parquet", winner=("winner", "again"))
    assert len(both) == 2 * len(once)
    assert both.weight.sum() == pytest.approx(len(once))
    options = rating.Options(cluster="prompt")
    one = rating.fit(once, options).fit
    other = rating.fit(both, options).fit
    np.testing.assert_allclose(one.strength, other.strength, atol=1e-6)
    np.testing.assert_allclose(
        np.diag(one.covariance)[:-1], np.diag(other.covariance)[:-1], rtol=1e-3
    )
    # Two judges tell more than one, and less than twice as many votes on other prompts.
    two, _ = vote_files.read(file, winner=("winner", "second"))
    sharper = rating.fit(two, options).fit
    assert np.all(np.diag(sharper.covariance)[:-1] < np.diag(one.covariance)[:-1])


def test_without_prompts_verdicts_on_one_battle_depend_on_each_other(tmp_path: Path) -> None:
    file = made(tmp_path / "v.parquet")
    table = pq.read_table(file).drop_columns(["prompt_id", "user_id"])
    pq.write_table(table.append_column("again", table["winner"]), file)
    once, _ = vote_files.read(file)
    both, _ = vote_files.read(file, winner=("winner", "again"))
    one = rating.fit(once, rating.Options(cluster="none")).fit
    other = rating.fit(both, rating.Options()).fit
    np.testing.assert_allclose(
        np.diag(one.covariance)[:-1], np.diag(other.covariance)[:-1], rtol=0.1
    )


def test_a_board_is_a_page_of_its_own(tmp_path: Path) -> None:
    file = made(tmp_path / "v.parquet")
    out = tmp_path / "board.html"
    assert cli.main(["rate", str(file), "--by", "language", "--out", str(out)]) == 0
    page = out.read_text()
    assert "&lt;b&gt;ada&lt;/b&gt;" in page
    assert "<b>ada</b>" not in page
    assert "http" not in page
    assert page.count("<table") == 3
    assert "By group" in page


@pytest.mark.parametrize("option", [("--by", "language"), ("--winner", "second")])
def test_what_is_not_possible_with_a_models_votes_is_one_line(
    tmp_path: Path, option: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    file = made(tmp_path / "v.parquet")
    assert cli.main(["rate", str(file), "--judged", str(file), *option]) == 2
    assert f"{option[0]}: not with --judged" in capsys.readouterr().err


@pytest.mark.slow
def test_all_ranks_lie_within_simultaneous_ranges_as_often_as_said(tmp_path: Path) -> None:
    """Of 200 draws of votes on models that are level or close; each model's own ranges hold all
    ranks far more rarely.
    """
    strength = np.array([0.0, 0.0, 0.1, 0.1, 0.2, 0.2, 0.3, 0.3])
    # Of models that are level any order is true.
    best = 1 + (strength[None, :] > strength[:, None]).sum(axis=1)
    worst = len(strength) - (strength[None, :] < strength[:, None]).sum(axis=1)
    held = {True: 0, False: 0}
    for draw in range(200):
        random = np.random.default_rng(draw)
        a = random.integers(0, 8, 1500)
        b = (a + random.integers(1, 8, 1500)) % 8
        a_wins = random.random(1500) < 1 / (1 + np.exp(strength[b] - strength[a]))
        names = tuple(f"m{i}" for i in range(8))
        votes = NamedVotes(
            models=names, a=a, b=b, outcome=1 - a_wins, weight=np.ones(1500), user=np.zeros_like(a)
        )
        fitted = rating.fit(votes, rating.Options("half")).fit
        for simultaneous in held:
            rows = leaderboard.rows(names, fitted, 0.95, simultaneous=simultaneous)
            low = np.array([row["rank_low"] for row in rows])
            high = np.array([row["rank_high"] for row in rows])
            held[simultaneous] += bool(np.all((low <= best) & (worst <= high)))
    assert held[True] >= 186  # 95%, less two standard errors
    assert held[False] < held[True] - 20
