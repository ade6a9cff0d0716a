"""The command line's parser: a misspelt command or option names what it may be meant for."""

import argparse
import difflib
import re
from collections.abc import Iterator, Sequence
from typing import Never

_CHOICE = re.compile(r"invalid choice: '(?P<given>[^']*)' \(choose from (?P<allowed>.*)\)$")
_UNKNOWN = re.compile(r"unrecognized arguments: (?P<given>.*)$")


class Parser(argparse.ArgumentParser):
    """Argparse's, whose errors about what it does not know say what is close to it."""

    def error(self, message: str) -> Never:
        """Exit with 2 and a line that says what is wrong."""
        super().error(message + "".join(f"; did you mean {one}?" for one in self._meant(message)))
        raise AssertionError("argparse's error exits")

    def _meant(self, message: str) -> list[str]:
        if choice := _CHOICE.search(message):
            return _close(choice["given"], re.findall(r"'([^']*)'", choice["allowed"]))
        if unknown := _UNKNOWN.search(message):
            options = [word.partition("=")[0] for word in unknown["given"].split()]
            known = list(dict.fromkeys(_options(self)))
            return [one for given in options for one in _close(given, known)][:1]
        return []


def _close(given: str, known: Sequence[str]) -> list[str]:
    return difflib.get_close_matches(given, known, n=1)


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    """All long options of a parser and of its commands."""
    for action in parser._actions:
        yield from (name for name in action.option_strings if name.startswith("--"))
        if isinstance(action.choices, dict):
            for command in action.choices.values():
                yield from _options(command)
