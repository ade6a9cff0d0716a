"""The contestants' models behind one OpenAI-compatible URL: vLLM engines run by ray.serve.llm."""

import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray import serve as ray_serve
from ray.serve.config import HTTPOptions
from ray.serve.schema import ApplicationStatus

from actors import ray_private
from electorate.base.errors import ElectorateError
from electorate.config.contest import content_key
from electorate.config.engines import VllmModel
from electorate.inference import model_files
from electorate.inference.engine_resources import CPUS_PER_ENGINE
from serve.ports import LOOPBACK, free_port

SAME_ENGINE = {
    "request_router_class": "ray.serve.llm.request_router.PrefixCacheAffinityRouter",
    "request_router_kwargs": {"imbalanced_threshold": 16, "do_eviction": True},
}


class ContestantsApp:
    """One Serve application for all vLLM models of a run; a deployment serves every contestant
    of its model.

    An application with the same models that already runs on the cluster is used and left running.
    Raises ElectorateError at once if a model's files cannot be found.
    """

    def __init__(self, models: Mapping[str, VllmModel], cache_dir: Path, port: int) -> None:
        for name, model in models.items():
            model_files.check(f"models.{name}.source", model.source)
        self._models = models
        self._cache_dir = cache_dir
        self._port = port or free_port()
        content = {name: model.model_dump(mode="json") for name, model in models.items()}
        self._name = f"contestants-{content_key(content)[:8]}"
        self._ours = self._was_up = False

    def start(self) -> None:
        """Begin to start the engines; returns before they are up."""
        logging.getLogger("ray.serve").setLevel(logging.ERROR)
        ray_serve.start(http_options=HTTPOptions(host=LOOPBACK, port=self._port))
        if self._name in ray_serve.status().applications:
            return
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
        from ray.serve.llm import build_openai_app

        configs = [
            _llm_config(name, model, self._cache_dir) for name, model in self._models.items()
        ]
        light = {"ray_actor_options": {"num_cpus": 0}}
        app = build_openai_app({"llm_configs": configs, "ingress_deployment_config": light})
        target = ray_serve.RunTarget(target=app, name=self._name, route_prefix=f"/{self._name}")
        self._ours = True
        ray_serve.run_many(
            [target],
            wait_for_ingress_deployment_creation=False,
            wait_for_applications_running=False,
        )

    @property
    def url(self) -> str:
        """Where they are reached once they are up."""
        return f"http://{LOOPBACK}:{ray_private.serve_port()}/{self._name}/v1"

    def is_up(self) -> bool:
        """Whether every engine answers, as far as Serve knows."""
        return bool(ray_serve.status().applications[self._name].status == ApplicationStatus.RUNNING)

    def wait(self, tick: Callable[[], None], timeout_s: float = 1800.0) -> str:
        """The base URL, once every engine answers. tick is called about once a second while
        waiting.

        An engine that is lost later is started again by Serve, and may be waited for again.
        Raises ElectorateError if an engine fails to start, naming Serve's reason.
        """
        give_up = time.monotonic() + timeout_s
        while True:
            state = ray_serve.status().applications[self._name]
            if state.status == ApplicationStatus.RUNNING:
                self._was_up = True
                return self.url
            failed = state.status == ApplicationStatus.DEPLOY_FAILED or (
                state.status == ApplicationStatus.UNHEALTHY and not self._was_up
            )
            if failed or time.monotonic() > give_up:
                reason = " ".join(
                    [state.message, *(d.message for d in state.deployments.values())]
                ).split()
                raise ElectorateError(
                    f"models: the engines did not start ({state.status.value}): "
                    f"{' '.join(reason)[-400:]}"
                )
            tick()
            time.sleep(1.0)

    def stop(self) -> None:
        """Have the engines stopped, if this object started them; does not wait for them to be
        gone.
        """
        if self._ours:
            ray_private.delete_application(self._name)


def _cpu_env(threads: int) -> dict[str, str]:
    """vLLM on a CPU: so many threads (unset, it takes them all and crawls), no pinning, a small
    key-value cache.
    """
    return {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": str(threads),
    }


def _llm_config(name: str, model: VllmModel, cache_dir: Path) -> Any:
    from ray.serve.llm import LLMConfig

    on_cpu: dict[str, Any] = {
        "accelerator_config": {"kind": "cpu"},
        "placement_group_config": {"bundles": [{"CPU": CPUS_PER_ENGINE}]},
    }
    return LLMConfig(
        model_loading_config={
            "model_id": name,
            "model_source": model_files.resolve(f"models.{name}.source", model.source, cache_dir),
        },
        engine_kwargs=model.engine_kwargs,
        runtime_env={"env_vars": _cpu_env(model.threads)} if model.accelerator == "cpu" else None,
        log_engine_metrics=True,  # vLLM's own, beside Ray's
        deployment_config={
            "num_replicas": model.replicas,
            # A persona's questions share a prefix, which is in the cache of the engine that read it
            # first.
            **({"request_router_config": SAME_ENGINE} if model.replicas > 1 else {}),
            # ray.serve.llm's default never pushes back.
            "max_ongoing_requests": model.concurrency,
            "max_queued_requests": 4 * model.concurrency,
            # The engine's bundle is all that a replica takes.
            "ray_actor_options": {"num_cpus": 0},
        },
        **(on_cpu if model.accelerator == "cpu" else {}),
        **(
            {"placement_group_config": {"bundles": [{"GPU": model.gpu_share}]}}
            if model.gpu_share < 1
            else {}
        ),
    )
