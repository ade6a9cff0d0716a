"""What a taste can be about: style and lexical measures of a response, standardised within prompt.

The measures are plain counts over the whole response. No reward model loads them, so a planted
taste is never read straight from the network that has to learn it.
"""

import re
from collections.abc import Callable, Sequence
from math import log1p
from typing import NamedTuple

import numpy as np

from electorate.base.scale import Floats

_WORD = re.compile(r"[^\W\d_]++(?:'[^\W\d_]++)?")
_DIGIT = re.compile(r"\d")
# Written so that no text, however long and hostile, takes more than one pass.
_SENTENCE_END = re.compile(r"(?<![.!?])[.!?]++(?=\s|$)")
_HEADER = re.compile(r"^#{1,6}\s", re.MULTILINE)
_LIST_ITEM = re.compile(r"^[ \t]*+(?:[-*+•]|\d++[.)])[ \t]+", re.MULTILINE)
_BOLD = re.compile(r"\*\*[^*\n]+\*\*|__[^_\n]+__")
_CODE = re.compile(r"```|`[^`\n]+`")
# Pictographs, symbols and dingbats; what joins or colours one is no other.
_EMOJI = re.compile("[\u2600-\u27bf\U0001f300-\U0001f3fa\U0001f400-\U0001faff]")
_YOU = {"you", "your", "yours", "you're", "you'll", "yourself", "we", "let's", "our"}
_HEDGES = {
    "may",
    "might",
    "could",
    "perhaps",
    "possibly",
    "likely",
    "often",
    "usually",
    "generally",
    "seems",
    "typically",
}


class Text(NamedTuple):
    """A response, and its words in lower case."""

    raw: str
    words: list[str]


def _share(text: Text, vocabulary: set[str]) -> float:
    return sum(word in vocabulary for word in text.words) / max(1, len(text.words))


def _vocabulary(text: Text) -> float:
    # Guiraud's index: distinct words over the root of all words, which length moves less than their
    # ratio.
    return len(set(text.words)) / max(1, len(text.words)) ** 0.5


STYLE: dict[str, Callable[[Text], float]] = {
    "length": lambda text: log1p(len(text.raw.split())),
    "headers": lambda text: log1p(len(_HEADER.findall(text.raw))),
    "lists": lambda text: log1p(len(_LIST_ITEM.findall(text.raw))),
    "bold": lambda text: log1p(len(_BOLD.findall(text.raw))),
    "code": lambda text: log1p(len(_CODE.findall(text.raw))),
}
# What ratings of votes can hold equal: tastes are about STYLE alone, as planted ones always were.
CONTROLS: dict[str, Callable[[Text], float]] = {
    **STYLE,
    "emoji": lambda text: log1p(len(_EMOJI.findall(text.raw))),
}
LEXICAL: dict[str, Callable[[Text], float]] = {
    "long_words": lambda text: sum(map(len, text.words)) / max(1, len(text.words)),
    "long_sentences": lambda text: len(text.words) / max(1, len(_SENTENCE_END.findall(text.raw))),
    "rich_vocabulary": _vocabulary,
    "addresses_reader": lambda text: _share(text, _YOU),
    "hedging": lambda text: _share(text, _HEDGES),
    "numbers": lambda text: len(_DIGIT.findall(text.raw)) / max(1, len(text.raw)),
    "enthusiasm": lambda text: text.raw.count("!") / max(1, len(text.words)),
}
AXES = (*STYLE, *LEXICAL)
FURTHEST = 4.0  # sd; what is further is taken for it


def measure(texts: Sequence[str]) -> Floats:
    """Raw measures of each text, shape (len(texts), len(AXES))."""
    measures = [*STYLE.values(), *LEXICAL.values()]
    read = map(_read, texts)
    return np.array([[of(text) for of in measures] for text in read]).reshape(len(texts), len(AXES))


def measure_controls(texts: Sequence[str]) -> Floats:
    """Raw measures that ratings can hold equal, shape (len(texts), len(CONTROLS))."""
    read = map(_read, texts)
    rows = [[of(text) for of in CONTROLS.values()] for text in read]
    return np.array(rows).reshape(len(texts), len(CONTROLS))


def _read(text: str) -> Text:
    return Text(text, _WORD.findall(text.lower().replace("\u2019", "'")))


def standardise(raw: Floats) -> Floats:
    """Centre within prompt, scale by the pooled within-prompt sd, clip at +-4.

    raw and result: shape (prompts, contestants, axes). An axis on which no two answers to a prompt
    differ is zero everywhere.
    """
    centred = raw - raw.mean(axis=1, keepdims=True)
    sd = np.sqrt((centred**2).mean(axis=(0, 1)))
    scaled = np.divide(centred, sd, out=np.zeros_like(centred), where=sd > 1e-12)
    return np.clip(scaled, -FURTHEST, FURTHEST)
