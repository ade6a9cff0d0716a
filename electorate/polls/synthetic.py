"""Battles that a larger model writes and judges, to learn preferences from beside people's: for
a prompt that people had answers to, an answer of its own against one of theirs, and its
verdict in both orders, as polls ask for it. Verdicts that hang on the order are ties.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from electorate.base.progress import Bar
from electorate.config.contest import Contestant, content_key
from electorate.config.judging import ModelJudge
from electorate.config.reward import Synthetic
from electorate.data.winners import NAMES
from electorate.inference import contestants, endpoints
from electorate.inference.asking import Asking, InProcessAsker
from electorate.inference.completions import Answer, Call
from electorate.inference.endpoints import Connection
from electorate.polls import reading, verdicts, wording
from electorate.polls.reading import Unread
from electorate.polls.wording import Attempt, Question
from electorate.storage.response_cache import ResponseCache

MODEL = "synthetic"
WRITER = Contestant(name="writer", model=MODEL, temperature=0.7, max_tokens=512)
JUDGE = ModelJudge(name="judge", model=MODEL)
ANYBODY = "Somebody who would ask this, and nothing more is known of them."


@dataclass(frozen=True)
class Battle:
    """of: which of the prompts it is about; ours: the new answer, shown against theirs; winner:
    model_a for ours, model_b, or tie.
    """

    of: int
    ours: str
    theirs: str
    winner: str


@dataclass(frozen=True)
class Made:
    """Battles, and how many came to nothing, by reason."""

    battles: list[Battle]
    lost: dict[str, int]


def make(
    settings: Synthetic, prompts: Sequence[str], theirs: Sequence[str], cache_dir: Path, bar: Bar
) -> Made:
    """A battle for each prompt.

    What was asked once is never asked again.

    Args:
        theirs: an answer to each prompt, to judge the new one against.
        bar: shows how far the requests are.

    Raises:
        ElectorateError: the judge cannot be reached, or most of what it is asked fails.
    """
    judge = settings.judge
    with closing(ResponseCache(cache_dir / "answers.sqlite")) as cache:
        asking = Asking([InProcessAsker()], lambda *_: _reached(settings), cache, bar=bar)
        written = [contestants.body(WRITER, prompt) for prompt in prompts]
        ours = _ask(asking, settings, written, "Writing answers (reward.synthetic)")
        shown = [
            pair
            for own, other in zip(ours, theirs, strict=True)
            for pair in ((own.text, other), (other, own.text))
        ]
        questions = [
            Question(JUDGE.name, "verdict", 0, prompts[i // 2], pair)
            for i, pair in enumerate(shown)
        ]
        asked = [wording.body(one, ANYBODY, JUDGE, judge, 0, Attempt()) for one in questions]
        answers = _ask(asking, settings, asked, "Judging them (reward.synthetic)")
    readings = [
        reading.read(question, answer, 1.0)
        for question, answer in zip(questions, answers, strict=True)
    ]
    winners = verdicts.choice(verdicts.judged(readings).odds)
    battles = list[Battle]()
    lost = Counter[str]()
    for i, (own, winner) in enumerate(zip(ours, winners, strict=True)):
        both = readings[2 * i : 2 * i + 2]
        unread = [one.kind for one in both if isinstance(one, Unread)]
        if own.error or not own.text.strip():
            lost[own.error or "an empty answer"] += 1
        elif unread:
            lost[f"a verdict that is none: {unread[0]}"] += 1
        else:
            battles.append(Battle(i, own.text, theirs[i], NAMES[winner]))
    return Made(battles, dict(lost))


def _ask(
    asking: Asking, settings: Synthetic, bodies: Sequence[dict[str, Any]], what: str
) -> list[Answer]:
    """An answer to each request."""
    served = settings.judge.identity()
    calls = [Call(content_key({"served": served, "body": body}), MODEL, body) for body in bodies]
    found = asking.answers(calls, what)
    return [found[call.key] for call in calls]


def _reached(settings: Synthetic) -> Mapping[str, Connection]:
    judge = settings.judge
    reached = endpoints.connection("reward.synthetic.judge", MODEL, judge, judge.base_url)
    endpoints.check_reachable("reward.synthetic.judge", reached)
    return {MODEL: reached}
