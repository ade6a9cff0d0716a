"""From a file of people's votes to a config whose voters are like them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from electorate.calibration import fit
from electorate.commands import cli
from electorate.config import config_file
from electorate.config.run import Config
from electorate.data.recorded import with_contestants
from tests.conftest import made_text

MODELS = 5
PROMPTS = 12


@pytest.fixture
def votes(tmp_path: Path) -> Path:
    """Votes of 30 people who like longer answers, each to its own degree, and tie at times."""
    random = np.random.default_rng(0)
    likes = random.normal(1.0, 0.7, 30)
    rows = []
    for user in range(30):
        for _ in range(30):
            prompt = int(random.integers(PROMPTS))
            a, b = random.choice(MODELS, 2, replace=False)
            one = made_text(int(a), prompt)
            other = made_text(int(b), prompt)
            d = likes[user] * 4 * np.log(len(one) / len(other)) + random.logistic()
            said = "tie" if abs(d) < 0.5 else "model_a" if d > 0 else "model_b"
            rows.append(
                (f"u{user}", prompt, f"Asked {prompt}", f"m {a}", f"m {b}", one, other, said)
            )
    columns = ["user_id", "prompt_id", "prompt", "model_a", "model_b"]
    table = pd.DataFrame(rows, columns=[*columns, "response_a", "response_b", "winner"])
    path = tmp_path / "votes.parquet"
    table.to_parquet(path)
    return path


def test_its_config_is_a_runs_whose_voters_are_like_the_people(
    votes: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(fit, "SIMULATIONS", 6)
    out = tmp_path / "population.yaml"
    assert (
        cli.run(cli.arguments.parser, cli.COMMANDS, ["calibrate", str(votes), "--out", str(out)])
        == 0
    )
    said = capsys.readouterr().out
    assert "two voters agree on a battle" in said
    assert f"electorate run {out} --cohorts 0" in said
    content = yaml.safe_load(out.read_text())
    lengths = [np.mean([len(made_text(m, p)) for p in range(PROMPTS)]) for m in range(MODELS)]
    strength = [content["population"]["strength"][f"m {m}"] for m in range(MODELS)]
    assert np.corrcoef(strength, np.log(lengths))[0, 1] > 0.8
    assert content["population"]["likeness"]["votes"] == str(votes)
    assert content["population"]["likeness"]["distance"] < 0.1
    config = with_contestants(config_file.load_as(Config, out, []))
    assert sorted(config.contestant_names) == [f"m {i}" for i in range(MODELS)]
    assert config.population is not None
    assert set(config.population.strength or {}) == {f"m {i}" for i in range(MODELS)}


@pytest.mark.parametrize(
    ("changed", "out", "expected"),
    [
        ({}, "population.json", "must end in .yaml"),
        ({"prompt": None}, "population.yaml", "has no column 'prompt'"),
        ({"user_id": None}, "population.yaml", "needs prompt, response_a, response_b and user_id"),
        ({"user_id": "one"}, "population.yaml", "of 1 users; at least 100 of 5 are needed"),
    ],
)
def test_what_cannot_be_fitted_is_one_line(
    votes: Path,
    tmp_path: Path,
    changed: dict[str, str | None],
    out: str,
    expected: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = pd.read_parquet(votes)
    for name, value in changed.items():
        table = table.drop(columns=name) if value is None else table.assign(**{name: value})
    table.to_parquet(votes)
    given = ["calibrate", str(votes), "--out", str(tmp_path / out)]
    assert cli.run(cli.arguments.parser, cli.COMMANDS, given) == 2
    assert expected in capsys.readouterr().err
    assert not (tmp_path / out).exists()
