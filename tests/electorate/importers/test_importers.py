"""Each importer on a file as its publisher writes it, by the command a user types."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from simulations import cli


def imported(kind: str, path: Path, out: Path) -> dict[str, list[dict[str, Any]]]:
    """The tables an import leaves, as rows."""
    assert cli.main(["import", kind, str(path), "--out", str(out)]) == 0
    tables = {
        name: pq.read_table(out / f"{name}.parquet").to_pylist() for name in ("votes", "responses") if (out / f"{name}.parquet").exists()
    }
    aside = out / "set_aside.jsonl"
    return tables | {"aside": [json.loads(line) for line in aside.read_text().splitlines()] if aside.exists() else []}


LMSYS = ["id", "model_a", "model_b", "prompt", "response_a", "response_b", "winner_model_a", "winner_model_b", "winner_tie"]


def lmsys_row(id_: object, winner: str, **changes: object) -> list[object]:
    row = {
        "id": id_,
        "model_a": "gpt-4",
        "model_b": "vicuna",
        "prompt": json.dumps(["Why?", 'Say "more",\nplease']),
        "response_a": json.dumps(["Because.", "More."]),
        "response_b": '["It is so.", null]',
        **{flag: int(flag == winner) for flag in LMSYS[6:]},
        **changes,
    }
    return [row[name] for name in LMSYS]


def test_lmsys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (tmp_path / "train.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(LMSYS)
        writer.writerow(lmsys_row(1, "winner_model_a"))
        writer.writerow(lmsys_row(2, "winner_tie"))
        writer.writerow(lmsys_row(2, "winner_tie"))
        writer.writerow(lmsys_row(4, "nobody"))
        writer.writerow(lmsys_row(5, "winner_model_b", model_b="gpt-4"))
        writer.writerow(lmsys_row(6, "winner_model_b", prompt="no list"))
        writer.writerow(lmsys_row(7, "winner_model_b", response_a='["\\ud83d"]'))
    found = imported("lmsys", tmp_path / "train.csv", tmp_path / "out")
    assert [vote["winner"] for vote in found["votes"]] == ["model_a", "tie"]
    assert json.loads(found["votes"][0]["prompt"])[1] == 'Say "more",\nplease'
    assert json.loads(found["votes"][0]["response_b"]) == ["It is so.", ""]
    assert {(row["prompt_id"], row["model"], row["response"]) for row in found["responses"]} == {
        *(("1", "gpt-4", "Because."), ("1", "vicuna", "It is so."))
    }
    assert [(row["row"], row["reason"]) for row in found["aside"]] == [
        (3, "with the id of an earlier row"),
        (4, "not exactly one of winner_model_a, winner_model_b and winner_tie is 1"),
        (5, "a model against itself"),
        (6, "prompt is not a JSON list of turns"),
        (7, "response_a holds text that is not Unicode"),
    ]
    assert "5 rows set aside" in capsys.readouterr().out
    assert cli.main(["rate", str(tmp_path / "out" / "votes.parquet")]) == 0


def conversation(*said: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(said)]


def test_mtbench_as_published(tmp_path: Path) -> None:
    a, b = conversation("Hi", "A1", "And?", "A2"), conversation("Hi", "B1", "And?", "")
    row = {
        "question_id": 81,
        "model_a": "x",
        "model_b": "y",
        "winner": "model_b",
        "judge": "expert_1",
        "conversation_a": a,
        "conversation_b": b,
    }
    rows = [row | {"turn": 1}, row | {"turn": 2, "winner": "tie"}, row | {"turn": 3}, row | {"winner": "x"}, row | {"conversation_a": "?"}]
    rows.append(row | {"turn": 2, "conversation_a": conversation("Hi", "A1", "And?")})
    path = tmp_path / "human.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    found = imported("mtbench", path, tmp_path / "out")
    first, second = found["votes"]
    assert (first["user_id"], first["prompt_id"], first["prompt"], first["response_b"]) == ("expert_1", "81", '["Hi"]', '["B1"]')
    assert (second["winner"], second["response_b"]) == ("tie", '["B1", ""]')
    assert [row["row"] for row in found["aside"]] == [3, 4, 5, 6]
    assert len(found["responses"]) == 2


def test_alpaca_eval_outputs_and_annotations(tmp_path: Path) -> None:
    outputs = [{"instruction": "Why?", "output": text, "generator": model, "dataset": "d"} for model, text in (("x", "X"), ("y", "Y"))]
    annotation = {"instruction": "Why?", "output_1": "X", "output_2": "Y", "generator_1": "x", "generator_2": "y", "annotator": "gpt"}
    annotations = [annotation | {"preference": p} for p in (1, 1.9, 1.5, 0, None, 7)]
    for folder, name, content in (("x", "model_outputs.json", outputs), ("x/gpt", "annotations.json", annotations)):
        (tmp_path / "results" / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / "results" / folder / name).write_text(json.dumps(content))
    found = imported("alpaca-eval", tmp_path / "results", tmp_path / "out")
    assert [vote["winner"] for vote in found["votes"]] == ["model_a", "model_b", "tie", "tie"]
    assert {(row["prompt"], row["model"], row["response"]) for row in found["responses"]} == {("Why?", "x", "X"), ("Why?", "y", "Y")}
    assert [row["reason"] for row in found["aside"]] == ["without a preference", "preference not from 1 to 2"]


def test_prism(tmp_path: Path) -> None:
    base = {"interaction_id": "i1", "user_id": "u1", "turn": 0, "user_prompt": "Is it so?", "model_response": "Yes."}
    rows = [
        *(base | {"model_name": model, "score": score} for model, score in (("x", 90), ("y", 40), ("z", 40))),
        base | {"model_name": "x", "score": 12},
        base | {"model_name": "v", "score": 900},
        base | {"model_name": "x", "score": 50, "turn": 1},
    ]
    rows += [{**base, "interaction_id": "i2", "model_name": "", "score": 9}, {**base, "turn": None, "model_name": "x", "score": 9}]
    path = tmp_path / "utterances.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    found = imported("prism", tmp_path, tmp_path / "out")
    assert [(v["model_a"], v["model_b"], v["winner"]) for v in found["votes"]] == [
        ("x", "y", "model_a"),
        ("x", "z", "model_a"),
        ("y", "z", "tie"),
    ]
    assert sum(vote["weight"] for vote in found["votes"]) == pytest.approx(2)
    assert {vote["user_id"] for vote in found["votes"]} == {"u1"}
    reasons = ["a model answers an opening twice", "score not from 1 to 100", "without model_name", "turn is not a number"]
    assert [row["reason"] for row in found["aside"]] == reasons


def test_jsonl(tmp_path: Path) -> None:
    path = tmp_path / "votes.jsonl"
    rows: list[dict[str, Any]] = [
        {
            "model_a": "x",
            "model_b": "y",
            "winner": "tie (bothbad)",
            "user_id": 3,
            "prompt": "[a draft",
            "response_a": "A",
            "response_b": '["B"]',
        },
        {"model_a": "x", "model_b": "y", "winner": "model_a", "weight": "much"},
        {"model_a": "x", "model_b": "y", "winner": " tie", "weight": ""},
    ]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows) + "{broken\n")
    found = imported("jsonl", path, tmp_path / "out")
    vote, as_rate_has_it = found["votes"]
    assert (as_rate_has_it["winner"], as_rate_has_it["weight"]) == ("tie", 1.0)
    assert (vote["winner"], vote["user_id"], vote["prompt"], vote["response_b"]) == ("tie (bothbad)", "3", '["[a draft"]', '["B"]')
    assert {row["reason"] for row in found["aside"]} == {"weight not a number from 1e-9 to 1e9", "is not JSON"}


def test_an_import_never_overwrites_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "votes.jsonl", tmp_path / "out"
    path.write_text('{"model_a": "x", "model_b": "y", "winner": "tie"}\n')
    imported("jsonl", path, out)
    kept = (out / "votes.parquet").read_bytes()
    assert cli.main(["import", "jsonl", str(path), "--out", str(out)]) == 2
    assert "holds votes.parquet already" in capsys.readouterr().err
    assert (out / "votes.parquet").read_bytes() == kept
