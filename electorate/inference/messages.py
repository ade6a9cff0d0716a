"""Messages of models without their wrapping: the text of an answer, without what was thought before
it.

Contestants, judges, live rankings and writers of prompts are all read here.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Reasoning that a server left in the text. Where the chat template opens it, only its end is there.
_OPENED = re.compile(r"\s*<(think|thinking|thought)>", re.IGNORECASE)
_CLOSED_ALONE = re.compile(r"</(think|thinking|thought)>", re.IGNORECASE)
# gpt-oss: what stands before the final channel is analysis.
_FINAL_CHANNEL = re.compile(r".*<\|channel\|>final[^<]*<\|message\|>", re.DOTALL)
_OTHER_CHANNEL = re.compile(r"\s*<\|channel\|>(analysis|commentary)\b")
_END = re.compile(r"<\|(end|return)\|>\s*$")
_REASONING_FIELDS = ("reasoning_content", "reasoning")
_REASONING_PARTS = ("thinking", "reasoning", "redacted_thinking", "reasoning_text")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Message:
    """What a message holds.

    Attributes:
        text: the answer alone.
        reasoned: whether the model also thought.
        refused: whether the endpoint calls the text a refusal.
        tools: whether it called tools instead.
    """

    text: str
    reasoned: bool = False
    refused: bool = False
    tools: bool = False


def of_message(message: Mapping[str, Any]) -> Message:
    """What a chat completion's message says.

    Raises:
        TypeError: its content is neither text, nor a list of parts, nor null.
    """
    content, thought = _content(message.get("content"))
    text, in_text = without_reasoning(content)
    refusal = message.get("refusal")
    reasoned = thought or in_text or any(message.get(field) for field in _REASONING_FIELDS)
    if refusal and not text.strip():
        text = str(refusal)
    return Message(clean(text), reasoned, bool(refusal), bool(message.get("tool_calls")))


def without_reasoning(text: str) -> tuple[str, bool]:
    """The text after its reasoning, and whether there was any; reasoning that never ends leaves
    nothing.
    """
    if (final := _FINAL_CHANNEL.match(text)) or _OTHER_CHANNEL.match(text):
        return (_END.sub("", text[final.end() :]) if final else ""), True
    if opened := _OPENED.match(text):
        closed = re.compile(f"</{opened[1]}>", re.IGNORECASE).search(text, opened.end())
        if closed is None:
            return "", True
        return without_reasoning(text[closed.end() :].lstrip())[0], True
    closed = _CLOSED_ALONE.search(text)
    if closed and f"<{closed[1]}>".lower() not in text[: closed.start()].lower():
        return text[closed.end() :].lstrip(), True
    return text, False


def clean(text: str) -> str:
    """The text as every file and database can hold it: no half of a surrogate pair, no NUL."""
    return _SURROGATE.sub("\ufffd", text).replace("\0", "\ufffd")


def _content(content: object) -> tuple[str, bool]:
    """The text of a message's content, and whether it has parts that are reasoning."""
    if content is None:
        return "", False
    if isinstance(content, str):
        return content, False
    if not isinstance(content, Sequence):
        raise TypeError(f"content is {type(content).__name__}")
    parts = [{"type": "text", "text": one} if isinstance(one, str) else one for one in content]
    texts = [str(p.get("text") or "") for p in parts if p.get("type") in ("text", "output_text")]
    return "".join(texts), any(part.get("type") in _REASONING_PARTS for part in parts)
