"""`import electorate`: tables in, tables of the same kind out."""

import doctest
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import electorate
from electorate import library
from electorate.base.errors import ElectorateError
from electorate.base.scale import ELO_PER_NAT
from electorate.config.metrics import METRICS
from tests.conftest import ROOT


def votes(users: int = 20, each: int = 40) -> pd.DataFrame:
    """Half of the users rank x, y, z; the others z, y, x."""
    random = np.random.default_rng(3)
    a = random.integers(0, 3, users * each)
    b = (a + random.integers(1, 3, users * each)) % 3
    user = np.repeat(np.arange(users), each)
    d = np.where(user % 2, 1.5, -1.5) * (a - b)
    outcome = np.where(random.random(len(a)) < 1 / (1 + np.exp(-d)), "model_a", "model_b")
    outcome[random.random(len(a)) < 0.1] = "tie"
    return pd.DataFrame(
        {
            "model_a": np.array(["x", "y", "z"])[a],
            "model_b": np.array(["x", "y", "z"])[b],
            "winner": outcome,
            "user_id": user,
            "prompt_id": random.integers(0, 30, len(a)),
        }
    )


def test_documentation_and_docstrings_run() -> None:
    found = doctest.testfile(str(ROOT / "docs" / "python.md"), module_relative=False)
    assert found.failed == 0
    assert found.attempted > 15
    assert doctest.testmod(library).failed == 0


@pytest.mark.parametrize("function", [electorate.rate, electorate.personal, electorate.compare])
def test_pandas_and_arrow_give_the_same(function: object) -> None:
    table = votes()
    frame = function(table)  # type: ignore[operator]
    arrow = function(pa.Table.from_pandas(table))  # type: ignore[operator]
    assert isinstance(frame, pd.DataFrame)
    assert isinstance(arrow, pa.Table)
    pd.testing.assert_frame_equal(frame, arrow.to_pandas())


def test_users_who_differ_are_told_apart_and_intervals_hold_the_rating() -> None:
    own = electorate.personal(votes())
    best = own.sort_values("p_first").groupby("user_id").tail(1).set_index("user_id")
    # In a file ids are text.
    assert all(best["model"][str(user)] == ("z" if user % 2 else "x") for user in range(20))
    assert (best["votes"] == 40).all()
    assert ((own["ci_low"] < own["rating"]) & (own["rating"] < own["ci_high"])).all()
    assert own.groupby("user_id")["rating"].mean().round(6).eq(1000).all()
    assert own.groupby("user_id")["p_first"].sum().round(9).eq(1).all()


@pytest.mark.parametrize("sd", [0.0, 1.0])
def test_intervals_hold_the_true_ratings_where_users_are_few(sd: float) -> None:
    """Alike or not: the ratings of all are uncertain too, and users who are alike share them."""
    held = []
    for seed in range(8):
        random = np.random.default_rng([9, seed])
        true = random.normal(0, 0.6, 5) + sd * random.normal(size=(30, 5))
        user = np.repeat(np.arange(30), 20)
        a = random.integers(0, 5, 600)
        b = (a + random.integers(1, 5, 600)) % 5
        wins = random.random(600) < 1 / (1 + np.exp(true[user, b] - true[user, a]))
        table = pd.DataFrame({"model_a": a, "model_b": b, "user_id": user})
        table = table.astype(str).assign(winner=np.where(wins, "model_a", "model_b"))
        own = electorate.personal(table)
        rating = 1000 + ELO_PER_NAT * (true - true.mean(axis=1, keepdims=True))
        expected = rating[own["user_id"].astype(int), own["model"].astype(int)]
        held.append(((own["ci_low"] < expected) & (expected < own["ci_high"])).mean())
    assert 0.85 < np.mean(held) < 0.995


def test_comparison_says_what_personal_rankings_gain() -> None:
    table = electorate.compare(votes()).set_index(["system", "metric"])
    gain = table.loc[("elo_offset", "log_loss")]
    assert 0 < gain["gain_low"] < gain["gain"] < gain["gain_high"]
    assert table["gain"].isna().loc["global_bt"].all()
    assert table["converged"].all()
    assert table.loc[("elo_offset", "accuracy"), "gain"] > 0
    # Of every metric a positive gain is better, whichever way it runs.
    for name, spec in METRICS.items():
        if ("elo_offset", name) in table.index:
            own, base = (
                table.loc[(system, name), "value"] for system in ("elo_offset", "global_bt")
            )
            sign = -1 if spec.lower_is_better else 1
            assert table.loc[("elo_offset", name), "gain"] == pytest.approx(sign * (own - base))


def test_order_of_rows_means_nothing() -> None:
    table = votes()
    shuffled = table.sample(frac=1, random_state=1)
    one, other = (electorate.rate(t) for t in (table, shuffled))
    pd.testing.assert_frame_equal(one, other)
    one, other = (electorate.personal(t).set_index(["user_id", "model"]) for t in (table, shuffled))
    pd.testing.assert_frame_equal(one, other.loc[one.index], rtol=1e-6)


def test_invalid_rows_are_skipped_and_counted() -> None:
    table = votes()
    table.loc[3, "winner"] = "nobody"
    table.loc[5, "model_b"] = table.loc[5, "model_a"]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        electorate.rate(table)
    messages = [str(warning.message) for warning in told]
    assert any(m.startswith("skipped: 1 winner 'nobody', which is not model_a") for m in messages)
    assert any("a model against itself" in m for m in messages)
    assert all(warning.filename == __file__ for warning in told)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.drop(columns="winner"), "have no column 'winner'"),
        (lambda t: t.drop(columns="user_id"), "no column user_id or judge"),
        (lambda t: t.assign(winner="?"), "no row is a vote"),
        (lambda t: t.iloc[:0], "no row is a vote"),
    ],
)
def test_what_is_missing_is_one_line(change: object, says: str) -> None:
    table = change(votes())  # type: ignore[operator]
    with pytest.raises(ElectorateError, match=says) as found:
        electorate.personal(table)
    assert "\n" not in str(found.value)


def test_the_library_imports_neither_ray_nor_torch() -> None:
    code = (
        "import sys, electorate\n"
        "electorate.rate, electorate.personal, electorate.compare\n"
        "heavy = {'ray', 'torch', 'transformers', 'vllm', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
