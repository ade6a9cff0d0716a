"""Answers that a replica has put together already."""

from collections.abc import Callable
from typing import Any

from fastapi.responses import Response

from electorate.online.rankings import Rankings
from electorate.online.snapshot import Snapshot
from serve import schemas

KEPT = 20_000  # answers of each kind


class Kept:
    """For as long as the snapshot stays the same.

    Rankings of users for as long as nothing that they rest on changes: most votes are others'.
    """

    def __init__(self, rankings: Rankings) -> None:
        self._rankings = rankings
        self._made = -1.0
        self._bodies: dict[object, bytes] = {}
        self._of_users: dict[object, tuple[object, bytes, bytes]] = {}

    def answer(self, snapshot: Snapshot, what: object, make: Callable[[], Any]) -> Response:
        """What was put together for this snapshot, or is now."""
        if self._made != snapshot.made or len(self._bodies) >= KEPT:
            self._made = snapshot.made
            self._bodies = {}
        if what not in self._bodies:
            self._bodies[what] = make().model_dump_json().encode()
        return Response(self._bodies[what], media_type="application/json")

    def has(self, snapshot: Snapshot, what: object) -> bool:
        """Whether that was put together for this snapshot."""
        return self._made == snapshot.made and what in self._bodies

    def of_user(
        self,
        snapshot: Snapshot,
        user: str,
        segment: str | None,
        make: Callable[[], schemas.PersonalRanking],
    ) -> Response:
        """A user's ranking, with this snapshot's version."""
        version = f'"version":{snapshot.version},"ranking":['.encode()
        rests_on = self._rankings.rests_on(snapshot, user, segment)
        known = self._of_users.get((user, segment))
        if known is None or known[0] != rests_on:
            if len(self._of_users) >= KEPT:
                self._of_users = {}
            # Nothing that a client chose looks like this: quotes inside a string are escaped.
            before, _, after = make().model_dump_json().encode().partition(version)
            known = rests_on, before, after
            self._of_users[user, segment] = known
        return Response(known[1] + version + known[2], media_type="application/json")
