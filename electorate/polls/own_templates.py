"""The user's own texts for judges and for the writer of prompts: files that a config names.

A config takes the text of a file when a run begins, so that a file changed later is another run. A
text is told from a file's name by its places, such as $prompt.
"""

from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

from electorate.base.errors import ElectorateError
from electorate.config.config_file import ContestT
from electorate.config.judging import Judging
from electorate.config.modes import named
from electorate.config.poll import Poll
from electorate.config.run import Config

OF_TWO = frozenset({"card", "prompt", "rule", "a", "b"})
OF_ALL = frozenset({"card", "prompt", "rule", "answers"})
OF_WRITER = frozenset({"card", "topic", "difficulty", "number"})
# That answers are hostile text is what $rule says; without it pleas for the vote would be heeded.
NEEDED = OF_TWO | OF_ALL - {"card"}


def with_texts(config: ContestT) -> ContestT:
    """The config with the texts of the files that it names.

    Raises:
        ElectorateError: a file cannot be read, or lacks a place, or has one that is not filled.
    """
    if isinstance(config, Poll):
        return config.model_copy(update=_texts(config, ""))
    if isinstance(config, Config) and config.judging is not None:
        voters = config.judging.model_copy(update=_texts(config.judging, "voters."))
        return config.model_copy(update={"voters": voters})
    return config


def _texts(judging: Judging, where: str) -> Mapping[str, Any]:
    """The fields that change."""
    found: dict[str, Any] = {}
    if judging.templates:
        found["templates"] = {
            mode: _text(
                given, f"{where}templates.{mode}", OF_ALL if named(mode).listwise else OF_TWO
            )
            for mode, given in judging.templates.items()
        }
    settings = judging.new_prompts
    if settings is not None and settings.template is not None:
        text = _text(settings.template, f"{where}new_prompts.template", OF_WRITER)
        found["new_prompts"] = settings.model_copy(update={"template": text})
    return found


def _text(given: str, where: str, places: frozenset[str]) -> str:
    text = given if "$" in given else _read(Path(given), where)
    template = Template(text)
    wrong = not template.is_valid()
    there = set() if wrong else set(template.get_identifiers())
    unknown = sorted(there - places)
    missing = sorted((places & NEEDED) - there)
    allowed = ", ".join(f"${place}" for place in sorted(places))
    if wrong:
        raise ElectorateError(f"{where}: a $ stands before no name; write $$ for a dollar sign")
    if unknown:
        raise ElectorateError(f"{where}: ${unknown[0]} is not filled; allowed are {allowed}")
    if missing:
        raise ElectorateError(f"{where}: lacks ${missing[0]}; a text has {allowed}")
    return text


def _read(path: Path, where: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise ElectorateError(f"{where}: {path} cannot be read as UTF-8 text: {why}") from None
