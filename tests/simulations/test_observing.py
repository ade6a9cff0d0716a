"""What a run tells machines: its log, its metrics, and the dashboard that draws them."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import ray

from actors import metrics
from actors.cohort import CohortActor
from actors.pool import CohortPool
from actors.ranking import RankingActor
from cluster.session import connected
from electorate.storage.run_folder import RunFolder
from tests.actors.test_pool import made_run
from tests.conftest import ROOT, RayCluster, in_process, made_config
from tests.electorate.population.test_personas import population

DASHBOARD = ROOT / "cluster" / "grafana.json"
SMALL = {
    "evaluation": {"bootstrap": 50, "users": 50, "systems": ["global_bt", "oracle"]},
    "votes": {"checkpoints": [2, 4]},
}


def test_a_runs_log_has_every_block_of_every_round(
    stored: Callable[..., Path], tmp_path: Path
) -> None:
    config = stored(**SMALL, population=population(size=9000))
    run = RunFolder(tmp_path / "run")
    done = in_process("run", config, "--out", run.path)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [json.loads(line) for line in run.log.read_text().splitlines()]
    assert {line["run"] for line in lines} == {"run"}
    judged = [
        (line["round"], line["block"], line["votes"])
        for line in lines
        if line["event"] == "block judged"
    ]
    assert sorted(judged) == [
        (r, b, 2 * size) for r in (0, 1) for b, size in enumerate((4096, 4096, 808))
    ]
    stages = [line["stage"] for line in lines if line["event"] == "stage done"]
    assert stages == ["answers", "personas", "votes", "evaluate"]
    assert (lines[0]["event"], lines[-1]["event"]) == ("begins", "complete")

    # A second run into the same folder that is refused adds to no log.
    size = run.log.stat().st_size
    again = in_process("run", config, "--out", run.path, "--seed", 3)
    assert (again.returncode, run.log.stat().st_size) == (2, size)


def test_a_lost_block_is_counted_and_the_metrics_reach_prometheus(
    ray_cluster: RayCluster, tmp_path: Path
) -> None:
    config = made_config(population=population(size=12 * 4096), votes={"checkpoints": [2]})
    folder = made_run(tmp_path / "run", config)
    with connected(ray_cluster.address, 1.0):
        before = scraped("ray_electorate_votes_total") or 0.0
        ranking = RankingActor.remote(folder.path)
        cohorts = [CohortActor.options(num_cpus=0).remote(folder.path) for _ in range(2)]
        todo = [(0, block) for block in range(12)]
        for done, _ in enumerate(
            CohortPool(cohorts).run(
                todo, lambda actor, places: actor.vote.remote("judge", ranking, places, None)
            )
        ):
            if done == 4:
                ray.kill(cohorts[0], no_restart=False)
        lost = "ray_electorate_blocks_lost_total"
        lag = "ray_electorate_ranking_lag_seconds"
        for _ in range(90):
            # Of a killed cohort the votes of its last seconds are not told.
            counted = scraped("ray_electorate_votes_total") or 0.0
            if (
                counted > before
                and scraped(lost)
                and None not in (scraped(lag), scraped("ray_electorate_blocks_in_flight"))
            ):
                break
            time.sleep(0.5)
        assert before < counted <= before + 2 * 12 * 4096
        assert (scraped(lost) or 0) >= 1
        assert 0 <= (scraped(lag) or 0) < 60


def scraped(name: str) -> float | None:
    """The sum of a metric over all processes of the cluster; None where it is not there yet."""
    found = list[float]()
    for node in ray.nodes():
        text = httpx.get(
            f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics", timeout=5
        ).text
        found += [
            float(line.rsplit(" ", 1)[1])
            for line in text.splitlines()
            if line.startswith(f"{name}{{")
        ]
    return sum(found) if found else None


def test_the_dashboard_draws_every_metric_and_no_other() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    ours = {
        name.removeprefix("ray_").removesuffix("_total")
        for expr in asked
        for name in re.findall(r"ray_electorate_\w+", expr)
    }
    assert ours - {"electorate_requests", "electorate_online_votes"} == {
        *metrics.COUNTERS,
        *metrics.GAUGES,
    }
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


@pytest.mark.parametrize("name", [*metrics.COUNTERS, *metrics.GAUGES])
def test_a_metric_says_what_it_is(name: str) -> None:
    assert (metrics.COUNTERS | metrics.GAUGES)[name][0]
