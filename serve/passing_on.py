"""A contestant's response on its way to the client, and what it costs."""

import json
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
from fastapi.responses import JSONResponse, Response, StreamingResponse

from electorate.online.ledger import Answered
from serve.chat_request import Asked
from serve.spending import Meter, Spending
from serve.upstreams import Upstream

LOG = logging.getLogger("ray.serve")
# What is the contestant's own trouble, such as its key, its credit or its model's name; and all of
# 500 and above. What is wrong with the request is the client's.
PASSED_OVER = (401, 402, 403, 404, 408, 429)
STREAM = "text/event-stream"


class Answer:
    """One that is under way, and what it costs."""

    def __init__(
        self, asked: Asked, upstream: Upstream, probability: float, spending: Spending
    ) -> None:
        self.upstream = upstream
        self.meter = Meter(asked.letters)
        self._asked = asked
        self._probability = probability
        self._spending = spending
        self._expected = upstream.cost(asked.letters)
        spending.begin(asked.key, self._expected)

    def is_over(self, answered: bool) -> None:
        """Write down what it cost, where anything was answered."""
        read, written = self.meter.tokens()
        usd = self.upstream.cost_of(read, written)
        asked = self._asked
        name = self.upstream.contestant.name
        done = Answered(asked.key, asked.user, name, self._probability, read + written, usd)
        self._spending.end(asked.key, self._expected, done if answered else None)
        self._spending.tell_soon(asked.service)


def is_passed_over(status: int) -> bool:
    """Whether another contestant may do better."""
    return status >= 500 or status in PASSED_OVER


async def begun(response: aiohttp.ClientResponse) -> bytes:
    """What of a response has to be there before the client is sent any of it, as until then another
    contestant can be asked: a stream's first part, or all of another one.

    Raises:
        aiohttp.ClientError, TimeoutError, OSError: it broke off before.
    """
    if not _kind(response).startswith(STREAM):
        return await response.read()
    first = await response.content.readany()
    if not first:
        raise aiohttp.ClientPayloadError("a stream without anything in it")
    return first


def passed_on(
    response: aiohttp.ClientResponse, first: bytes, answer: Answer, headers: dict[str, str]
) -> Response:
    """A contestant's response as the client gets it.

    first: see `begun`.
    """
    upstream = answer.upstream
    kind = _kind(response)
    answer.meter.see(first)
    if kind.startswith(STREAM):
        chunks = _chunks(response, first, answer)
        return StreamingResponse(chunks, response.status, headers=headers, media_type=kind)
    answer.is_over(answered=response.status < 400)
    if is_passed_over(response.status):
        upstream.failed()
    else:
        upstream.answered(answer.meter.written)
    return Response(first, response.status, headers, media_type=kind)


def _kind(response: aiohttp.ClientResponse) -> str:
    return response.headers.get("content-type", "application/json")


async def _chunks(
    response: aiohttp.ClientResponse, first: bytes, answer: Answer
) -> AsyncIterator[bytes]:
    """The stream as it comes; one that breaks off ends with an error that clients read."""
    upstream = answer.upstream
    try:
        yield first
        async for chunk in response.content.iter_any():
            answer.meter.see(chunk)
            yield chunk
        upstream.answered(answer.meter.written)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        upstream.failed()
        why = f"{upstream.contestant.name} broke off: {type(error).__name__}"
        LOG.warning("%s", why)
        yield f"\n\ndata: {json.dumps(_error(why, 502))}\n\n".encode()
    finally:
        answer.is_over(answered=True)
        response.close()


def problem(status: int, why: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """As OpenAI's clients read it."""
    return JSONResponse(_error(why, status), status, dict(headers or {}))


def _error(why: str, status: int) -> dict[str, Any]:
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": why, "type": kind, "param": None, "code": status}}
