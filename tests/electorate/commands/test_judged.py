"""`rate --judged`: people's votes and a model's in two files."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from electorate.commands import cli
from electorate.evaluation import judged
from electorate.ratings.prediction_powered import battles
from electorate.ratings.user_votes import UserVotes
from tests.electorate.ratings.test_prediction_powered import drawn

WINNER = np.array(["model_a", "model_b", "tie"])


def write(path: Path, votes: UserVotes, prompt: str = "prompt_id") -> Path:
    columns = {
        "model_a": [f"m{m}" for m in votes.a],
        "model_b": [f"m{m}" for m in votes.b],
        "winner": WINNER[votes.outcome],
        prompt: [f"p{p}" for p in votes.prompt],
    }
    pq.write_table(pa.table(columns), path)
    return path


def test_both_files_make_one_board(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    people, model = drawn(0, "good")
    of_people = write(tmp_path / "people.parquet", people, "question_id")
    of_model = write(tmp_path / "model.parquet", model)
    out = tmp_path / "board.csv"
    assert cli.main(["rate", str(of_people), "--judged", str(of_model), "--out", str(out)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "400 votes, 6 models" in printed
    shared = int(np.isin(battles(model), battles(people)).sum())
    assert f"{shared} of the model's votes are on battles that people judged" in printed
    assert "times as many votes of people" in printed
    board = out.read_text().splitlines()
    assert len(board) == 7
    capsys.readouterr()
    assert cli.main(["rate", str(of_people), "--out", str(tmp_path / "alone.csv")]) == 0
    width = {}
    for name in ("board", "alone"):
        with (tmp_path / f"{name}.csv").open() as file:
            rows = list(csv.DictReader(file))
        width[name] = np.mean([float(row["ci_high"]) - float(row["ci_low"]) for row in rows])
    assert width["board"] < 0.97 * width["alone"]


def test_models_that_only_the_judge_saw_are_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    people, model = drawn(0, "good")
    few = people.take((people.a != 5) & (people.b != 5))
    of_people = write(tmp_path / "people.parquet", few)
    of_model = write(tmp_path / "model.parquet", model)
    assert cli.main(["rate", str(of_people), "--judged", str(of_model)]) == 2
    assert "people's votes alone rate these models only by a prior" in capsys.readouterr().err


def test_bad_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    people, model = drawn(0, "good")
    of_people = write(tmp_path / "people.parquet", people)
    of_model = write(tmp_path / "model.parquet", model)
    nameless = pq.read_table(of_model).drop_columns(["prompt_id"])
    pq.write_table(nameless, tmp_path / "nameless.parquet")
    nobody = pq.read_table(of_model).set_column(2, "winner", pa.array(["?"] * len(model.a)))
    pq.write_table(nobody, tmp_path / "nobody.parquet")
    few = write(tmp_path / "few.parquet", people.take(people.prompt < 6))
    for options, expected in (
        ((of_people, "--judged", tmp_path / "nameless.parquet"), "has no column prompt_id or"),
        ((of_people, "--judged", tmp_path / "nobody.parquet"), "no row is a vote"),
        ((of_people, "--judged", of_model, "--style"), "--style: not with --judged"),
        ((of_people, "--judged", tmp_path / "none.parquet"), "none.parquet"),
        ((few, "--judged", of_model), "people's votes"),
    ):
        assert cli.main(["rate", *map(str, options)]) == 2
        told = capsys.readouterr().err
        assert expected in told
        assert len(told.strip().splitlines()) == 1


def test_no_battle_in_common_is_said(tmp_path: Path) -> None:
    people, model = drawn(0, "good")
    elsewhere = replace(model, prompt=model.prompt + 1000)
    files = (
        write(tmp_path / "people.parquet", people),
        write(tmp_path / "model.parquet", elsewhere),
    )
    of_people, of_model, _ = judged.read(*files)
    rated, found = judged.rate(of_people, of_model, "davidson")
    assert found.weight == 0
    assert "the model judged no battle that people did" in rated.notes[0]
