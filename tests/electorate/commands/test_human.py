"""`human` on made people whose differences are known, and on MT-bench's where its votes are at
hand.
"""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from electorate.config.run import RatingSettings
from electorate.config.systems import by_default
from electorate.data.vote_files import read
from electorate.evaluation import held_out, people
from electorate.evaluation.results import METRICS, NOT_CONVERGED
from electorate.evaluation.vote_odds import predictive
from electorate.ratings import offsets
from electorate.ratings.ties import MODELS
from simulations import cli
from tests.conftest import ROOT

MTBENCH = ROOT.parent / "shared" / "data" / "mtbench_human_votes.parquet"


pytestmark = pytest.mark.usefixtures("few_folds")


def made(
    path: Path,
    users: int = 30,
    each: int = 80,
    offset_sd: float = 0.0,
    tie_sd: float = 0.0,
    prompts: int = 60,
) -> None:
    """Votes of people whose ratings lie offset_sd nats, and whose tie parameters lie tie_sd,
    around common ones.
    """
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
    return {
        system: values["log_loss"]
        for system, values in json.loads((out / "summary.json").read_text()).items()
    }


def test_what_people_differ_in_is_found_and_nothing_else(tmp_path: Path) -> None:
    for name, spread in (("alike", {}), ("ties", {"tie_sd": 1.0}), ("tastes", {"offset_sd": 1.0})):
        made(tmp_path / f"{name}.parquet", **spread)
    alike, ties, tastes = (
        losses(tmp_path / f"{name}.parquet", tmp_path / name)
        for name in ("alike", "ties", "tastes")
    )
    # People who are alike: a personal rating must cost next to nothing.
    assert alike["elo_offset"] - alike["global_bt"] < 0.003
    # Who differ in tie rates: those help, offsets add nothing.
    assert ties["personal_ties"] < ties["global_bt"] - 0.02
    assert abs(ties["elo_offset"] - ties["personal_ties"]) < 0.005
    # Who differ in taste: offsets help and tie rates do not; plain Elo updates come between.
    assert tastes["elo_offset"] < tastes["elo_online"] < tastes["global_bt"]
    assert tastes["elo_offset"] < tastes["personal_ties"] - 0.02
    assert max(alike["global_bt"], ties["global_bt"], tastes["global_bt"]) < min(
        each["class_prior"] for each in (alike, ties, tastes)
    )


def test_who_differs_gains_and_who_does_not_is_left_the_global_ranking(tmp_path: Path) -> None:
    """Half of the people have tastes of their own; the others vote by everybody's ranking."""
    made(tmp_path / "alike.parquet", users=12)
    made(tmp_path / "tastes.parquet", users=12, offset_sd=1.5)
    alike, tastes = (pq.read_table(tmp_path / f"{name}.parquet") for name in ("alike", "tastes"))
    own = tastes.set_column(0, "judge", pa.array(np.array(tastes["judge"]) + 12))
    pq.write_table(pa.concat_tables([alike, own]), tmp_path / "v.parquet")
    found = losses(tmp_path / "v.parquet", tmp_path / "out")
    gains = pq.read_table(tmp_path / "out" / "who_gains.parquet").to_pandas()
    differs = gains["user_id"].astype(int) >= 12
    assert gains["gain"][differs].mean() > gains["gain"][~differs].mean() + 0.03
    assert (gains["said"][differs] == "gains").mean() > 0.6
    assert (gains["said"] == "loses").sum() <= 2
    assert found["elo_offset_gated"] < found["global_bt"] - 0.02
    assert found["elo_offset_gated"] < found["elo_offset"] + 0.005


def test_gains_are_told_by_any_column(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """People who have tastes of their own in one language alone."""
    made(tmp_path / "alike.parquet", users=10)
    made(tmp_path / "tastes.parquet", users=10, offset_sd=1.5)
    parts = []
    for i, (name, language) in enumerate((("alike", "en"), ("tastes", "fr"))):
        table = pq.read_table(tmp_path / f"{name}.parquet")
        table = table.set_column(0, "judge", pa.array(np.array(table["judge"]) + 10 * i))
        values = [language] * (table.num_rows - 30) + [None] * 30
        parts.append(table.append_column("language", pa.array(values)))
    votes = tmp_path / "v.parquet"
    pq.write_table(pa.concat_tables(parts), votes)
    losses(votes, tmp_path / "out", "--by", "language")
    assert "fr: -" in capsys.readouterr().out
    rows = pq.read_table(tmp_path / "out" / "gains_by_group.parquet").to_pylist()
    by = {row["group"]: row for row in rows if row["metric"] == "log_loss"}
    assert {group: row["votes"] for group, row in by.items()} == {
        "en": 770,
        "fr": 770,
        "(none)": 60,
    }
    assert by["fr"]["users"] == 10
    assert by["fr"]["ci_high"] < 0
    assert by["fr"]["value"] < by["en"]["value"] - 0.03
    assert cli.main(["human", str(votes), "--by", "topic", "--out", str(tmp_path / "no")]) == 2
    assert "has no column 'topic'" in capsys.readouterr().err


def test_folds_share_no_prompt_and_every_vote_is_held_out_once() -> None:
    prompt = np.random.default_rng(1).integers(0, 23, 500)
    fold = held_out.folds(prompt, 5, seed=2)
    assert all(len(np.unique(fold[prompt == p])) == 1 for p in range(23))
    sizes = [len(np.unique(prompt[fold == f])) for f in range(5)]
    assert (min(sizes), max(sizes)) == (4, 5)
    assert not np.array_equal(fold, held_out.folds(prompt, 5, seed=3))


def test_prompts_of_the_same_text_are_one_whatever_their_ids(tmp_path: Path) -> None:
    columns = {
        "user_id": ["u"] * 9,
        "model_a": ["x"] * 9,
        "model_b": ["y"] * 9,
        "winner": ["tie"] * 9,
        "prompt_id": [0, 1, 2, 2, 3, 4, 5, 6, 7],
        "prompt": ["s", "s", "t", "u", "u", "v", "w", "z", "z"],
        "response_a": ["a"] * 9,
        "response_b": ["b"] * 9,
    }
    pq.write_table(pa.table(columns), tmp_path / "v.parquet")
    by_text, _ = read(tmp_path / "v.parquet", texts=True)
    assert people.prompts(by_text, "votes").tolist() == [0, 0, 1, 1, 1, 2, 3, 4, 4]
    by_id, _ = read(tmp_path / "v.parquet")
    assert people.prompts(by_id, "votes").tolist() == [0, 1, 2, 2, 3, 4, 5, 6, 7]


def test_the_folder_holds_a_runs_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path / "v.parquet", users=8, each=40)
    first = losses(tmp_path / "v.parquet", tmp_path / "out", "--ties", "rao_kupper")
    metrics = pq.read_table(tmp_path / "out" / "metrics.parquet")
    assert metrics.schema.equals(METRICS)
    assert set(metrics["metric"].to_pylist()) == {
        "log_loss",
        "brier",
        "accuracy",
        "pair_accuracy",
        "ece",
    }
    assert set(metrics["system"].to_pylist()) == {
        name
        for name in by_default("people", reward=False)
        # The file knows neither which answer was first nor how long they are.
        if name not in ("personal_position", "personal_length")
    }
    gains = pq.read_table(tmp_path / "out" / "who_gains.parquet")
    assert gains["user_id"].to_pylist() == [str(user) for user in range(8)]
    assert gains["votes"].to_pylist() == [40] * 8
    assert set(gains["said"].to_pylist()) <= {"gains", "loses", "not known"}
    printed = capsys.readouterr().out
    assert "of 8 people are said to gain 0.005 nats a vote or more from System A" in printed
    assert "would be ahead of" in printed
    assert pq.read_table(tmp_path / "out" / "predictions.parquet").num_rows == 320
    assert all(
        row["ci_low"] <= row["value"] <= row["ci_high"]
        for row in metrics.to_pylist()
        if row["metric"] != "ece"
    )
    assert losses(tmp_path / "v.parquet", tmp_path / "again", "--ties", "rao_kupper") == first
    capsys.readouterr()
    assert cli.main(["human", str(tmp_path / "v.parquet"), "--out", str(tmp_path / "out")]) == 2
    assert "holds a run of another config" in capsys.readouterr().err


def test_more_people_than_a_block(tmp_path: Path) -> None:
    made(tmp_path / "v.parquet", users=4100, each=2, offset_sd=0.5)
    votes, _ = read(tmp_path / "v.parquet")
    fold = held_out.folds(people.prompts(votes, "votes"), 5, seed=0)
    settings = RatingSettings(ties="davidson")
    found = held_out.predict(votes, fold, ("global_bt", "elo_offset"), settings)
    rows = np.arange(len(votes))
    loss = {n: -np.log(f.odds[rows, votes.outcome_of_3]).mean() for n, f in found.items()}
    assert not any(f.failed for f in found.values())
    assert loss["elo_offset"] < loss["global_bt"] + 0.001


def test_votes_count_by_their_weight(tmp_path: Path) -> None:
    made(tmp_path / "v.parquet", users=10, each=40, offset_sd=0.5)
    table = pq.read_table(tmp_path / "v.parquet")
    tied = np.array(table["winner"]) == "tie"
    for name, weight in (("alike", np.full(400, 3.0)), ("apart", np.where(tied, 0.1, 5.0))):
        pq.write_table(
            table.append_column("weight", pa.array(weight)), tmp_path / f"{name}.parquet"
        )
    plain, alike, apart = (
        losses(tmp_path / f"{name}.parquet", tmp_path / name) for name in ("v", "alike", "apart")
    )
    # A unit of weight is worth as many votes as there are, whatever it is called.
    assert alike == pytest.approx(plain, abs=2e-3)
    # Ties that hardly count are hardly expected, nor do they cost.
    assert apart["global_bt"] < plain["global_bt"] - 0.1


def test_a_system_that_does_not_converge_is_marked_and_has_the_global_ranking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made(tmp_path / "v.parquet", users=6, each=40)
    monkeypatch.setattr(offsets, "PASSES", 1)
    found = losses(tmp_path / "v.parquet", tmp_path / "out")
    printed = capsys.readouterr().out
    assert found["elo_offset"] == found["global_bt"]
    assert "elo_offset *" in printed
    assert (
        "* elo_offset has the global ranking's odds in 5 of 5 folds: System A did not converge "
        "in 1 passes" in printed
    )
    metrics = pq.read_table(tmp_path / "out" / "metrics.parquet").to_pylist()
    assert {row["system"] for row in metrics if row["version"] == NOT_CONVERGED} >= {
        "elo_offset",
        "elo_offset_low_rank",
    }
    assert all(row["version"] is None for row in metrics if row["system"] == "global_bt")
    assert "did not converge" in (tmp_path / "out" / "log.jsonl").read_text()


def test_people_must_be_named_and_a_run_does_not_go_on_in_its_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made(tmp_path / "v.parquet", users=3, each=30)
    losses(tmp_path / "v.parquet", tmp_path / "out")
    pq.write_table(
        pq.read_table(tmp_path / "v.parquet").drop_columns(["judge"]), tmp_path / "nobody.parquet"
    )
    assert (
        cli.main(["human", str(tmp_path / "nobody.parquet"), "--out", str(tmp_path / "nobody")])
        == 2
    )
    assert "has no column user_id or judge" in capsys.readouterr().err
    assert (
        cli.main(
            [
                "run",
                str(ROOT / "configs" / "quickstart.yaml"),
                "--out",
                str(tmp_path / "out"),
                "--resume",
            ]
        )
        == 2
    )
    assert "holds a run of another config" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"question_id": None}, "has no column prompt_id or question_id"),
        ({"question_id": 1}, "1 prompts; at least 5 are needed"),
    ],
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
    names = {
        "model_a": ["x", "y"] * (n // 2),
        "model_b": ["y", "z"] * (n // 2),
        "prompt_id": [i % 50 for i in range(n)],
    }
    pq.write_table(
        pa.table({**names, "winner": ["tie"] * n, "user_id": [i % 9 for i in range(n)]}),
        tmp_path / "ties.parquet",
    )
    all_ties = losses(tmp_path / "ties.parquet", tmp_path / "ties")
    assert all(loss < 0.02 for loss in all_ties.values())
    # One person cast all the votes but two.
    user = ["one"] * (n - 2) + ["two", "three"]
    winner = ["model_a", "model_b", "model_a", "tie"] * (n // 4)
    pq.write_table(pa.table({**names, "winner": winner, "user_id": user}), tmp_path / "one.parquet")
    lone = losses(tmp_path / "one.parquet", tmp_path / "one")
    assert abs(lone["elo_offset"] - lone["global_bt"]) < 0.01


def test_odds_are_averaged_over_the_joint_posterior() -> None:
    random = np.random.default_rng(0)
    ties = MODELS["davidson"]
    covariance = np.array([[0.8, -0.2], [-0.2, 0.5]])
    d, eta = random.multivariate_normal([0.7, -0.3], covariance, 400_000).T
    got = predictive(
        np.array([0.7]), np.array([-0.3]), np.array([0.8]), np.array([-0.2]), np.array([0.5]), ties
    )
    assert got[0] == pytest.approx(ties.probabilities(d, eta).mean(axis=0), abs=0.003)


@pytest.mark.skipif(not MTBENCH.exists(), reason=f"{MTBENCH} is not here")
def test_mtbench_people_differ_in_how_often_they_tie(tmp_path: Path) -> None:
    loss = losses(MTBENCH, tmp_path / "out")
    assert loss["elo_offset"] <= 0.878
    assert loss["elo_offset"] < loss["global_bt"] < loss["class_prior"]
