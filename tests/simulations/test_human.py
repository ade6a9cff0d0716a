"""`human` on made people whose differences are known, and on MT-bench's where its votes are at hand."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from electorate.evaluation import held_out
from electorate.evaluation.held_out import predictive
from electorate.evaluation.results import METRICS
from electorate.ratings.ties import MODELS
from simulations import cli
from tests.conftest import ROOT

MTBENCH = ROOT.parent / "shared" / "data" / "mtbench_human_votes.parquet"


def made(path: Path, users: int = 30, each: int = 80, offset_sd: float = 0.0, tie_sd: float = 0.0, prompts: int = 60) -> None:
    """Votes of people whose ratings lie offset_sd nats, and whose tie parameters lie tie_sd, around common ones."""
    random = np.random.default_rng(0)
    strength = np.linspace(-1, 1, 6) + offset_sd * random.normal(size=(users, 6))
    eta = -0.5 + tie_sd * random.normal(size=users)
    user = np.repeat(np.arange(users), each)
    a = random.integers(0, 6, len(user))
    b = (a + random.integers(1, 6, len(user))) % 6
    odds = MODELS["davidson"].probabilities(strength[user, a] - strength[user, b], eta[user])
    outcome = (random.random(len(user))[:, None] > odds.cumsum(axis=1)[:, :2]).sum(axis=1)
    winner = np.array(["model_a", "model_b", "tie"])[outcome]
    names = np.array([f"m{i}" for i in range(6)])
    columns = {
        "judge": user,
        "model_a": names[a],
        "model_b": names[b],
        "winner": winner,
        "question_id": random.integers(0, prompts, len(user)),
    }
    pq.write_table(pa.table(columns), path)


def losses(votes: Path, out: Path, *options: str) -> dict[str, float]:
    assert cli.main(["human", str(votes), "--out", str(out), *options]) == 0
    return {system: values["log_loss"] for system, values in json.loads((out / "summary.json").read_text()).items()}


def test_what_people_differ_in_is_found_and_nothing_else(tmp_path: Path) -> None:
    for name, spread in (("alike", {}), ("ties", {"tie_sd": 1.0}), ("tastes", {"offset_sd": 1.0})):
        made(tmp_path / f"{name}.parquet", **spread)
    alike, ties, tastes = (losses(tmp_path / f"{name}.parquet", tmp_path / name) for name in ("alike", "ties", "tastes"))
    # People who are alike: a personal rating must cost next to nothing.
    assert alike["elo_offset"] - alike["global_bt"] < 0.003
    # Who differ in tie rates: those help, offsets add nothing.
    assert ties["personal_ties"] < ties["global_bt"] - 0.02
    assert abs(ties["elo_offset"] - ties["personal_ties"]) < 0.005
    # Who differ in taste: offsets help and tie rates do not; plain Elo updates come between.
    assert tastes["elo_offset"] < tastes["elo_online"] < tastes["global_bt"]
    assert tastes["elo_offset"] < tastes["personal_ties"] - 0.02
    assert max(alike["global_bt"], ties["global_bt"], tastes["global_bt"]) < min(each["class_prior"] for each in (alike, ties, tastes))


def test_folds_share_no_prompt_and_every_vote_is_held_out_once() -> None:
    prompt = np.random.default_rng(1).integers(0, 23, 500)
    fold = held_out.folds(prompt, 5, seed=2)
    assert all(len(np.unique(fold[prompt == p])) == 1 for p in range(23))
    sizes = [len(np.unique(prompt[fold == f])) for f in range(5)]
    assert (min(sizes), max(sizes)) == (4, 5)
    assert not np.array_equal(fold, held_out.folds(prompt, 5, seed=3))


def test_the_folder_holds_a_runs_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path / "v.parquet", users=8, each=40)
    first = losses(tmp_path / "v.parquet", tmp_path / "out", "--ties", "rao_kupper")
    metrics = pq.read_table(tmp_path / "out" / "metrics.parquet")
    assert metrics.schema.equals(METRICS)
    assert set(metrics["metric"].to_pylist()) == {"log_loss", "brier", "accuracy", "ece"}
    assert set(metrics["system"].to_pylist()) == set(held_out.SYSTEMS)
    assert pq.read_table(tmp_path / "out" / "predictions.parquet").num_rows == 320
    assert all(row["ci_low"] <= row["value"] <= row["ci_high"] for row in metrics.to_pylist() if row["metric"] != "ece")
    assert losses(tmp_path / "v.parquet", tmp_path / "again", "--ties", "rao_kupper") == first
    capsys.readouterr()
    assert cli.main(["human", str(tmp_path / "v.parquet"), "--out", str(tmp_path / "out")]) == 2
    assert "holds files already; give an empty or new folder" in capsys.readouterr().err
    assert cli.main(["report", str(tmp_path / "out")]) == 2
    assert "holds no run's config; only a run has a report" in capsys.readouterr().err


def test_more_people_than_a_block_and_weights_that_count_for_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path / "v.parquet", users=5000, each=3, offset_sd=0.5)
    plain = losses(tmp_path / "v.parquet", tmp_path / "plain")
    assert plain["elo_offset"] < plain["global_bt"]
    table = pq.read_table(tmp_path / "v.parquet")
    pq.write_table(table.append_column("weight", pa.array(np.linspace(0.1, 5, table.num_rows))), tmp_path / "w.parquet")
    capsys.readouterr()
    assert losses(tmp_path / "w.parquet", tmp_path / "weighted") == plain
    assert "weights are left aside" in capsys.readouterr().out


def test_people_must_be_named_and_a_run_does_not_go_on_in_its_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path / "v.parquet", users=3, each=30)
    losses(tmp_path / "v.parquet", tmp_path / "out")
    pq.write_table(pq.read_table(tmp_path / "v.parquet").drop_columns(["judge"]), tmp_path / "nobody.parquet")
    assert cli.main(["human", str(tmp_path / "nobody.parquet"), "--out", str(tmp_path / "nobody")]) == 2
    assert "has no column user_id or judge" in capsys.readouterr().err
    assert cli.main(["run", str(ROOT / "configs" / "quickstart.yaml"), "--out", str(tmp_path / "out"), "--resume"]) == 2
    assert "holds a comparison that is no run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "expected"),
    [({"question_id": None}, "has no column prompt_id or question_id"), ({"question_id": 1}, "1 prompts; at least 5 are needed")],
)
def test_votes_that_cannot_be_dealt_into_folds(
    change: dict[str, object], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made(tmp_path / "v.parquet", users=3, each=10)
    table = pq.read_table(tmp_path / "v.parquet").drop_columns(["question_id"])
    if change["question_id"] is not None:
        table = table.append_column("question_id", pa.array([1] * 30))
    pq.write_table(table, tmp_path / "v.parquet")
    assert cli.main(["human", str(tmp_path / "v.parquet"), "--out", str(tmp_path / "out")]) == 2
    assert expected in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_extreme_votes_have_an_answer(tmp_path: Path) -> None:
    n = 2000
    names = {"model_a": ["x", "y"] * (n // 2), "model_b": ["y", "z"] * (n // 2), "prompt_id": [i % 50 for i in range(n)]}
    pq.write_table(pa.table({**names, "winner": ["tie"] * n, "user_id": [i % 9 for i in range(n)]}), tmp_path / "ties.parquet")
    all_ties = losses(tmp_path / "ties.parquet", tmp_path / "ties")
    assert all(loss < 0.02 for loss in all_ties.values())
    # One person cast all the votes but two.
    user = ["one"] * (n - 2) + ["two", "three"]
    winner = ["model_a", "model_b", "model_a", "tie"] * (n // 4)
    pq.write_table(pa.table({**names, "winner": winner, "user_id": user}), tmp_path / "one.parquet")
    lone = losses(tmp_path / "one.parquet", tmp_path / "one")
    assert abs(lone["elo_offset"] - lone["global_bt"]) < 0.01


def test_odds_are_averaged_over_the_joint_posterior() -> None:
    random, ties = np.random.default_rng(0), MODELS["davidson"]
    covariance = np.array([[0.8, -0.2], [-0.2, 0.5]])
    d, eta = random.multivariate_normal([0.7, -0.3], covariance, 400_000).T
    got = predictive(np.array([0.7]), np.array([-0.3]), np.array([0.8]), np.array([-0.2]), np.array([0.5]), ties)
    assert got[0] == pytest.approx(ties.probabilities(d, eta).mean(axis=0), abs=0.003)


@pytest.mark.skipif(not MTBENCH.exists(), reason=f"{MTBENCH} is not here")
def test_mtbench_people_differ_in_how_often_they_tie(tmp_path: Path) -> None:
    loss = losses(MTBENCH, tmp_path / "out")
    assert loss["elo_offset"] <= 0.878
    assert loss["elo_offset"] < loss["global_bt"] < loss["class_prior"]
