"""Texts of others on a terminal and in a spreadsheet, where some characters are commands."""

import re

# Control characters but line feed and tab, and those that turn the direction of writing.
_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def visible(text: str) -> str:
    """The text with commands to a terminal spelled out, such as \\x1b."""
    return _COMMANDS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def is_plain(text: str) -> bool:
    """Whether the text has no commands, no line ends and no blanks around it."""
    one_line = "\n" not in text and "\t" not in text
    return one_line and text == text.strip() and _COMMANDS.search(text) is None


def cell(text: str) -> str:
    """The text as a spreadsheet shows it: what would be a formula begins with an apostrophe."""
    return f"'{text}" if text.startswith(_FORMULA) else text
