"""Each importer on a file as its publisher writes it, by the command a user types."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.special import expit

import electorate
from electorate.base.scale import ELO_PER_NAT
from simulations import cli


def imported(kind: str, path: Path, out: Path) -> dict[str, list[dict[str, Any]]]:
    """The tables an import leaves, as rows."""
    assert cli.main(["import", kind, str(path), "--out", str(out)]) == 0
    tables = {
        name: pq.read_table(out / f"{name}.parquet").to_pylist()
        for name in ("votes", "responses")
        if (out / f"{name}.parquet").exists()
    }
    aside = out / "set_aside.jsonl"
    return tables | {
        "aside": [json.loads(line) for line in aside.read_text().splitlines()]
        if aside.exists()
        else []
    }


LMSYS = [
    "id",
    "model_a",
    "model_b",
    "prompt",
    "response_a",
    "response_b",
    "winner_model_a",
    "winner_model_b",
    "winner_tie",
]


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
        (6, "prompt is not a list of turns"),
        (7, "response_a holds text that is not Unicode"),
    ]
    assert "5 rows set aside" in capsys.readouterr().out
    assert cli.main(["rate", str(tmp_path / "out" / "votes.parquet")]) == 0


def conversation(*said: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(said)]


def test_mtbench_as_published(tmp_path: Path) -> None:
    a = conversation("Hi", "A1", "And?", "A2")
    b = conversation("Hi", "B1", "And?", "")
    row = {
        "question_id": 81,
        "model_a": "x",
        "model_b": "y",
        "winner": "model_b",
        "judge": "expert_1",
        "conversation_a": a,
        "conversation_b": b,
    }
    rows = [
        row | {"turn": 1},
        row | {"turn": 2, "winner": "tie"},
        row | {"turn": 3},
        row | {"winner": "nobody"},
        row | {"conversation_a": "?"},
    ]
    rows.append(row | {"turn": 2, "conversation_a": conversation("Hi", "A1", "And?")})
    path = tmp_path / "human.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    found = imported("mtbench", path, tmp_path / "out")
    first, second = found["votes"]
    assert (first["user_id"], first["prompt_id"], first["prompt"], first["response_b"]) == (
        "expert_1",
        "81",
        '["Hi"]',
        '["B1"]',
    )
    assert (second["winner"], second["response_b"]) == ("tie", '["B1", ""]')
    assert [row["row"] for row in found["aside"]] == [3, 4, 5, 6]
    assert len(found["responses"]) == 2


def test_alpaca_eval_outputs_and_annotations(tmp_path: Path) -> None:
    outputs = [
        {"instruction": "Why?", "output": text, "generator": model, "dataset": "d"}
        for model, text in (("x", "X"), ("y", "Y"))
    ]
    annotation = {
        "instruction": "Why?",
        "output_1": "X",
        "output_2": "Y",
        "generator_1": "x",
        "generator_2": "y",
        "annotator": "gpt",
    }
    annotations = [annotation | {"preference": p} for p in (1, 1.9, 1.5, 0, None, 7)]
    for folder, name, content in (
        ("x", "model_outputs.json", outputs),
        ("x/gpt", "annotations.json", annotations),
    ):
        (tmp_path / "results" / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / "results" / folder / name).write_text(json.dumps(content))
    found = imported("alpaca-eval", tmp_path / "results", tmp_path / "out")
    assert [vote["winner"] for vote in found["votes"]] == ["model_a", "model_b", "tie", "tie"]
    assert {(row["prompt"], row["model"], row["response"]) for row in found["responses"]} == {
        ("Why?", "x", "X"),
        ("Why?", "y", "Y"),
    }
    assert [row["reason"] for row in found["aside"]] == [
        "without a preference",
        "preference not from 1 to 2",
    ]


def test_one_models_annotations_under_two_names_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def annotation(prompt: int, model: str, preference: float) -> dict[str, Any]:
        return {
            "instruction": f"{prompt}?",
            "output_1": "theirs",
            "output_2": f"answer {prompt}" if model != "other" else "else",
            "generator_1": "base",
            "generator_2": model,
            "preference": preference,
        }

    rows = [annotation(i, m, 1 + i % 2) for i in range(6) for m in ("x", "copy of x", "other")]
    (tmp_path / "annotations.json").write_text(json.dumps(rows))
    imported("alpaca-eval", tmp_path / "annotations.json", tmp_path / "out")
    said = capsys.readouterr().out
    assert "6 votes are the same under the names 'copy of x', 'x': is it one model's" in said
    assert "'other'" not in said


def test_prism(tmp_path: Path) -> None:
    base = {
        "interaction_id": "i1",
        "user_id": "u1",
        "turn": 0,
        "user_prompt": "Is it so?",
        "model_response": "Yes.",
    }
    rows = [
        *(
            base | {"model_name": model, "score": score}
            for model, score in (("x", 90), ("y", 40), ("z", 40))
        ),
        base | {"model_name": "x", "score": 12},
        base | {"model_name": "v", "score": 900},
        base | {"model_name": "x", "score": 50, "turn": 1},
    ]
    rows += [
        {**base, "interaction_id": "i2", "model_name": "", "score": 9},
        {**base, "turn": None, "model_name": "x", "score": 9},
    ]
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
    reasons = [
        "a model answers an opening twice",
        "score not from 1 to 100",
        "without model_name",
        "turn is not a number",
    ]
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
    assert (vote["winner"], vote["user_id"], vote["prompt"], vote["response_b"]) == (
        "tie (bothbad)",
        "3",
        '["[a draft"]',
        '["B"]',
    )
    assert {row["reason"] for row in found["aside"]} == {
        "weight not a number from 1e-9 to 1e9",
        "is not JSON",
    }


def test_an_import_never_overwrites_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "votes.jsonl"
    out = tmp_path / "out"
    path.write_text('{"model_a": "x", "model_b": "y", "winner": "tie"}\n')
    imported("jsonl", path, out)
    kept = (out / "votes.parquet").read_bytes()
    assert cli.main(["import", "jsonl", str(path), "--out", str(out)]) == 2
    assert "holds votes.parquet already" in capsys.readouterr().err
    assert (out / "votes.parquet").read_bytes() == kept


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def pairs(found: dict[str, list[dict[str, Any]]]) -> list[tuple[str, str, str]]:
    return [(vote["model_a"], vote["model_b"], vote["winner"]) for vote in found["votes"]]


def test_wsdm_cup_has_names_of_sides_and_plain_texts(tmp_path: Path) -> None:
    rows = [
        {
            "id": str(i),
            "prompt": "Why?",
            "response_a": "Because.",
            "response_b": "['a list', 'in Python']",
            "winner": winner,
            "model_a": "x",
            "model_b": "y",
            "language": "English",
        }
        for i, winner in enumerate(("model_a", "model_b", "neither of them"))
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "train.parquet")
    found = imported("lmsys", tmp_path / "train.parquet", tmp_path / "out")
    assert pairs(found) == [("x", "y", "model_a"), ("x", "y", "model_b")]
    assert json.loads(found["votes"][0]["response_b"]) == ["['a list', 'in Python']"]
    assert "winner 'neither of them'" in found["aside"][0]["reason"]


def arena_row(i: int, winner: str, content: object, asked: str = "Why?") -> dict[str, Any]:
    return {
        "question_id": f"q{i}",
        "model_a": "x",
        "model_b": "y",
        "winner": winner,
        "evaluation_session_id": f"s{i // 2}",
        "conversation_a": [
            {"role": "user", "content": "Why?"},
            {"role": "assistant", "content": content},
        ],
        "conversation_b": [
            {"role": "user", "content": [{"type": "text", "text": asked}]},
            {"role": "assistant", "content": "It is so."},
        ],
    }


def test_battles_of_the_arena_as_messages(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "Because."}, {"type": "image", "image": "..."}]
    rows = [
        arena_row(0, "model_a", "Because."),
        arena_row(1, "both_bad", parts),
        arena_row(2, "y", "Because."),
        arena_row(3, "tie", "Because.", asked="Who?"),
        arena_row(4, "nobody", "Because."),
    ]
    found = imported("arena", lines(tmp_path / "a.jsonl", rows), tmp_path / "out")
    assert pairs(found) == [
        ("x", "y", "model_a"),
        ("x", "y", "tie (bothbad)"),
        ("x", "y", "model_b"),
    ]
    assert [vote["user_id"] for vote in found["votes"]] == ["s0", "s0", "s1"]
    assert all(json.loads(vote["response_a"]) == ["Because."] for vote in found["votes"])
    assert [row["reason"] for row in found["aside"]] == [
        "the two conversations have different prompts",
        "winner 'nobody' is not model_a, model_b, tie or tie (bothbad)",
    ]


def test_games_of_a_judge_in_both_orders(tmp_path: Path) -> None:
    hard = [
        {
            "question_id": "1",
            "model": "m",
            "judge": "gpt-4",
            "games": [{"score": "A>>B"}, {"score": "B>A"}],
        },
        {"question_id": "2", "model": "m", "judge": "gpt-4", "games": [{"score": "[[A=B]]"}]},
        {"question_id": "3", "model": "m", "judge": "gpt-4", "games": [{"score": None}]},
    ]
    found = imported("arena-hard", lines(tmp_path / "hard.jsonl", hard), tmp_path / "hard")
    base = "gpt-4-0314"
    assert pairs(found) == [
        (base, "m", "model_a"),
        ("m", base, "model_b"),
        (base, "m", "tie"),
    ]
    assert [vote["weight"] for vote in found["votes"]] == [0.5, 0.5, 1.0]
    assert len(found["aside"]) == 1

    bench = [
        {
            "question_id": 81,
            "model_1": "x",
            "model_2": "y",
            "g1_winner": "model_1",
            "g2_winner": "tie",
            "judge": ["gpt-4", "pair-v2"],
            "turn": 1,
        },
        {
            "question_id": 82,
            "model_1": "x",
            "model_2": "y",
            "g1_winner": "error",
            "g2_winner": "tie",
            "judge": ["gpt-4", "pair-v2"],
        },
    ]
    found = imported("arena-hard", lines(tmp_path / "pair.jsonl", bench), tmp_path / "pair")
    assert pairs(found) == [("x", "y", "model_a"), ("x", "y", "tie")]
    assert {vote["user_id"] for vote in found["votes"]} == {"gpt-4"}
    assert [row["reason"] for row in found["aside"]] == [
        "'error' is none of model_1, model_2 and tie"
    ]


def test_fastchat_answers_with_their_questions(tmp_path: Path) -> None:
    answers = tmp_path / "model_answer"
    answers.mkdir()
    lines(
        tmp_path / "question.jsonl",
        [{"question_id": 81, "category": "writing", "turns": ["Why?", "And?"]}],
    )
    for model in ("x", "y"):
        choices = [{"index": 0, "turns": [f"{model} says so.", "More."]}]
        row = {"question_id": 81, "answer_id": "a", "model_id": model, "choices": choices}
        lines(answers / f"{model}.jsonl", [row, {**row, "choices": []}])
    found = imported("fastchat", answers, tmp_path / "out")
    assert [(row["prompt"], row["model"], row["response"]) for row in found["responses"]] == [
        ("Why?", "x", "x says so."),
        ("Why?", "y", "y says so."),
    ]
    assert len(found["aside"]) == 2


def test_open_webui_feedback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def feedback(user: str, rating: object, model: str, siblings: list[str] | None) -> Any:
        data = {"rating": rating, "model_id": model, "sibling_model_ids": siblings, "reason": ""}
        return {
            "id": "f",
            "user_id": user,
            "version": 0,
            "type": "rating",
            "data": data,
            "meta": {"message_id": "m1", "chat_id": "c"},
        }

    export = [
        feedback("u", 1, "x", ["y"]),
        feedback("u", -1, "x", ["y", "z"]),
        feedback("v", 1, "x", None),
        feedback("v", 5, "x", ["y"]),
    ]
    (tmp_path / "export.json").write_text(json.dumps(export))
    found = imported("open-webui", tmp_path / "export.json", tmp_path / "out")
    assert pairs(found) == [
        ("x", "y", "model_a"),
        ("x", "y", "model_b"),
        ("x", "z", "model_b"),
        ("x", None, "up"),
    ]
    assert [vote["weight"] for vote in found["votes"]] == [1.0, 0.5, 0.5, 1.0]
    assert "1 of them thumbs, on one answer alone" in capsys.readouterr().out
    assert [row["reason"] for row in found["aside"]] == ["rating is 5, not 1 or -1"]


def test_thumbs_of_open_webui_are_rated_with_its_battles(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the export to the board: each user asks something else, and models are rated alike."""
    random = np.random.default_rng(0)
    strength = np.linspace(-1, 1, 4)
    export = []

    def say(user: int, good: bool, model: int, sibling: int | None) -> None:
        siblings = None if sibling is None else [f"m{sibling}"]
        data = {"rating": 2 * int(good) - 1, "model_id": f"m{model}", "sibling_model_ids": siblings}
        meta = {"message_id": f"x{len(export)}"}
        export.append({"user_id": f"u{user}", "type": "rating", "data": data, "meta": meta})

    for user, threshold in enumerate(0.5 + 0.8 * random.normal(size=150)):
        for model in random.integers(0, 4, 12):
            say(user, random.random() < expit(strength[model] - threshold), int(model), None)
        a, b = random.permutation(4)[:2]
        say(user, random.random() < expit(strength[a] - strength[b]), int(a), int(b))
    (tmp_path / "export.json").write_text(json.dumps(export))
    imported("open-webui", tmp_path / "export.json", tmp_path / "out")
    votes = tmp_path / "out" / "votes.parquet"
    board = tmp_path / "board.parquet"
    capsys.readouterr()
    assert cli.main(["rate", str(votes), "--out", str(board)]) == 0
    printed = capsys.readouterr().out
    assert "150 battles and 1,800 thumbs, 4 models" in printed
    said = re.search(r"on average a rating of (\d+), with a spread of (\d+) between", printed)
    assert said
    assert float(said[1]) == pytest.approx(1000 + 0.5 * ELO_PER_NAT, abs=30)
    assert float(said[2]) == pytest.approx(0.8 * ELO_PER_NAT, abs=30)
    for row in pq.read_table(board).to_pylist():
        truth = 1000 + ELO_PER_NAT * strength[int(row["model"][1])]
        assert row["ci_low"] < truth < row["ci_high"]
        assert row["ci_high"] - row["ci_low"] < 80
    of_pandas = electorate.rate(pq.read_table(votes).to_pandas())
    assert of_pandas["rating"].tolist() == pytest.approx(pq.read_table(board)["rating"].to_pylist())
    # Other commands say that they leave them out.
    assert cli.main(["human", str(votes), "--out", str(tmp_path / "human")]) == 0
    assert "left out: 1,800 a thumb on one answer, which `rate` alone takes" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        ("arena", arena_row(0, "model_a", "half\ud83d")),
        ("arena", {**arena_row(0, "model_a", "x"), "model_a": "half\ud83d"}),
        ("fastchat", {"question_id": 1, "model_id": "x", "choices": [{"turns": ["half\ud83d"]}]}),
        (
            "open-webui",
            {"data": {"rating": 1, "model_id": "half\ud83d", "sibling_model_ids": ["y"]}},
        ),
        (
            "arena-hard",
            {"question_id": "1", "model": "m", "games": [{"score": "A>B"}], "judge": "half\ud83d"},
        ),
    ],
)
def test_half_a_surrogate_pair_is_set_aside(
    kind: str, row: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines(tmp_path / "a.jsonl", [row])
    code = cli.main(["import", kind, str(tmp_path / "a.jsonl"), "--out", str(tmp_path / "out")])
    assert code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "Unicode" in line
