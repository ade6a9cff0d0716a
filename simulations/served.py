"""What `serve` says of what it serves: in words, and three requests to try."""

import json
import shlex
from dataclasses import dataclass
from urllib.parse import quote

from electorate.online.base import Base
from electorate.online.store import VoteStore
from serve.settings import Settings

SHOWN = 5  # segments


@dataclass(frozen=True)
class Served:
    """What a store and its base hold.

    votes: those that came online or were given; personas' are beside them. user: somebody who
    voted, or none.
    """

    models: tuple[str, ...]
    segments: tuple[str, ...]
    personas: int
    users: int
    votes: int
    user: str | None

    @classmethod
    def of(cls, base: Base, store: VoteStore) -> "Served":
        """What a store and its base hold now."""
        names = store.users.above().name
        somebody = "0" if base.personas else next(iter(names), None)
        ranked = tuple(name for name in store.models.names if name)
        return cls(ranked, base.segments, base.personas, len(names), store.votes, somebody)

    def in_words(self) -> str:
        """A line that says what is served."""
        if not (self.personas or self.votes):
            named = f" on {len(self.models):,} models" if self.models else ""
            return f"no votes yet{named}; the first ones make the board"
        parts = [f"{len(self.models):,} models"]
        if self.personas:
            parts.append(f"a run of {self.personas:,} personas")
        if self.votes:
            parts.append(f"{self.votes:,} votes of {self.users:,} users")
        if self.segments:
            some = ", ".join(self.segments[:SHOWN])
            more = ", ..." * (len(self.segments) > SHOWN)
            parts.append(f"{len(self.segments):,} segments ({some}{more})")
        return "; ".join(parts)

    def requests(self, url: str, settings: Settings) -> list[str]:
        """To try, as a shell takes them."""
        key = ' -H "Authorization: Bearer $KEY"' if settings.keys is not None else ""
        ask = f"curl{key}"
        segment = f"?segment={quote(self.segments[0], safe='')}" if self.segments else ""
        user = self.user or "me"
        path = f"/v1/users/{quote(user, safe='')}/ranking"
        lines = [
            f"{ask} {shlex.quote(url + '/v1/leaderboard' + segment)}",
            f"{ask} {shlex.quote(url + path)}",
        ]
        if settings.contestants is not None or settings.live:
            message = {"role": "user", "content": "Hello"}
            body = {"model": "electorate", "user": user, "messages": [message]}
            return [*lines, f"{ask} {url}/v1/chat/completions {_as_data(body)}"]
        a, b = (*self.models, "model-1", "model-2")[:2]
        vote = {"id": "1", "user_id": "me", "model_a": a, "model_b": b, "winner": "model_a"}
        return [*lines, f"{ask} {url}/v1/votes {_as_data({'votes': [vote]})}"]


def _as_data(body: object) -> str:
    message = shlex.quote(json.dumps(body, ensure_ascii=False))
    return f"-H 'content-type: application/json' -d {message}"
