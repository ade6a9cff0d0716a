"""The service behind the routes without Ray: standings made anew at every read, behind the same Protocol as the real one."""

from electorate.errors import ElectorateError
from electorate.online.base import Base
from electorate.online.rankings import Rankings
from electorate.online.standings import Counter, Standings
from electorate.online.store import Batch, Taken
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

    def count(self, route: str, status: int) -> None:
        self.counted.append((route, status))

    async def metrics(self) -> str:
        return ""
