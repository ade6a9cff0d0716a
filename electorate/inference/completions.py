"""Chat completions: what is asked, what came back, and of which kind a failure is."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from electorate.inference import messages
from electorate.inference.messages import of_message, without_reasoning

RETRIED = {408, 409, 425, 429, 500, 502, 503, 504, 529}
TIME_OUT = "time-out"
UNREACHABLE = "unreachable"
MALFORMED = "no chat completion"
REPORTED = "error in the answer"
OVERFLOW = "context overflow"
OVERFLOW_SAYS = (
    "context length",
    "context_length",
    "maximum context",
    "max_model_len",
    "maximum model length",
    "too long",
    "input tokens",
)


@dataclass(frozen=True)
class Call:
    """One chat completion to ask for. key: SHA-256 of all that shapes the answer; body: the
    request's, but for the model's name.
    """

    key: str
    model: str
    body: Mapping[str, Any]


CallT = TypeVar("CallT", bound=Call)


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        text: the answer alone, without what the model thought before it.
        finish_reason: as the endpoint has it; `length` where it was cut.
        tokens: that were generated.
        seconds: of the last try.
        error: empty if `text` is an answer.
        kind: of the failure.
        top: the likeliest values of the first token after any reasoning, with log-probabilities,
            where they were asked for.
        refused: whether the endpoint itself calls the text a refusal.
        retried: why tries before the last one failed.
        reasoned: whether the model thought before it answered.
        tokens_in: that the endpoint says it read; 0 where it does not say.
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
    reasoned: bool = False
    tokens_in: int = 0

    @classmethod
    def stored(cls, row: Mapping[str, Any]) -> "Answer":
        """One from the cache, where earlier versions kept texts as they came."""
        text, reasoned = messages.without_reasoning(row["text"])
        kept = {"text": messages.clean(text), "reasoned": reasoned or row.get("reasoned", False)}
        return cls(**{**row, **kept})


def read(content: bytes, start: float) -> Answer:
    """What an answer of status 200 says.

    Args:
        content: the endpoint's, whole.
        start: `time.monotonic()` when it was asked.
    """
    try:
        reply = json.loads(content)
        if error := reply.get("error"):
            return _reported(error, start)
        choice = reply["choices"][0]
        message = of_message(choice["message"])
        finish_reason = str(choice.get("finish_reason") or "")
        if finish_reason == "error":
            return _reported(choice.get("error") or "finish_reason is error", start)
        usage = reply.get("usage") or {}
        return Answer(
            text=message.text,
            finish_reason="tool_calls" if message.tools and not message.text else finish_reason,
            tokens=int(usage.get("completion_tokens") or 0),
            tokens_in=int(usage.get("prompt_tokens") or 0),
            seconds=time.monotonic() - start,
            top=_first_token(choice),
            refused=message.refused,
            reasoned=message.reasoned,
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        reason = " ".join(content[:2000].decode(errors="replace").split())
        return failed(f"not a chat completion: {reason[:200]}", MALFORMED, start)


def failed(error: str, kind: str, start: float) -> Answer:
    """The answer that is none."""
    return Answer("", "error", 0, time.monotonic() - start, messages.clean(error), kind)


def may_pass(answer: Answer) -> bool:
    """Whether the same call may be answered later: the endpoint was away, or not up to it."""
    if not answer.error:
        return False
    passing = {TIME_OUT, UNREACHABLE, REPORTED, *(f"HTTP {status}" for status in RETRIED)}
    return answer.kind in passing or answer.kind.startswith("HTTP 5")


def _reported(error: Any, start: float) -> Answer:
    """A failure that comes as an answer: its status is in its code, if anywhere."""
    about = error if isinstance(error, Mapping) else {"message": error}
    code = str(about.get("code") or about.get("status") or "")
    kind = f"HTTP {code}" if code.isdigit() and 400 <= int(code) < 600 else REPORTED
    return failed(
        f"{kind}: {' '.join(str(about.get('message') or error).split())[:200]}", kind, start
    )


def _first_token(choice: Mapping[str, Any]) -> dict[str, float] | None:
    """The log-probabilities of the likeliest values of the first token after any reasoning; None
    if there are none.
    """
    tokens = (choice.get("logprobs") or {}).get("content") or []
    first = _after_reasoning([str(entry["token"]) for entry in tokens])
    if first is None:
        return None
    return {
        entry["token"]: float(entry["logprob"]) for entry in tokens[first].get("top_logprobs") or []
    }


def _after_reasoning(tokens: Sequence[str]) -> int | None:
    """The place of the first token of the answer itself; None if there is none."""
    whole = "".join(tokens)
    text, reasoned = without_reasoning(whole)
    if not reasoned:
        return 0 if tokens else None
    begins = len(whole) - len(text) if text else len(whole)
    passed = 0
    for place, token in enumerate(tokens):
        passed += len(token)
        if passed > begins:
            return place
    return None
