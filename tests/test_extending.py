"""The recipes of docs/extending.md: one declaration, and the new thing is found everywhere."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from electorate.base.registry import Registry
from electorate.base.scale import Floats
from electorate.config.engines import ENGINES, Endpoint, EngineSpec
from electorate.config.judging import ModelJudge
from electorate.config.metrics import METRICS, MetricSpec
from electorate.config.modes import MODES, ModeSpec
from electorate.config.systems import SYSTEMS, SystemSpec
from electorate.evaluation.metrics import Standing
from electorate.evaluation.predictions import Strengths
from electorate.evaluation.selection import Selection
from electorate.importers.imported import Imported
from electorate.importers.registry import IMPORTERS, ImporterSpec
from electorate.inference.completions import Answer, Call
from electorate.inference.endpoints import Connection
from electorate.online import base as bases
from electorate.polls.reading import Reading, Unread
from electorate.polls.wording import Question
from electorate.ratings import elo_online
from electorate.ratings.ties import MODELS, Davidson
from electorate.storage.run_folder import RunFolder
from serve.gallery import Gallery
from tests.conftest import in_process
from tests.electorate.commands.test_human import made
from tests.electorate.population.test_personas import population


def recent(at: Selection, name: str) -> Strengths:
    assert name == "recent"
    faster = 2 * at.settings.k_factor
    parts = [
        elo_online.rate(at.global_fit.strength, of.users, of.user, of.a, of.b, of.outcome, faster)
        for of in at.known("true")
    ]
    own = np.concatenate(parts)
    return Strengths(own, np.full(len(own), at.global_fit.eta), at.ties)


def of_recent(label: str) -> SystemSpec:
    return SystemSpec(
        "recent", label, recent, "#4477AA", "d", compared_with=("elo_online",), on_page=True
    )


def last_accuracy(estimate: Standing, truth: Standing) -> Floats:
    return (estimate.order[..., -1] == truth.order[..., -1]).astype(float)


class Even(Davidson):
    """Davidson's model by another name."""

    name = "even"
    label = "a test's own tie model"


@pytest.fixture
def registered() -> Iterator[Callable[..., None]]:
    added = list[tuple[Registry[Any], str]]()

    def register(registry: Registry[Any], thing: Any) -> None:
        registry.register(thing)
        added.append((registry, thing.name))

    yield register
    for registry, name in added:
        registry.unregister(name)


def help_of(command: str) -> str:
    done = in_process(command, "--help")
    assert done.returncode == 0
    return done.stdout


def test_a_system_a_metric_and_a_tie_model_are_found_everywhere(
    registered: Callable[..., None], stored: Callable[..., Path], tmp_path: Path
) -> None:
    label = "global ratings, moved twice as far by each vote"
    registered(SYSTEMS, of_recent(label))
    registered(
        METRICS,
        MetricSpec(
            "last_accuracy",
            "last-place accuracy",
            "ranking",
            last_accuracy,
            columns=(("overall", "last"),),
            curves=(("overall", "value"), ("unseen", "gain")),
        ),
    )
    registered(MODELS, Even())
    config = stored(
        population=population(size=200),
        votes={"checkpoints": [5, 20]},
        ratings={"ties": "even"},
        evaluation={
            "systems": ["global_bt", "elo_online", "elo_offset", "recent", "oracle"],
            "users": 100,
            "newcomers": 0,
            "bootstrap": 50,
        },
    )
    run = RunFolder(tmp_path / "run")
    done = in_process("run", config, "--out", run.path)
    assert done.returncode == 0, done.stderr

    # The tables, and what is printed of them.
    metrics = pq.read_table(run.metrics).to_pylist()
    rows = [row for row in metrics if row["system"] == "recent"]
    assert {row["metric"] for row in rows} >= {"kendall_tau", "log_loss", "last_accuracy"}
    gains = pq.read_table(run.gains).to_pylist()
    assert {row["baseline"] for row in gains if row["system"] == "recent"} >= {"elo_online"}
    header = next(line for line in done.stdout.splitlines() if line.split()[:1] == ["system"])
    assert header.split()[-1] == "last"
    assert "recent over elo_online" in done.stdout
    board = pq.read_table(run.leaderboard).to_pylist()
    assert {row["ties"] for row in board} == {"even"}
    # The report, the plots and the page's curves.
    assert label in run.report.read_text()
    assert any("#4477aa" in path.read_text().lower() for path in run.plots.glob("*.svg"))
    curves = Gallery(bases.of_folder(Path(run.path))).curves
    assert "recent" in {curve.system for curve in curves}
    assert "Last-place accuracy, overall ranking" in run.report.read_text()
    assert "Last-place accuracy against global_bt, unseen prompts" in run.report.read_text()
    assert "last_accuracy" in {curve.metric for curve in curves}
    # Help.
    told = help_of("run")
    assert f"recent                   {label}" in told
    assert "last_accuracy" in told
    assert "a test's own tie model" in told


def test_a_system_is_found_where_people_vote(
    registered: Callable[..., None], tmp_path: Path
) -> None:
    label = "global ratings, moved twice as far by each vote"
    registered(SYSTEMS, of_recent(label))
    ties = MetricSpec("said_ties", "chance of a tie", "votes", None, lambda odds, _: odds[0, :, 2])
    registered(METRICS, ties)
    made(tmp_path / "v.parquet", users=8, each=40)
    folder = RunFolder(tmp_path / "out")
    done = in_process("human", tmp_path / "v.parquet", "--out", folder.path)
    assert done.returncode == 0, done.stderr
    rows = pq.read_table(folder.metrics).to_pylist()
    named = {row["system"] for row in rows}
    assert {"recent", "elo_online", "personal_ties"} <= named
    shares = [row["value"] for row in rows if row["metric"] == "said_ties"]
    assert len(shares) > 5
    assert all(0 < share < 1 for share in shares)
    assert "chance of" in done.stdout
    assert "chance of a tie" in folder.report.read_text()
    assert any(line.split()[:1] == ["recent"] for line in done.stdout.splitlines())
    assert label in folder.report.read_text()
    # And a config chooses which are compared.
    config = tmp_path / "people.yaml"
    content = {
        "voters": {"kind": "people", "votes": str(tmp_path / "v.parquet")},
        "evaluation": {"systems": ["global_bt", "elo_offset", "recent"]},
    }
    config.write_text(yaml.safe_dump(content))
    few = RunFolder(tmp_path / "few")
    done = in_process("run", config, "--cohorts", "0", "--out", few.path)
    assert done.returncode == 0, done.stderr
    rows = pq.read_table(few.metrics).to_pylist()
    assert {row["system"] for row in rows} == {"global_bt", "elo_offset", "recent"}
    for named, why in (
        ("[global_bt, elo_offset, segment_bt]", "segment_bt is not for voters.kind: people"),
        ("[global_bt, recent]", "of people's votes elo_offset is needed"),
    ):
        done = in_process("run", config, "--set", f"evaluation.systems={named}")
        assert done.returncode == 2
        assert why in done.stderr


def test_an_unknown_name_lists_what_there_is(stored: Callable[..., Path], tmp_path: Path) -> None:
    misspelt = "evaluation.systems=[global_bt, elo_offest]"
    done = in_process("run", stored(), "--set", misspelt, "--out", tmp_path / "run")
    assert done.returncode == 2
    assert "'elo_offest' is not a known system; did you mean elo_offset?" in done.stderr
    misspelt = "ratings.ties=davidsen"
    done = in_process("run", stored(), "--set", misspelt, "--out", tmp_path / "run")
    assert "'davidsen' is not a known tie model; did you mean davidson?" in done.stderr
    with pytest.raises(ValueError, match="there is a system 'global_bt' already"):
        SYSTEMS.register(SYSTEMS["global_bt"])


def test_an_importer_is_a_format_of_import(registered: Callable[..., None], tmp_path: Path) -> None:
    def read(path: Path) -> Imported:
        found = Imported()
        for line in path.read_text().splitlines():
            better, worse = line.split(" > ")
            found.vote(better, worse, "model_a", user_id="me")
        return found

    registered(IMPORTERS, ImporterSpec("greater", "a line `x > y` for each vote", read))
    (tmp_path / "votes.txt").write_text("x > y\ny > z\n")
    done = in_process("import", "greater", tmp_path / "votes.txt", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    votes = pq.read_table(tmp_path / "out" / "votes.parquet").to_pylist()
    assert [(vote["model_a"], vote["winner"]) for vote in votes] == [
        ("x", "model_a"),
        ("y", "model_a"),
    ]
    assert "a line `x > y` for each vote" in help_of("import")


class Local(Endpoint):
    """Models that a function of this test answers for."""

    engine: Literal["local"]

    def place(self) -> dict[str, Any]:
        return {"engine": "local"}

    def url(self, served_at: str | None) -> str | None:
        return "here"


async def answer_locally(
    client: object, connection: Connection, call: Call
) -> tuple[Answer, float]:
    """As a contestant, what was asked, shorter by the manner; as a judge, the longer answer."""
    assert connection.base_url == "here"
    *system, asked = (message["content"] for message in call.body["messages"])
    if shown := re.match(r"<1>(.*)<2>(.*)<which>", asked, re.DOTALL):
        text = str(1 + int(len(shown[2]) > len(shown[1])))
    elif system:
        text = asked[: -len(system[0])]
    else:
        text = "a ranking of all, which this engine does not make"
    return Answer(text, "stop", 1, 0.0), 0.0


def request_a_number(
    question: Question, judge: ModelJudge, model: Endpoint, seed: int
) -> dict[str, Any]:
    return {"max_tokens": 1, "temperature": 0.0}


def read_a_number(question: Question, answer: Answer, temperature: float) -> Reading | Unread:
    if answer.text not in ("1", "2"):
        return Unread("prose", answer.text)
    return Reading(np.log([0.9, 0.05, 0.05] if answer.text == "1" else [0.05, 0.9, 0.05]))


def test_an_engine_and_a_judging_mode_make_a_poll(
    registered: Callable[..., None], tmp_path: Path
) -> None:
    registered(ENGINES, EngineSpec("local", "a test's own engine", Local, ask=answer_locally))
    registered(
        MODES,
        ModeSpec(
            "numbers",
            "a test's own judging mode",
            "<1>$a<2>$b<which>",
            "1 or 2?",
            request_a_number,
            read_a_number,
        ),
    )
    config = tmp_path / "poll.yaml"
    content = {
        "models": {"m": {"engine": "local"}, "judge": {"engine": "local", "concurrency": 3}},
        "contestants": [
            {"name": f"c{i}", "model": "m", "system": "x" * (3 * i + 1)} for i in range(3)
        ],
        "personas": {"size": 12},
        "battles": 10,
        "judges": [{"name": "j", "model": "judge"}],
        "modes": ["numbers"],
        "allow_self_judging": True,
        "rankings": {"personas": 2, "prompts": 1},
        "checks": {"repeats": 10, "injections": 0},
        "cluster": {"cohorts": 0, "cache_dir": str(tmp_path / "cache")},
    }
    config.write_text(yaml.safe_dump(content))
    done = in_process("poll", config, "--out", tmp_path / "poll")
    assert done.returncode == 0, done.stderr
    votes = pq.read_table(tmp_path / "poll" / "votes.parquet").to_pylist()
    assert len(votes) == 120
    assert all(
        (vote["winner"] == "model_a") == (vote["model_a"] < vote["model_b"]) for vote in votes
    )
    judgements = pq.read_table(tmp_path / "poll" / "judgements.parquet").to_pylist()
    assert {row["judge"] for row in judgements} == {"j, numbers"}
    assert "j, numbers" in (tmp_path / "poll" / "report.html").read_text()
    assert re.search("local +a test's own engine", help_of("run"))
    assert re.search("numbers +a test's own judging mode", help_of("poll"))
    for setting, message in (
        ("models.m.engine=lokal", "'lokal' is not a known engine; did you mean local?"),
        ("models.m.sauce=1", "models.m.sauce: unknown key; allowed are "),
        ("modes=[number]", "'number' is not a known judging mode; did you mean numbers?"),
    ):
        done = in_process("poll", config, "--set", setting, "--out", tmp_path / "poll")
        assert done.returncode == 2
        assert message in done.stderr


def test_readme_lists_every_system() -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    for name, spec in SYSTEMS.items():
        assert f"| `{name}` | {spec.label} |" in readme
