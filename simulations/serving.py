"""`serve` and `keys`: the ranking endpoint on this machine, and who may use it."""

import ipaddress
import os
import signal
import threading
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

from rich.console import Console

from cluster.session import connected
from electorate.base.errors import ElectorateError
from electorate.commands import beliefs, next_step
from electorate.commands.progress import bar
from electorate.config.engines import VllmModel, served_here
from electorate.data import costs
from electorate.inference.engine_resources import cpus_needed, gpus_needed
from electorate.online import base as bases
from electorate.online import begin, folder_lock
from electorate.online.base import Base
from electorate.online.rankings import compile_kernels
from serve import proxy
from serve.contestants import ContestantsApp
from serve.ports import LOOPBACK, require_free
from serve.security import PERMISSIONS, Permission, add_key, read_keys
from serve.settings import LOOPBACK_NAMES, Settings, read_models
from simulations.served import Served

HOLDER_S = 0.5  # between looks whether a folder is free


def serve(settings: Settings, host: str, port: int, address: str | None, console: Console) -> None:
    """Serve until told to stop; with settings.live the run's vLLM models too.

    Raises ElectorateError for what the user can put right, before anything starts.
    """
    if settings.keys is None and not _is_loopback(host):
        raise ElectorateError(
            f"--host {host}: whoever reaches it could read and vote; make keys with `keys`, and "
            "give --keys FILE"
        )
    # Before Ray starts, which takes seconds.
    settings = settings.resolved()
    base = bases.of_folder(settings.folder, settings.hash_ids)
    if settings.keys is not None:
        read_keys(settings.keys)
    declared = read_models(settings.models)
    models = _models(base) if settings.live and settings.contestants_url is None else {}
    if models and not _is_loopback(host):
        raise ElectorateError(
            f"--live: its engines would answer whoever reaches {host} without a key; serve them "
            "elsewhere and give contestants_url"
        )
    stop = threading.Event()
    _stop_on_signals(stop, console)
    if not _wait_for_folder(base, stop, console):
        return
    with closing(base.open_store(declared, settings.models_per_key)) as opened:
        for line in () if base.given is None else base.given.left_out:
            _say(console, f"left out: {line}")
        begin.take_in(base, opened, partial(bar, console))
        served = Served.of(base, opened)
    # Here rather than in each part of the endpoint, which has to be up within a time.
    compile_kernels(base.ties)
    # On a Ray that runs already, Serve may have the port for this too.
    if address is None and "RAY_ADDRESS" not in os.environ:
        require_free(host, port)
    needed = 1.0 + cpus_needed(models), gpus_needed(models) + settings.reward_gpus
    with proxy.environment() as environment:
        os.environ |= environment
        if stop.is_set():
            return
        with connected(address, *needed):
            # Ray has put its own in their place, which print a stack trace.
            _stop_on_signals(stop, console)
            _serve(settings, host, port, models, base, served, stop, console)


def _serve(
    settings: Settings,
    host: str,
    port: int,
    models: dict[str, VllmModel],
    base: Base,
    served: Served,
    stop: threading.Event,
    console: Console,
) -> None:
    from serve import app

    contestants = _started(models, base, port) if models else None
    if contestants:
        settings = settings.model_copy(update={"contestants_url": contestants.url})
    app.start(settings, host, port)
    url = f"http://{LOOPBACK if _is_everywhere(host) else host}:{port}"
    proxy.wait(url, stop)
    if not stop.is_set():
        _say(console, f"serving {settings.folder} at http://{host}:{port}/ (Ctrl-C stops)")
        _say(console, served.in_words())
        beliefs.beside(settings.folder, console)
        _say(console, "\n".join(["to try:", *served.requests(url, settings)]))
    if contestants:
        _wait_for_engines(contestants, stop, console)
    stop.wait()
    app.stop()
    if contestants:
        contestants.stop()


class _StoppedError(Exception):
    """Told to stop while engines start."""


def _wait_for_engines(contestants: ContestantsApp, stop: threading.Event, console: Console) -> None:
    with suppress(_StoppedError):
        with bar(console, "Starting vLLM", None) as tick:

            def tick_unless_stopped() -> None:
                if stop.is_set():
                    raise _StoppedError
                tick()

            contestants.wait(tick_unless_stopped)
        _say(console, f"contestants at {contestants.url}, for any OpenAI client")


def _stop_on_signals(stop: threading.Event, console: Console) -> None:
    """Says so at once, as what was started takes seconds to end."""

    def say_and_stop(*_: object) -> None:
        if not stop.is_set():
            stop.set()
            _say(console, "stopping; every acknowledged vote is on disk")

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, say_and_stop)


def _wait_for_folder(base: Base, stop: threading.Event, console: Console) -> bool:
    """Until no other process has the folder's votes open; False if told to stop meanwhile."""
    before = None
    while not stop.is_set():
        holder = folder_lock.holder(base.folder)
        if holder is None:
            return True
        if holder != before:
            _say(console, f"{base.folder}: waiting for {holder}, which serves it (Ctrl-C stops)")
        before = holder
        stop.wait(HOLDER_S)
    return False


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, soft_wrap=True)


def _models(base: Base) -> dict[str, VllmModel]:
    """The run's that an engine has to serve."""
    config = base.run.voters.config if base.run else None
    return {} if config is None else served_here(config.models)


def _started(models: dict[str, VllmModel], base: Base, port: int) -> ContestantsApp:
    """Their engines, starting on the same Serve as the endpoint."""
    assert base.run is not None  # noqa: S101 it has models
    app = ContestantsApp(models, Path(base.run.voters.config.cluster.cache_dir).expanduser(), port)
    app.start()
    return app


def costs_of_answers(path: Path) -> dict[str, float]:
    """USD an answer, by contestant, of a table by requests. Raises ElectorateError for another."""
    each = costs.of_requests(path)
    if each is None:
        raise ElectorateError(f"--costs {path}: has no column {costs.REQUESTS}")
    return {name: of_1000 / 1000 for name, (of_1000,) in each.items()}


def keys(
    path: Path,
    name: str,
    permissions: str,
    console: Console,
    tokens_a_minute: int | None = None,
    usd_a_day: float | None = None,
) -> None:
    """Make a key, print it once, and keep its hash in a file. See Key for the limits."""
    for option, value in (("--tokens-a-minute", tokens_a_minute), ("--usd-a-day", usd_a_day)):
        if value is not None and not 0 < value < float("inf"):
            raise ElectorateError(f"{option} {value:g}: must be above 0")
    wanted: list[Permission] = [p for p in PERMISSIONS if p in permissions.split(",")]
    if unknown := set(permissions.split(",")) - set(PERMISSIONS):
        raise ElectorateError(
            f"--may: {sorted(unknown)[0]!r} is not a permission; allowed are "
            f"{', '.join(PERMISSIONS)}"
        )
    secret = add_key(path, name, tuple(wanted), tokens_a_minute, usd_a_day)
    path.chmod(0o600)
    console.print(
        f"{name} may {', '.join(wanted)}; its key, which is shown this once:",
        highlight=False,
        soft_wrap=True,
    )
    console.print(secret, highlight=False, soft_wrap=True)
    next_step.tell(console, f"electorate serve DIR --keys {path}")


def names_of(host: str) -> tuple[str, ...] | None:
    """The names that requests may ask by: of loopback its own, elsewhere any, as keys are asked
    for.
    """
    return tuple(dict.fromkeys([*LOOPBACK_NAMES, host])) if _is_loopback(host) else None


def _is_everywhere(host: str) -> bool:
    return host in ("0.0.0.0", "::")  # noqa: S104 compared, not bound


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
