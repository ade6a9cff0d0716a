"""What the ranking endpoint's routes stand on: standings to read, and somewhere to write."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from electorate.endpoints import Answer
from electorate.online.rankings import Rankings
from electorate.online.standings import Standings
from electorate.online.store import Batch, Taken
from electorate.rewards.weights import PersonalRead
from electorate.scale import Ints


class Service(Protocol):
    """Of one replica."""

    rankings: Rankings

    async def start(self) -> None:
        """Before the first request."""
        ...

    async def stop(self) -> None:
        """After the last one."""
        ...

    async def standings(self, min_version: int) -> Standings:
        """The last ones, once they count this version. Raises Refused if that takes too long."""
        ...

    async def vote(self, batch: Batch) -> Taken:
        """Returns when the votes are on disk. Raises ElectorateError if they cannot be taken, Refused if too many wait."""
        ...

    async def erase(self, user: str, key: str) -> int | None:
        """The version without the user; None if it is not known."""
        ...

    async def read_answers(self, prompt: str, responses: Sequence[str], models: Ints) -> PersonalRead:
        """What System B says of responses to a prompt by these models. Raises Refused if nothing here reads texts."""
        ...

    async def read_prompt(self, prompt: str) -> PersonalRead | None:
        """What a prompt alone tells of all models; None where that was not learned. Raises Refused if nothing here reads texts."""
        ...

    async def ask(self, prompt: str, models: Sequence[str]) -> Mapping[str, Answer]:
        """What these contestants answer now, each with text or an error. Raises ElectorateError where contestants are not asked."""
        ...

    def count(self, route: str, status: int) -> None:
        """A request was answered."""
        ...

    async def metrics(self) -> str:
        """Of all replicas, as Prometheus reads them."""
        ...
