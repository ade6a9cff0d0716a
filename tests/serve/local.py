"""The service behind the routes without Ray: standings made anew at every read, behind the same Protocol as the real one."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from electorate.endpoints import Answer
from electorate.errors import ElectorateError
from electorate.online.base import Base
from electorate.online.rankings import Rankings
from electorate.online.standings import Counter, Standings
from electorate.online.store import Batch, Taken
from electorate.rewards.weights import PersonalRead
from electorate.scale import Ints
from serve.security import Refused


class LocalService:
    def __init__(self, base: Base) -> None:
        self.rankings = Rankings(base)
        self.counter = Counter(base, base.open_store())
        self.counted: list[tuple[str, int]] = []
        self._standings = self.counter.standings()

    async def start(self) -> None:
        return None

    async def stop(self) -> None:
        return None

    async def standings(self, min_version: int) -> Standings:
        if self._standings.version < self.counter.store.fact("version"):
            self._standings = self.counter.standings()
        if self._standings.version < min_version:
            raise Refused(409, "min_version: not there")
        return self._standings

    async def vote(self, batch: Batch) -> Taken:
        taken = self.counter.store.add([batch])[0]
        if isinstance(taken, ElectorateError):
            raise taken
        return taken

    async def erase(self, user: str, key: str) -> int | None:
        return self.counter.store.erase(user, key)

    async def read_answers(self, prompt: str, responses: Sequence[str], models: Ints) -> PersonalRead:
        """The longer, the better, for everybody."""
        kinds, length = len(self.rankings.base.segments), np.array([float(len(text)) for text in responses])
        known = self.rankings.reads_prompts().read
        return replace(known, base=np.tile(length / 10, (kinds, 1)), taste=np.zeros((len(models), known.taste.shape[1])))

    async def read_prompt(self, prompt: str) -> PersonalRead | None:
        models = len(self._standings.models)
        return await self.read_answers(prompt, ["x" * (models - m) for m in range(models)], np.arange(models)) if "told" in prompt else None

    async def ask(self, prompt: str, models: Sequence[str]) -> Mapping[str, Answer]:
        """Later models answer more; those that the prompt names are away, and any that is no contestant is refused."""
        if unknown := set(models) - set(self._standings.models):
            raise ElectorateError(f"candidates: {unknown.pop()!r} is not a contestant")
        return {
            name: Answer("", "error", 0, 0.0, "HTTP 500") if name in prompt else Answer("word " * (i + 1), "stop", i, 0.0)
            for i, name in enumerate(models)
        }

    def count(self, route: str, status: int) -> None:
        self.counted.append((route, status))

    async def metrics(self) -> str:
        return ""
