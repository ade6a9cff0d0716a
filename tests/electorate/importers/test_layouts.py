"""The same votes in every layout of the field: from the file to the board to `human`."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from simulations import cli

MODELS = ("ada", "bob", "cyd")
WINNERS = ("model_a", "model_b", "tie")
Vote = dict[str, str]


pytestmark = pytest.mark.usefixtures("few_folds")


def made_votes() -> list[Vote]:
    """Votes on answers that differ in length, lists and headers; the longer one wins more often."""
    random = np.random.default_rng(0)
    votes = []
    for i in range(160):
        a, b = random.permutation(3)[:2]
        texts = [f"{'word ' * int(random.integers(1, 40))}.", f"# Title\n\n- one\n- {i}\n\nDone."]
        longer = int(random.integers(2))
        response_a, response_b = texts if longer == 0 else texts[::-1]
        if random.random() < 0.2:
            winner = "tie"
        else:
            winner = WINNERS[longer if random.random() < 0.6 + 0.1 * (a - b) else 1 - longer]
        votes.append(
            {
                "id": str(i),
                "model_a": MODELS[a],
                "model_b": MODELS[b],
                "winner": winner,
                "user_id": f"u{i % 16}",
                "prompt_id": f"p{i % 20}",
                "prompt": f"Question {i % 20}?",
                "response_a": response_a,
                "response_b": response_b,
            }
        )
    return votes


def conversation(vote: Vote, side: str) -> list[dict[str, str]]:
    return [
        {"role": "user", "content": vote["prompt"]},
        {"role": "assistant", "content": vote[f"response_{side}"]},
    ]


def write_lines(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "votes.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def lmsys(folder: Path, votes: list[Vote]) -> Path:
    flags = {"winner_model_a": "model_a", "winner_model_b": "model_b", "winner_tie": "tie"}
    texts = ("prompt", "response_a", "response_b")
    with (folder / "train.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "model_a", "model_b", *texts, *flags])
        for vote in votes:
            lists = [json.dumps([vote[name]]) for name in texts]
            won = [int(vote["winner"] == winner) for winner in flags.values()]
            writer.writerow([vote["id"], vote["model_a"], vote["model_b"], *lists, *won])
    return folder / "train.csv"


def wsdm(folder: Path, votes: list[Vote]) -> Path:
    pq.write_table(pa.Table.from_pylist(votes), folder / "train.parquet")
    return folder / "train.parquet"


def mtbench(folder: Path, votes: list[Vote]) -> Path:
    rows = [
        {
            "question_id": vote["prompt_id"],
            "model_a": vote["model_a"],
            "model_b": vote["model_b"],
            "winner": vote["winner"],
            "judge": vote["user_id"],
            "turn": 1,
            "conversation_a": conversation(vote, "a"),
            "conversation_b": conversation(vote, "b"),
        }
        for vote in votes
    ]
    return write_lines(folder, rows)


def arena(folder: Path, votes: list[Vote]) -> Path:
    def parts(vote: Vote, side: str) -> list[dict[str, Any]]:
        return [
            {"role": said["role"], "content": [{"type": "text", "text": said["content"]}]}
            for said in conversation(vote, side)
        ]

    rows = [
        {
            "question_id": vote["prompt_id"],
            "model_a": vote["model_a"],
            "model_b": vote["model_b"],
            "winner": vote["winner"],
            "evaluation_session_id": vote["user_id"],
            "conversation_a": parts(vote, "a"),
            "conversation_b": parts(vote, "b"),
        }
        for vote in votes
    ]
    return write_lines(folder, rows)


def alpaca_eval(folder: Path, votes: list[Vote]) -> Path:
    preference = {"model_a": 1.0, "model_b": 2.0, "tie": 1.5}
    rows = [
        {
            "instruction": vote["prompt"],
            "output_1": vote["response_a"],
            "output_2": vote["response_b"],
            "generator_1": vote["model_a"],
            "generator_2": vote["model_b"],
            "annotator": vote["user_id"],
            "preference": preference[vote["winner"]],
        }
        for vote in votes
    ]
    path = folder / "annotations.json"
    path.write_text(json.dumps(rows))
    return path


def jsonl(folder: Path, votes: list[Vote]) -> Path:
    return write_lines(folder, [dict(vote) for vote in votes])


def prism(folder: Path, votes: list[Vote]) -> Path:
    scores = {"model_a": (80, 20), "model_b": (20, 80), "tie": (50, 50)}
    rows = [
        {
            "interaction_id": vote["id"],
            "user_id": vote["user_id"],
            "turn": 0,
            "user_prompt": vote["prompt"],
            "model_name": vote[f"model_{side}"],
            "model_response": vote[f"response_{side}"],
            "score": score,
        }
        for vote in votes
        for side, score in zip("ab", scores[vote["winner"]], strict=True)
    ]
    (folder / "utterances.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def arena_hard(folder: Path, votes: list[Vote]) -> Path:
    score = {"model_a": "A>B", "model_b": "B>A", "tie": "A=B"}
    rows = [
        {
            "question_id": vote["prompt_id"],
            "model": vote["model_b"],
            "baseline": vote["model_a"],
            "judge": vote["user_id"],
            "games": [{"score": score[vote["winner"]]}],
        }
        for vote in votes
    ]
    return write_lines(folder, rows)


def open_webui(folder: Path, votes: list[Vote]) -> Path:
    rows = []
    for vote in votes:
        good = vote["winner"] == "model_a"
        data = {"rating": 1 if good else -1, "model_id": vote["model_a"]}
        data["sibling_model_ids"] = [vote["model_b"]]
        meta = {"message_id": vote["prompt_id"]}
        rows.append({"user_id": vote["user_id"], "type": "rating", "data": data, "meta": meta})
    return write_lines(folder, rows)


LAYOUTS: dict[str, tuple[str, Callable[[Path, list[Vote]], Path]]] = {
    "lmsys": ("lmsys", lmsys),
    "WSDM Cup": ("lmsys", wsdm),
    "mtbench": ("mtbench", mtbench),
    "arena": ("arena", arena),
    "alpaca-eval": ("alpaca-eval", alpaca_eval),
    "jsonl": ("jsonl", jsonl),
    "prism": ("prism", prism),
    "arena-hard": ("arena-hard", arena_hard),
    "open-webui": ("open-webui", open_webui),
}
WITHOUT_TEXTS = ("arena-hard", "open-webui")
WITHOUT_USERS = ("lmsys", "WSDM Cup")


def board(path: Path, style: bool, capsys: pytest.CaptureFixture[str]) -> tuple[Any, list[str]]:
    """Rating and rank range of each model, and the lines on style."""
    out = path.parent / "board.jsonl"
    options = ["--style"] if style else []
    assert cli.main(["rate", str(path), "--cluster", "none", "--out", str(out), *options]) == 0
    printed = capsys.readouterr().out
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    ratings = {row["model"]: row["rating"] for row in rows}
    return ratings, [line for line in printed.splitlines() if line.startswith("style")]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_from_a_file_of_the_field_to_its_board_and_to_people(
    layout: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kind, write = LAYOUTS[layout]
    votes = made_votes()
    if layout == "open-webui":  # which knows no ties
        votes = [vote for vote in votes if vote["winner"] != "tie"]
    source = tmp_path / "source"
    source.mkdir()
    with (tmp_path / "plain.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(votes[0]))
        writer.writeheader()
        writer.writerows(votes)
    out = tmp_path / "out"
    assert cli.main(["import", kind, str(write(source, votes)), "--out", str(out)]) == 0
    style = layout not in WITHOUT_TEXTS
    expected, effects = board(tmp_path / "plain.csv", style, capsys)
    found, found_effects = board(out / "votes.parquet", style, capsys)
    assert found == pytest.approx(expected, abs=1e-6)
    assert found_effects == effects
    # Length, headers and lists, and that nothing else differs.
    assert len(effects) == (4 if style else 0)
    if layout not in WITHOUT_USERS:
        people = ["human", str(out / "votes.parquet"), "--out", str(tmp_path / "people")]
        assert cli.main(people) == 0
        assert f"{len(votes)} votes of 16 people" in capsys.readouterr().out
