"""Shared parts of the tests: configs with stored answers, and one Ray cluster for the whole
session.
"""

import io
import json
import os
import secrets

# Ray reads its token when it is imported, so this comes before anything that may import it.
TOKEN = secrets.token_hex(32)
os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
os.environ.pop("RAY_ADDRESS", None)
# A process more for each training, which waits for a cloud to take its machine away.
os.environ["RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"] = "0"
# For the object stores of this machine that tests start, which take any.
os.environ |= {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_EC2_METADATA_DISABLED": "true",
}

import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, redirect_stderr, redirect_stdout, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import hypothesis
import numpy as np
import psutil
import pytest
import yaml

from electorate.commands import human
from electorate.config import config_file
from electorate.config.run import Config
from electorate.data import prompts
from electorate.evaluation import people
from electorate.inference import contestants
from electorate.inference.completions import Answer
from electorate.storage.response_cache import ResponseCache
from tests import small_models

# How long an example takes hangs on what else the machine does.
hypothesis.settings.register_profile("electorate", deadline=None)
hypothesis.settings.load_profile("electorate")
# In a shell's background Ctrl-C is ignored, and children would inherit that; a handler they do not.
signal.signal(signal.SIGINT, signal.default_int_handler)
ROOT = Path(__file__).parent.parent
# What `make test-fast` leaves out: what starts Ray, an engine, a server or a browser, or takes
# more than a few seconds without.
SLOW_FIXTURES = {"ray_cluster", "two_raylets", "engine", "served", "store"}
SLOW = (
    "tests/actors",
    "tests/cluster/test_gpus.py",
    "tests/cluster/test_session.py",
    "tests/electorate/calibration",
    "tests/electorate/commands/test_calibrate.py",
    "tests/electorate/commands/test_human.py",
    "tests/electorate/online/test_counts.py",
    "tests/electorate/online/test_store.py",
    "tests/electorate/importers/test_layouts.py",
    "tests/electorate/ratings/test_any_votes.py",
    "tests/electorate/ratings/test_bootstrap.py",
    "tests/electorate/ratings/test_dependence.py",
    "tests/electorate/ratings/test_low_rank.py",
    "tests/electorate/ratings/test_offsets.py",
    "tests/electorate/ratings/test_personal_coefficient.py",
    "tests/electorate/ratings/test_thresholds.py",
    "tests/electorate/rewards",
    "tests/electorate/storage/test_places.py",
    "tests/electorate/evaluation/test_position.py",
    "tests/electorate/evaluation/test_user_report.py",
    "tests/electorate/study/test_drift.py",
    "tests/electorate/test_library.py",
    "tests/electorate/test_wheel.py",
    "tests/electorate/study/test_null.py",
    "tests/electorate/polls/test_synthetic.py",
    "tests/serve",
    "tests/simulations",
    "tests/test_extending",
)
# What starts Ray, a server or an engine: `make test` runs these beside the rest, in a process of
# their own, as they wait for processes most of the time.
RAY = (
    "tests/actors",
    "tests/cluster/test_gpus.py",
    "tests/cluster/test_session.py",
    "tests/serve/test_attacks.py",
    "tests/serve/test_contestants.py",
    "tests/serve/test_endpoint.py",
    "tests/serve/test_follower.py",
    "tests/serve/test_foreign_server.py",
    "tests/simulations/test_chaos.py",
    "tests/simulations/test_engine_lost.py",
    "tests/simulations/test_kills.py",
    "tests/simulations/test_object_store.py",
    "tests/simulations/test_poll_engine.py",
    "tests/simulations/test_submit.py",
)
# Of these, what starts a vLLM engine: `make test` runs them after those that need no Ray.
ENGINE = (
    "tests/serve/test_contestants.py",
    "tests/serve/test_foreign_server.py",
    "tests/simulations/test_engine_lost.py",
    "tests/simulations/test_poll_engine.py",
)
# Of the slow ones, what is fast all the same.
FAST = (
    "tests/simulations/test_not_converged.py",
    "tests/simulations/test_verdict.py",
)
ARCHETYPES = ("coder", "academic", "creative_writer", "student", "business", "everyday")
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def few_folds() -> Iterator[None]:
    """Studies of people deal their prompts into folds once instead of four times, and predict new
    users by 5 splits instead of 25: what is tested does not hang on how many there are.
    """
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(human, "SEEDS", 1)
        patched.setattr(people, "SEEDS", 1)
        patched.setattr(people, "MANY_VOTES", 0)
        yield


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--digests`: write down what test_digests.py finds, where a change is meant to change it."""
    parser.addoption("--digests", action="store_true")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make test-fast` leaves out."""
    for item in items:
        path = str(item.path.relative_to(ROOT))
        uses = set(getattr(item, "fixturenames", ()))
        if uses & SLOW_FIXTURES or (path.startswith(SLOW) and path not in FAST):
            item.add_marker("slow")
        if "ray_cluster" in uses or path.startswith(RAY):
            item.add_marker("ray")
        if path.startswith(ENGINE):
            item.add_marker("engine")


def plain_config(**changes: Any) -> dict[str, Any]:
    """A small config as YAML would hold it: six contestants at an endpoint where nothing
    listens, and no Ray.
    """
    return {
        "models": {
            "m": {
                "engine": "openai",
                "base_url": "http://127.0.0.1:9/v1",
                "model": "m",
                "retries": 0,
            }
        },
        "contestants": [{"name": f"c{i}", "model": "m", "system": f"manner {i}"} for i in range(6)],
        "population": {"size": 300, "archetypes": {name: {} for name in ARCHETYPES}},
        "evaluation": {"bootstrap": 50, "users": 300},
        "cluster": {"cohorts": 0},
        **changes,
    }


def made_config(**changes: Any) -> Config:
    """`plain_config`, validated."""
    return Config.model_validate(plain_config(**changes))


def made_text(contestant: int, prompt: int) -> str:
    """An answer whose style depends on the contestant most and on the prompt a little."""
    random = np.random.default_rng([contestant, prompt])
    words = [
        "short",
        "words",
        "perhaps",
        "you",
        "extraordinarily",
        "complicated",
        "nomenclature",
        "we",
        "might",
        "3",
        "42",
    ]
    weights = np.roll(np.linspace(1, 4, len(words)), 2 * contestant)
    text = " ".join(
        random.choice(words, size=15 + 8 * contestant + prompt % 7, p=weights / weights.sum())
    )
    marks = ("", "\n- one\n- two", "!", "\n# Head", "\n```code```", " **bold**")
    return text + marks[contestant % len(marks)] * (1 + prompt % 3)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A run and a folder without one, each with online votes, as their first formats had them;
    expected.json has the counts.
    """
    with tarfile.open(
        ROOT / "tests" / "electorate" / "online" / "folder_format_1.tar.gz"
    ) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


@pytest.fixture
def stored(tmp_path: Path) -> Callable[..., Path]:
    """Writes a config file all of whose answers are in its cache already; returns the file's
    path.
    """

    def write(**changes: Any) -> Path:
        content = plain_config(**changes)
        content["cluster"] = {"cache_dir": str(tmp_path / "cache"), **content["cluster"]}
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(content))
        config = config_file.load(path)
        chosen = prompts.select(config)
        cache = ResponseCache(tmp_path / "cache" / "answers.sqlite")
        for i, request in enumerate(contestants.requests(config, chosen)):
            text = made_text(i % len(config.contestants), request.prompt_id)
            cache.put(request.key, asdict(Answer(text, "stop", len(text.split()), 0.1)))
        cache.close()
        return path

    return write


# `python -m simulations ARGUMENTS` with other values of constants: {"MODULE.NAME": VALUE}.
WITH_CONSTANTS = """
import importlib, json, sys
for name, value in json.loads(sys.argv.pop(1)).items():
    module, _, constant = name.rpartition(".")
    assert hasattr(importlib.import_module(module), constant), name
    setattr(sys.modules[module], constant, value)
from simulations.cli import main
sys.exit(main())
"""


def electorate_command(
    *arguments: object, constants: dict[str, object] | None = None, **environment: str
) -> subprocess.Popen[str]:
    """`python -m simulations ...` from the project's root, both outputs as text.

    constants: of the driver's modules, such as how long it waits for what is away.
    """
    program = ["-m", "simulations"]
    if constants is not None:
        program = ["-c", WITH_CONSTANTS, json.dumps(constants)]
    command = [sys.executable, *program, *map(str, arguments)]
    env = {**os.environ, **environment}
    return subprocess.Popen(
        command, cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def in_process(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """The same command in this process: what it imports is there already.

    Not for what connects to Ray.
    """
    from simulations.cli import main

    out = io.StringIO()
    err = io.StringIO()
    with (
        redirect_stdout(out),
        redirect_stderr(err),
        patch.dict(os.environ, environment),
        chdir(ROOT),
    ):
        try:
            code = main(list(map(str, arguments)))
        except SystemExit as end:  # argparse's, after --help and wrong arguments
            code = int(end.code or 0)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def run_electorate(
    *arguments: object, constants: dict[str, object] | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """The same, to its end."""
    process = electorate_command(*arguments, constants=constants, **environment)
    out, err = process.communicate(timeout=600)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RayCluster:
    """A Ray head of the session's own: on loopback, with token authentication, apart from any
    other.
    """

    def __init__(self, folder: Path, cpus: int = 2) -> None:
        self.gcs = free_port()
        self.dashboard = free_port()
        self.address = f"127.0.0.1:{self.gcs}"
        self.environment = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
        command = [
            *(
                BIN / "ray",
                "start",
                "--head",
                "--block",
                "--node-ip-address=127.0.0.1",
                f"--port={self.gcs}",
            ),
            *(
                "--include-dashboard=true",
                "--dashboard-host=127.0.0.1",
                f"--dashboard-port={self.dashboard}",
            ),
            # A port of its own for the agent too: jobs go through it, and another cluster may have
            # the usual one.
            *(
                f"--num-cpus={cpus}",
                f"--temp-dir={folder}",
                "--disable-usage-stats",
                f"--dashboard-agent-listen-port={free_port()}",
            ),
        ]
        # Workers import the project's packages from here, as they would from a job's working
        # directory.
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PATH": f"{BIN}:{os.environ['PATH']}",
        }
        self._log = (folder / "start.log").open("w")
        # A raylet on a busy machine may miss the 30 s that `ray start` gives it.
        for _ in range(3):
            self.processes = [self._start(command)]
            if self._comes_up():
                return
        raise RuntimeError(
            f"ray start did not come up:\n{Path(self._log.name).read_text()[-2000:]}"
        )

    def _start(self, command: Sequence[object]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            list(map(str, command)),
            env=self._environment,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def add_raylet(self, cpus: int = 1) -> subprocess.Popen[bytes]:
        """Another node on this machine.

        Its `ray start`, whose child named raylet is what may be killed.
        """
        command = (
            BIN / "ray",
            "start",
            "--block",
            f"--address={self.address}",
            f"--num-cpus={cpus}",
            "--disable-usage-stats",
        )
        self.processes.append(
            self._start((*command, f"--dashboard-agent-listen-port={free_port()}"))
        )
        return self.processes[-1]

    def _comes_up(self) -> bool:
        """Whether its node is alive, once that can be told; False if it ended instead.

        The dashboard answers before the node is there.
        """
        url = f"http://127.0.0.1:{self.dashboard}/api/v0/nodes"
        headers = {"Authorization": f"Bearer {TOKEN}"}
        for _ in range(240):
            if self.processes[0].poll() is not None:
                return False
            with suppress(httpx.HTTPError):
                answer = httpx.get(url, headers=headers, timeout=5)
                if answer.is_success and '"ALIVE"' in answer.text:
                    return True
            time.sleep(0.5)
        self.stop()
        raise TimeoutError("ray start neither ended nor came up")

    def processes_titled(self, part: str) -> list[psutil.Process]:
        """Of this cluster, those whose command line or name has this part; another test session's
        may run beside them.
        """
        found = list[psutil.Process]()
        for started in self.processes:
            for process in psutil.Process(started.pid).children(recursive=True):
                with suppress(psutil.Error):
                    if part in " ".join([process.name(), *process.cmdline()]):
                        found.append(process)
        return found

    def stop(self) -> None:
        """All of it, what does not end by itself at once too: nothing here is to be kept."""
        everything = list[psutil.Process]()
        for process in reversed(self.processes):
            if process.poll() is None:
                everything += psutil.Process(process.pid).children(recursive=True)
            process.terminate()
        _, alive = psutil.wait_procs(everything, timeout=5)
        for one in alive:
            with suppress(psutil.Error):
                one.kill()
        for process in self.processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._log.close()


@pytest.fixture(scope="session")
def made_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a chat model that costs next to nothing to run."""
    return small_models.made(tmp_path_factory.mktemp("made") / "model")


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[RayCluster]:
    """One cluster for the session; its socket paths need a short folder."""
    folder = Path("/tmp") / f"elt{os.getpid()}"
    folder.mkdir()
    cluster = RayCluster(folder)
    try:
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
