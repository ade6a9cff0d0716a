"""The one way in which models are asked: answers are on disk at once, what is on disk is never
asked for, and what fails for a reason that may pass is asked again.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Protocol

from electorate.base.errors import ElectorateError, EndpointError, WorkLostError
from electorate.base.progress import Advance, Bar, unshown
from electorate.config.contest import Budget
from electorate.inference.completions import OVERFLOW, Answer, Call, CallT, may_pass
from electorate.inference.endpoints import Connection, HttpAsker
from electorate.inference.spending import Spending
from electorate.storage.response_cache import ResponseCache

PASSES = 8
# Doubling from pass to pass up to LONGEST_PAUSE_S: an engine takes a minute or two to start again.
PAUSE_S = 2.0
LONGEST_PAUSE_S = 30.0
KEPT_EVERY_S = 0.05  # a commit a batch: one an answer would be slower than the answers come
MOST_FAILED = 0.5


class AskerLostError(Exception):
    """The process that asked is gone; what it had not answered may be asked again."""


class Asker(Protocol):
    """Asks models over HTTP for answers."""

    def ask(
        self, calls: Sequence[CallT], reached: Mapping[str, Connection]
    ) -> AsyncIterator[tuple[CallT, Answer]]:
        """Answers streamed back as they come.

        Args:
            calls: what to ask.
            reached: model id to where it is served, for every model in `calls`.

        Raises:
            AskerLostError: the process that asks died.
        """
        ...


class InProcessAsker:
    """Asks from this process."""

    def ask(
        self, calls: Sequence[CallT], reached: Mapping[str, Connection]
    ) -> AsyncIterator[tuple[CallT, Answer]]:
        """Answers streamed back as they come."""
        return HttpAsker(reached).ask(calls)


class Asking:
    """Asks models, and keeps what they say.

    Args:
        askers: who asks.
        reach: from the ids of models and how many askers there are to where the models are, once
            they answer; raises ElectorateError if one cannot be reached.
        cache: of answers.
        spending: counts what is asked, and says what the budget allows; None: anything.
        bar: shows how far the answers are.
        count: counts for Prometheus: a counter's name, by how much, and its labels.

    Attributes:
        asked: requests.
        sent_again: those that failed and were, by kind.
    """

    def __init__(
        self,
        askers: Sequence[Asker],
        reach: Callable[[set[str], int], Mapping[str, Connection]],
        cache: ResponseCache,
        spending: Spending | None = None,
        bar: Bar = unshown,
        count: Callable[..., None] = lambda *_, **__: None,
    ) -> None:
        self._askers = askers
        self._reach = reach
        self._cache = cache
        self._spending = spending or Spending(Budget(), {})
        self._bar = bar
        self._count = count
        self._unkept = dict[str, Answer]()
        self._kept_at = 0.0
        self.asked = 0
        self.sent_again = Counter[str]()

    def answers(self, calls: Sequence[Call], what: str) -> dict[str, Answer]:
        """An answer to each call, by key.

        What fails for a reason that may pass is asked again, once its endpoint is back.

        Raises EndpointError if most of the calls fail, but for those that were too long, which
        may be asked shorter; BudgetError once the budget allows no more, with the answers that it
        allowed stored.
        """
        unique = list({call.key: call for call in calls}.values())
        known = {
            key: Answer.stored(row)
            for key, row in self._cache.get(call.key for call in unique).items()
        }
        missing = [call for call in unique if call.key not in known]
        self._count("electorate_answers", len(known), source="cache")
        while missing:
            most = self._spending.affordable(missing)
            if not most:
                raise self._spending.error(what, len(missing))
            with self._bar(what, len(unique), len(known)) as advance:
                self._ask_all(missing[:most], known, advance, what)
            missing = missing[most:]
        self._refuse_many_failures([known[call.key] for call in unique], what)
        return known

    def _ask_all(
        self, missing: Sequence[Call], known: dict[str, Answer], advance: Advance, what: str
    ) -> None:
        """Ask, in several passes if need be, until all of these calls are known."""
        for pass_ in range(PASSES):
            if pass_:
                time.sleep(min(LONGEST_PAUSE_S, PAUSE_S * 2 ** (pass_ - 1)))
            models = {call.model for call in missing}
            reached = self._reach(models, len(self._askers))
            asyncio.run(self._pass(missing, reached, known, advance, last=pass_ == PASSES - 1))
            missing = [call for call in missing if call.key not in known]
            if not missing:
                return
        raise WorkLostError(
            f"{what}: {len(missing)} requests were lost with the processes that asked them"
        )

    async def _pass(
        self,
        calls: Sequence[Call],
        reached: Mapping[str, Connection],
        known: dict[str, Answer],
        advance: Advance,
        last: bool,
    ) -> None:
        """Deal the calls to the askers, neighbours together, and keep what streams back."""

        async def drain(asker: Asker, share: Sequence[Call]) -> None:
            try:
                async for call, answer in asker.ask(share, reached):
                    self._keep(call, answer, known, advance, last)
            except AskerLostError:
                await asyncio.sleep(PAUSE_S)

        size = -(-len(calls) // len(self._askers))
        shares = [calls[i : i + size] for i in range(0, len(calls), size)]
        try:
            await asyncio.gather(
                *(drain(asker, share) for asker, share in zip(self._askers, shares, strict=False))
            )
        finally:
            self._write()

    def _keep(
        self, call: Call, answer: Answer, known: dict[str, Answer], advance: Advance, last: bool
    ) -> None:
        self.asked += 1
        self._spending.add(call, answer)
        self.sent_again.update(answer.retried)
        if may_pass(answer) and not last:
            self.sent_again[answer.kind] += 1
            return
        known[call.key] = answer
        self._count("electorate_answers", 1, source="asked")
        self._count("electorate_answer_tokens", answer.tokens, model=call.model)
        if not answer.error:
            self._unkept[call.key] = answer
        if time.monotonic() - self._kept_at > KEPT_EVERY_S:
            self._write()
        advance()

    def _write(self) -> None:
        self._cache.put_all({key: vars(answer) for key, answer in self._unkept.items()})
        self._unkept = {}
        self._kept_at = time.monotonic()

    def _refuse_many_failures(self, answers: Sequence[Answer], what: str) -> None:
        failed = [answer for answer in answers if answer.error and answer.kind != OVERFLOW]
        if len(failed) > max(1, MOST_FAILED * len(answers)):
            # What an endpoint refuses it refuses again.
            kind = EndpointError if may_pass(failed[0]) else ElectorateError
            raise kind(
                f"{what}: {len(failed)} of {len(answers)} requests failed; the first: "
                f"{failed[0].error}"
            )
