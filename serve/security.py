"""Who may do what, how often, and how large a request may be."""

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from electorate.errors import ElectorateError
from electorate.storage import files

Permission = Literal["read", "vote", "erase"]
PERMISSIONS: tuple[Permission, ...] = get_args(Permission)
ANYBODY = "anybody"
BEARER = HTTPBearer(auto_error=False, description="as `keys` printed it")  # described alone: the gate itself says what is wrong
# The page loads nothing from elsewhere and runs no script that stands in it.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
RAW_HEADERS = [(name.encode(), value.encode()) for name, value in HEADERS.items()]


@dataclass(frozen=True)
class Key:
    """sha256: of the key itself, which has 256 random bits, so that a slow hash would protect nothing more."""

    name: str
    sha256: str
    permissions: tuple[Permission, ...]


def digest(key: str) -> str:
    """As it is kept."""
    return hashlib.sha256(key.encode()).hexdigest()


def read_keys(path: Path) -> list[Key]:
    """The keys of a file. Raises ElectorateError if it is not one."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return [Key(str(row["name"]), str(row["sha256"]), tuple(p for p in PERMISSIONS if p in row["permissions"])) for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ElectorateError(f"{path}: not a file of keys ({error}); `electorate keys` writes one") from None


def add_key(path: Path, name: str, permissions: tuple[Permission, ...]) -> str:
    """Add a key to a file, made if it is not there, which keeps its hash alone; returns the key, which nobody can be told again."""
    known = read_keys(path) if path.exists() else []
    if any(key.name == name for key in known):
        raise ElectorateError(f"{path}: has a key named {name!r} already; give another name, or remove its line")
    secret = f"el-{secrets.token_urlsafe(32)}"
    rows = [asdict(key) for key in (*known, Key(name, digest(secret), permissions))]
    files.write_text(path, json.dumps(rows, indent=1) + "\n")
    return secret


class Refused(Exception):  # noqa: N818 not an error of ours
    """A request that may not be answered: status, one line why, and in how many seconds it may be sent again."""

    def __init__(self, status: int, why: str, retry_after_s: int | None = None) -> None:
        super().__init__(why)
        self.status, self.why, self.retry_after_s = status, why, retry_after_s

    def response(self) -> JSONResponse:
        """As it goes out."""
        headers = {} if self.retry_after_s is None else {"retry-after": str(self.retry_after_s)}
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        return JSONResponse({"detail": self.why}, self.status, headers)


class Gate:
    """Lets requests through by key: permissions, and so many a second. keys: None lets everybody do everything."""

    def __init__(self, keys: list[Key] | None, rate: float) -> None:
        self._keys, self._rate = keys, rate
        self._left: dict[str, tuple[float, float]] = {}  # by key: requests it may make at once, and when that was so

    def check(self, headers: Mapping[str, str], wanted: Permission) -> str:
        """The name of whoever asks. Raises Refused."""
        name = ANYBODY if self._keys is None else self._who(headers, self._keys, wanted)
        now = time.monotonic()
        left, then = self._left.get(name, (self._rate, now))
        left = min(max(1.0, self._rate), left + (now - then) * self._rate)
        self._left[name] = max(0.0, left - 1), now
        if left < 1:
            raise Refused(429, f"more than {self._rate:g} requests a second", 1)
        return name

    def may(self, wanted: Permission) -> Any:
        """As a dependency of a route: the name of whoever asks."""

        # async, as FastAPI would call anything else in a thread.
        async def check(request: Request) -> str:
            return self.check(request.headers, wanted)

        async def check_described(request: Request, _: Annotated[object, Depends(BEARER)]) -> str:
            return self.check(request.headers, wanted)

        # Where keys are asked for, the API's page has somewhere to put one.
        return Depends(check if self._keys is None else check_described)

    def _who(self, headers: Mapping[str, str], keys: list[Key], wanted: Permission) -> str:
        given = headers.get("authorization", "").removeprefix("Bearer ").strip()
        if not given:
            raise Refused(401, "a key is needed: Authorization: Bearer KEY")
        hashed = digest(given)
        # Every key is compared, in constant time, so that time tells nothing.
        found = [key for key in keys if hmac.compare_digest(key.sha256, hashed)]
        if not found:
            raise Refused(401, "the key is not known")
        if wanted not in found[0].permissions:
            raise Refused(403, f"the key may not {wanted}; it may {', '.join(found[0].permissions) or 'nothing'}")
        return found[0].name


class Guard:
    """Around an application: requests of at most so many bytes, what browsers are to be told with every answer, and each answer
    counted by the route it took rather than by its path, which may name users.
    """

    def __init__(self, app: ASGIApp, max_body: int, count: Callable[[str, int], None]) -> None:
        self._app, self._max_body, self._count = app, max_body, count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(pair for pair in RAW_HEADERS if pair[0] not in there)]
                self._count(getattr(scope.get("route"), "path", "") or "page", message["status"])
            await send(message)

        if not self._has_body(scope):
            await self._app(scope, receive, with_headers)
            return
        body, too_large = await self._body(receive)
        if too_large:
            await Refused(413, f"a request may have {self._max_body:,} bytes").response()(scope, receive, with_headers)
            return
        given = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def replay() -> Message:
            return next(given, None) or await receive()

        await self._app(scope, replay, with_headers)

    @staticmethod
    def _has_body(scope: Scope) -> bool:
        return any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])

    async def _body(self, receive: Receive) -> tuple[bytes, bool]:
        parts, size = list[bytes](), 0
        while True:
            message = await receive()
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._max_body:
                return b"", True
            if message["type"] != "http.request" or not message.get("more_body"):
                return b"".join(parts), False
