"""Judgements a second with the prefix cache and without, and tokens a second through Serve
beside vLLM's offline engine.

Both sides of a comparison use the same engine settings and one thread, and take turns; the median
of 3 warm passes counts.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import ray

from actors.asking import AskingActor
from cluster.session import connected
from electorate.config import config_file
from electorate.config.contest import Contestant
from electorate.config.judging import PersonaSettings
from electorate.config.poll import Poll
from electorate.data import prompts
from electorate.inference import contestants, model_files
from electorate.inference.completions import Call
from electorate.inference.endpoints import connections
from electorate.inference.engine_resources import cpus_needed
from electorate.polls import battles, cards, wording
from electorate.polls.battles import JudgedTexts
from electorate.polls.wording import Attempt
from serve.contestants import ContestantsApp

ROOT = Path(__file__).parent.parent
PERSONAS = 3
PROMPTS = 2
ANSWER_WORDS = 40
REQUESTS = 64
TOKENS = 32
PASSES = 3
FASTER = 2.0
SHARE = 0.9
CPU = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
}


class Offline:
    """benchmarks/engine_peer.py as a child process."""

    def __init__(self, model: str, **settings: Any) -> None:
        command = [sys.executable, "-m", "benchmarks.engine_peer", model, json.dumps(settings)]
        self._child = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | CPU,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._read()

    def do(self, **order: Any) -> dict[str, Any]:
        """Seconds, tokens read and tokens made."""
        assert self._child.stdin
        self._child.stdin.write(json.dumps(order) + "\n")
        self._child.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._child.stdout
        for line in self._child.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise RuntimeError("the engine's process ended")

    def stop(self) -> None:
        """End it."""
        self._child.stdin.close()
        self._child.wait(60)


def main() -> None:
    """Print both comparisons."""
    poll = config_file.load_as(Poll, ROOT / "configs" / "poll.yaml")
    name, model = next(iter(poll.models.items()))
    with tempfile.TemporaryDirectory() as scratch:
        folder = model_files.resolve("model", model.source, Path(scratch))
        _judgements(poll, folder, model.engine_kwargs)
        _tokens(poll, name, folder, Path(scratch))


def judgements(poll: Poll) -> list[list[dict[str, str]]]:
    """The messages of every pair of answers to some prompts, in both orders, for some personas,
    in the order a poll asks.
    """
    of = prompts.select(poll)
    people = next(cards.in_blocks(PersonaSettings(size=PERSONAS), poll.seed, PERSONAS))
    random = np.random.default_rng(0)
    words = [
        "the",
        "of",
        "and",
        "answer",
        "because",
        "example",
        "first",
        "then",
        "small",
        "large",
        "clearly",
        "often",
    ]
    made = [
        [" ".join(random.choice(words, ANSWER_WORDS)) for _ in poll.contestants]
        for _ in range(PROMPTS)
    ]
    texts = JudgedTexts(of.text[:PROMPTS], made)
    fought = battles.round_robin(np.arange(PERSONAS), np.arange(PROMPTS), len(poll.contestants))
    judge = poll.judges[0]
    model = poll.models[poll.judges[0].model]
    asked = battles.questions(fought, texts, judge.name, "verdict")
    return [
        wording.body(q, people[q.persona].text(), judge, model, poll.seed, Attempt())["messages"]
        for q in asked
    ]


def _judgements(poll: Poll, folder: str, settings: dict[str, Any]) -> None:
    ordered = judgements(poll)
    shuffled = [ordered[i] for i in np.random.default_rng(1).permutation(len(ordered))]
    cached = Offline(
        folder, **settings, logprobs_mode="processed_logprobs", enable_prefix_caching=True
    )
    bare = Offline(
        folder, **settings, logprobs_mode="processed_logprobs", enable_prefix_caching=False
    )
    took: dict[str, list[float]] = {"cached": [], "bare": []}
    for pass_ in range(PASSES + 1):
        for which, engine, messages in (("cached", cached, ordered), ("bare", bare, shuffled)):
            done = engine.do(op="judge", messages=messages)
            if pass_:
                took[which].append(done["seconds"])
    cached.stop()
    bare.stop()
    rates = {which: len(ordered) / median(seconds) for which, seconds in took.items()}
    print(
        f"verdicts of {PERSONAS} personas on {PROMPTS} prompts, {len(ordered)} of "
        f"{done['read'] / len(ordered):.0f} tokens each:"
    )
    print(
        f"  ordered, prefix cache on {rates['cached']:.1f}/s; shuffled, cache off "
        f"{rates['bare']:.1f}/s; ",
        end="",
    )
    print(f"{rates['cached'] / rates['bare']:.2f} times (at least {FASTER} asked)")


def _tokens(poll: Poll, name: str, folder: str, scratch: Path) -> None:
    model = poll.models[name].model_copy(update={"threads": 1, "concurrency": REQUESTS})
    of = prompts.select(poll)
    plain = Contestant(name="plain", model=name, temperature=0.0, max_tokens=TOKENS)
    bodies = [
        contestants.body(plain, of.text[i % len(of)]) | {"ignore_eos": True}
        for i in range(REQUESTS)
    ]
    with connected(None, 1.0 + cpus_needed({name: model})):
        app = ContestantsApp({name: model}, scratch, 0)
        app.start()
        url = app.wait(lambda: None)
        actor = ray.remote(num_cpus=0.5)(AskingActor).remote()
        reached = connections({name: model}, url, 1)
        offline = Offline(folder, **model.engine_kwargs)

        async def collect() -> int:
            calls = [Call(str(i), name, body) for i, body in enumerate(bodies)]
            made = 0
            async for reference in actor.ask.remote(calls, reached):
                _, answer = await reference
                assert not answer.error, answer.error
                made += answer.tokens
            return made

        served = []
        alone = []
        for pass_ in range(PASSES + 1):
            start = time.perf_counter()
            made = asyncio.run(collect())
            seconds = time.perf_counter() - start
            done = offline.do(
                op="generate", messages=[body["messages"] for body in bodies], tokens=TOKENS
            )
            assert made == done["made"] == REQUESTS * TOKENS
            if pass_:
                served.append(made / seconds)
                alone.append(done["made"] / done["seconds"])
        offline.stop()
        app.stop()
    print(
        f"answers through Serve, {REQUESTS} requests of {TOKENS} tokens: {median(served):.0f} "
        "tokens/s; ",
        end="",
    )
    print(
        f"LLM.generate {median(alone):.0f} tokens/s; {median(served) / median(alone):.2f} of it "
        f"(at least {SHARE} asked)"
    )


if __name__ == "__main__":
    main()
