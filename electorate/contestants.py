"""Asking contestants: requests known by their content, sent to OpenAI-compatible endpoints."""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from electorate.config import Config, Contestant, OpenAIModel, RecordedModel, VllmModel, content_key
from electorate.errors import ElectorateError
from electorate.prompts import PromptSet

RETRIED = {408, 409, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True)
class Request:
    """One prompt for one contestant. key: SHA-256 of all that shapes the answer."""

    key: str
    prompt_id: int
    contestant: str
    model: str
    prompt: str


@dataclass(frozen=True)
class Answer:
    """What came back; error is empty if text is an answer. tokens: of the answer. seconds: of the last try."""

    text: str
    finish_reason: str
    tokens: int
    seconds: float
    error: str = ""


@dataclass(frozen=True)
class Connection:
    """Where a model is reached, and this asker's part of the endpoint's concurrency."""

    base_url: str
    model: str
    api_key: str | None
    in_flight: int
    timeout_s: float
    retries: int


def requests(config: Config, prompts: PromptSet) -> list[Request]:
    """Every prompt for every contestant, prompt by prompt."""
    return [
        Request(_key(config, contestant, text), i, contestant.name, contestant.model, text)
        for i, text in enumerate(prompts.text)
        for contestant in config.contestants
    ]


def _key(config: Config, contestant: Contestant, prompt: str) -> str:
    model = config.models[contestant.model]
    if isinstance(model, VllmModel):
        served: dict[str, Any] = {"engine": "vllm", "source": model.source, "engine_kwargs": model.engine_kwargs}
    elif isinstance(model, RecordedModel):
        served = {"engine": "recorded", "responses": model.responses, "model": contestant.recorded}
    else:
        served = {"engine": "openai", "base_url": model.base_url, "model": model.model}
    settings = contestant.model_dump(include={"system", "temperature", "top_p", "max_tokens", "seed"})
    return content_key({"served": served, "settings": settings, "prompt": prompt})


def connections(config: Config, served_at: str | None, askers: int) -> dict[str, Connection]:
    """How each of `askers` equal askers reaches each model; served_at: base URL of the models Electorate serves.

    Raises ElectorateError if a key's environment variable is not set.
    """
    reached = {}
    for name, model in config.models.items():
        if isinstance(model, RecordedModel):
            continue
        in_flight = -(-model.concurrency // askers)
        if isinstance(model, OpenAIModel):
            reached[name] = Connection(
                model.base_url, model.model, api_key(f"models.{name}", model), in_flight, model.timeout_s, model.retries
            )
        elif served_at is not None:
            reached[name] = Connection(served_at, name, None, in_flight, model.timeout_s, model.retries)
    return reached


def api_key(name: str, model: OpenAIModel) -> str | None:
    """The model's key; ElectorateError if its environment variable is not set. name: of the model's place in the config."""
    if model.api_key_env is None:
        return None
    if not (key := os.environ.get(model.api_key_env)):
        raise ElectorateError(f"{name}.api_key_env: the environment variable {model.api_key_env} is not set")
    return key


def check_reachable(name: str, connection: Connection) -> None:
    """One GET of the endpoint's model list; ElectorateError if nothing answers there."""
    try:
        response = httpx.get(f"{connection.base_url}/models", headers=_headers(connection), timeout=10)
    except httpx.HTTPError as error:
        raise ElectorateError(
            f"models.{name}.base_url: {connection.base_url} cannot be reached ({type(error).__name__}: {error}); "
            "start the server or correct the URL, then run again with --resume"
        ) from None
    if response.status_code in (401, 403):
        raise ElectorateError(
            f"models.{name}: {connection.base_url} answers HTTP {response.status_code}; set api_key_env to a variable with a valid key"
        )


class HttpAsker:
    """Asks OpenAI-compatible endpoints, each with bounded concurrency, time-outs and retries with backoff."""

    def __init__(self, contestants: Sequence[Contestant], reached: Mapping[str, Connection]) -> None:
        self._contestants = {contestant.name: contestant for contestant in contestants}
        self._reached = reached

    async def ask(self, requests: Sequence[Request]) -> AsyncIterator[tuple[Request, Answer]]:
        """Answers in the order they arrive; every request comes back once, with text or with an error."""
        slots = {model: asyncio.Semaphore(connection.in_flight) for model, connection in self._reached.items()}
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        async with httpx.AsyncClient(limits=limits) as client, asyncio.TaskGroup() as group:

            async def answer(request: Request) -> tuple[Request, Answer]:
                async with slots[request.model]:
                    return request, await self._answer(client, request)

            tasks = [group.create_task(answer(request)) for request in requests]
            for task in asyncio.as_completed(tasks):
                yield await task

    async def _answer(self, client: httpx.AsyncClient, request: Request) -> Answer:
        connection = self._reached[request.model]
        problem, pause = "", 0.0
        for attempt in range(connection.retries + 1):
            if attempt:
                await asyncio.sleep(_backoff(attempt, pause))
            start, pause = time.monotonic(), 0.0
            try:
                response = await client.post(
                    f"{connection.base_url}/chat/completions",
                    json=self._body(request),
                    headers=_headers(connection),
                    timeout=connection.timeout_s,
                )
            except httpx.HTTPError as error:
                problem = f"{type(error).__name__}: {error}"
                continue
            if response.status_code == 200:
                return _read_answer(response, time.monotonic() - start)
            problem = f"HTTP {response.status_code}: {' '.join(response.text.split())[:200]}"
            if response.status_code not in RETRIED:
                break
            pause = _retry_after(response)
        return Answer("", "error", 0, time.monotonic() - start, problem)

    def _body(self, request: Request) -> dict[str, Any]:
        contestant = self._contestants[request.contestant]
        system = [{"role": "system", "content": contestant.system}] if contestant.system else []
        body = {
            "model": self._reached[request.model].model,
            "messages": [*system, {"role": "user", "content": request.prompt}],
            "temperature": contestant.temperature,
            "top_p": contestant.top_p,
            "max_tokens": contestant.max_tokens,
        }
        return body if contestant.seed is None else body | {"seed": contestant.seed}


def _headers(connection: Connection) -> dict[str, str]:
    return {"Authorization": f"Bearer {connection.api_key}"} if connection.api_key else {}


def _backoff(attempt: int, at_least: float) -> float:
    """Seconds before a retry: doubling from half a second up to 30, jittered, no sooner than the server asked."""
    return max(at_least, min(30.0, 0.5 * 2 ** (attempt - 1)) * random.uniform(0.5, 1.0))


def _retry_after(response: httpx.Response) -> float:
    value = response.headers.get("retry-after", "")
    return min(60.0, float(value)) if value.isdigit() else 0.0


def _read_answer(response: httpx.Response, seconds: float) -> Answer:
    try:
        content = response.json()
        choice = content["choices"][0]
        text = choice["message"]["content"] or ""
        tokens = int((content.get("usage") or {}).get("completion_tokens") or 0)
        return Answer(str(text), str(choice.get("finish_reason") or ""), tokens, seconds)
    except (ValueError, KeyError, IndexError, TypeError):
        return Answer("", "error", 0, seconds, f"not a chat completion: {' '.join(response.text.split())[:200]}")
