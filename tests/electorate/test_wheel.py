"""The wheel holds one package, needs little, and works where nothing else is installed."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from electorate.base import checkout
from electorate.base.errors import ElectorateError
from tests.conftest import ROOT
from tests.electorate.commands.test_human import made

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LIGHT = {"numba", "numpy", "pandas", "pyarrow", "pydantic", "pyyaml", "rich", "scipy"}
VOTES = "model_a,model_b,winner\n" + "x,y,model_a\n" * 6 + "x,y,model_b\ny,z,model_a\nz,x,tie\n"


def name_of(requirement: str) -> str:
    return re.split(r"[\[<>=!~; ]", requirement)[0].lower().replace("_", "-")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", out, ROOT], check=True, timeout=300)
    (path,) = out.glob("electorate-*.whl")
    return path


def test_it_holds_the_package_alone(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"electorate"}
    for needed in ("py.typed", "polls/templates/verdict.txt", "commands/cli.py"):
        assert f"electorate/{needed}" in names


def test_it_rates_a_file_without_ray_torch_or_the_checkout(wheel: Path, tmp_path: Path) -> None:
    """In an interpreter that sees the wheel and what it depends on, and refuses all else."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    (tmp_path / "votes.csv").write_text(VOTES)
    code = f"""
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        heavy = {{"ray", "torch", "transformers", "matplotlib", "jinja2", "httpx", "aiohttp"}}
        if name.split(".")[0] in heavy:
            raise ImportError(name + " is not in the base install")

sys.meta_path.insert(0, Refuse())
sys.path.insert(0, {str(tmp_path / "site")!r})
import electorate
assert electorate.__file__.startswith({str(tmp_path)!r}), electorate.__file__
from electorate.commands.cli import main
sys.exit(main(sys.argv[1:]))
"""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code, *arguments]
        env = {**os.environ, **environment}
        return subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300, check=False
        )

    rated = run("rate", "votes.csv")
    assert rated.returncode == 0, rated.stderr
    assert "9 votes, 3 models" in rated.stdout
    made(tmp_path / "people.parquet", users=5, each=8)
    # Compiling what the wheel holds would take a minute, for 40 votes.
    compared = run("human", "people.parquet", "--out", "people", NUMBA_DISABLE_JIT="1")
    assert compared.returncode == 0, compared.stderr
    assert "40 votes of 5 people" in compared.stdout
    imported = run("import", "jsonl", "nowhere.jsonl", "--out", "out")
    assert imported.returncode == 2
    assert "nowhere.jsonl" in imported.stderr
    told = run("--help")
    assert "run from a checkout" in told.stdout
    assert "{rate,human,calibrate,import,doctor}" in told.stdout


def test_the_base_install_is_light() -> None:
    assert {name_of(requirement) for requirement in PROJECT["dependencies"]} == LIGHT


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_locks_hold_every_name_of_the_extras(kind: str) -> None:
    """`pip install --no-deps` from a lock hides what is missing."""
    extras = PROJECT["optional-dependencies"]
    wanted = [*PROJECT["dependencies"], *extras["dev"], *extras[kind]]
    wanted += [r for name in ("ray", "reward", "report", "serve") for r in extras[name]]
    assert "electorate[ray,reward,report,serve]" in extras[kind]
    locked = {name_of(line) for line in (ROOT / "locks" / f"{kind}.txt").read_text().splitlines()}
    left_out = {
        name_of(line)
        for line in (ROOT / "locks" / f"{kind}-overrides.txt").read_text().splitlines()
        if line[:1] != "#"
    }
    missing = {name_of(r) for r in wanted} - locked - left_out - {"electorate"}
    assert not missing


def test_a_foreign_package_of_our_names_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "cluster").mkdir()
    (tmp_path / "cluster" / "__init__.py").write_text("")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from simulations.cli import main\n"
        "sys.exit(main(['rate', 'votes.csv']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"electorate: package 'cluster' is imported from {tmp_path}")
    assert "rename the other package" in line


def test_in_the_checkout_its_own_packages_are_imported() -> None:
    assert checkout.root() == ROOT
    checkout.require_own_packages()
    assert issubclass(ElectorateError, Exception)
