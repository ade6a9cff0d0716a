"""Battles that a larger model writes and judges, to learn preferences from beside people's: for a prompt that people had answers
to, an answer of its own against one of theirs, and its verdict in both orders. Verdicts that hang on the order are ties.
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

from electorate import contestants, endpoints
from electorate.config import Contestant, Synthetic, content_key
from electorate.endpoints import Answer, Call, Connection, HttpAsker
from electorate.errors import ElectorateError
from electorate.storage.response_cache import ResponseCache

MODEL = "synthetic"
WRITER = Contestant(name="writer", model=MODEL, temperature=0.7, max_tokens=512)
JUDGE = Contestant(name="judge", model=MODEL, temperature=0.0, max_tokens=4)
VERDICT = re.compile(r"\W*(a|b|tie)\b", re.IGNORECASE)
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
        ours = asker.ask(WRITER, prompts)
        template = Template((files("electorate") / "data" / "verdict.txt").read_text(encoding="utf-8"))
        orders = [
            asker.ask(JUDGE, [template.substitute(prompt=p, a=a.text, b=b) for p, a, b in zip(prompts, ours, theirs, strict=True)]),
            asker.ask(JUDGE, [template.substitute(prompt=p, a=b, b=a.text) for p, a, b in zip(prompts, ours, theirs, strict=True)]),
        ]
    finally:
        cache.close()
    battles, lost = list[Battle](), dict[str, int]()
    for i, (own, one, other) in enumerate(zip(ours, *orders, strict=True)):
        reason = next((f"failed: {a.error}" for a in (own, one, other) if a.error), "" if own.text.strip() else "an empty answer")
        said, swapped = _verdict(one), _verdict(other)
        if reason or not (said and swapped):
            reason = reason or "a verdict that is none of A, B and tie"
            lost[reason] = lost.get(reason, 0) + 1
            continue
        winner = {("A", "B"): "model_a", ("B", "A"): "model_b"}.get((said, swapped), "tie")
        battles.append(Battle(i, own.text, theirs[i], winner))
    return Made(battles, lost)


class _Asker:
    """Asks one endpoint what the cache does not hold."""

    def __init__(self, settings: Synthetic, reached: Connection, cache: ResponseCache, tick: Callable[[], None]) -> None:
        self._settings, self._reached, self._cache, self._tick = settings, reached, cache, tick

    def ask(self, contestant: Contestant, prompts: Sequence[str]) -> list[Answer]:
        """An answer to each."""
        judge = self._settings.judge
        asked = contestant.model_dump(include={"temperature", "top_p", "max_tokens"}) | {"base_url": judge.base_url, "model": judge.model}
        requests = [Call(content_key(asked | {"prompt": text}), MODEL, contestants.body(contestant, text)) for text in prompts]
        known = {key: Answer(**row) for key, row in self._cache.get(request.key for request in requests).items()}
        missing = list({request.key: request for request in requests if request.key not in known}.values())
        if missing:
            endpoints.check_reachable("reward.synthetic.judge", self._reached)
            known |= asyncio.run(self._gather(missing))
        failed = [answer.error for answer in known.values() if answer.error]
        if len(failed) > MOST_FAILED * len(known):
            raise ElectorateError(f"reward.synthetic: {len(failed)} of {len(known)} requests failed; the first: {failed[0]}")
        for _ in requests:
            self._tick()
        return [known[request.key] for request in requests]

    async def _gather(self, requests: list[Call]) -> dict[str, Answer]:
        found = {}
        async for request, answer in HttpAsker({MODEL: self._reached}).ask(requests):
            found[request.key] = answer
            if not answer.error:
                self._cache.put(request.key, asdict(answer))
        return found


def _verdict(answer: Answer) -> str | None:
    """A, B or TIE; None for anything else."""
    found = VERDICT.match(answer.text)
    return found.group(1).upper() if found else None
