"""Who may do what, how often, and how large a request may be."""

import asyncio
import hashlib
import hmac
import json
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from electorate.base.errors import ElectorateError
from electorate.storage import files
from serve.settings import Settings

LOG = logging.getLogger("ray.serve")
REVOKED_S = 1.0  # at most, until a key that was taken out of its file is refused
Permission = Literal["read", "vote", "chat", "erase", "manage"]
LimitT = TypeVar("LimitT", int, float)
PERMISSIONS: tuple[Permission, ...] = get_args(Permission)
ANYBODY = "anybody"
BEARER = HTTPBearer(
    auto_error=False, description="as `keys` printed it"
)  # described alone: the gate itself says what is wrong
# The page loads nothing from elsewhere and runs no script that stands in it.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src "
    "'self'; base-uri 'none'; "
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
    """A key.

    Attributes:
        sha256: of the key itself, which has 256 random bits, so that a slow hash would protect
            nothing more.
        tokens_a_minute, usd_a_day: what chats under it may read, write and cost; None: any amount.
    """

    name: str
    sha256: str
    permissions: tuple[Permission, ...]
    tokens_a_minute: int | None = None
    usd_a_day: float | None = None


def digest(key: str) -> str:
    """The digest by which a key is kept."""
    return hashlib.sha256(key.encode()).hexdigest()


def read_keys(path: Path) -> list[Key]:
    """The keys of a file. Raises ElectorateError if it is not one."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return [
            Key(
                str(row["name"]),
                str(row["sha256"]),
                tuple(p for p in PERMISSIONS if p in row["permissions"]),
                _limit(row, "tokens_a_minute", int),
                _limit(row, "usd_a_day", float),
            )
            for row in rows
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ElectorateError(
            f"{path}: not a file of keys ({error}); `electorate keys` writes one"
        ) from None


def _limit(row: Mapping[str, Any], name: str, kind: type[LimitT]) -> LimitT | None:
    """Files from before there were limits have none. Raises ValueError for what is no amount."""
    given = row.get(name)
    if given is None:
        return None
    if isinstance(given, bool) or not 0 <= kind(given) < float("inf"):
        raise ValueError(f"{name}: {given!r} is no amount")
    return kind(given)


def add_key(
    path: Path,
    name: str,
    permissions: tuple[Permission, ...],
    tokens_a_minute: int | None = None,
    usd_a_day: float | None = None,
) -> str:
    """Add a key to a file, made if it is not there, which keeps its hash alone; returns the key,
    which nobody can be told again. See Key for the limits.
    """
    known = read_keys(path) if path.exists() else []
    if any(key.name == name for key in known):
        raise ElectorateError(
            f"{path}: has a key named {name!r} already; give another name, or remove its line"
        )
    secret = f"el-{secrets.token_urlsafe(32)}"
    new = Key(name, digest(secret), permissions, tokens_a_minute, usd_a_day)
    rows = [asdict(key) for key in (*known, new)]
    files.write_text(path, json.dumps(rows, indent=1) + "\n")
    return secret


class Refused(Exception):  # noqa: N818 not an error of ours
    """A request that may not be answered: status, one line why, and in how many seconds it may
    be sent again.
    """

    def __init__(self, status: int, why: str, retry_after_s: int | None = None) -> None:
        super().__init__(why)
        self.status = status
        self.why = why
        self.retry_after_s = retry_after_s

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the refusal."""
        headers = {} if self.retry_after_s is None else {"retry-after": str(self.retry_after_s)}
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        return headers

    def response(self) -> JSONResponse:
        """The refusal as an HTTP response."""
        return JSONResponse({"detail": self.why}, self.status, self.headers)


class KeyFile:
    """The keys of a file, as they are now: one that is taken out is refused REVOKED_S later.

    Raises ElectorateError, at the start, if it is not a file of keys. One that cannot be read later
    lets nobody in.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._keys = read_keys(path)
        self._state = self._now()
        self._looked = time.monotonic()

    def _now(self) -> tuple[int, int, int]:
        found = self._path.stat()
        return found.st_mtime_ns, found.st_size, found.st_ino

    def keys(self) -> list[Key]:
        """Those that are in force. Raises Refused if that cannot be told."""
        now = time.monotonic()
        if now - self._looked < REVOKED_S:
            return self._keys
        try:
            state = self._now()
            if state != self._state:
                self._keys = read_keys(self._path)
                self._state = state
        except (OSError, ElectorateError) as error:
            LOG.error("all requests are refused, as the keys cannot be read: %s", error)
            raise Refused(503, "the keys cannot be read; see the server log", 5) from None
        self._looked = now
        return self._keys

    def who(self, headers: Mapping[str, str]) -> Key:
        """The key that a request came with. Raises Refused if it is not known."""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not given.strip():
            raise Refused(401, "a key is needed: Authorization: Bearer KEY")
        hashed = digest(given.strip())
        # Every key is compared, in constant time, so that time tells nothing.
        found = [key for key in self.keys() if hmac.compare_digest(key.sha256, hashed)]
        if not found:
            raise Refused(401, "the key is not known")
        return found[0]


class Gate:
    """Lets requests through by key: permissions, and so many a second.

    keys: a file of keys, None lets everybody do everything.
    """

    def __init__(self, keys: Path | None, rate: float) -> None:
        self._keys = None if keys is None else KeyFile(keys)
        self._rate = rate
        self._left: dict[str, tuple[float, float]] = {}  # by key: requests it may make, and when

    def check(self, headers: Mapping[str, str], wanted: Permission) -> str:
        """The name of whoever asks. Raises Refused."""
        name = ANYBODY
        if self._keys is not None:
            key = self._keys.who(headers)
            name = key.name
            if wanted not in key.permissions:
                may = ", ".join(key.permissions) or "nothing"
                raise Refused(403, f"the key may not {wanted}; it may {may}")
        self._spend(name)
        return name

    def _spend(self, name: str) -> None:
        now = time.monotonic()
        left, then = self._left.get(name, (self._rate, now))
        left = min(max(1.0, self._rate), left + (now - then) * self._rate)
        self._left[name] = max(0.0, left - 1), now
        if left < 1:
            raise Refused(429, f"more than {self._rate:g} requests a second", 1)

    def key(self, name: str) -> Key | None:
        """The key of this name; None where no keys are asked for."""
        known = [] if self._keys is None else self._keys.keys()
        return next((key for key in known if key.name == name), None)

    def check_known(self, headers: Mapping[str, str]) -> None:
        """Raises Refused if the request comes with no key that may do anything."""
        if self._keys is not None:
            self._keys.who(headers)

    def may(self, wanted: Permission) -> Any:
        """As a dependency of a route: the name of whoever asks."""

        # async, as FastAPI would call anything else in a thread.
        async def check(request: Request) -> str:
            return self.check(request.headers, wanted)

        async def check_described(request: Request, _: Annotated[object, Depends(BEARER)]) -> str:
            return self.check(request.headers, wanted)

        # Where keys are asked for, the API's page has somewhere to put one.
        return Depends(check if self._keys is None else check_described)


class Guard:
    """Around an application, before it reads anything.

    Requests come by a name that is ours (a page elsewhere whose name was made to lead here does not
    have it: DNS rebinding), with a key that is known where they have a body, which is at most so
    large and comes within so many seconds. Every answer tells browsers what to be careful about,
    and is counted by the route it took rather than by its path, which may name users.
    """

    def __init__(
        self, app: ASGIApp, gate: Gate, settings: Settings, count: Callable[[str, int], None]
    ) -> None:
        self._app = app
        self._gate = gate
        self._hosts = settings.hosts
        self._max_body = settings.max_body
        self._body_s = settings.body_s
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take an ASGI connection: refuse it, or hand it on to the app."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = {name for name, _ in message["headers"]}
                added = (pair for pair in RAW_HEADERS if pair[0] not in there)
                message["headers"] = [*message["headers"], *added]
                route = getattr(scope.get("route"), "path", "") or "page"
                self._count(route, message["status"])
            await send(message)

        headers = Headers(scope=scope)
        try:
            self._check_names(headers)
            if "content-length" in headers or "transfer-encoding" in headers:
                self._gate.check_known(headers)
                receive = await self._body(receive, headers)
        except Refused as refused:
            await refused.response()(scope, receive, with_headers)
            return
        await self._app(scope, receive, with_headers)

    def _check_names(self, headers: Headers) -> None:
        if self._hosts is None:
            return
        origin = headers.get("origin")
        asked = [("Host", f"//{headers.get('host', '')}")]
        asked += [] if origin is None else [("Origin", origin)]
        for header, name in asked:
            if _host(name) not in self._hosts:
                raise Refused(
                    403,
                    f"{header}: requests are taken for {', '.join(self._hosts)} alone; the "
                    "setting `hosts` names others",
                )

    async def _body(self, receive: Receive, headers: Headers) -> Receive:
        """The request's body, read whole, to be received again. Raises Refused."""
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self._max_body:
            raise Refused(413, f"a request may have {self._max_body:,} bytes")
        try:
            async with asyncio.timeout(self._body_s):
                body = await self._read(receive)
        except TimeoutError:
            raise Refused(408, f"a request's body has to come within {self._body_s:g} s") from None
        given = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def replay() -> Message:
            return next(given, None) or await receive()

        return replay

    async def _read(self, receive: Receive) -> bytes:
        parts = list[bytes]()
        size = 0
        while True:
            message = await receive()
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._max_body:
                raise Refused(413, f"a request may have {self._max_body:,} bytes")
            if message["type"] != "http.request" or not message.get("more_body"):
                return b"".join(parts)


def _host(url: str) -> str | None:
    """The name in a Host or Origin header, without its port."""
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
