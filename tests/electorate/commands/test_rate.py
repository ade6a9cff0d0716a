"""`rate` as a user calls it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest

from benchmarks import leaderboards
from electorate.commands.rate import Options
from electorate.config.run import RatingSettings
from electorate.online.base import Base
from electorate.storage import tables
from simulations import arguments, cli
from tests.conftest import ROOT

COLUMNS = ["model", "rating", "ci_low", "ci_high", "rank_low", "rank_high", "votes"]


@pytest.fixture
def votes(tmp_path: Path) -> Path:
    path = tmp_path / "votes.parquet"
    table = leaderboards.fresh_votes(5, 800, seed=1)
    table = table.append_column("user_id", pa.array(np.arange(800) % 40)).append_column(
        "prompt_id", pa.array(np.arange(800) % 100)
    )
    pq.write_table(table, path)
    return path


@pytest.mark.parametrize(("models", "n"), leaderboards.SIZES)
def test_it_agrees_with_arena_rank(models: int, n: int, tmp_path: Path) -> None:
    path = tmp_path / "votes.parquet"
    pq.write_table(leaderboards.fresh_votes(models, n, leaderboards.STORED_SEED), path)
    stored = json.loads(leaderboards.STORED.read_text())[str(models)]
    rating, width = leaderboards.differences(leaderboards.ours(path), stored)
    assert rating < leaderboards.RATING_BOUND
    assert width < leaderboards.WIDTH_BOUND


def test_it_prints_and_writes_a_leaderboard_best_first(
    votes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("board.parquet", "board.csv", "board.jsonl"):
        assert cli.main(["rate", str(votes), "--out", str(tmp_path / name)]) == 0
    printed = capsys.readouterr().out
    assert "win rate" in printed
    assert "rank range" in printed
    board = pq.read_table(tmp_path / "board.parquet")
    assert board.column_names == COLUMNS
    ratings = board["rating"].to_pylist()
    assert ratings == sorted(ratings, reverse=True)
    assert sum(board["votes"].to_pylist()) == 1600
    assert pcsv.read_csv(tmp_path / "board.csv").to_pylist() == board.to_pylist()
    assert [
        json.loads(line) for line in (tmp_path / "board.jsonl").read_text().splitlines()
    ] == board.to_pylist()


def board_of(votes: Path, out: Path, *options: str) -> dict[str, dict[str, float]]:
    assert cli.main(["rate", str(votes), "--out", str(out), *options]) == 0
    return {row["model"]: row for row in pq.read_table(out).to_pylist()}


def test_an_anchor_moves_all_ratings_by_the_same(votes: Path, tmp_path: Path) -> None:
    plain = board_of(votes, tmp_path / "a.parquet")
    anchored = board_of(votes, tmp_path / "b.parquet", "--anchor", "model-002=1500")
    assert anchored["model-002"]["rating"] == pytest.approx(1500)
    moved = {anchored[model]["rating"] - plain[model]["rating"] for model in plain}
    assert max(moved) - min(moved) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("ties", ["half", "davidson", "rao_kupper"])
@pytest.mark.parametrize(
    "cluster", [["--cluster", "none"], ["--cluster", "prompt"], ["--cluster", "user"], []]
)
def test_tie_models_and_clusters(
    ties: str, cluster: list[str], votes: Path, tmp_path: Path
) -> None:
    plain = board_of(votes, tmp_path / "a.parquet", "--ties", ties, "--cluster", "none")
    board = board_of(votes, tmp_path / "b.parquet", "--ties", ties, *cluster)
    assert [row["rating"] for row in board.values()] == pytest.approx(
        [row["rating"] for row in plain.values()]
    )
    same = [row["ci_low"] for row in board.values()] == pytest.approx(
        [row["ci_low"] for row in plain.values()], abs=1e-6
    )
    assert same is (cluster == ["--cluster", "none"])


def test_by_default_votes_depend_by_what_the_file_names_and_the_board_names_its_tie_model(
    votes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    default = board_of(votes, tmp_path / "a.parquet")
    printed = capsys.readouterr().out
    assert "ties: davidson" in printed
    assert "intervals are clustered by prompt (100) and by user (40)" in printed
    assert default == board_of(
        votes, tmp_path / "b.parquet", "--cluster", "both", "--ties", "davidson"
    )
    few = (
        pq.read_table(votes)
        .drop_columns(["user_id"])
        .append_column("user_id", pa.array(np.arange(800) % 3))
    )
    pq.write_table(few, tmp_path / "few.parquet")
    capsys.readouterr()
    assert board_of(tmp_path / "few.parquet", tmp_path / "b.parquet") == board_of(
        votes, tmp_path / "a.parquet", "--cluster", "prompt"
    )
    assert "intervals are not clustered by user: 3 of at least 10" in capsys.readouterr().out


def test_one_tie_model_is_the_default_everywhere() -> None:
    chosen = [
        arguments.parser().parse_args(words)
        for words in (["rate", "v.csv"], ["human", "v.csv", "--out", "o"])
    ]
    assert {one.ties for one in chosen} == {"davidson"}
    assert Options().ties == RatingSettings().ties == Base(Path("o"), None).ties_name == "davidson"


def test_any_file_format_gives_the_same_board(votes: Path, tmp_path: Path) -> None:
    table = pq.read_table(votes)
    boards = []
    for ending in (".csv", ".jsonl", ".parquet"):
        tables.write(tmp_path / f"again{ending}", table)
        boards.append(
            board_of(tmp_path / f"again{ending}", tmp_path / "out.parquet", "--cluster", "user")
        )
    (tmp_path / "again.json").write_text(json.dumps(table.to_pylist()))
    boards.append(board_of(tmp_path / "again.json", tmp_path / "out.parquet", "--cluster", "user"))
    assert all(board == boards[0] for board in boards)


def test_weights_count_as_so_many_votes(tmp_path: Path) -> None:
    rows = [("x", "y", "model_a", 3.0), ("x", "y", "model_b", 1.0)]
    pq.write_table(
        pa.table(
            dict(
                zip(
                    ("model_a", "model_b", "winner", "weight"),
                    map(list, zip(*rows, strict=True)),
                    strict=True,
                )
            )
        ),
        tmp_path / "v.parquet",
    )
    board = board_of(tmp_path / "v.parquet", tmp_path / "b.parquet")
    assert board["x"]["rating"] - board["y"]["rating"] == pytest.approx(400 * np.log10(3), abs=1e-6)
    assert board["x"]["votes"] == 2


def test_rows_that_are_no_votes_are_left_out_and_counted(
    votes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = pq.read_table(votes)
    bad = pa.table(
        {
            "model_a": ["x", "x", None],
            "model_b": ["x", "y", "y"],
            "winner": ["tie", "who knows", "tie"],
        }
    )
    pq.write_table(pa.concat_tables([good.select(bad.column_names), bad]), tmp_path / "v.parquet")
    board = board_of(tmp_path / "v.parquet", tmp_path / "b.parquet")
    assert len(board) == 5
    printed = capsys.readouterr().out
    for expected in (
        "1 a model against itself (first: row 801)",
        "1 winner 'who knows', which is not model_a",
        "1 without model_a (first: row 803)",
    ):
        assert expected in printed


def test_rows_left_out_change_no_interval(tmp_path: Path) -> None:
    good = [
        ("x", "y", "model_a", "u1"),
        ("x", "y", "model_b", "u2"),
        ("x", "y", "model_a", "u3"),
    ] * 20
    bad = [("x", "x", "tie", f"nobody {i}") for i in range(500)]
    for name, rows in (("good", good), ("mixed", bad + good)):
        columns = dict(
            zip(
                ("model_a", "model_b", "winner", "user_id"),
                map(list, zip(*rows, strict=True)),
                strict=True,
            )
        )
        pq.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
    one, other = (
        board_of(tmp_path / f"{name}.parquet", tmp_path / "b.parquet", "--cluster", "user")
        for name in ("good", "mixed")
    )
    assert one == other


def test_a_model_that_only_won_gets_a_finite_rating_and_it_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "v.csv").write_text(
        "model_a,model_b,winner\nx,y,model_a\nx,y,model_a\ny,z,model_a\nz,y,model_a\n"
    )
    board = board_of(tmp_path / "v.csv", tmp_path / "b.parquet")
    assert board["x"]["rating"] > board["y"]["rating"]
    assert "lean on a prior" in capsys.readouterr().out


def test_it_never_imports_ray(votes: Path) -> None:
    rates = (
        f"import sys; from simulations import cli; assert cli.main(['rate', {str(votes)!r}]) == 0"
    )
    code = f"{rates}; sys.exit(any(module in sys.modules for module in ('ray', 'torch')))"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False
        ).returncode
        == 0
    )


def test_names_command_neither_terminals_nor_spreadsheets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        ("=HYPERLINK(1)", "\x1b[31mred", "model_a"),
        ("\x1b[31mred", "Größe 漢字 🦙", "tie"),
        ("Größe 漢字 🦙", "=HYPERLINK(1)", "model_b"),
        ("right\u202eleft", "=HYPERLINK(1)", "tie"),
    ]
    names = ("model_a", "model_b", "winner")
    table = pa.table({name: [row[i] for row in rows] for i, name in enumerate(names)})
    path = tmp_path / "votes.parquet"
    pq.write_table(table, path)
    assert cli.main(["rate", str(path), "--out", str(tmp_path / "b.csv")]) == 0
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "\u202e" not in printed
    assert "\\x1b[31mred" in printed
    assert "Größe 漢字 🦙" in printed
    board = pcsv.read_csv(tmp_path / "b.csv").to_pylist()
    assert {row["model"] for row in board} == {
        "'=HYPERLINK(1)",
        "\x1b[31mred",
        "Größe 漢字 🦙",
        "right\u202eleft",
    }
