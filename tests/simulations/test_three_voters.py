"""One command over planted personas, models and people: the same files, sections and endpoint."""

import re
import shlex
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from electorate.base.progress import unshown
from electorate.online import base as bases
from electorate.online import begin
from electorate.storage.run_folder import RunFolder
from electorate.storage.vote_log import VoteLog
from simulations import arguments
from tests.conftest import RayCluster, electorate_command, in_process, run_electorate
from tests.electorate.commands.test_human import made
from tests.serve.local import LocalService
from tests.simulations.judging_server import JudgingServer
from tests.simulations.test_model_voters import CODERS, model_voters, write_config
from tests.simulations.test_people import config_of, tables

KINDS = ("planted", "model", "people")
FILES = (
    "config.yaml",
    "manifest.json",
    "log.jsonl",
    "prompts.parquet",
    "personas.parquet",
    "votes/round=0/block=0.parquet",
    "metrics.parquet",
    "gains.parquet",
    "calibration.parquet",
    "findings.json",
    "summary.json",
    "ratings/leaderboard.parquet",
    "ratings/orders.parquet",
    "ratings/prior.npz",
    "ratings/users/block=0.parquet",
    "report.html",
)
SECTIONS = (
    r'<p class="lead">',
    "<h2>System A, Elo Offset",
    "<h2>From how many votes on</h2>",
    "<h2>For whom</h2>",
    "<h2>Details</h2>",
    "<summary>The global leaderboard",
    "<summary>Calibration</summary>",
)


@dataclass(frozen=True)
class Done:
    """A finished run: its folder, what it printed, and a user that it knows."""

    folder: RunFolder
    out: str
    user: str


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Done]:
    """Of each kind of voters, by the same command."""
    found = {}
    for kind, make in MAKERS.items():
        folder = tmp_path_factory.mktemp(kind)
        config, user = make(folder)
        done = in_process("run", config, "--out", folder / "run")
        assert done.returncode == 0, done.stderr[-3000:]
        found[kind] = Done(RunFolder(folder / "run"), done.stdout, user)
    return found


def planted(folder: Path) -> tuple[Path, str]:
    path = write_config(folder, "http://127.0.0.1:9/v1", evaluation=FEW)
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    del content["voters"], content["models"]["judge"]
    content["population"] = {
        "size": 30,
        "archetypes": {"coder": {"share": 1}, "poet": {"share": 1}},
    }
    path.write_text(yaml.safe_dump(content))
    return path, "7"


def judged(folder: Path) -> tuple[Path, str]:
    server = JudgingServer(others=CODERS)
    few = model_voters(rankings={"personas": 6, "prompts": 2}, checks={"repeats": 5})
    return write_config(folder, server.url, voters=few, evaluation=FEW), "7"


def people(folder: Path) -> tuple[Path, str]:
    made(folder / "votes.parquet", users=8, each=60, offset_sd=1.0)
    return config_of(folder / "votes.parquet", folder / "config.yaml"), "7"


FEW = {"bootstrap": 50, "users": 20, "newcomers": 10}
MAKERS: dict[str, Callable[[Path], tuple[Path, str]]] = {
    "planted": planted,
    "model": judged,
    "people": people,
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_files_are_left(kind: str, runs: dict[str, Done]) -> None:
    path = Path(str(runs[kind].folder.path))
    assert [name for name in FILES if not (path / name).exists()] == []
    assert runs[kind].folder.read_manifest()["kind"] == "run"
    for name in ("metrics.parquet", "gains.parquet", "ratings/orders.parquet"):
        one, other = (
            pq.read_schema(Path(str(done.folder.path)) / name)
            for done in (runs[kind], runs["planted"])
        )
        assert one.equals(other), name


@pytest.mark.parametrize("kind", KINDS)
def test_the_report_has_the_same_sections_in_the_same_order(
    kind: str, runs: dict[str, Done]
) -> None:
    report = runs[kind].folder.report.read_text()
    places = [re.search(section, report) for section in SECTIONS]
    assert [s for s, found in zip(SECTIONS, places, strict=True) if found is None] == []
    starts = [found.start() for found in places if found is not None]
    assert starts == sorted(starts)


@pytest.mark.parametrize("kind", KINDS)
def test_the_folder_is_served(kind: str, runs: dict[str, Done]) -> None:
    service = LocalService(bases.of_folder(Path(str(runs[kind].folder.path))))
    begin.take_in(service.counter.base, service.counter.store, unshown)
    snapshot = service.counter.snapshot()
    served = service.rankings.of_user(snapshot, runs[kind].user)
    assert served.personal
    assert {entry.model for entry in served.ranking} == set(snapshot.models)


@pytest.mark.parametrize("kind", KINDS)
def test_it_ends_with_commands_that_can_be_pasted(kind: str, runs: dict[str, Done]) -> None:
    commands = next_commands(runs[kind].out)
    assert ["serve", str(runs[kind].folder.path)] in commands


def next_commands(out: str) -> list[list[str]]:
    """The arguments of the commands that are named last, each of which is one there is."""
    (*_, last) = out.split("next:\n")
    commands = [shlex.split(line.split("    (")[0]) for line in last.splitlines()]
    parser = arguments.parser()
    for command, *rest in commands:
        assert command == "electorate"
        parser.parse_args(rest)
    return [rest for _, *rest in commands]


def test_other_commands_end_with_commands_that_can_be_pasted(
    tmp_path: Path, runs: dict[str, Done]
) -> None:
    made(tmp_path / "votes.parquet", users=5, each=20)
    votes = tmp_path / "votes.parquet"
    one, other = (runs[kind].folder.path for kind in ("planted", "model"))
    given: dict[str, tuple[object, ...]] = {
        "rate": (votes,),
        "compare": (one, other),
        "report": (one,),
        "fetch": (one, "--to", tmp_path / "fetched"),
        "keys": (tmp_path / "keys.json", "al"),
        "init": ("--have", "votes", "--votes", votes),
    }
    for command, arguments_ in given.items():
        done = in_process(command, *arguments_)
        assert done.returncode == 0, done.stderr
        assert next_commands(done.stdout), command


@pytest.mark.timeout(300)
def test_people_on_ray_with_a_killed_driver_are_the_people_of_one_process(
    tmp_path: Path, ray_cluster: RayCluster
) -> None:
    made(tmp_path / "votes.parquet", users=6, each=30, offset_sd=1.0)
    config = config_of(tmp_path / "votes.parquet", tmp_path / "config.yaml", cohorts=2)
    alone = in_process("run", config, "--cohorts", 0, "--out", tmp_path / "alone")
    assert alone.returncode == 0, alone.stderr[-3000:]
    arguments_ = ("run", config, "--out", tmp_path / "run", "--resume")
    log = VoteLog(tmp_path / "run" / "votes", [f"m{i}" for i in range(6)])
    driver = electorate_command(*arguments_, RAY_ADDRESS=ray_cluster.address)
    while not log.has(0, 0):
        assert driver.poll() is None, driver.communicate()[1][-3000:]
        time.sleep(0.02)
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    done = run_electorate(*arguments_, RAY_ADDRESS=ray_cluster.address)
    assert done.returncode == 0, done.stderr[-3000:]
    assert tables(RunFolder(tmp_path / "run")) == tables(RunFolder(tmp_path / "alone"))
