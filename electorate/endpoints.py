"""Asking OpenAI-compatible endpoints: calls known by their content, time-outs, retries, and as many at once as an endpoint bears."""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import httpx

from electorate.concurrency import Concurrency
from electorate.contest import Model, OpenAIModel, RecordedModel, VllmModel
from electorate.errors import ElectorateError

RETRIED = {408, 409, 425, 429, 500, 502, 503, 504, 529}
PUSHING_BACK = {408, 429, 503, 504, 529}
TIME_OUT, UNREACHABLE, MALFORMED, OVERFLOW = "time-out", "unreachable", "no chat completion", "context overflow"
OVERFLOW_SAYS = ("context length", "context_length", "maximum context", "max_model_len", "maximum model length", "too long", "input tokens")


@dataclass(frozen=True)
class Call:
    """One chat completion to ask for. key: SHA-256 of all that shapes the answer; body: the request's, but for the model's name."""

    key: str
    model: str
    body: Mapping[str, Any]


CallT = TypeVar("CallT", bound=Call)


@dataclass(frozen=True)
class Answer:
    """What came back; error is empty if text is an answer, and kind then says nothing. tokens: of the answer. seconds: of the
    last try. top: the first token's likeliest values and their log-probabilities, where they were asked for. refused: whether
    the endpoint itself calls the text a refusal. retried: why tries before the last one failed.
    """

    text: str
    finish_reason: str
    tokens: int
    seconds: float
    error: str = ""
    kind: str = ""
    top: Mapping[str, float] | None = None
    refused: bool = False
    retried: Sequence[str] = ()


@dataclass(frozen=True)
class Connection:
    """Where a model is reached, and this asker's part of the endpoint's concurrency."""

    base_url: str
    model: str
    api_key: str | None
    in_flight: int
    timeout_s: float
    retries: int


def served_as(model: Model) -> dict[str, Any]:
    """What of a model's place shapes its answers: part of every key. A recorded model has no endpoint."""
    if isinstance(model, VllmModel):
        return {"engine": "vllm", "source": model.source, "engine_kwargs": model.engine_kwargs}
    if isinstance(model, RecordedModel):
        return {"engine": "recorded", "responses": model.responses}
    return {"engine": "openai", "base_url": model.base_url, "model": model.model}


def connections(models: Mapping[str, Model], served_at: str | None, askers: int) -> dict[str, Connection]:
    """How each of `askers` equal askers reaches each model; served_at: base URL of the models Electorate serves.

    Raises ElectorateError if a key's environment variable is not set.
    """
    reached = {}
    for name, model in models.items():
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
    """Asks OpenAI-compatible endpoints, each with as many requests in flight as it bears, time-outs and retries with backoff."""

    def __init__(self, reached: Mapping[str, Connection]) -> None:
        self._reached = reached

    async def ask(self, calls: Sequence[CallT]) -> AsyncIterator[tuple[CallT, Answer]]:
        """Answers in the order they arrive; every call comes back once, with text or with an error. Calls to one endpoint begin
        in their order.
        """
        slots = {model: Concurrency(connection.in_flight) for model, connection in self._reached.items()}
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        async with httpx.AsyncClient(limits=limits) as client, asyncio.TaskGroup() as group:

            async def answer(call: CallT) -> tuple[CallT, Answer]:
                return call, await self._answer(client, call, slots[call.model])

            tasks = [group.create_task(answer(call)) for call in calls]
            for task in asyncio.as_completed(tasks):
                yield await task

    async def _answer(self, client: httpx.AsyncClient, call: Call, slots: Concurrency) -> Answer:
        connection, pause, failed = self._reached[call.model], 0.0, list[str]()
        for attempt in range(connection.retries + 1):
            if attempt:
                await asyncio.sleep(_backoff(attempt, pause))
            async with slots.slot() as began:
                answer, status, pause = await _try(client, connection, call)
            if status in PUSHING_BACK or answer.kind == TIME_OUT:
                slots.pushed_back(began)
            elif not answer.error:
                slots.answered()
            if status == 200 or (status and status not in RETRIED):
                break
            failed.append(answer.kind)
        return replace(answer, retried=failed[:attempt])


async def _try(client: httpx.AsyncClient, connection: Connection, call: Call) -> tuple[Answer, int, float]:
    """One request: what came of it, the HTTP status (0 for none), and the seconds the endpoint asks to wait."""
    start = time.monotonic()
    try:
        response = await client.post(
            f"{connection.base_url}/chat/completions",
            json={"model": connection.model, **call.body},
            headers=_headers(connection),
            timeout=connection.timeout_s,
        )
    except httpx.HTTPError as error:
        kind = TIME_OUT if isinstance(error, httpx.TimeoutException) else UNREACHABLE
        return _failed(f"{type(error).__name__}: {error}", kind, start), 0, 0.0
    if response.status_code == 200:
        return _read_answer(response, start), 200, 0.0
    said = " ".join(response.text.split())
    overflow = response.status_code in (400, 413, 422) and any(words in said.lower() for words in OVERFLOW_SAYS)
    kind = OVERFLOW if overflow else f"HTTP {response.status_code}"
    return _failed(f"HTTP {response.status_code}: {said[:200]}", kind, start), response.status_code, _retry_after(response)


def _failed(error: str, kind: str, start: float) -> Answer:
    return Answer("", "error", 0, time.monotonic() - start, error, kind)


def _headers(connection: Connection) -> dict[str, str]:
    return {"Authorization": f"Bearer {connection.api_key}"} if connection.api_key else {}


def _backoff(attempt: int, at_least: float) -> float:
    """Seconds before a retry: doubling from half a second up to 30, jittered, no sooner than the server asked."""
    return max(at_least, min(30.0, 0.5 * 2 ** (attempt - 1)) * random.uniform(0.5, 1.0))


def _retry_after(response: httpx.Response) -> float:
    value = response.headers.get("retry-after", "")
    return min(60.0, float(value)) if value.isdigit() else 0.0


def _read_answer(response: httpx.Response, start: float) -> Answer:
    try:
        content = response.json()
        choice = content["choices"][0]
        message = choice["message"]
        text = message["content"] or message.get("refusal") or ""
        tokens = int((content.get("usage") or {}).get("completion_tokens") or 0)
        return Answer(
            text=str(text),
            finish_reason=str(choice.get("finish_reason") or ""),
            tokens=tokens,
            seconds=time.monotonic() - start,
            top=_first_token(choice),
            refused=bool(message.get("refusal")),
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return _failed(f"not a chat completion: {' '.join(response.text.split())[:200]}", MALFORMED, start)


def _first_token(choice: Mapping[str, Any]) -> dict[str, float] | None:
    """The log-probabilities of the first token's likeliest values; None if there are none."""
    tokens = (choice.get("logprobs") or {}).get("content") or []
    return {entry["token"]: float(entry["logprob"]) for entry in tokens[0].get("top_logprobs") or []} if tokens else None
