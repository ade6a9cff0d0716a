"""Texts of votes as the field writes them: plain, or a conversation as a list of turns.

A list of turns is JSON, or in some data sets Python, of strings, of messages ({role, content}) or
of content parts ({type, text}); null is a turn without text.
"""

import ast
import json
from typing import Any

LONGEST_PYTHON = 1_000_000  # characters; Python's own parser takes some hundred bytes for each


def plain(text: str) -> str:
    """A text that is a list of turns as its turns, one after the other; any other as it is."""
    found = turns(text)
    return text if found is None else "\n\n".join(found)


def turns(text: str, python: bool = False) -> list[str] | None:
    """The turns of a text that is a list of turns; None if it is any other text.

    Args:
        python: also as Python writes lists, with null or None. Not for texts of which some may be
            plain, as an answer may be a list in Python.
    """
    content = _parsed(text, python)
    if not isinstance(content, list) or not content:
        return None
    try:
        return [_turn(one) for one in content]
    except TypeError:
        return None


def of_role(content: object, role: str) -> list[str] | None:
    """The turns of one role in a list of messages; None if it is no such list."""
    if not isinstance(content, list):
        return None
    try:
        return [_turn(message) for message in content if message["role"] == role]
    except (TypeError, KeyError):
        return None


def _parsed(text: str, python: bool) -> Any:
    if not text.lstrip().startswith("["):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    if not python or len(text) > LONGEST_PYTHON:
        return None
    try:
        return ast.literal_eval(_without_null(text))
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None


def _without_null(text: str) -> str:
    """Python's None where a list has JSON's null between its strings."""
    found = []
    quote = ""
    at = 0
    while at < len(text):
        letter = text[at]
        if quote:
            if letter == "\\":
                found.append(text[at : at + 2])
                at += 2
                continue
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif text.startswith("null", at):
            found.append("None")
            at += 4
            continue
        found.append(letter)
        at += 1
    return "".join(found)


def _turn(content: Any) -> str:
    """The text of a turn: a string, null, a message or a list of parts."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, dict) and "content" in content:
        return _turn(content["content"])
    if isinstance(content, dict) and content.get("type") == "text":
        return _turn(content.get("text"))
    if isinstance(content, dict) and "type" in content:
        return ""  # an image, say
    if isinstance(content, list):
        return "".join(_turn(part) for part in content)
    raise TypeError(f"a turn is {type(content).__name__}")
