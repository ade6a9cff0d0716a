"""A poll from end to end against a judge behind a real HTTP server, and against all the ways it
fails.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from electorate.storage import files
from tests.conftest import in_process, made_text
from tests.simulations.judging_server import JudgingServer
from tests.stores import serving

MODELS = 4
PROMPTS = 30


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of responses of made contestants, whose lengths differ most."""
    path = tmp_path_factory.mktemp("recording") / "responses.parquet"
    rows = [
        {
            "prompt": f"Please explain matter number {p} to me",
            "model": f"m{m}",
            "response": made_text(m, p),
        }
        for p in range(PROMPTS)
        for m in range(MODELS)
    ]
    files.write_table(path, pa.Table.from_pylist(rows))
    return path


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Votes of three people who like longer answers too, but differ: each votes at random on a
    third of the battles.
    """
    random = np.random.default_rng(5)
    rows = []
    for p in range(PROMPTS):
        a, b = random.choice(MODELS, 2, replace=False)
        for person in range(3):
            texts = made_text(a, p), made_text(b, p)
            winner = (
                random.choice(["model_a", "model_b", "tie"])
                if random.random() < 1 / 3
                else f"model_{'ab'[len(texts[1]) > len(texts[0])]}"
            )
            names = {
                "model_a": f"{'wxyz'[a]}{a}",
                "model_b": f"{'wxyz'[b]}{b}",
                "winner": winner,
                "user_id": f"person {person}",
                "prompt_id": str(p),
            }
            rows.append(
                names
                | {
                    "prompt": f"Please explain matter number {p} to me",
                    "response_a": texts[0],
                    "response_b": texts[1],
                }
            )
    path = tmp_path_factory.mktemp("people") / "votes.parquet"
    files.write_table(path, pa.Table.from_pylist(rows))
    return path


@pytest.fixture
def server() -> Iterator[Callable[..., JudgingServer]]:
    started = list[JudgingServer]()

    def start(**settings: Any) -> JudgingServer:
        started.append(JudgingServer(**settings))
        return started[-1]

    yield start
    for one in started:
        one.shutdown()


def write_config(folder: Path, recording: Path, url: str, **changes: Any) -> Path:
    content = {
        "models": {
            "recording": {"engine": "recorded", "responses": str(recording)},
            "judge": {
                "engine": "openai",
                "base_url": url,
                "model": "judge",
                "timeout_s": 2.0,
                "retries": 2,
            },
        },
        "prompts": {"source": "recorded", "per_archetype": None},
        "personas": {"size": 12},
        "battles": 20,
        "judges": [{"name": "j", "model": "judge"}],
        "modes": ["verdict", "criteria"],
        "rankings": {"personas": 2, "prompts": 2},
        "checks": {"repeats": 30, "injections": 20},
        "cluster": {"cache_dir": str(folder / "cache"), "cohorts": 0, "cpus_per_cohort": 0.25},
        **changes,
    }
    path = folder / "poll.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def board(out: Path) -> list[dict[str, Any]]:
    """Everybody's ratings by all votes."""
    rows = pq.read_table(out / "ratings" / "leaderboard.parquet").to_pylist()
    last = max(row["votes_per_user"] for row in rows)
    return [r for r in rows if (r["segment"], r["votes_per_user"]) == ("all", last)]


def counted(out: Path, name: str, of: Sequence[str] = ("votes", "truth", "checks")) -> Counter[str]:
    """What the manifest counts by kind over stages that ask judges."""
    stages = json.loads((out / "manifest.json").read_text())["stages"]
    total = Counter[str]()
    for stage in of:
        total.update(stages[stage].get(name, {}))
    return total


def checks_of(out: Path) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (row["name"], row["judge"]): row
        for row in pq.read_table(out / "validity.parquet").to_pylist()
    }


def test_all_judges_of_a_panel_have_their_say(
    tmp_path: Path, recording: Path, server: Callable[..., JudgingServer]
) -> None:
    one = server()
    other = server(contrary=True)
    models = {
        "recording": {"engine": "recorded", "responses": str(recording)},
        **{
            name: {"engine": "openai", "base_url": at.url, "model": "judge"}
            for name, at in (("one", one), ("other", other))
        },
    }
    judges = [{"name": "j", "model": "one"}, {"name": "k", "model": "other"}]
    few = {
        "modes": ["verdict"],
        "checks": {"repeats": 0, "injections": 0},
        "rankings": {"personas": 2, "prompts": 1},
    }
    config = write_config(tmp_path, recording, one.url, models=models, judges=judges, **few)
    out = tmp_path / "poll"
    done = in_process("poll", config, "--out", out)
    assert done.returncode == 0, done.stderr[-3000:]
    checks = checks_of(out)
    longer = [checks["the longer answer wins", f"{judge}, verdict"]["value"] for judge in "jk"]
    assert longer[0] > 0.9
    assert longer[1] < 0.1
    assert checks["agreement of judges, kappa", "j, verdict and k, verdict"]["value"] < 0
    assert "[j, verdict and k, verdict]" in done.stdout
    # Together they know no better: what one likes the other dislikes as much.
    assert np.ptp([row["rating"] for row in board(out)]) < 60
    # The votes, and the rankings of two personas: every pair on a prompt, and all at once.
    rankings = 2 * (2 * 6 + MODELS)
    assert {len(server.answered) for server in (one, other)} == {2 * 12 * 20 + rankings}


def test_a_poll_of_a_good_judge_says_so(
    tmp_path: Path, recording: Path, server: Callable[..., JudgingServer]
) -> None:
    judge = server()
    config = write_config(tmp_path, recording, judge.url)
    out = tmp_path / "poll"
    done = in_process("poll", config, "--out", out)
    assert done.returncode == 0, done.stderr[-3000:]

    votes = pq.read_table(out / "votes.parquet")
    assert votes.num_rows == 12 * 20
    assert set(votes["winner"].to_pylist()) <= {"model_a", "model_b", "tie", "tie (bothbad)"}
    best_first = [row["model"] for row in sorted(board(out), key=lambda row: -row["rating"])]
    assert best_first == ["m3", "m2", "m1", "m0"]  # it likes longer answers

    checks = checks_of(out)
    kappa = checks["order-swap consistency, kappa", "j, verdict"]
    assert kappa["value"] > 0.5
    assert kappa["ci_low"] <= kappa["value"] <= kappa["ci_high"]
    assert checks["position bias, log odds for the first shown", "j, verdict"][
        "value"
    ] == pytest.approx(0.3, abs=0.02)
    assert checks["the same persona asked again, kappa", "j, verdict"]["value"] == 1.0
    assert checks["the longer answer wins", "j, verdict"]["value"] > 0.9
    assert checks["agreement of judges, kappa", "j, verdict and j, criteria"]["value"] > 0.5
    assert checks["a plea wins, one order, no marks", "j, verdict"]["value"] > 0.8
    assert checks["a plea wins, both orders, marks", "j, verdict"]["value"] < 0.2
    assert checks["ranked at once and by pairs, Kendall tau", "j"]["value"] > 0.9
    rankings = pq.read_table(out / "rankings.parquet").to_pylist()
    assert len(rankings) == 2 * 2 * MODELS
    assert {row["model"] for row in rankings if row["listwise_rank"] == 1} == {"m3"}

    # Printed beside the result, here and wherever the votes are used.
    assert "order-swap consistency, kappa" in done.stdout
    rated = in_process("rate", out / "votes.parquet")
    assert "judged by a model (j, verdict): order-swap consistency, kappa" in rated.stdout, (
        rated.stderr
    )
    page = (out / "report.html").read_text()
    assert page.count("<svg") >= 1
    assert "How far the judges can be believed" in page

    # The second time, in an object store, nothing is asked, and the votes are the same bytes.
    asked = sum(judge.tries.values())
    with serving("s3", tmp_path) as store:
        again = in_process("poll", config, "--out", store.uri("again"))
        assert again.returncode == 0, again.stderr[-3000:]
        assert sum(judge.tries.values()) == asked
        put = store.place("again")
        assert (put / "votes.parquet").read_bytes() == (out / "votes.parquet").read_bytes()
        stages = json.loads((put / "manifest.json").read_text("utf-8"))["stages"]
        assert {stages[name]["requests"] for name in ("votes", "truth", "checks")} == {0}

    # Tastes like the judged ones, for a run.
    section = yaml.safe_load((out / "population.yaml").read_text())
    lengths = [archetype["taste"]["length"] for archetype in section["archetypes"].values()]
    assert section["common_taste"]["length"] + sum(lengths) > 0
    shown = in_process("report", out)
    assert shown.returncode == 0, shown.stderr
    assert "how far the judges can be believed" in shown.stdout


def test_judges_are_held_against_people(
    tmp_path: Path, recording: Path, people: Path, server: Callable[..., JudgingServer]
) -> None:
    asked = {"repeats": 0, "injections": 0, "people": str(people), "people_battles": 25}
    config = write_config(
        tmp_path,
        recording,
        server().url,
        checks=asked,
        rankings={"personas": 2, "prompts": 1},
        modes=["verdict"],
        battles=4,
        judges=[{"name": "j", "model": "judge", "family": "z"}],
    )
    done = in_process("poll", config, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr[-3000:]
    checks = checks_of(tmp_path / "out")
    assert checks["people's decisive votes told, accuracy", "j, verdict"]["value"] > 0.7
    told = checks["people's votes told, log loss", "j, verdict"]
    assert told["n"] == 75
    assert told["value"] < 1.2
    alike = checks["two personas agree on a battle", "j, verdict"]
    assert (
        alike["value"] == 1.0
    )  # it hardly reads the card, and the report says that people differ more
    assert 0.3 < alike["beside"] < 0.8
    assert alike["says"] == "more alike than people"
    assert (
        checks["the longer answer wins", "j, verdict, people's battles"]["beside_what"] == "people"
    )
    own = checks["its own family, log odds, beside people", "j, verdict, people's battles"]
    assert own["beside_what"] == "no self-preference"
    assert 5 <= own["n"] < 25
    length = "twice the words, log odds, models' strength held equal"
    assert checks[length, "j, verdict"]["beside_what"] == "no bias"
    assert checks[length, "j, verdict, people's battles"]["beside_what"] == "people"


def test_every_failure_is_counted_put_right_and_never_a_tie(
    tmp_path: Path, recording: Path, server: Callable[..., JudgingServer]
) -> None:
    good = server()
    bad = server(failing=4)
    light = {
        "rankings": {"personas": 2, "prompts": 1},
        "checks": {"repeats": 0, "injections": 0},
        "modes": ["verdict"],
        "battles": 12,
    }
    (tmp_path / "good").mkdir()
    (tmp_path / "bad").mkdir()
    outs = []
    for folder, judge in ((tmp_path / "good", good), (tmp_path / "bad", bad)):
        config = write_config(folder, recording, judge.url, **light)
        done = in_process("poll", config, "--out", folder / "out")
        assert done.returncode == 0, done.stderr[-3000:]
        outs.append(folder / "out")
    assert all(
        bad.failures[kind] for kind in ("429", "500", "time-out", "prose", "empty", "refusal")
    ), bad.failures
    sent_again = counted(outs[1], "sent_again")
    for kind, named in (("429", "HTTP 429"), ("500", "HTTP 500"), ("time-out", "time-out")):
        assert sent_again[named] == bad.failures[kind], kind
    for kind in ("prose", "empty", "refusal"):
        assert counted(outs[1], "unread")[kind] == bad.failures[kind], kind
    assert not counted(outs[1], "lost")
    winners = [pq.read_table(out / "votes.parquet")["winner"].to_pylist() for out in outs]
    assert len(winners[0]) == len(winners[1]) == 12 * 12
    # A letter without log-probabilities says less; nothing turns into a tie for it.
    assert winners[1].count("tie") <= winners[0].count("tie")
    assert sum(one == other for one, other in zip(*winners, strict=True)) > 0.9 * len(winners[0])


def test_what_was_counted_before_a_stop_is_counted(
    tmp_path: Path, recording: Path, server: Callable[..., JudgingServer]
) -> None:
    light = {
        "rankings": {"personas": 2, "prompts": 1},
        "checks": {"repeats": 0, "injections": 0},
        "modes": ["verdict"],
        "battles": 12,
    }
    judge = server(failing=4)
    config = write_config(tmp_path, recording, judge.url, **light)
    out = tmp_path / "out"
    # Enough for the first round of votes, and not for the second.
    limited = ("--set", "budget.requests=230")
    done = in_process("poll", config, "--out", out, *limited)
    assert done.returncode == 2
    assert "--resume" in done.stderr
    assert json.loads((out / "manifest.json").read_text())["status"] == "stopped"
    first = counted(out, "unread", ["votes"])
    assert first
    done = in_process("poll", config, "--out", out, "--resume")
    assert done.returncode == 0, done.stderr
    whole = in_process("poll", config, "--out", tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    for name in ("unread", "lost"):
        kinds = counted(out, name, ["votes"])
        assert kinds == counted(tmp_path / "whole", name, ["votes"])
    assert first < counted(out, "unread", ["votes"])
    asked = sum(judge.answered.values()) + sum(judge.failures.values())
    assert 0 < sum(counted(out, "sent_again").values()) <= asked


def test_what_is_too_long_is_asked_shorter(
    tmp_path: Path, recording: Path, server: Callable[..., JudgingServer]
) -> None:
    judge = server(window=1400)
    light = {
        "rankings": {"personas": 2, "prompts": 1},
        "checks": {"repeats": 0, "injections": 0},
        "modes": ["verdict"],
        "battles": 12,
    }
    config = write_config(tmp_path, recording, judge.url, **light)
    done = in_process("poll", config, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr[-3000:]
    unread = counted(tmp_path / "out", "unread")
    # A question that failed is put again when another stage needs it, and counted once.
    assert 0 < unread["context overflow"] <= judge.failures["context overflow"]
    assert not counted(tmp_path / "out", "lost")
    assert pq.read_table(tmp_path / "out" / "votes.parquet").num_rows == 12 * 12


def test_a_judge_says_the_same_however_it_is_wrapped(
    tmp_path: Path, recording: Path, server: Callable[..., JudgingServer]
) -> None:
    few = {
        "judges": [{"name": "j", "model": "judge", "thinking": 1000}],
        "modes": ["criteria"],
        "personas": {"size": 3},
        "checks": {"repeats": 0, "injections": 0},
        "rankings": {"personas": 2, "prompts": 1},
    }
    votes = {}
    for wrapping in ("plain", "thought before", "a field", "thinking as a part", "channels"):
        folder = tmp_path / wrapping
        folder.mkdir()
        judge = server(wrapping=wrapping)
        config = write_config(folder, recording, judge.url, **few)
        done = in_process("poll", config, "--out", folder / "poll")
        assert done.returncode == 0, done.stderr[-3000:]
        votes[wrapping] = pq.read_table(folder / "poll" / "votes.parquet")
        assert not counted(folder / "poll", "unread", ["votes"])
    assert votes["plain"].num_rows == 3 * 20
    assert len(set(votes["plain"]["winner"].to_pylist())) > 1
    assert all(table.equals(votes["plain"]) for table in votes.values())


def test_a_judge_that_only_thinks_ends_unread(
    tmp_path: Path, recording: Path, server: Callable[..., JudgingServer]
) -> None:
    judge = server(wrapping="nothing but thinking")
    config = write_config(tmp_path, recording, judge.url, modes=["verdict"])
    done = in_process("poll", config, "--out", tmp_path / "out")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "judges: no battle got a vote; why: 120 only thinking (set judges.N.thinking)" in line


def test_what_cannot_be_put_right_is_set_aside_by_kind(
    tmp_path: Path, recording: Path, server: Callable[..., JudgingServer]
) -> None:
    judge = server(window=10)
    config = write_config(tmp_path, recording, judge.url, modes=["verdict"])
    done = in_process("poll", config, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "judges: no battle got a vote; why: 120 context overflow" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ["judges=[{name: j, model: nobody}]"],
            "judges.0.model: 'nobody' is not one of the models that can be asked (judge)",
        ),
        (["judges=[{name: j, model: recording}]"], "judges.0.model: 'recording' is not one of"),
        (["judges=[]"], "judges: "),
        (["judges=[{name: j, model: judge}, {name: j, model: judge}]"], "'j' is named twice"),
        (["modes=[verdict, verdict]"], "modes: each once"),
        (["modes=[guess]"], "modes.0: 'guess' is not allowed"),
        (["jugdes=3"], "jugdes: unknown key; did you mean judges? "),
        (["new_prompts={model: judge}"], "new_prompts: recorded models answer no new prompt"),
        (["personas.source=nowhere.jsonl"], "personas.source: nowhere.jsonl"),
        (["checks.people=nowhere.parquet"], "nowhere.parquet"),
        (["personas=@nowhere.yaml"], "nowhere.yaml: no such file"),
        (["battles=500"], "(of a poll: battles): 500 votes a persona are asked for"),
    ],
)
def test_a_wrong_poll_is_one_line_before_anything_is_asked(
    tmp_path: Path, recording: Path, settings: list[str], message: str
) -> None:
    config = write_config(tmp_path, recording, "http://127.0.0.1:9/v1")
    arguments = [part for setting in settings for part in ("--set", setting)]
    done = in_process("poll", config, "--out", tmp_path / "out", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out" / "votes.parquet").exists()


def test_it_takes_what_is_short_for_a_setting_as_a_run_does(
    tmp_path: Path, recording: Path, server: Callable[..., JudgingServer]
) -> None:
    config = write_config(tmp_path, recording, server().url)
    short = ("--seed", 3, "--cohorts", 0)
    few = ("--set", "battles=2", "--set", "checks.repeats=0", "--set", "checks.injections=0")
    done = in_process("poll", config, *short, *few, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr[-2000:]
    written = yaml.safe_load((tmp_path / "out" / "config.yaml").read_text())
    assert written["seed"] == 3
    wrong = in_process("poll", config, "--cohorts", -2, "--out", tmp_path / "wrong")
    assert wrong.returncode == 2
    assert "cluster.cohorts" in wrong.stderr


def test_a_judge_is_no_contestant_unless_config_says_so(tmp_path: Path) -> None:
    content = {
        "models": {"m": {"engine": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "m"}},
        "contestants": [
            {"name": "a", "model": "m"},
            {"name": "b", "model": "m", "temperature": 0.1},
        ],
        "judges": [{"name": "j", "model": "m"}],
    }
    path = tmp_path / "poll.yaml"
    path.write_text(yaml.safe_dump(content))
    done = in_process("poll", path, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "'j' is contestant 'a''s own model, and models favour themselves" in done.stderr
    assert "allow_self_judging: true" in done.stderr
