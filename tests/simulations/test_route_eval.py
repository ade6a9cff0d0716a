"""`route-eval` on runs of personas and of people: tables, plots and what is told of them."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from electorate.base.errors import ElectorateError
from electorate.data import run_files
from electorate.population import voters as voters_module
from electorate.rewards import store
from electorate.rewards.prompt_head import PromptRead
from electorate.storage import files
from electorate.storage.run_folder import RunFolder
from electorate.study import routers
from electorate.study.pool import InProcessPool
from electorate.study.systems import Rater
from simulations import backends, cli, route_eval
from simulations.report import finished as report
from simulations.report import routing
from tests.electorate.commands.test_human import made
from tests.electorate.online.finished import finished_run

CONTESTANTS = [f"c{i}" for i in range(6)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return finished_run(tmp_path_factory.mktemp("run") / "run", reward=False)


@pytest.fixture
def folder(run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A copy, whose work is done in this process, and whose report is left out."""
    shutil.copytree(Path(str(run.path)), tmp_path / "run")
    copy = RunFolder(tmp_path / "run")

    class InProcess:
        def __enter__(self) -> InProcessPool:
            return InProcessPool(copy)

        def __exit__(self, *_: object) -> None:
            return None

    monkeypatch.setattr(backends, "of_run", lambda *_: InProcess())
    monkeypatch.setattr(report, "write", lambda _: None)
    return copy


def costs(place: Path, values: dict[str, float], column: str = "usd_per_1000") -> Path:
    lines = [f"model,{column}", *(f"{name},{value}" for name, value in values.items())]
    place.write_text("\n".join(lines) + "\n")
    return place


def test_personas_are_routed_to_what_suits_them(
    folder: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prices = costs(
        tmp_path / "costs.csv", {name: 2.0 ** (5 - i) for i, name in enumerate(CONTESTANTS)}
    )
    route_eval.route_eval(folder.path, prices, Console(width=200))
    told = capsys.readouterr().out
    assert "by the user (System A)" in told
    assert "at equal cost" in told
    content = routing.read(folder)
    assert content is not None
    last = {row["router"]: row for row in content["rows"]["10"]}
    assert last["global_bt"]["best"] == [0.0, 0.0, 0.0]
    for number in ("best", "at_its_cost"):
        assert last["oracle"][number][1] > last["elo_offset"][number][0]
        assert last["oracle"][number][1] > 0
    assert last["oracle"]["saved"][0] > 0
    rows = pq.read_table(folder.routing).to_pylist()
    curve = [row for row in rows if (row["router"], row["votes_per_user"]) == ("elo_offset", 10)]
    assert len(curve) == 41
    by_rate = sorted(curve, key=lambda row: row["rate"])
    assert by_rate[0]["cost"] > by_rate[-1]["cost"] == pytest.approx(1.0)
    single = {row["router"]: row["cost"] for row in rows if row["router"].startswith("contestant:")}
    assert single == {f"contestant:{name}": 2.0 ** (5 - i) for i, name in enumerate(CONTESTANTS)}
    assert set(routing.figures(folder)) == {"routing", "routing_votes"}


def test_without_prices_quality_alone_is_told(
    folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    route_eval.route_eval(folder.path, None, Console(width=200))
    told = capsys.readouterr().out
    assert "for quality against cost give --costs FILE" in told
    assert "cost saved" not in told
    assert set(routing.figures(folder)) == {"routing_votes"}


def test_costs_by_token_are_of_prompts_and_answers(folder: RunFolder, tmp_path: Path) -> None:
    place = tmp_path / "tokens.csv"
    lines = [f"{name},1,{10 if name == 'c0' else 0}" for name in CONTESTANTS]
    place.write_text("\n".join(["model,input,output", *lines]) + "\n")
    config = run_files.read_config(folder)
    prompts = run_files.read_prompts(folder)
    rows = files.read_table(folder.responses).to_pylist()
    tokens = {"finish_reason": "", "tokens": 40}
    table = files.read_table(folder.responses)
    for name, value in tokens.items():
        table = table.append_column(name, [[value] * len(rows)])
    files.write_table(folder.responses, table)
    test = prompts.ids("test")
    found = route_eval._prices(folder, config, prompts, test, place)
    told = len(config.contestants[1].system or "")
    asked = np.array([told + len(prompts.text[p]) for p in test]) / 4
    assert found.real[:, 1] == pytest.approx(1000 * asked / 1e6)
    assert found.real[:, 0] - found.real[:, 1] == pytest.approx(np.full(len(test), 0.4))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("model,usd_per_1000\nc0,1\n", "says nothing of 'c1' and 4 others"),
        ("model,usd_per_1000\nc0,1\nc0,2\n", "names 'c0' twice"),
        ("model,usd_per_1000\nc0,free\n", "usd_per_1000 of 'c0' is 'free', which is no amount"),
        ("model,usd_per_1000\nc0,-1\n", "which is no amount of USD from 0 on"),
        ("model,usd_per_1000\nc0,inf\n", "which is no amount of USD from 0 on"),
        ("model,price\nc0,1\n", "has neither a column usd_per_1000"),
        ("name,usd_per_1000\nc0,1\n", "model"),
    ],
)
def test_costs_that_are_none_are_one_line(
    folder: RunFolder, tmp_path: Path, content: str, says: str
) -> None:
    place = tmp_path / "costs.csv"
    place.write_text(content)
    with pytest.raises(ElectorateError, match=says) as raised:
        route_eval.route_eval(folder.path, place, Console())
    assert "\n" not in str(raised.value)
    assert not folder.routers.exists()


def test_prompts_are_told_apart_where_a_run_learned_to(tmp_path: Path) -> None:
    """By the prompt alone everybody gets the same; by user and prompt it is nearest the truth."""
    folder = finished_run(tmp_path / "run")
    electorate = voters_module.of_run(folder)
    wanted = (*electorate.config.evaluation.systems, "prompt_head")
    settings = electorate.config.evaluation.model_copy(update={"systems": wanted})
    config = electorate.config.model_copy(update={"evaluation": settings})
    electorate = replace(electorate, config=config)  # type: ignore[type-var]
    last = len(config.votes.checkpoints) - 1
    trained = store.of_round(folder, last)
    hybrid = store.read(trained, "hybrid")
    rank = hybrid.taste.shape[1]
    unsaid = np.zeros((len(hybrid.base), rank + 1, rank + 1))
    columns = {name: getattr(hybrid, name) for name in hybrid.__dataclass_fields__}
    store.write_reads(
        trained, {"hybrid": hybrid, "prompt_head": PromptRead(**columns, unsaid=unsaid)}
    )
    numbers = voters_module.compared(electorate)
    rater = Rater(electorate, numbers, InProcessPool(folder), folder)
    found = routers.of_round(rater.at(last, voters_module.with_ids(electorate, numbers, last)))
    assert list(found) == ["global_bt", "segment_bt", "prompt_alone", "elo_offset", "prompt_head"]
    prompt = int(run_files.read_prompts(folder).ids("test")[0])
    assert found["prompt_alone"].on(prompt).strength.shape == (1, 6)
    other = int(run_files.read_prompts(folder).ids("test")[1])
    alone = found["prompt_alone"]
    assert not np.allclose(alone.on(prompt).strength, alone.on(other).strength)
    truth = next(
        iter(
            electorate.truths(
                rater.at(last, voters_module.with_ids(electorate, numbers, last)).people,
                np.array([prompt]),
            )
        )
    )

    def agreement(name: str) -> float:
        said = np.broadcast_to(found[name].on(prompt).strength, truth.utility.shape)
        return float(np.mean(said.argmax(axis=1) == truth.utility.argmax(axis=1)))

    assert agreement("prompt_head") > max(agreement("prompt_alone"), agreement("elo_offset"))


@pytest.mark.usefixtures("few_folds")
def test_people_are_routed_by_their_held_out_votes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "v.parquet"
    made(file, users=24, each=100, offset_sd=1.0)
    assert cli.main(["human", str(file), "--out", str(tmp_path / "people")]) == 0
    people = RunFolder(tmp_path / "people")
    prices = costs(tmp_path / "costs.csv", {f"m{i}": 1.0 + i for i in range(6)})
    assert cli.main(["route-eval", str(people.path), "--costs", str(prices)]) == 0
    told = capsys.readouterr().out
    assert "share of votes whose winner is chosen" in told
    content = routing.read(people)
    assert content is not None
    (rows,) = content["rows"].values()
    found = {row["router"]: row for row in rows}
    assert found["elo_offset"]["best"][1] > 0
    assert found["random"]["best"][2] < 0
    assert "What routing by these rankings is worth" in people.report.read_text()
    by_token = tmp_path / "tokens.csv"
    by_token.write_text("model,input,output\nm0,1,1\n")
    assert cli.main(["route-eval", str(people.path), "--costs", str(by_token)]) == 2
    assert "has no column usd_per_1000, which is needed here" in capsys.readouterr().err


def test_what_is_no_finished_run_is_one_line(
    tmp_path: Path, folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["route-eval", str(tmp_path / "nothing")]) == 2
    assert "nothing: holds no finished run, and no thumbs on a gateway's" in capsys.readouterr().err
    folder.write_manifest({**folder.read_manifest(), "status": "evaluate"})
    assert cli.main(["route-eval", str(folder.path)]) == 2
    assert "answers; finish it with --resume" in capsys.readouterr().err
