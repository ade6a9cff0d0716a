"""The service behind the routes without Ray: snapshot made anew at every read, behind the same
Protocol as the real one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from electorate.base.errors import ElectorateError, RequestError
from electorate.base.scale import Ints
from electorate.inference.completions import Answer
from electorate.online import export, voters
from electorate.online.base import Base
from electorate.online.counter import Counter
from electorate.online.ledger import Answered, Spent
from electorate.online.rankings import Rankings
from electorate.online.sent import Batch, Taken
from electorate.online.snapshot import Snapshot
from electorate.online.voters import Voters
from electorate.rewards.weights import PersonalRead
from serve.security import Refused


class LocalService:
    def __init__(self, base: Base) -> None:
        self.rankings = Rankings(base)
        self.counter = Counter(base, base.open_store())
        self.counted: list[tuple[str, int]] = []
        self._snapshot = self.counter.snapshot()

    async def start(self) -> None:
        return None

    async def stop(self) -> None:
        return None

    async def snapshot(self, min_version: int) -> Snapshot:
        if self._snapshot.version < self.counter.store.fact("version"):
            self._snapshot = self.counter.snapshot()
        if self._snapshot.version < min_version:
            raise Refused(409, "min_version: not there")
        return self._snapshot

    async def vote(self, batch: Batch) -> Taken:
        taken = self.counter.store.add([batch])[0]
        if isinstance(taken, ElectorateError):
            raise taken
        return taken

    async def check_ready(self) -> None:
        return None

    async def add_model(self, name: str, key: str) -> int:
        return self.counter.store.add_model(name, key)

    async def change_model(self, name: str, key: str, to: str | None, retired: bool | None) -> int:
        return self.counter.store.change_model(name, key, to, retired)

    async def voters(self, limit: int) -> Voters:
        await self.snapshot(0)
        return voters.found(self.counter, self.counter.store, limit)

    async def answered(self, answers: Sequence[Answered]) -> Mapping[str, Spent]:
        return self.counter.store.answered(answers)

    async def export(self, user: str) -> dict[str, Any] | None:
        return export.of_user(self.counter.base, self.counter.store, user)

    async def erase(self, user: str, key: str) -> int | None:
        return self.counter.store.erase(user, key)

    async def read_answers(
        self, prompt: str, responses: Sequence[str], models: Ints
    ) -> PersonalRead:
        """The longer, the better, for everybody."""
        kinds = len(self.rankings.base.segments)
        length = np.array([float(len(text)) for text in responses])
        known = self.rankings.reads_prompts().read
        return replace(
            known,
            base=np.tile(length / 10, (kinds, 1)),
            taste=np.zeros((len(models), known.taste.shape[1])),
        )

    async def read_prompt(self, prompt: str) -> PersonalRead | None:
        models = len(self._snapshot.models)
        return (
            await self.read_answers(
                prompt, ["x" * (models - m) for m in range(models)], np.arange(models)
            )
            if "told" in prompt
            else None
        )

    async def ask(self, prompt: str, models: Sequence[str]) -> Mapping[str, Answer]:
        """Later models answer more; those that the prompt names are away, and any that is no
        contestant is refused.
        """
        if unknown := set(models) - set(self._snapshot.models):
            raise RequestError(f"candidates: {unknown.pop()!r} is not a contestant")
        return {
            name: Answer("", "error", 0, 0.0, "HTTP 500")
            if name in prompt
            else Answer("word " * (i + 1), "stop", i, 0.0)
            for i, name in enumerate(models)
        }

    def count(self, route: str, status: int) -> None:
        self.counted.append((route, status))

    async def metrics(self) -> str:
        return ""
