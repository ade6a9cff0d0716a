"""A chat completion as an endpoint wants it, and what its refusals mean."""

import re
from collections.abc import Mapping
from typing import Any

from electorate.config.engines import Request
from electorate.inference.messages import clean

SAMPLING = ("temperature", "top_p")
# What an endpoint says of a part that it does not take, and the setting that mends it.
REFUSALS = (
    (r"max_completion_tokens", "max_tokens_as: max_completion_tokens"),
    (r"top_?logprobs.{0,80}(at most|less than|maximum|<=|between|exceed)", "top_logprobs: 5"),
    (r"log_?prob", "top_logprobs: 0"),
    (r"\b(temperature|top_p)\b", "sampling: false"),
    (
        r"\bsystem\b.{0,40}\b(role|message|prompt|instruction)|developer instruction",
        "system_role: false",
    ),
)


def shaped(body: Mapping[str, Any], request: Request) -> dict[str, Any]:
    """The body as the endpoint takes it.

    Args:
        body: in OpenAI's terms: messages, temperature, top_p, max_tokens, logprobs, top_logprobs.
        request: how this endpoint differs.
    """
    found = dict(body)
    messages = [{**message, "content": clean(message["content"])} for message in body["messages"]]
    found["messages"] = messages if request.system_role else _without_system(messages)
    if "max_tokens" in found:
        found[request.max_tokens_as] = found.pop("max_tokens")
    if not request.sampling:
        for name in SAMPLING:
            found.pop(name, None)
    if "top_logprobs" in found:
        found["top_logprobs"] = min(found["top_logprobs"], request.top_logprobs)
        if not found["top_logprobs"]:
            del found["top_logprobs"]
            del found["logprobs"]
    return found | dict(request.extra)


def mended_by(refusal: str, where: str) -> str:
    """The setting that may mend a refusal, as the end of a sentence; empty if none is known.

    Args:
        refusal: what the endpoint said with status 400 or 422.
        where: the model's place in the config.
    """
    for pattern, setting in REFUSALS:
        if re.search(pattern, refusal, re.IGNORECASE | re.DOTALL):
            return f"; set {where}.request.{setting}"
    return ""


def _without_system(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """System prompts put before the first message of the user."""
    system = [message["content"] for message in messages if message["role"] == "system"]
    others = [message for message in messages if message["role"] != "system"]
    if not system or not others:
        return others
    first = others[0]
    joined = "\n\n".join([*system, first["content"]])
    return [{**first, "content": joined}, *others[1:]]
