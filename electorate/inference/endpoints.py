"""Asking OpenAI-compatible endpoints: calls known by their content, time-outs, retries, and as
many at once as an endpoint bears.
"""

import asyncio
import math
import os
import random
import re
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.request import getproxies

import aiohttp
import httpx

from electorate.base.errors import ElectorateError, EndpointError
from electorate.base.registry import load
from electorate.config.engines import ENGINES, Endpoint, Model, Request, asked
from electorate.inference import completions, requests
from electorate.inference.completions import (
    OVERFLOW,
    TIME_OUT,
    UNREACHABLE,
    Answer,
    Call,
    CallT,
    failed,
    may_pass,
)
from electorate.inference.concurrency import Concurrency

PUSHING_BACK = {TIME_OUT, *(f"HTTP {status}" for status in (408, 429, 503, 504, 529))}
LONGEST_WAIT_S = 60.0
# Calls begun, and not yet handed on, for each that may be in flight: one is ready for every slot,
# and what a killed process had asked for nothing is bounded however slowly its answers are read.
AHEAD = 2
BATCH = 64  # answers handed on together at most


@dataclass(frozen=True)
class Connection:
    """Where a model is reached, and this asker's part of the endpoint's concurrency.

    Attributes:
        ask: what sends it a request, as EngineSpec has it.
        request: how its requests differ from the standard.
        where: the model's place in the config.
    """

    base_url: str
    model: str
    api_key: str | None
    in_flight: int
    timeout_s: float
    retries: int
    ask: str | Callable[..., Any] = "electorate.inference.endpoints:chat_completion"
    request: Request = field(default_factory=Request)
    where: str = "models.NAME"


def connections(
    models: Mapping[str, Model], served_at: str | None, askers: int
) -> dict[str, Connection]:
    """How each of `askers` equal askers reaches each model; served_at: base URL of the models
    Electorate serves.

    Raises ElectorateError if a key's environment variable is not set.
    """
    reached = {}
    for name, model in asked(models).items():
        if (url := model.url(served_at)) is None:
            continue
        reached[name] = connection(f"models.{name}", name, model, url, askers)
    return reached


def connection(where: str, name: str, model: Endpoint, url: str, askers: int = 1) -> Connection:
    """How each of `askers` equal askers reaches one model.

    Args:
        where: its place in the config.
        name: its id there.
        url: the base URL of its API.

    Raises:
        ElectorateError: its key's environment variable is not set.
    """
    return Connection(
        url,
        model.name_there(name),
        api_key(where, model),
        -(-model.concurrency // askers),
        model.timeout_s,
        model.retries,
        ENGINES[model.engine].ask,
        model.request,
        where,
    )


def check(name: str, model: Model, connection: Connection) -> None:
    """Raise ElectorateError if a model that runs elsewhere cannot be reached."""
    found = ENGINES[model.engine].check
    if found is not None:
        load(found)(name, connection)


def check_settings(name: str, model: Model, connection: Connection) -> None:
    """The same where it answers, and shows the URL or the key to be wrong; whether it has to be
    reached is not known yet.
    """
    try:
        check(name, model, connection)
    except EndpointError:
        return


def api_key(name: str, model: Endpoint) -> str | None:
    """The model's key; ElectorateError if its environment variable is not set. name: of the model's
    place in the config.
    """
    if model.key_variable is None:
        return None
    if not (key := os.environ.get(model.key_variable)):
        raise ElectorateError(
            f"{name}.api_key_env: the environment variable {model.key_variable} is not set"
        )
    return key


def check_reachable(name: str, connection: Connection) -> None:
    """One GET of the endpoint's model list; EndpointError if nothing answers there."""
    try:
        response = httpx.get(
            f"{connection.base_url}/models", headers=_headers(connection), timeout=10
        )
    except httpx.HTTPError as error:
        raise EndpointError(
            f"models.{name}.base_url: {connection.base_url} cannot be reached "
            f"({type(error).__name__}: {error}); start the server or correct the URL"
        ) from None
    _refuse_wrong(name, connection, response.status_code)


def _refuse_wrong(name: str, connection: Connection, status: int) -> None:
    versioned = re.search(r"/v\d+\w*$", connection.base_url)
    if status == 404 and not versioned:
        raise ElectorateError(
            f"models.{name}.base_url: {connection.base_url}/models answers HTTP 404; does base_url "
            "end in /v1?"
        )
    if status in (401, 403):
        raise ElectorateError(
            f"models.{name}: {connection.base_url} answers HTTP {status}; set "
            "api_key_env to a variable with a valid key"
        )


class HttpAsker:
    """Asks OpenAI-compatible endpoints, each with as many requests in flight as it bears,
    time-outs and retries with backoff.
    """

    def __init__(self, reached: Mapping[str, Connection]) -> None:
        self._reached = reached

    async def ask(self, calls: Sequence[CallT]) -> AsyncIterator[tuple[CallT, Answer]]:
        """Answers in the order they arrive; every call comes back once, with text or with an error.

        Calls to one endpoint begin in their order.
        """
        async for batch in self.batches(calls):
            for answered in batch:
                yield answered

    async def batches(
        self, calls: Sequence[CallT], wait_s: float = 0.0
    ) -> AsyncIterator[list[tuple[CallT, Answer]]]:
        """The same, up to BATCH at a time: those that came in the meantime, or within wait_s of the
        first.
        """
        answered = asyncio.Queue[tuple[CallT, Answer]]()
        by_model = defaultdict[str, list[CallT]](list)
        for call in calls:
            by_model[call.model].append(call)
        rooms = {
            model: asyncio.Semaphore(AHEAD * self._reached[model].in_flight) for model in by_model
        }
        async with _session() as client, asyncio.TaskGroup() as group:
            begun = [
                group.create_task(self._begin(client, own, rooms[model], answered, group))
                for model, own in by_model.items()
            ]
            try:
                left = len(calls)
                while left:
                    batch = [await answered.get()]
                    if wait_s and len(batch) < left:
                        await asyncio.sleep(wait_s)
                    while len(batch) < BATCH and not answered.empty():
                        batch.append(answered.get_nowait())
                    yield batch
                    left -= len(batch)
                    for call, _ in batch:
                        rooms[call.model].release()
            finally:
                for one in begun:
                    one.cancel()

    async def _begin(
        self,
        client: aiohttp.ClientSession,
        calls: Sequence[CallT],
        room: asyncio.Semaphore,
        answered: "asyncio.Queue[tuple[CallT, Answer]]",
        group: asyncio.TaskGroup,
    ) -> None:
        """Begin the calls to one model, a few more at a time than may be in flight: a task for each
        of many thousand would only wait, and take memory.
        """
        slots = Concurrency(self._reached[calls[0].model].in_flight)

        async def answer(call: CallT) -> None:
            answered.put_nowait((call, await self._answer(client, call, slots)))

        for call in calls:
            await room.acquire()
            group.create_task(answer(call))

    async def _answer(
        self, client: aiohttp.ClientSession, call: Call, slots: Concurrency
    ) -> Answer:
        connection = self._reached[call.model]
        ask = load(connection.ask)
        pause = 0.0
        failures = list[str]()
        for attempt in range(connection.retries + 1):
            if attempt:
                await asyncio.sleep(_backoff(attempt, pause))
            async with slots.slot() as began:
                answer, pause = await ask(client, connection, call)
                # Before the slot is another's, who would come too early after a push.
                if answer.kind in PUSHING_BACK:
                    slots.pushed_back(began)
                elif not answer.error:
                    slots.answered()
            if not may_pass(answer):
                break
            failures.append(answer.kind)
        return replace(answer, retried=failures[:attempt])


def _session() -> aiohttp.ClientSession:
    """A client with as many connections as there are requests in flight."""
    # Looking for a proxy takes a thread a request, so only where the environment names one.
    proxied = bool(getproxies())
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), trust_env=proxied)


async def chat_completion(
    client: aiohttp.ClientSession, connection: Connection, call: Call
) -> tuple[Answer, float]:
    """One request to an OpenAI-compatible endpoint.

    Returns:
        what came of it, and the seconds that the endpoint asks to wait.
    """
    start = time.monotonic()
    try:
        async with client.post(
            f"{connection.base_url}/chat/completions",
            json={"model": connection.model, **requests.shaped(call.body, connection.request)},
            headers=_headers(connection),
            timeout=aiohttp.ClientTimeout(total=connection.timeout_s),
            allow_redirects=False,
        ) as response:
            content = await response.read()
    except TimeoutError as error:
        return failed(f"{type(error).__name__}: {error}", TIME_OUT, start), 0.0
    except (aiohttp.ClientError, OSError) as error:
        return failed(f"{type(error).__name__}: {error}", UNREACHABLE, start), 0.0
    pause = _retry_after(response.headers.get("retry-after", ""))
    if response.status == 200:
        return completions.read(content, start), pause
    message = " ".join(content.decode(errors="replace").split())
    refused = response.status in (400, 413, 422)
    if refused and any(words in message.lower() for words in completions.OVERFLOW_SAYS):
        return failed(f"HTTP {response.status}: {message[:200]}", OVERFLOW, start), 0.0
    mended = requests.mended_by(message, connection.where) if refused else ""
    kind = f"HTTP {response.status}"
    return failed(f"{kind}: {message[:200]}{mended}", kind, start), pause


def _headers(connection: Connection) -> dict[str, str]:
    return {"Authorization": f"Bearer {connection.api_key}"} if connection.api_key else {}


def _backoff(attempt: int, at_least: float) -> float:
    """Seconds before a retry: doubling from half a second up to 30, jittered, no sooner than the
    server asked.
    """
    return max(at_least, min(30.0, 0.5 * 2 ** (attempt - 1)) * random.uniform(0.5, 1.0))


def _retry_after(value: str) -> float:
    """Seconds, which the endpoint may say as a number or as a date."""
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        except (TypeError, ValueError):
            return 0.0
    return min(LONGEST_WAIT_S, max(0.0, seconds)) if math.isfinite(seconds) else 0.0
