"""Calls asked through actors: their answers are on disk at once, and what is on disk is never asked for."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from ray.actor import ActorHandle
from ray.exceptions import RayActorError
from rich.console import Console

from actors import metrics
from electorate.endpoints import OVERFLOW, TIME_OUT, UNREACHABLE, Answer, Call, Connection
from electorate.errors import ElectorateError
from electorate.storage.response_cache import ResponseCache
from simulations.engines import Engines
from simulations.progress import Advance, bar

PASSES = 8
PAUSE_S = 2.0  # doubling from pass to pass up to LONGEST_PAUSE_S: an engine takes a minute or two to start again
LONGEST_PAUSE_S = 30.0
KEPT_EVERY_S = 0.05  # a commit a batch: one an answer would be slower than the answers come
MOST_FAILED = 0.5


class Asking:
    """Asks models through the actors and keeps what they say. asked: requests; sent_again: those that failed and were, by kind."""

    def __init__(self, actors: Sequence[ActorHandle], engines: Engines, cache: ResponseCache, console: Console) -> None:
        self._actors, self._engines, self._cache, self._console = actors, engines, cache, console
        self._unkept, self._kept_at = dict[str, Answer](), 0.0
        self.asked, self.sent_again = 0, Counter[str]()

    def answers(self, calls: Sequence[Call], what: str) -> dict[str, Answer]:
        """An answer to each call, by key. What fails for a reason that may pass is asked again, once its endpoint is back.

        Raises ElectorateError if most of the calls fail, but for those that were too long, which may be asked shorter.
        """
        unique = list({call.key: call for call in calls}.values())
        known = {key: Answer(**row) for key, row in self._cache.get(call.key for call in unique).items()}
        missing = [call for call in unique if call.key not in known]
        metrics.count("electorate_answers", len(known), source="cache")
        if missing:
            with bar(self._console, what, len(unique), len(known)) as advance:
                for pass_ in range(PASSES):
                    if pass_:
                        time.sleep(min(LONGEST_PAUSE_S, PAUSE_S * 2 ** (pass_ - 1)))
                    reached = self._engines.reach({call.model for call in missing}, len(self._actors))
                    asyncio.run(self._pass(missing, reached, known, advance, last=pass_ == PASSES - 1))
                    missing = [call for call in unique if call.key not in known]
                    if not missing:
                        break
            if missing:
                raise ElectorateError(f"{what}: {len(missing)} requests were lost with the actors that asked them; run again with --resume")
        self._refuse_many_failures([known[call.key] for call in unique], what)
        return known

    async def _pass(
        self, calls: Sequence[Call], reached: Mapping[str, Connection], known: dict[str, Answer], advance: Advance, last: bool
    ) -> None:
        """Deal the calls to the actors, neighbours together, and keep what streams back."""

        async def drain(actor: ActorHandle, share: Sequence[Call]) -> None:
            try:
                async for reference in actor.ask.remote(share, reached):
                    call, answer = await reference
                    self._keep(call, answer, known, advance, last)
            except RayActorError:
                await asyncio.sleep(PAUSE_S)

        size = -(-len(calls) // len(self._actors))
        shares = [calls[i : i + size] for i in range(0, len(calls), size)]
        try:
            await asyncio.gather(*(drain(actor, share) for actor, share in zip(self._actors, shares, strict=False)))
        finally:
            self._write()

    def _keep(self, call: Call, answer: Answer, known: dict[str, Answer], advance: Advance, last: bool) -> None:
        self.asked += 1
        self.sent_again.update(answer.retried)
        if _may_pass(answer) and not last:
            self.sent_again[answer.kind] += 1
            return
        known[call.key] = answer
        metrics.count("electorate_answers", 1, source="asked")
        metrics.count("electorate_answer_tokens", answer.tokens, model=call.model)
        if not answer.error:
            self._unkept[call.key] = answer
        if time.monotonic() - self._kept_at > KEPT_EVERY_S:
            self._write()
        advance()

    def _write(self) -> None:
        self._cache.put_all({key: asdict(answer) for key, answer in self._unkept.items()})
        self._unkept, self._kept_at = {}, time.monotonic()

    def _refuse_many_failures(self, answers: Sequence[Answer], what: str) -> None:
        failed = [answer for answer in answers if answer.error and answer.kind != OVERFLOW]
        if len(failed) > max(1, MOST_FAILED * len(answers)):
            raise ElectorateError(
                f"{what}: {len(failed)} of {len(answers)} requests failed; the first: {failed[0].error}; "
                "what was answered is kept, run again with --resume"
            )


def _may_pass(answer: Answer) -> bool:
    """Whether the same call may be answered later: the endpoint was away, or not up to it."""
    return bool(answer.error) and (answer.kind in (TIME_OUT, UNREACHABLE) or answer.kind.startswith(("HTTP 5", "HTTP 429")))
