"""What a judge's answer says: log odds over what it could choose, or why it says nothing.

Never silently a tie.
"""

import re
from dataclasses import dataclass

import numpy as np

from electorate.base.registry import load
from electorate.base.scale import Floats
from electorate.config.modes import named
from electorate.inference.completions import OVERFLOW, Answer
from electorate.polls import wording
from electorate.polls.wording import CRITERIA, Attempt, Question

PROSE = "prose"
EMPTY = "empty"
REFUSAL = "refusal"
THINKING = "only thinking (set judges.N.thinking)"
HALVINGS = 3
FLOOR = -30.0  # nats; an engine says -9999 of what it may not say
MOST_OF_THE_MASS = 0.5  # of what the first token could be, which letters must have
SURE = 0.9  # of a letter that comes without log-probabilities
FEWEST_CRITERIA = 3
_REFUSING = re.compile(
    r"\W*(?:i['\u2019]?m (?:very )?sorry|sorry|i (?:can['\u2019]?t|cannot|can "
    r"not|won['\u2019]?t|am unable|am not able)|as an ai)\b",
    re.IGNORECASE,
)
_LETTER = re.compile(r"\W*([A-Z])\b(?!')")
_GRADE = r"\W{0,6}%s\W{0,6}[:=\-]\W{0,6}(AB|NA|A|B)\b"
_GRADED = {
    criterion: re.compile(_GRADE % criterion.replace(" ", r"[ _]?"), re.IGNORECASE)
    for criterion in CRITERIA
}


@dataclass(frozen=True)
class Reading:
    """odds: log-probabilities over what was asked: the two answers in the order shown and a tie,
    or all answers in the order shown. both_bad: the part of the tie that says neither will
    do.
    """

    odds: Floats
    both_bad: float = 0.0


@dataclass(frozen=True)
class Unread:
    """An answer that says nothing, and why: a kind of failure."""

    kind: str
    response: str = ""


def read(question: Question, answer: Answer, temperature: float) -> Reading | Unread:
    """What an answer says. temperature: of the softmax over criteria."""
    if answer.error:
        return Unread(answer.kind or "failed")
    if answer.refused or _REFUSING.match(answer.text):
        return Unread(REFUSAL, answer.text)
    if answer.reasoned and not answer.text.strip():
        return Unread(THINKING)
    found: Reading | Unread = load(named(question.mode).read)(question, answer, temperature)
    return found


def again(unread: Unread, attempt: Attempt) -> Attempt | None:
    """How to ask again where that helps: with less room after an overflow, once with a reminder
    after words that were no answer.
    """
    if unread.kind == OVERFLOW:
        return (
            Attempt(attempt.halvings + 1, attempt.unread) if attempt.halvings < HALVINGS else None
        )
    if unread.kind in (PROSE, EMPTY, REFUSAL) and attempt.unread is None:
        return Attempt(attempt.halvings, unread.response or "...")
    return None


def prompt(answer: Answer) -> str | Unread:
    """A prompt that a persona wrote: its first paragraph, without the quotes around it."""
    if answer.error:
        return Unread(answer.kind or "failed")
    if answer.refused or _REFUSING.match(answer.text):
        return Unread(REFUSAL, answer.text)
    first = answer.text.strip().split("\n\n")[0].strip().strip('"“”').strip()
    return first if len(first.split()) >= 3 else Unread(EMPTY, answer.text)


def first_letter(question: Question, answer: Answer, _: float) -> Reading | Unread:
    """What a letter says, by the log-probabilities of the first token; a letter they lack is no
    likelier than the least that they have.

    Args:
        question: what was asked.
        answer: neither a failure nor a refusal.
    """
    letters = wording.letters(question)
    if answer.top is None:
        return _letter_alone(answer.text, letters)
    logprobs = dict.fromkeys(letters, FLOOR * 2)
    mass = 0.0
    for token, logprob in answer.top.items():
        letter = token.strip("\"'*`.:() \n▁Ġ")
        if letter in logprobs:
            logprobs[letter] = max(logprobs[letter], logprob)
            mass += float(np.exp(logprob))
    known = [logprob for logprob in logprobs.values() if logprob > FLOOR]
    # A letter that the judge would hardly have said is no answer, however likely beside the others.
    if mass < MOST_OF_THE_MASS:
        return Unread(PROSE if answer.text.strip() else EMPTY, answer.text)
    least = max(FLOOR, min([*answer.top.values(), *known]))
    return Reading(normalised(np.maximum([logprobs[letter] for letter in letters], least)))


def _letter_alone(text: str, letters: str) -> Reading | Unread:
    if not text.strip():
        return Unread(EMPTY)
    found = _LETTER.match(text)
    if found is None or found.group(1) not in letters:
        return Unread(PROSE, text)
    chosen = np.array([letter == found.group(1) for letter in letters])
    return Reading(np.log(np.where(chosen, SURE, (1 - SURE) / (len(letters) - 1))))


def criteria(_: Question, answer: Answer, temperature: float) -> Reading | Unread:
    """Softmax over how many criteria each answer won and how many were level; a criterion that
    both fail is level, and bad. See first_letter.
    """
    text = answer.text
    if not text.strip():
        return Unread(EMPTY)
    found = [
        match.group(1).upper()
        for match in (pattern.search(text) for pattern in _GRADED.values())
        if match
    ]
    if len(found) < FEWEST_CRITERIA:
        return Unread(PROSE, text)
    times = {grade: found.count(grade) for grade in ("A", "B", "AB", "NA")}
    level = times["AB"] + times["NA"]
    odds = normalised(np.array([times["A"], times["B"], level]) / temperature)
    return Reading(odds, times["NA"] / level if level else 0.0)


def normalised(odds: Floats) -> Floats:
    """Log-probabilities that sum to 1, along the last axis."""
    highest = odds.max(axis=-1, keepdims=True)
    shifted: Floats = odds - highest - np.log(np.exp(odds - highest).sum(axis=-1, keepdims=True))
    return shifted
