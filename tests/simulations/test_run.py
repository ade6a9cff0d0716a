"""Whole runs by the command line, in this process and on real Ray, from stored answers: the
endpoint in these configs does not exist.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from electorate.config import config_file
from electorate.storage.run_folder import RunFolder
from electorate.storage.vote_log import VoteLog
from tests.conftest import (
    ARCHETYPES,
    ROOT,
    RayCluster,
    electorate_command,
    in_process,
    run_electorate,
)

CHECKPOINTS = [3, 8]
SIZE = 5000  # two blocks
METRIC_COLUMNS = [
    "system",
    "users",
    "prompts",
    "segment",
    "votes_per_user",
    "metric",
    "value",
    "ci_low",
    "ci_high",
    "n_users",
    "version",
]
RESPONSE_COLUMNS = [
    "prompt_id",
    "contestant",
    "response",
    "finish_reason",
    "tokens",
    "seconds",
    "error",
    "reasoned",
]
RATED = [
    "gpt-4-0613",
    "llama-2-70b-chat",
    "vicuna-33b",
    "zephyr-7b-beta",
    "mistral-7b-instruct",
    "gemma-2-9b-it",
]
SYSTEMS = ["arena", "global_bt", "segment_bt", "elo_offset", "elo_offset_low_rank", "oracle"]
RUN = {
    "population": {"size": SIZE, "archetypes": {name: {} for name in ARCHETYPES}},
    "votes": {"checkpoints": CHECKPOINTS},
    "evaluation": {"bootstrap": 50, "users": 300, "systems": SYSTEMS},
}


def done(*arguments: object, cluster: RayCluster | None = None) -> str:
    """What a run printed, which must have gone well."""
    process = (
        in_process(*arguments)
        if cluster is None
        else run_electorate(*arguments, RAY_ADDRESS=cluster.address)
    )
    assert process.returncode == 0, process.stderr[-3000:]
    return process.stdout


def votes_of(folder: RunFolder) -> dict[str, bytes]:
    """Every vote file, by its place."""
    return {
        str(path.relative_to(folder.votes)): path.read_bytes()
        for path in sorted(folder.votes.rglob("*.parquet"))
    }


def same_results(one: Path, other: Path) -> None:
    a = RunFolder(one)
    b = RunFolder(other)
    assert votes_of(a) == votes_of(b)
    assert len(votes_of(a)) > 0
    for name in ("metrics", "gains", "leaderboard", "personas"):
        assert pq.read_table(getattr(a, name)).equals(pq.read_table(getattr(b, name))), name
    assert json.loads(a.summary.read_text()) == json.loads(b.summary.read_text())


@pytest.fixture
def finished(stored: Callable[..., Path], tmp_path: Path) -> tuple[Path, RunFolder, str]:
    config = stored(**RUN)
    printed = done("run", config, "--out", tmp_path / "one")
    return config, RunFolder(tmp_path / "one"), printed


def test_a_run_and_all_that_follows_from_it(
    finished: tuple[Path, RunFolder, str], tmp_path: Path, ray_cluster: RayCluster
) -> None:
    """One run, looked at from every side, as each takes seconds to make."""
    config, folder, printed = finished

    # What it prints.
    for system in ("global_bt", "segment_bt", "elo_offset", "oracle"):
        assert system in printed
    assert "arena is not compared" in printed
    assert str(folder.report) in printed

    # What its folder holds.
    manifest = folder.read_manifest()
    assert manifest["status"] == "complete"
    assert manifest["stages"]["answers"] | {"seconds": 0} == {
        "seconds": 0,
        "asked": 0,
        "answers": 216,
        "failed": 0,
    }
    assert manifest["stages"]["votes"]["votes"] == SIZE * CHECKPOINTS[-1]
    metrics = pq.read_table(folder.metrics)
    assert metrics.column_names == METRIC_COLUMNS
    responses = pq.read_table(folder.responses)
    assert responses.column_names == RESPONSE_COLUMNS
    assert pq.read_table(folder.personas).num_rows == SIZE
    assert sum(pq.read_table(path).num_rows for path in folder.users.iterdir()) == SIZE
    votes = pa.concat_tables(
        pq.ParquetFile(path).read() for path in folder.votes.rglob("*.parquet")
    )
    assert votes.num_rows == SIZE * CHECKPOINTS[-1]

    # What it found: System A beats the global ranking, and the oracle beats all.
    summary = json.loads(folder.summary.read_text())
    assert summary["elo_offset"]["kendall_tau"] > summary["global_bt"]["kendall_tau"]
    assert summary["oracle"]["kendall_tau"] == 1
    assert min(summary, key=lambda system: summary[system]["log_loss"]) == "oracle"
    gains = pq.read_table(folder.gains).to_pylist()
    where = {
        "system": "elo_offset",
        "baseline": "global_bt",
        "prompts": "overall",
        "metric": "kendall_tau",
        "segment": "all",
    }
    seen, unseen = (
        [
            g
            for g in gains
            if (where | {"users": users}).items() <= g.items()
            and g["votes_per_user"] == CHECKPOINTS[-1]
        ]
        for users in ("seen", "unseen")
    )
    assert seen[0]["ci_low"] > 0
    # Newcomers gain from their own votes alone as those do who took part, near enough.
    assert unseen[0]["n_users"] == 500
    assert unseen[0]["value"] == pytest.approx(seen[0]["value"], abs=0.05)
    assert "elo_offset over global_bt for 500 newcomers" in printed

    # The report is one file that asks nothing of the network, and is drawn again on demand.
    page = folder.report.read_text()
    assert page.count("<svg") == 10
    assert "src=" not in page
    assert "@import" not in page
    assert "https://" not in page.replace("https://matplotlib.org", "")
    folder.report.unlink()
    assert "global_bt" in done("report", folder.path)
    assert folder.report.read_text() == page

    # Four cohorts on Ray change nothing, nor does doing it again.
    done("run", config, "--out", tmp_path / "four", "--cohorts", 4, cluster=ray_cluster)
    same_results(folder.path, tmp_path / "four")
    assert "complete" in done("run", config, "--out", folder.path)

    # Another config is refused and the folder left as it is.
    refused = in_process("run", config, "--seed", 7, "--out", folder.path, "--resume")
    assert refused.returncode == 2
    assert "holds a run of another config" in refused.stderr
    assert folder.read_manifest() == manifest


def wait_for_votes(folder: RunFolder, files: int, driver: subprocess.Popen[str]) -> None:
    """Waits as long as the driver lives: how soon votes come hangs on the machine."""
    while driver.poll() is None:
        if len(list(folder.votes.rglob("block=*.parquet"))) >= files:
            return
        time.sleep(0.05)
    raise AssertionError(f"no votes appeared: {driver.communicate()}")


@pytest.mark.parametrize(("kill", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_a_run_stopped_midway_goes_on_to_the_same_result(
    stored: Callable[..., Path],
    tmp_path: Path,
    ray_cluster: RayCluster,
    kill: signal.Signals,
    code: int,
) -> None:
    """The killed one on Ray, whose actors outlive it; both go on without."""
    systems = ["arena", "global_bt", "segment_bt", "oracle"]
    rated = [
        {"name": f"c{i}", "model": "m", "system": f"manner {i}", "arena_name": name}
        for i, name in enumerate(RATED)
    ]
    size = {
        "population": {**RUN["population"], "size": 25_000},
        "votes": {"checkpoints": [2, 10, 20]},
    }
    config = stored(
        **size, contestants=rated, evaluation={"bootstrap": 50, "users": 300, "systems": systems}
    )
    stopped = RunFolder(tmp_path / "stopped")
    whole = RunFolder(tmp_path / "whole")
    cohorts = 2 if kill == signal.SIGKILL else 0
    process = electorate_command(
        "run", config, "--out", stopped.path, "--cohorts", cohorts, RAY_ADDRESS=ray_cluster.address
    )
    wait_for_votes(stopped, 3, process)
    process.send_signal(kill)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    if kill == signal.SIGINT:
        assert (
            err.strip().splitlines()[-1].startswith("electorate: interrupted; what is done is kept")
        )
        assert "Traceback" not in err
    assert stopped.read_manifest()["status"] != "complete"

    refused = in_process("run", config, "--out", stopped.path)
    assert (refused.returncode, "add --resume" in refused.stderr) == (2, True)
    before = votes_of(stopped)
    assert 3 <= len(before) < 21
    done("run", config, "--out", stopped.path, "--resume")
    assert stopped.read_manifest()["status"] == "complete"
    assert 0 < json.loads(stopped.summary.read_text())["arena"]["kendall_tau"] < 1
    assert before.items() <= votes_of(stopped).items()
    if kill == signal.SIGKILL:
        done("run", config, "--out", whole.path)
        same_results(stopped.path, whole.path)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "nowhere.yaml"], "nowhere.yaml: no such file"),
        (
            ["run", "configs/quickstart.yaml", "--set", "population.size=-1"],
            "population.size: -1 is not allowed",
        ),
        (
            ["run", "configs/quickstart.yaml", "--set", "populaton.size=1"],
            "populaton: unknown key; did you mean population?",
        ),
        (
            ["run", "configs/quickstart.yaml", "--set", "contestants.1.name=plain"],
            "'plain' is named twice",
        ),
        (
            [
                "run",
                "configs/quickstart.yaml",
                "--set",
                "models.smollm2-135m.source=package:nothing/x.gguf",
            ],
            "'nothing' is not installed",
        ),
        (
            ["run", "configs/quickstart.yaml", "--address", "127.0.0.1:1", "--out", "{tmp}/out"],
            "nothing listens",
        ),
        (["report", "{tmp}"], "not a run's folder"),
    ],
)
def test_bad_input_is_one_line_and_code_2(
    arguments: list[str], expected: str, tmp_path: Path
) -> None:
    out = (
        ["--out", str(tmp_path / "out")]
        if arguments[0] == "run" and "--out" not in arguments
        else []
    )
    process = in_process(*(a.format(tmp=tmp_path) for a in arguments), *out)
    assert process.returncode == 2, process.stderr
    (line,) = [line for line in process.stderr.splitlines() if line.startswith("electorate:")]
    assert expected in line
    assert "Traceback" not in process.stderr


def test_an_unreachable_endpoint_is_one_line_and_the_run_resumes(
    stored: Callable[..., Path], tmp_path: Path
) -> None:
    config = stored()
    cache = tmp_path / "cache" / "answers.sqlite"
    kept = cache.read_bytes()
    cache.unlink()
    for extra in ([], ["--resume"]):
        process = in_process("run", config, "--out", tmp_path / "run", *extra)
        assert process.returncode == 2
        assert "models.m.base_url: http://127.0.0.1:9/v1 cannot be reached" in process.stderr
        assert "Traceback" not in process.stderr
        cache.unlink(missing_ok=True)
    cache.write_bytes(kept)
    done("run", config, "--out", tmp_path / "run", "--resume")


def test_inside_a_job_only_an_absolute_folder_is_taken(tmp_path: Path) -> None:
    for out in (["--out", "runs/here"], []):
        process = in_process(
            "run", "configs/quickstart.yaml", *out, RAY_JOB_CONFIG_JSON_ENV_VAR="{}"
        )
        assert process.returncode == 2
        assert "working directory is temporary; give an absolute folder" in process.stderr


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    process = in_process("run", "configs/quickstart.yaml", "--out", tmp_path / "file" / "run")
    assert process.returncode == 2
    assert "cannot be written" in process.stderr
    assert "Traceback" not in process.stderr


def test_a_model_that_needs_ray_is_refused_without_it(tmp_path: Path) -> None:
    process = in_process(
        "run",
        "configs/quickstart.yaml",
        "--cohorts",
        0,
        f"--set=cluster.cache_dir={tmp_path}",
        "--out",
        tmp_path / "out",
    )
    assert process.returncode == 2
    assert (
        "cluster.cohorts: 0 runs without Ray, and models.smollm2-135m is served by vLLM"
        in process.stderr
    )


def test_a_small_run_imports_no_ray(stored: Callable[..., Path], tmp_path: Path) -> None:
    arguments = [
        "run",
        str(
            stored(
                population={"size": 50, "archetypes": {"coder": {}}},
                evaluation={"users": 50, "bootstrap": 50},
            )
        ),
        "--out",
        str(tmp_path / "out"),
    ]
    code = (
        f"import sys\nfrom simulations.cli import main\nassert main({arguments}) == 0\nassert "
        "'ray' not in sys.modules"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr


def test_help_teaches() -> None:
    process = in_process("run", "--help")
    assert process.returncode == 0
    for part in ("--resume", "--set", "--cohorts", "configs/quickstart.yaml", "ray job submit"):
        assert part in process.stdout
    assert os.linesep.join(["examples:"]) in process.stdout


def test_a_run_of_the_first_format_is_resumed_to_the_same_votes(old: Path) -> None:
    """Votes are draws of the seed and of answers on disk, whichever version makes them."""
    run = RunFolder(old / "run")
    shutil.rmtree(old / "run" / "online")
    manifest = json.loads(run.manifest.read_text())
    # Of what such a manifest had, this one holds but what says which run it is.
    stopped = {"status": "stopped", "stages": {}, "versions": {}}
    run.manifest.write_text(json.dumps(manifest | stopped))
    log = VoteLog(run.votes, config_file.load(run.config).contestant_names)
    before = log.read(1, 0)
    log.path(1, 0).unlink()
    run.metrics.unlink()
    resumed = in_process("run", run.config, "--cohorts", 0, "--out", run.path, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    # But for a persona that was erased from the folder when it was kept.
    votes = log.read(1, 0)
    kept = votes.filter(pc.is_in(votes["user_id"], before["user_id"]))
    assert kept.combine_chunks().equals(before.combine_chunks())
    assert pq.read_table(run.metrics).num_rows
    again = in_process("report", run.path)
    assert again.returncode == 0, again.stderr
    assert "Systems A and B" in again.stdout
