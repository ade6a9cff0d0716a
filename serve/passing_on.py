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
PASSED_OVER = (408, 429)  # and all of 500 and above


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


async def passed_on(
    response: aiohttp.ClientResponse, answer: Answer, headers: dict[str, str]
) -> Response:
    """A contestant's response as the client gets it."""
    upstream = answer.upstream
    kind = response.headers.get("content-type", "application/json")
    if kind.startswith("text/event-stream"):
        return StreamingResponse(
            _chunks(response, answer), response.status, headers=headers, media_type=kind
        )
    answered = response.status < 400
    try:
        content = await response.read()
        answer.meter.see(content)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        upstream.failed()
        answered = False
        why = f"{upstream.contestant.name} broke off: {type(error).__name__}"
        return problem(502, why, headers)
    finally:
        answer.is_over(answered)
    if response.status < 500 and response.status not in PASSED_OVER:
        upstream.answered(answer.meter.written)
    else:
        upstream.failed()
    return Response(content, response.status, headers, media_type=kind)


async def _chunks(response: aiohttp.ClientResponse, answer: Answer) -> AsyncIterator[bytes]:
    """The stream as it comes; one that breaks off ends with an error that clients read."""
    upstream = answer.upstream
    try:
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
