"""People's votes to simulated voters like them, and to what personal rankings would give those."""

import html
from pathlib import Path

import numpy as np
import pandas as pd

from tests.conftest import in_process, made_text


def test_a_population_fitted_to_people_is_run(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows = []
    for i in range(600):
        prompt = int(random.integers(10))
        a, b = random.choice(4, 2, replace=False)
        one = made_text(int(a), prompt)
        other = made_text(int(b), prompt)
        said = "model_a" if len(one) + 40 * random.normal() > len(other) else "model_b"
        rows.append((f"u{i % 20}", f"Asked {prompt}", f"m{a}", f"m{b}", one, other, said))
    columns = ["user_id", "prompt", "model_a", "model_b", "response_a", "response_b", "winner"]
    votes = tmp_path / "votes.parquet"
    pd.DataFrame(rows, columns=columns).to_parquet(votes)
    population = tmp_path / "population.yaml"
    done = in_process("calibrate", votes, "--out", population)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "two voters agree where both decide" in done.stdout
    out = tmp_path / "run"
    small = ("--set", "population.size=80", "--set", "votes.checkpoints=[4]")
    done = in_process("run", population, "--cohorts", "0", *small, "--out", out)
    assert done.returncode == 0, done.stderr[-3000:]
    line = f"fitted to {votes}: on the people's battles, shares of their votes are off by 0.0"
    assert line in done.stdout
    assert line in html.unescape((out / "report.html").read_text())
