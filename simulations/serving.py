"""`serve` and `keys`: the ranking endpoint on this machine, and who may use it."""

import ipaddress
import os
import signal
import threading
from pathlib import Path

from rich.console import Console

from cluster.session import connected
from electorate.contest import VllmModel
from electorate.errors import ElectorateError
from electorate.online import base as bases
from electorate.online.base import Base
from serve import proxy
from serve.contestants import ContestantsApp, cpus_needed, gpus_needed
from serve.ports import LOOPBACK
from serve.security import PERMISSIONS, Permission, add_key, read_keys
from serve.settings import Settings
from simulations.progress import bar


def serve(settings: Settings, host: str, port: int, address: str | None, console: Console) -> None:
    """Serve until told to stop; with settings.live the run's vLLM models too. Raises ElectorateError for what the user can put right,
    before anything starts.
    """
    if settings.keys is None and not _is_loopback(host):
        raise ElectorateError(f"--host {host}: whoever reaches it could read and vote; make keys with `keys`, and give --keys FILE")
    # Before Ray starts, which takes seconds.
    base = bases.of_folder(settings.absolute_folder)
    if settings.keys is not None:
        read_keys(settings.keys)
    models = _models(base) if settings.live and settings.contestants_url is None else {}
    if models and not _is_loopback(host):
        raise ElectorateError(
            f"--live: its engines would answer whoever reaches {host} without a key; serve them elsewhere and give contestants_url"
        )
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    os.environ |= proxy.environment()
    with connected(address, 1.0 + cpus_needed(models), gpus_needed(models)):
        from serve import app

        contestants = _started(models, base, port) if models else None
        if contestants:
            settings = settings.model_copy(update={"contestants_url": contestants.url})
        app.start(settings, host, port)
        proxy.wait(f"http://{LOOPBACK if _is_everywhere(host) else host}:{port}")
        console.print(f"serving {settings.absolute_folder} at http://{host}:{port}/ (Ctrl-C stops)", highlight=False, soft_wrap=True)
        if contestants:
            with bar(console, "Starting vLLM", None) as tick:
                contestants.wait(lambda: None if stop.is_set() else tick())
            console.print(f"contestants at {contestants.url}, for any OpenAI client", highlight=False, soft_wrap=True)
        stop.wait()
        app.stop()
        if contestants:
            contestants.stop()


def _models(base: Base) -> dict[str, VllmModel]:
    """The run's that an engine has to serve."""
    config = base.run.electorate.config if base.run else None
    return {} if config is None else {name: model for name, model in config.models.items() if isinstance(model, VllmModel)}


def _started(models: dict[str, VllmModel], base: Base, port: int) -> ContestantsApp:
    """Their engines, starting on the same Serve as the endpoint."""
    assert base.run is not None  # noqa: S101 it has models
    app = ContestantsApp(models, Path(base.run.electorate.config.cluster.cache_dir).expanduser(), port)
    app.start()
    return app


def keys(path: Path, name: str, permissions: str, console: Console) -> None:
    """Make a key, print it once, and keep its hash in a file."""
    wanted: list[Permission] = [p for p in PERMISSIONS if p in permissions.split(",")]
    if unknown := set(permissions.split(",")) - set(PERMISSIONS):
        raise ElectorateError(f"--may: {sorted(unknown)[0]!r} is not a permission; allowed are {', '.join(PERMISSIONS)}")
    secret = add_key(path, name, tuple(wanted))
    path.chmod(0o600)
    console.print(f"{name} may {', '.join(wanted)}; its key, which is shown this once:", highlight=False, soft_wrap=True)
    console.print(secret, highlight=False, soft_wrap=True)


def _is_everywhere(host: str) -> bool:
    return host in ("0.0.0.0", "::")  # noqa: S104 compared, not bound


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
