"""Stage 1: every contestant's answer to every prompt, from the cache or from the contestants themselves."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
from ray.actor import ActorHandle
from ray.exceptions import RayActorError
from rich.console import Console

from electorate import contestants, endpoints, recorded
from electorate.config import Contest, OpenAIModel, RecordedModel, VllmModel
from electorate.contestants import Request
from electorate.endpoints import Answer, Connection
from electorate.errors import ElectorateError
from electorate.prompts import PromptSet
from electorate.storage.response_cache import ResponseCache
from serve.contestants import ContestantsApp
from simulations.progress import bar

ATTEMPTS = 3
MAX_FAILED = 0.1
Keep = Callable[[Request, Answer], None]


class Answers:
    """The answers of a run, by request; those the cache holds are never asked for."""

    def __init__(self, config: Contest, prompts: PromptSet, cache_dir: Path) -> None:
        self._config = config
        self._requests = contestants.requests(config, prompts)
        self._cache = ResponseCache(cache_dir / "answers.sqlite")
        cached = self._cache.get(request.key for request in self._requests)
        self._answers = {key: Answer(**row) for key, row in cached.items()} | _recorded(config, prompts, self._requests)

    @property
    def missing(self) -> list[Request]:
        """The requests that nobody has answered yet."""
        return [request for request in self._requests if request.key not in self._answers]

    @property
    def models_to_serve(self) -> dict[str, VllmModel]:
        """The vLLM models that some missing answer needs."""
        wanted = {request.model for request in self.missing}
        return {name: m for name, m in self._config.models.items() if isinstance(m, VllmModel) and name in wanted}

    def gather(self, cohorts: list[ActorHandle], app: ContestantsApp | None, console: Console) -> int:
        """Have the cohorts ask for what is missing, and keep each answer as it comes. Returns how many were asked."""
        asked = len(self.missing)
        if not asked:
            return 0
        reached = self._reach(app, len(cohorts), console)
        with bar(console, "Asking contestants", len(self._requests), len(self._requests) - asked) as advance:

            def keep(request: Request, answer: Answer) -> None:
                self._answers[request.key] = answer
                if not answer.error:
                    self._cache.put(request.key, asdict(answer))
                advance()

            for _ in range(ATTEMPTS):
                if self.missing:
                    asyncio.run(_ask(self.missing, cohorts, reached, keep))
        if self.missing:
            raise ElectorateError(
                f"{len(self.missing)} requests were lost {ATTEMPTS} times with the cohorts that asked them; run again with --resume"
            )
        self._refuse_many_failures()
        return asked

    def table(self) -> pa.Table:
        """The columns of responses.parquet, prompt by prompt."""
        rows = [
            {
                "prompt_id": request.prompt_id,
                "contestant": request.contestant,
                "response": (answer := self._answers[request.key]).text,
                "finish_reason": answer.finish_reason,
                "tokens": answer.tokens,
                "seconds": answer.seconds,
                "error": answer.error or None,
            }
            for request in self._requests
        ]
        return pa.Table.from_pylist(rows, schema=SCHEMA)

    def close(self) -> None:
        """Close the cache."""
        self._cache.close()

    def _reach(self, app: ContestantsApp | None, cohorts: int, console: Console) -> dict[str, Connection]:
        wanted = {request.model for request in self.missing}
        served_at = None
        if app is not None:
            with bar(console, "Starting vLLM", None) as tick:
                served_at = app.wait(tick)
        reached = endpoints.connections(self._config.models, served_at, cohorts)
        for name in wanted:
            if isinstance(self._config.models[name], OpenAIModel):
                endpoints.check_reachable(name, reached[name])
        return {name: reached[name] for name in wanted}

    def _refuse_many_failures(self) -> None:
        failed = [(r, self._answers[r.key]) for r in self._requests if self._answers[r.key].error]
        prompts = {request.prompt_id for request, _ in failed}
        if len(prompts) > MAX_FAILED * len({request.prompt_id for request in self._requests}):
            request, answer = failed[0]
            raise ElectorateError(
                f"{len(failed)} answers failed, on {len(prompts)} prompts; the first: contestant {request.contestant!r} "
                f"({answer.error}); answers so far are kept, run again with --resume"
            )


def _recorded(config: Contest, prompts: PromptSet, requests: list[Request]) -> dict[str, Answer]:
    """The answers of recorded contestants, by key."""
    by_name, answers = {contestant.name: contestant for contestant in config.contestants}, dict[str, Answer]()
    for request in requests:
        model = config.models[request.model]
        if isinstance(model, RecordedModel):
            text = recorded.read(model.responses).responses[by_name[request.contestant].recorded, prompts.text[request.prompt_id]]
            answers[request.key] = Answer(text, "recorded", 0, 0.0)
    return answers


SCHEMA = pa.schema(
    [
        ("prompt_id", pa.int32()),
        ("contestant", pa.string()),
        ("response", pa.string()),
        ("finish_reason", pa.string()),
        ("tokens", pa.int32()),
        ("seconds", pa.float32()),
        ("error", pa.string()),
    ]
)


async def _ask(requests: list[Request], cohorts: list[ActorHandle], reached: Mapping[str, Connection], keep: Keep) -> None:
    """Deal the requests to the cohorts and keep what streams back; what a lost cohort held stays missing."""

    async def drain(cohort: ActorHandle, share: list[Request]) -> None:
        try:
            async for reference in cohort.ask.remote(share, reached):
                keep(*await reference)
        except RayActorError:
            await asyncio.sleep(1.0)

    shares = [requests[i :: len(cohorts)] for i in range(len(cohorts))]
    await asyncio.gather(*(drain(cohort, share) for cohort, share in zip(cohorts, shares, strict=True) if share))
