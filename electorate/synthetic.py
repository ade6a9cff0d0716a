"""Battles that a larger model writes and judges, to learn preferences from beside people's: for a prompt that people had answers
to, an answer of its own against one of theirs, and its verdict in both orders, as polls ask for it. Verdicts that hang on the order
are ties.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from electorate import contestants, endpoints
from electorate.config import Synthetic
from electorate.contest import Contestant, content_key
from electorate.endpoints import Answer, Call, Connection, HttpAsker, served_as
from electorate.errors import ElectorateError
from electorate.polls import reading, verdicts, wording
from electorate.polls.config import PollJudge
from electorate.polls.reading import Unread
from electorate.polls.verdicts import WINNERS
from electorate.polls.wording import Attempt, Question
from electorate.storage.response_cache import ResponseCache

MODEL = "synthetic"
WRITER = Contestant(name="writer", model=MODEL, temperature=0.7, max_tokens=512)
JUDGE = PollJudge(name="judge", model=MODEL)
ANYBODY = "Somebody who would ask this, and nothing more is known of them."
MOST_FAILED = 0.5


@dataclass(frozen=True)
class Battle:
    """of: which of the prompts it is about; ours: the new answer, shown against theirs; winner: model_a for ours, model_b, or tie."""

    of: int
    ours: str
    theirs: str
    winner: str


@dataclass(frozen=True)
class Made:
    """Battles, and how many came to nothing, by reason."""

    battles: list[Battle]
    lost: dict[str, int]


def make(settings: Synthetic, prompts: Sequence[str], theirs: Sequence[str], cache_dir: Path, tick: Callable[[], None]) -> Made:
    """A battle for each prompt. What was asked once is never asked again. tick(): one of 3 requests a battle is answered.

    Raises ElectorateError if the judge cannot be reached, or most of what it is asked fails.
    """
    judge = settings.judge
    key = endpoints.api_key("reward.synthetic.judge", judge)
    reached = Connection(judge.base_url, judge.model, key, judge.concurrency, judge.timeout_s, judge.retries)
    cache = ResponseCache(cache_dir / "answers.sqlite")
    try:
        asker = _Asker(settings, reached, cache, tick)
        ours = asker.ask([contestants.body(WRITER, prompt) for prompt in prompts])
        shown = [pair for own, other in zip(ours, theirs, strict=True) for pair in ((own.text, other), (other, own.text))]
        questions = [Question(JUDGE.name, "verdict", 0, prompts[i // 2], pair) for i, pair in enumerate(shown)]
        answers = asker.ask([wording.body(question, ANYBODY, JUDGE, judge, 0, Attempt()) for question in questions])
    finally:
        cache.close()
    readings = [reading.read(question, answer, 1.0) for question, answer in zip(questions, answers, strict=True)]
    winners = verdicts.choice(verdicts.judged(readings).odds)
    battles, lost = list[Battle](), Counter[str]()
    for i, (own, winner) in enumerate(zip(ours, winners, strict=True)):
        unread = [said.kind for said in readings[2 * i : 2 * i + 2] if isinstance(said, Unread)]
        if own.error or not own.text.strip():
            lost[own.error or "an empty answer"] += 1
        elif unread:
            lost[f"a verdict that is none: {unread[0]}"] += 1
        else:
            battles.append(Battle(i, own.text, theirs[i], WINNERS[winner]))
    return Made(battles, dict(lost))


class _Asker:
    """Asks one endpoint what the cache does not hold."""

    def __init__(self, settings: Synthetic, reached: Connection, cache: ResponseCache, tick: Callable[[], None]) -> None:
        self._settings, self._reached, self._cache, self._tick = settings, reached, cache, tick

    def ask(self, bodies: Sequence[dict[str, object]]) -> list[Answer]:
        """An answer to each."""
        served = served_as(self._settings.judge)
        calls = [Call(content_key({"served": served, "body": body}), MODEL, body) for body in bodies]
        known = {key: Answer(**row) for key, row in self._cache.get(call.key for call in calls).items()}
        missing = list({call.key: call for call in calls if call.key not in known}.values())
        if missing:
            endpoints.check_reachable("reward.synthetic.judge", self._reached)
            known |= asyncio.run(self._gather(missing))
        failed = [answer.error for answer in known.values() if answer.error]
        if len(failed) > MOST_FAILED * len(known):
            raise ElectorateError(f"reward.synthetic: {len(failed)} of {len(known)} requests failed; the first: {failed[0]}")
        for _ in calls:
            self._tick()
        return [known[call.key] for call in calls]

    async def _gather(self, calls: list[Call]) -> dict[str, Answer]:
        found = {}
        async for call, answer in HttpAsker({MODEL: self._reached}).ask(calls):
            found[call.key] = answer
            if not answer.error:
                self._cache.put(call.key, asdict(answer))
        return found
