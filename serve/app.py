"""`serve run serve.app:app [folder=DIR] [keys=FILE] ...`: the ranking endpoint on Ray Serve."""

import logging
from collections.abc import Callable

from fastapi import FastAPI
from ray import serve as ray_serve
from ray.serve import Application, Deployment
from ray.serve.config import AutoscalingConfig, BackpressureConfig, HTTPOptions
from ray.serve.handle import DeploymentHandle

from electorate.base.errors import ElectorateError
from electorate.config import config_file
from electorate.config.contest import Contest
from electorate.online import base as bases
from electorate.online.counts import Caps
from electorate.online.rankings import PromptSystem, compile_kernels
from electorate.online.routing import Shares
from serve import answer_ids, api, loopback, upstreams
from serve.follower import Follower
from serve.gateway import Gateway
from serve.live import Live
from serve.reader import TextReader
from serve.security import Gate, read_keys
from serve.settings import Settings, read_models
from serve.writer import Rules, Writer

WRITES_AT_ONCE = 1024
READ_AT_ONCE = 4
TARGET_SHARE = 0.5  # of what a replica works on at once, above which another one is started
BUSY = BackpressureConfig(status_code=429, retry_after_s=1)
NAME = "rankings"


def start(settings: Settings, host: str, port: int) -> None:
    """Start it on the Ray that this process is connected to; returns once it answers."""
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    ray_serve.start(http_options=HTTPOptions(host=host, port=port))
    ray_serve.run(app(settings), name=NAME, route_prefix="/")


def stop() -> None:
    """Take it away; what was acknowledged is on disk."""
    ray_serve.delete(NAME)


def app(settings: Settings) -> Application:
    """The endpoint over a run's results, or over none yet.

    Raises ElectorateError for what cannot be served.
    """
    settings = settings.resolved()
    folder = settings.folder
    base = bases.of_folder(folder)
    reads_texts = base.run is not None and PromptSystem.of(base.run) is not None
    live = _live(settings, base)
    contest = _contest(settings, base)
    if contest is not None:
        upstreams.of_contest(contest, settings.contestants_url)
    if settings.keys is not None:
        read_keys(settings.keys)
    caps = Caps(settings.user_cap, settings.key_cap)
    rules = Rules(
        read_models(settings.models),
        settings.models_per_key,
        caps,
        settings.retain_days,
        settings.hash_ids,
    )

    def build() -> FastAPI:
        loopback.stay()

        def handle(part: str) -> DeploymentHandle:
            return ray_serve.get_deployment_handle(
                part, app_name=ray_serve.get_replica_context().app_name
            )

        reader = handle("Reader") if reads_texts else None
        base = bases.of_folder(folder, settings.hash_ids)
        follower = Follower(base, handle("Writer"), reader, live, settings.max_lag_s)
        compile_kernels(base.ties)
        gate = Gate(settings.keys, settings.rate)
        return api.build(follower, settings, gate, _gateway(settings, contest, base))

    # Bound to the endpoint so that they are deployed with it; its replicas find them by name.
    parts = [_writer().bind(folder, rules)]
    if reads_texts:
        parts.append(_reader(settings).bind(folder, settings.reward_gpus > 0))
    return _endpoint(settings, build).bind(*parts)


def _writer() -> Deployment:
    """One, and never two: the next waits for the lock on the store that the last one held."""
    writer = ray_serve.deployment(
        loopback.staying(Writer), name="Writer", num_replicas=1, max_ongoing_requests=WRITES_AT_ONCE
    )
    return writer.options(
        max_queued_requests=WRITES_AT_ONCE,
        backpressure_config=BUSY,
        ray_actor_options={"num_cpus": 0},
    )


def _reader(settings: Settings) -> Deployment:
    """What reads texts."""
    reader = ray_serve.deployment(
        loopback.staying(TextReader),
        name="Reader",
        max_ongoing_requests=READ_AT_ONCE,
        max_queued_requests=settings.max_queued,
    )
    takes = {"num_cpus": 0, "num_gpus": settings.reward_gpus}
    return reader.options(backpressure_config=BUSY, ray_actor_options=takes)


def _endpoint(settings: Settings, build: Callable[[], FastAPI]) -> Deployment:
    """What answers requests, as many replicas as they need."""
    scaling = AutoscalingConfig(
        min_replicas=settings.min_replicas,
        max_replicas=max(settings.min_replicas, settings.max_replicas),
        target_ongoing_requests=max(1.0, TARGET_SHARE * settings.max_ongoing),
    )
    return ray_serve.deployment(
        ray_serve.ingress(build)(),
        name="Rankings",
        autoscaling_config=scaling,
        max_ongoing_requests=settings.max_ongoing,
        max_queued_requests=settings.max_queued,
        backpressure_config=BUSY,
        ray_actor_options={"num_cpus": 0},
    )


def _live(settings: Settings, base: bases.Base) -> Live | None:
    """What asks contestants, where it was wanted. Raises ElectorateError where it cannot."""
    if not settings.live:
        return None
    if base.run is None or PromptSystem.of(base.run) is None:
        raise ElectorateError(
            f"live: {settings.folder} has no trained reward model; serve a run whose config has a "
            "reward section"
        )
    return Live(base.run.voters.config, settings.contestants_url)


def _contest(settings: Settings, base: bases.Base) -> Contest | None:
    """Whose contestants answer chat completions. Raises ElectorateError for what is none."""
    if settings.contestants is not None:
        return config_file.load_contestants(settings.contestants.expanduser().absolute())
    return base.run.voters.config if settings.live and base.run is not None else None


def _gateway(settings: Settings, contest: Contest | None, base: bases.Base) -> Gateway | None:
    if contest is None:
        return None
    reached = upstreams.of_contest(contest, settings.contestants_url)
    return Gateway(
        reached, answer_ids.secret(base.folder), Shares(settings.explore, settings.holdout)
    )
