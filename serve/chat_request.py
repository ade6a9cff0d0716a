"""A chat completion request: what it asks for, of whom, and for whom."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import TypeAdapter, ValidationError

from electorate.base.errors import RequestError
from serve import schemas
from serve.service import Service

ROUTER = "electorate"
COST = "cost:"
NOBODY = ""
USER_HEADER = "x-openwebui-user-id"  # Open WebUI's, which names users in no other way
USER = TypeAdapter(schemas.UserId)


@dataclass(frozen=True)
class Asked:
    """A request. key: the name of the key it came with."""

    service: Service
    body: Mapping[str, Any]
    user: str
    key: str

    @cached_property
    def letters(self) -> int:
        """About how long it is."""
        return sum(len(str(message.get("content", ""))) for message in self.body["messages"])


def body_of(content: bytes) -> dict[str, Any]:
    """A chat completion request. Raises RequestError if it is none."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        raise RequestError("the body is not JSON, or nested too deeply") from None
    if not isinstance(body, dict):
        raise RequestError("the body is not a JSON object")
    messages = body.get("messages")
    if not (
        isinstance(messages, list)
        and messages
        and all(isinstance(message, dict) for message in messages)
    ):
        raise RequestError("messages: a list of at least one message is needed")
    return body


def user_of(body: Mapping[str, Any], headers: Mapping[str, str]) -> str:
    """Who asks, by an id that may vote, from the body or else a header. Raises RequestError for
    what is none.
    """
    given = body.get("user") or headers.get(USER_HEADER)
    if given in (None, NOBODY):
        return NOBODY
    try:
        user: str = USER.validate_python(given, strict=True)
    except ValidationError as error:
        raise RequestError(f"user: {error.errors()[0]['msg']}") from None
    return user


def rate_of(model: object, names: Sequence[str]) -> float:
    """The rate of money in `electorate/cost:RATE`. Raises RequestError for what is no model."""
    if model == ROUTER:
        return 0.0
    name, _, rest = str(model).partition("/")
    if name == ROUTER and rest.startswith(COST):
        try:
            rate = float(rest.removeprefix(COST))
        except ValueError:
            rate = float("nan")
        if 0 <= rate < float("inf"):
            return rate
        raise RequestError(f"model: {model!r}: the rate is no number from 0 on")
    known = ", ".join([ROUTER, f"{ROUTER}/{COST}RATE", *names])
    raise RequestError(f"model: {model!r} is not one; there are {known}")


def last_words(messages: Sequence[Mapping[str, Any]]) -> str:
    """What the user said last, as far as it is text."""
    for message in reversed(messages):
        if message.get("role") == "user":
            content = message.get("content")
            if isinstance(content, str):
                return content
            parts = content if isinstance(content, list) else []
            texts = [str(part.get("text", "")) for part in parts if isinstance(part, dict)]
            return "\n".join(filter(None, texts))
    return ""
