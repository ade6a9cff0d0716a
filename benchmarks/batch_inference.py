"""Answers by Electorate's engines beside Ray's own batch inference (ray.data.llm): the same model
and engine settings, one engine on one thread each, in one run. Answers a second in steady state,
what a killed engine costs, and what is asked where a run is repeated.

    python -m benchmarks.batch_inference

A rate is of the answers after the first that came, so that no engine's start is in it.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console

from actors.asking import RayAsker
from actors.judge import JudgeActor
from benchmarks.judging import CPU, ROOT
from cluster.session import connected
from electorate.config import config_file
from electorate.config.contest import Budget, Contestant
from electorate.config.judging import Poll
from electorate.inference import contestants, model_files
from electorate.inference.asking import Asking
from electorate.inference.completions import Call
from electorate.inference.engine_resources import cpus_needed
from electorate.storage.response_cache import ResponseCache
from simulations.engines import Engines

REQUESTS = 128
TOKENS = 32
KILLED_AT = REQUESTS // 3
BATCH = 16
STAGES = 8.0  # CPUs; each stage of a pipeline of ray.data.llm takes one
ENGINE = "VLLM::EngineCore"


def asked(i: int) -> str:
    """A prompt of its own for every request."""
    return f"Tell me something about the number {i}."


class Arrivals:
    """When answers came, and an engine killed once KILLED_AT of them have."""

    def __init__(self, kill: bool) -> None:
        self.times = list[float]()
        self._kill = kill

    def come(self, count: int = 1) -> None:
        """So many answers came now."""
        self.times += [time.monotonic()] * count
        if self._kill and len(self.times) >= KILLED_AT:
            self._kill = False
            for process in psutil.Process().children(recursive=True):
                if ENGINE in " ".join(process.cmdline()):
                    process.kill()

    @property
    def rate(self) -> float:
        """Answers a second after those that came first."""
        first = self.times[0] + 1.0  # what came within a second of it is of the same batch
        later = [at for at in self.times if at > first]
        return len(later) / (later[-1] - self.times[0]) if later else float("nan")


def ours(folder: Path) -> dict[str, float]:
    """By the engines of a run, their askers and the cache."""
    poll = config_file.load_as(Poll, ROOT / "configs" / "poll.yaml")
    name, model = next(iter(poll.models.items()))
    model = model.model_copy(update={"threads": 1, "concurrency": 64})
    plain = Contestant(name="plain", model=name, temperature=0.0, max_tokens=TOKENS)
    console = Console(quiet=True)
    with connected(None, 1.0 + cpus_needed({name: model})):
        engines = Engines({name: model}, set(), folder, 0, Budget(), console)
        asker = RayAsker(JudgeActor.options(num_cpus=0.5).remote())
        engines.reach([name], 1)

        def answered(kill: bool, prefix: str, cache: ResponseCache) -> tuple[Arrivals, float, int]:
            arrivals = Arrivals(kill)

            @contextmanager
            def shown(*_: Any) -> Iterator[Any]:
                yield arrivals.come

            asking = Asking([asker], engines.reach, cache, bar=shown)
            calls = [
                Call(
                    f"{prefix}{i}",
                    name,
                    contestants.body(plain, prefix + asked(i)) | {"ignore_eos": True},
                )
                for i in range(REQUESTS)
            ]
            start = time.monotonic()
            found = asking.answers(calls, "answers")
            assert not any(answer.error for answer in found.values())
            return arrivals, time.monotonic() - start, asking.asked

        cache = ResponseCache(folder / "ours.sqlite")
        plainly, seconds, _ = answered(False, "", cache)
        _, of_killed, again = answered(True, "Please: ", cache)
        _, _, repeated = answered(False, "", cache)
        engines.close()
    return {
        "rate": plainly.rate,
        "lost_s": of_killed - seconds,
        "asked_again": again - REQUESTS,
        "repeated": repeated,
        "answers": REQUESTS,
    }


def theirs(folder: Path, kill: bool) -> dict[str, float]:
    """By a pipeline of ray.data.llm, its engine's start included in `seconds`."""
    import ray
    from ray.data.llm import build_processor, vLLMEngineProcessorConfig

    poll = config_file.load_as(Poll, ROOT / "configs" / "poll.yaml")
    _, model = next(iter(poll.models.items()))
    source = model_files.resolve("model", model.source, folder)
    came = folder / f"came-{kill}"
    came.touch()
    config = vLLMEngineProcessorConfig(
        model_source=source,
        concurrency=1,
        batch_size=BATCH,
        engine_kwargs=model.engine_kwargs,
        runtime_env={"env_vars": CPU},
        placement_group_config={"bundles": [{"CPU": 1}]},
    )

    def before(row: dict[str, Any]) -> dict[str, Any]:
        messages = [{"role": "user", "content": row["prompt"]}]
        sampling = {"temperature": 0.0, "max_tokens": TOKENS, "ignore_eos": True}
        return {"messages": messages, "sampling_params": sampling}

    def after(row: dict[str, Any]) -> dict[str, Any]:
        with came.open("a") as lines:
            lines.write("\n")
        return {"text": row["generated_text"]}

    arrivals = Arrivals(kill)
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            if new := came.stat().st_size - len(arrivals.times):
                arrivals.come(new)

    with connected(None, STAGES):
        ray.data.DataContext.get_current().enable_progress_bars = False
        pipeline = build_processor(config, preprocess=before, postprocess=after)
        watcher = threading.Thread(target=watch)
        watcher.start()
        start = time.monotonic()
        try:
            data = ray.data.from_items([{"prompt": asked(i)} for i in range(REQUESTS)])
            answers = len(pipeline(data).take_all())
        except Exception as error:
            print(f"ray.data.llm: {type(error).__name__}: {str(error)[:300]}", file=sys.stderr)
            answers = 0
        seconds = time.monotonic() - start
        over.set()
        watcher.join()
    return {"rate": arrivals.rate, "seconds": seconds, "answers": answers}


def in_process(what: str) -> dict[str, float]:
    """A side of the comparison in a process of its own, whose Ray ends with it."""
    command = [sys.executable, "-m", "benchmarks.batch_inference", what]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Print the comparison."""
    if len(sys.argv) > 1 and sys.argv[1] in ("ours", "plain", "killed"):
        side = sys.argv[1]
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            found = ours(folder) if side == "ours" else theirs(folder, side == "killed")
        print(json.dumps(found))
        return
    own = in_process("ours")
    plain = in_process("plain")
    killed = in_process("killed")
    print(f"{REQUESTS} answers of {TOKENS} tokens by one engine on one thread:")
    print(
        f"  {own['rate']:.2f} answers/s, ray.data.llm {plain['rate']:.2f}: "
        f"{own['rate'] / plain['rate']:.2f} times (level asked)"
    )
    print(
        f"  an engine killed after a third: {own['lost_s']:.0f} s more, "
        f"{own['asked_again']:.0f} asked again, all {own['answers']:.0f} answered; ray.data.llm "
        f"{killed['answers']:.0f} of {REQUESTS} answered, "
        f"{killed['seconds'] - plain['seconds']:.0f} s more"
    )
    print(
        f"  the same asked again: {own['repeated']:.0f} requests; ray.data.llm keeps no answers: "
        f"{REQUESTS}"
    )


if __name__ == "__main__":
    main()
