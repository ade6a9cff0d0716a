"""What the ranking endpoint's routes stand on: a snapshot to read, and somewhere to write."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from electorate.base.scale import Ints
from electorate.inference.completions import Answer
from electorate.online.ledger import Answered, Spent
from electorate.online.rankings import Rankings
from electorate.online.sent import Batch, Taken
from electorate.online.snapshot import Snapshot
from electorate.online.voters import Voters
from electorate.rewards.weights import PersonalRead


class Service(Protocol):
    """What the routes of a replica need of it."""

    rankings: Rankings

    async def start(self) -> None:
        """Called before the first request."""
        ...

    async def stop(self) -> None:
        """Called after the last request."""
        ...

    async def snapshot(self, min_version: int) -> Snapshot:
        """The last one, once it counts this version. Raises Refused if that takes too long."""
        ...

    async def check_ready(self) -> None:
        """Raises Refused, with the reason, if there is no snapshot or it is too far behind."""
        ...

    async def vote(self, batch: Batch) -> Taken:
        """Returns when the votes are on disk.

        Raises RequestError if they may not be taken, Refused if too many wait.
        """
        ...

    async def answered(self, answers: Sequence[Answered]) -> Mapping[str, Spent]:
        """Keep what the gateway answered; what each key spent by now."""
        ...

    async def export(self, user: str) -> dict[str, Any] | None:
        """What is kept of a user, see electorate/online/export.py; None if it is not known."""
        ...

    async def erase(self, user: str, key: str) -> int | None:
        """The version without the user; None if it is not known."""
        ...

    async def add_model(self, name: str, key: str) -> int:
        """The version that knows the model. Raises RequestError if it may not be added."""
        ...

    async def change_model(self, name: str, key: str, to: str | None, retired: bool | None) -> int:
        """Rename, retire or take back; the version that knows it. Raises RequestError."""
        ...

    async def voters(self, limit: int) -> Voters:
        """The users and keys with the most votes."""
        ...

    async def read_answers(
        self, prompt: str, responses: Sequence[str], models: Ints
    ) -> PersonalRead:
        """What System B says of responses to a prompt by these models.

        Raises Refused if nothing here reads texts.
        """
        ...

    async def read_prompt(self, prompt: str) -> PersonalRead | None:
        """What a prompt alone tells of all models; None where that was not learned. Raises Refused
        if nothing here reads texts.
        """
        ...

    async def ask(self, prompt: str, models: Sequence[str]) -> Mapping[str, Answer]:
        """What these contestants answer now, each with text or an error.

        Raises ElectorateError where contestants are not asked.
        """
        ...

    def count(self, route: str, status: int) -> None:
        """Count an answered request."""
        ...

    async def metrics(self) -> str:
        """Of all replicas, as Prometheus reads them."""
        ...
