"""What a study would ask, said before it is asked, and a budget that stops it."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from electorate.config.contest import Budget
from electorate.config.engines import Price
from electorate.inference.completions import Answer, Call
from electorate.inference.spending import MILLION, BudgetError, Spending
from electorate.storage.run_folder import RunFolder
from tests.conftest import in_process, made_config
from tests.simulations.judging_server import JudgingServer
from tests.simulations.test_model_voters import PERSONAS, VOTES, model_voters, write_config

PRICE = {"input": 1000.0, "output": 100_000.0}
UNCHECKED = {"repeats": 0, "injections": 0}


def priced(folder: Path, url: str, **changes: Any) -> Path:
    """A config of model voters without checks, whose judge has a price."""
    voters = model_voters(checks=UNCHECKED, rankings={"personas": 2, "prompts": 1})
    path = write_config(folder, url, voters=voters, **changes)
    settings = path.read_text().replace("engine: openai", f"engine: openai\n    price: {PRICE}")
    # No answer is to be too late, and asked again, on a busy machine.
    path.write_text(settings.replace("timeout_s: 2.0", "timeout_s: 60.0"))
    return path


def requests_of(table: str, purpose: str) -> int:
    """In a line of what a dry run prints."""
    (line,) = (line for line in table.splitlines() if line.strip().startswith(purpose))
    counted = line.strip().removeprefix(purpose).replace("judge", "").split()
    return int(counted[0].replace(",", ""))


def test_a_dry_run_asks_nothing_and_says_what_the_run_then_asks(tmp_path: Path) -> None:
    server = JudgingServer()
    config = priced(tmp_path, server.url)
    dry = in_process("run", config, "--dry-run", "--out", tmp_path / "run")
    assert dry.returncode == 0, dry.stderr
    assert not server.tries
    assert not (tmp_path / "run").exists()
    votes = requests_of(dry.stdout, "votes")
    truth = requests_of(dry.stdout, "the judges' own rankings")
    assert votes == 2 * PERSONAS * VOTES[-1]
    assert truth == 2 * 2 * 6
    assert "USD" in dry.stdout
    assert "the same command without --dry-run asks" in dry.stdout

    done = in_process("run", config, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr[-2000:]
    judged = [key for key in server.answered if server.answered[key]]
    # Nothing is asked twice: rankings by pairs are the truth's judgements.
    assert len(judged) == votes + truth + requests_of(dry.stdout, "rankings at once")


def test_a_budget_stops_the_run_and_each_resume_goes_on_with_as_much(tmp_path: Path) -> None:
    server = JudgingServer()
    config = priced(tmp_path, server.url)
    out = RunFolder(tmp_path / "run")
    limited = ("run", config, "--set", "budget.requests=600", "--out", out.path, "--resume")
    stops = 0
    while True:
        before = sum(server.answered.values())
        done = in_process(*limited)
        assert sum(server.answered.values()) - before <= 600
        if done.returncode == 0:
            break
        stops += 1
        assert sum(server.answered.values()) - before == 600
        assert "requests are left, and the budget allows no more of them" in done.stderr
        assert "answers so far are kept, run again with --resume to go on" in done.stderr
        assert stops < 5
    assert stops == 1
    assert set(server.answered.values()) == {1}
    # And the result is the one without a budget.
    alone = in_process("run", config, "--out", tmp_path / "alone")
    assert alone.returncode == 0, alone.stderr[-2000:]
    metrics = pq.read_table(RunFolder(tmp_path / "alone").metrics).to_pandas()
    assert pq.read_table(out.metrics).to_pandas().equals(metrics)


@given(
    usd=st.floats(0, 50),
    lengths=st.lists(st.integers(0, 4000), max_size=30),
    seed=st.integers(0, 2**32 - 1),
)
def test_what_is_spent_never_passes_the_budget(usd: float, lengths: list[int], seed: int) -> None:
    """Whatever the endpoint counts, within what a token holds and an answer may have."""
    random = np.random.default_rng(seed)
    price = Price(**PRICE)
    spending = Spending(Budget(usd=usd), {"m": price})
    calls = [
        Call(str(i), "m", {"messages": [{"content": "x" * n}], "max_tokens": 1 + n % 7})
        for i, n in enumerate(lengths)
    ]
    while most := spending.affordable(calls):
        for call in calls[:most]:
            read = int(random.integers(1, 2 + len(call.body["messages"][0]["content"]) // 2))
            read = min(read, len(call.body["messages"][0]["content"]) // 2)
            said = int(random.integers(0, call.body["max_tokens"] + 1))
            spending.add(call, Answer("", "stop", said, 0.0, tokens_in=read))
        calls = calls[most:]
    assert spending.usd <= usd + 1e-9
    if calls:
        assert isinstance(spending.error("Judging", len(calls)), BudgetError)
        longest = calls[0].body["max_tokens"] * PRICE["output"]
        longest += len(calls[0].body["messages"][0]["content"]) // 2 * PRICE["input"]
        assert spending.usd + longest / MILLION > usd - 1e-9


def test_neither_price_nor_budget_changes_what_a_run_is() -> None:
    plain = made_config()
    content = plain.model_dump(mode="json")
    content["models"]["m"]["price"] = PRICE
    content["budget"] = {"usd": 3.0, "requests": 10}
    assert type(plain).model_validate(content).digest() == plain.digest()


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("budget.usd=5", "budget.usd: no model has a price; give models.NAME.price"),
        ("budget.requests=-1", "budget.requests: -1 is not allowed"),
        ("budget.dollars=1", "budget.dollars"),
        ("models.judge.price={input: 1}", "models.judge.price.output: is missing"),
    ],
)
def test_a_wrong_budget_is_one_line(setting: str, expected: str, tmp_path: Path) -> None:
    config = write_config(tmp_path, "http://127.0.0.1:9/v1")
    done = in_process("run", config, "--set", setting, "--dry-run")
    assert done.returncode == 2
    assert expected in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_dry_poll_and_a_dry_run_of_planted_voters(tmp_path: Path) -> None:
    for command, config in (("poll", "configs/poll.yaml"), ("run", "configs/quickstart.yaml")):
        cache = f"cluster.cache_dir={tmp_path}"
        dry = in_process(command, config, "--dry-run", "--set", cache)
        assert dry.returncode == 0, dry.stderr
        assert "in all" in dry.stdout
        assert "no cost is known" in dry.stdout
