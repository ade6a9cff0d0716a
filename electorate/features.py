"""What a taste can be about: style and lexical measures of a response, standardised within prompt.

The measures are plain counts over the whole response. No reward model loads them, so a planted
taste is never read straight from the network that has to learn it.
"""

import re
from collections.abc import Callable, Sequence

import numpy as np

from electorate.scale import Floats

_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)?")
_SENTENCE_END = re.compile(r"[.!?]+(?=\s|$)")
_HEADER = re.compile(r"^#{1,6}\s", re.MULTILINE)
_LIST_ITEM = re.compile(r"^\s*(?:[-*+•]|\d+[.)])\s+", re.MULTILINE)
_BOLD = re.compile(r"\*\*[^*\n]+\*\*|__[^_\n]+__")
_CODE = re.compile(r"```|`[^`\n]+`")
_YOU = {"you", "your", "yours", "you're", "you'll", "yourself", "we", "let's", "our"}
_HEDGES = {"may", "might", "could", "perhaps", "possibly", "likely", "often", "usually", "generally", "seems", "typically"}


def _words(text: str) -> list[str]:
    return [word.lower().replace("\u2019", "'") for word in _WORD.findall(text)]


def _share(text: str, vocabulary: set[str]) -> float:
    words = _words(text)
    return sum(word in vocabulary for word in words) / max(1, len(words))


def _mean_word_length(text: str) -> float:
    words = _words(text)
    return sum(map(len, words)) / max(1, len(words))


def _words_per_sentence(text: str) -> float:
    return len(_words(text)) / max(1, len(_SENTENCE_END.findall(text)))


def _vocabulary(text: str) -> float:
    # Guiraud's index: distinct words over the root of all words, which length moves less than their ratio.
    words = _words(text)
    return len(set(words)) / max(1, len(words)) ** 0.5


STYLE: dict[str, Callable[[str], float]] = {
    "length": lambda text: float(np.log1p(len(text.split()))),
    "headers": lambda text: float(np.log1p(len(_HEADER.findall(text)))),
    "lists": lambda text: float(np.log1p(len(_LIST_ITEM.findall(text)))),
    "bold": lambda text: float(np.log1p(len(_BOLD.findall(text)))),
    "code": lambda text: float(np.log1p(len(_CODE.findall(text)))),
}
LEXICAL: dict[str, Callable[[str], float]] = {
    "long_words": _mean_word_length,
    "long_sentences": _words_per_sentence,
    "rich_vocabulary": _vocabulary,
    "addresses_reader": lambda text: _share(text, _YOU),
    "hedging": lambda text: _share(text, _HEDGES),
    "numbers": lambda text: sum(c.isdigit() for c in text) / max(1, len(text)),
    "enthusiasm": lambda text: text.count("!") / max(1, len(_words(text))),
}
AXES = (*STYLE, *LEXICAL)


def measure(texts: Sequence[str]) -> Floats:
    """Raw measures of each text, shape (len(texts), len(AXES))."""
    measures = [*STYLE.values(), *LEXICAL.values()]
    return np.array([[of(text) for of in measures] for text in texts]).reshape(len(texts), len(AXES))


def standardise(raw: Floats) -> Floats:
    """Centre within prompt, scale by the pooled within-prompt sd, clip at +-4.

    raw and result: shape (prompts, contestants, axes). An axis on which no two answers to a prompt
    differ is zero everywhere.
    """
    centred = raw - raw.mean(axis=1, keepdims=True)
    sd = np.sqrt((centred**2).mean(axis=(0, 1)))
    scaled = np.divide(centred, sd, out=np.zeros_like(centred), where=sd > 1e-12)
    return np.clip(scaled, -4.0, 4.0)
