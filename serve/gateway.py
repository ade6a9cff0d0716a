"""An OpenAI-compatible gateway: conversations go to the contestant that suits the user.

What a contestant answers passes unchanged, streamed or not, tools and errors too; headers say who
answered and why. One that cannot be reached, is too slow, pushes back or fails is passed over for
the next best.
"""

import hashlib
import json
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any
from urllib.parse import quote

import aiohttp
import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import TypeAdapter, ValidationError

from electorate.base.errors import ElectorateError, RequestError
from electorate.online import routing, sent
from electorate.online.ledger import Answered
from electorate.online.rankings import Ranking
from electorate.online.routing import Choice
from electorate.online.sent import Batch, Vote
from electorate.online.snapshot import Snapshot
from electorate.rewards.store import PROMPT_HEAD
from serve import answer_ids, schemas
from serve.security import Gate, Refused
from serve.service import Service
from serve.spending import Meter, Spending
from serve.upstreams import Upstream

LOG = logging.getLogger("ray.serve")
ROUTER = "electorate"
COST = "cost:"
CONNECT_S = 5.0
KEPT = 10_000  # rankings
PASSED_OVER = (408, 429)  # and all of 500 and above
NOBODY = ""
USER_HEADER = "x-openwebui-user-id"  # Open WebUI's, which names users in no other way
USER = TypeAdapter(schemas.UserId)
PRINTABLE = "".join(chr(letter) for letter in range(32, 127) if chr(letter) != "%")


class Gateway:
    """Of one replica.

    Args:
        upstreams: the contestants by name.
        key: that ids of answers are signed with.
        explore: the share of requests that go to a contestant drawn by chance.
    """

    def __init__(self, upstreams: Mapping[str, Upstream], key: bytes, explore: float) -> None:
        self.upstreams = upstreams
        self._key = key
        self._explore = explore
        self._random = np.random.default_rng()
        self._session: aiohttp.ClientSession | None = None
        self._version = -1
        self._known = dict[tuple[str, ...], Ranking]()
        self.spending = Spending()

    @property
    def models(self) -> list[schemas.OpenAIModel]:
        """What a client may ask for."""
        return [schemas.OpenAIModel(id=name) for name in (ROUTER, *self.upstreams)]

    async def chat(
        self, service: Service, body: Mapping[str, Any], user: str, key: str = ""
    ) -> Response:
        """The answer to a user's chat completion request. key: the name of the key it came with.

        Raises:
            RequestError: it is none, or names no model of the gateway.
            Refused: no contestant answers.
        """
        asked = _Asked(service, body, user, key)
        name = body.get("model")
        if isinstance(name, str) and name in self.upstreams:
            found = _Found(Choice((name,), 1.0, False), "asked for", "")
        else:
            found = await self._route(asked, _rate(name, [*self.upstreams]))
        return await self._first_to_answer(asked, found)

    def vote(self, given: schemas.Feedback) -> Vote:
        """Feedback on two answers, or on one alone, as a vote.

        Raises:
            RequestError: an id is none of this gateway's, or they say nothing of two contestants.
        """
        if given.answer is not None or given.thumb is not None:
            return self._thumb(given)
        if given.better is None or given.worse is None:
            raise RequestError(
                "give `better` and `worse`, the ids of two answers, or `answer` and `thumb`"
            )
        better = answer_ids.read(self._key, given.better, "better")
        worse = answer_ids.read(self._key, given.worse, "worse")
        if better.user != worse.user:
            raise RequestError("worse: another user's answer; compare two answers to one user")
        if better.model == worse.model:
            raise RequestError(f"worse: both answers are {better.model}'s, which tells nothing")
        if better.user == NOBODY:
            raise RequestError("better: nobody's answer; give `user` where you ask for it")
        pair = "\0".join(sorted((better.nonce, worse.nonce)))
        number = hashlib.sha256(pair.encode()).hexdigest()[:32]
        outcome = 2 if given.tie else 0
        return Vote(f"answers-{number}", better.user, better.model, worse.model, outcome)

    def _thumb(self, given: schemas.Feedback) -> Vote:
        if given.answer is None or given.thumb is None or given.better or given.worse or given.tie:
            raise RequestError(
                "answer: goes with `thumb`, up or down, and without `better`, `worse` and `tie`"
            )
        answer = answer_ids.read(self._key, given.answer, "answer")
        if answer.user == NOBODY:
            raise RequestError("answer: nobody's; give `user` where you ask for it")
        outcome = 0 if given.thumb == "up" else 1
        return Vote(f"thumb-{answer.nonce}", answer.user, answer.model, sent.NOBODY, outcome)

    async def stop(self, service: Service) -> None:
        """After the last request."""
        await self.spending.tell(service)
        if self._session is not None:
            await self._session.close()

    async def _route(self, asked: "_Asked", rate: float) -> "_Found":
        """By the user's ranking, on the prompt where something here reads prompts."""
        service = asked.service
        user = asked.user
        snapshot = await service.snapshot(0)
        there = [name for name in self.upstreams if name not in snapshot.retired]
        if not there:
            raise Refused(503, "every contestant is retired")
        names = [name for name in there if self.upstreams[name].is_open] or there
        rated = [name for name in names if name in snapshot.ranked]
        prompt = _last_words(asked.body["messages"])
        costs = {name: self.upstreams[name].cost(asked.letters) for name in names}
        ranking = None
        if rated:
            ranking = await _on_prompt(service, snapshot, user, prompt, rated)
            ranking = ranking or self._of_user(service, snapshot, user, rated)
        entries = () if ranking is None else ranking.ranking
        choice = routing.choose(entries, names, costs, rate, self._explore, self._random)
        if ranking is None:
            return _Found(choice, "no votes yet", str(snapshot.version))
        versions = filter(None, [ranking.version, str(snapshot.version)])
        return _Found(choice, ranking.system, "/".join(versions))

    def _of_user(
        self, service: Service, snapshot: Snapshot, user: str, names: list[str]
    ) -> Ranking:
        """Over all prompts; kept until there are other votes, as it takes milliseconds."""
        if snapshot.version != self._version or len(self._known) >= KEPT:
            self._known.clear()
            self._version = snapshot.version
        key = (user, *names)
        if key not in self._known:
            found = service.rankings.of_user(snapshot, user or None, None, names)
            self._known[key] = found
        return self._known[key]

    async def _first_to_answer(self, asked: "_Asked", found: "_Found") -> Response:
        """The answer of the first contestant in order that gives one."""
        why = ""
        for place, name in enumerate(found.choice.order):
            upstream = self.upstreams[name]
            last = place == len(found.choice.order) - 1
            try:
                said = await self._ask(upstream, asked.body)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                upstream.failed()
                why = f"{name}: {type(error).__name__}"
                LOG.warning("passed over: %s", why)
                continue
            if (said.status in PASSED_OVER or said.status >= 500) and not last:
                upstream.failed()
                why = f"{name}: HTTP {said.status}"
                LOG.warning("passed over: %s", why)
                said.release()
                continue
            probability = found.choice.probability if place == 0 else 0.0
            headers = found.headers(name, why)
            headers["x-electorate-id"] = answer_ids.write(self._key, asked.user, name, probability)
            answer = _Answer(asked, upstream, probability, self.spending)
            return await _passed_on(said, answer, headers)
        raise Refused(503, f"no contestant answered; the last one: {why}", 1)

    async def _ask(self, upstream: Upstream, body: Mapping[str, Any]) -> aiohttp.ClientResponse:
        """A contestant's response, whose head is there and whose body may still come."""
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        to = upstream.connection
        headers = {"Authorization": f"Bearer {to.api_key}"} if to.api_key else {}
        return await self._session.post(
            f"{to.base_url}/chat/completions",
            json=upstream.body(body),
            headers=headers,
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=CONNECT_S, sock_read=to.timeout_s
            ),
            allow_redirects=False,
        )


@dataclass(frozen=True)
class _Asked:
    """A request. key: the name of the key it came with."""

    service: Service
    body: Mapping[str, Any]
    user: str
    key: str

    @cached_property
    def letters(self) -> int:
        """About how long it is."""
        return sum(len(str(message.get("content", ""))) for message in self.body["messages"])


class _Answer:
    """One that is under way, and what it costs."""

    def __init__(
        self, asked: _Asked, upstream: Upstream, probability: float, spending: Spending
    ) -> None:
        self.upstream = upstream
        self.meter = Meter(asked.letters)
        self._asked = asked
        self._probability = probability
        self._spending = spending
        self._expected = upstream.cost(asked.letters)
        spending.begin(asked.key, self._expected)

    def is_over(self, answered: bool) -> None:
        """Write down what it cost, where anything was answered."""
        read, written = self.meter.tokens()
        usd = self.upstream.cost_of(read, written)
        asked = self._asked
        name = self.upstream.contestant.name
        done = Answered(asked.key, asked.user, name, self._probability, read + written, usd)
        self._spending.end(asked.key, self._expected, done if answered else None)
        self._spending.tell_soon(asked.service)


class _Found:
    """A choice and what it rests on."""

    def __init__(self, choice: Choice, system: str, version: str) -> None:
        self.choice = choice
        self._system = system
        self._version = version

    def headers(self, name: str, passed_over: str) -> dict[str, str]:
        """That say who answers and why."""
        first = name == self.choice.order[0]
        why = "explored" if self.choice.explored else "best"
        headers = {
            "x-electorate-model": name,
            "x-electorate-system": self._system,
            "x-electorate-version": self._version,
            "x-electorate-why": why if first else f"passed over {passed_over}",
            "x-electorate-probability": f"{self.choice.probability if first else 0.0:.6g}",
        }
        # A header holds ASCII alone; a name in another script is percent-encoded.
        return {key: quote(value, safe=PRINTABLE) for key, value in headers.items()}


def routes(service: Service, gate: Gate, gateway: Gateway | None) -> APIRouter:
    """All of them. gateway: None where no contestants were given."""
    router = APIRouter()

    @router.post(
        "/v1/chat/completions",
        responses={status: {"model": schemas.OpenAIProblem} for status in (400, 502, 503)},
    )
    async def chat(request: Request, key: Annotated[str, gate.may("chat")]) -> Response:
        """As OpenAI's; `model` is `electorate`, `electorate/cost:RATE` or a contestant's name."""
        try:
            there = _there(gateway)
            body = _body(await request.body())
            there.spending.check(gate.key(key))
            return await there.chat(service, body, _user(body, request.headers), key)
        except RequestError as error:
            return _problem(400, str(error))
        except Refused as error:
            return _problem(error.status, error.why, error.headers)

    @router.post("/v1/feedback")
    async def feedback(
        given: schemas.Feedback, key: Annotated[str, gate.may("vote")]
    ) -> schemas.Done:
        """Which of two answers to a user was better, or a thumb on one; counts as a vote of the
        user's.
        """
        taken = await service.vote(Batch(key, [_there(gateway).vote(given)]))
        return schemas.Done(version=taken.version)

    return router


def _there(gateway: Gateway | None) -> Gateway:
    if gateway is None:
        raise RequestError(
            "no contestants can be asked here; start `serve` with --contestants FILE, or --live"
        )
    return gateway


def _body(content: bytes) -> dict[str, Any]:
    """A chat completion request. Raises RequestError if it is none."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        raise RequestError("the body is not JSON, or nested too deeply") from None
    if not isinstance(body, dict):
        raise RequestError("the body is not a JSON object")
    messages = body.get("messages")
    if not (
        isinstance(messages, list)
        and messages
        and all(isinstance(message, dict) for message in messages)
    ):
        raise RequestError("messages: a list of at least one message is needed")
    return body


def _user(body: Mapping[str, Any], headers: Mapping[str, str]) -> str:
    """Who asks, by an id that may vote, from the body or else a header. Raises RequestError for
    what is none.
    """
    given = body.get("user") or headers.get(USER_HEADER)
    if given in (None, NOBODY):
        return NOBODY
    try:
        user: str = USER.validate_python(given, strict=True)
    except ValidationError as error:
        raise RequestError(f"user: {error.errors()[0]['msg']}") from None
    return user


def _rate(model: object, names: Sequence[str]) -> float:
    """The rate of money in `electorate/cost:RATE`. Raises RequestError for what is no model."""
    if model == ROUTER:
        return 0.0
    name, _, rest = str(model).partition("/")
    if name == ROUTER and rest.startswith(COST):
        try:
            rate = float(rest.removeprefix(COST))
        except ValueError:
            rate = float("nan")
        if 0 <= rate < float("inf"):
            return rate
        raise RequestError(f"model: {model!r}: the rate is no number from 0 on")
    known = ", ".join([ROUTER, f"{ROUTER}/{COST}RATE", *names])
    raise RequestError(f"model: {model!r} is not one; there are {known}")


def _last_words(messages: Sequence[Mapping[str, Any]]) -> str:
    """What the user said last, as far as it is text."""
    for message in reversed(messages):
        if message.get("role") == "user":
            content = message.get("content")
            if isinstance(content, str):
                return content
            parts = content if isinstance(content, list) else []
            texts = [str(part.get("text", "")) for part in parts if isinstance(part, dict)]
            return "\n".join(filter(None, texts))
    return ""


async def _on_prompt(
    service: Service, snapshot: Snapshot, user: str, prompt: str, names: list[str]
) -> Ranking | None:
    """The user's ranking on a prompt; None where nothing here reads prompts, or that fails."""
    rankings = service.rankings
    whose = (snapshot, user or None)
    contestants = {snapshot.models[place] for place in rankings.contestants.tolist()}
    if not prompt or rankings.by_prompt is None or not set(names) <= contestants:
        return None
    if (stored := rankings.prompt(prompt)) is not None:
        return rankings.on_stored(*whose, stored, None, names)
    try:
        ahead = await service.read_prompt(prompt)
    except (ElectorateError, Refused) as error:
        LOG.warning("a prompt was not read: %s", error)
        return None
    if ahead is None:
        return None
    return rankings.on_answers(*whose, PROMPT_HEAD, ahead, rankings.contestants, None, names)


async def _passed_on(
    said: aiohttp.ClientResponse, answer: _Answer, headers: dict[str, str]
) -> Response:
    """A contestant's response as the client gets it."""
    upstream = answer.upstream
    kind = said.headers.get("content-type", "application/json")
    if kind.startswith("text/event-stream"):
        return StreamingResponse(
            _chunks(said, answer), said.status, headers=headers, media_type=kind
        )
    answered = said.status < 400
    try:
        content = await said.read()
        answer.meter.see(content)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        upstream.failed()
        answered = False
        why = f"{upstream.contestant.name} broke off: {type(error).__name__}"
        return _problem(502, why, headers)
    finally:
        answer.is_over(answered)
    if said.status < 500 and said.status not in PASSED_OVER:
        upstream.answered(answer.meter.written)
    else:
        upstream.failed()
    return Response(content, said.status, headers, media_type=kind)


async def _chunks(said: aiohttp.ClientResponse, answer: _Answer) -> AsyncIterator[bytes]:
    """The stream as it comes; one that breaks off ends with an error that clients read."""
    upstream = answer.upstream
    try:
        async for chunk in said.content.iter_any():
            answer.meter.see(chunk)
            yield chunk
        upstream.answered(answer.meter.written)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        upstream.failed()
        why = f"{upstream.contestant.name} broke off: {type(error).__name__}"
        LOG.warning("%s", why)
        yield f"\n\ndata: {json.dumps(_error(why, 502))}\n\n".encode()
    finally:
        answer.is_over(answered=True)
        said.close()


def _problem(status: int, said: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """As OpenAI's clients read it."""
    return JSONResponse(_error(said, status), status, dict(headers or {}))


def _error(said: str, status: int) -> dict[str, Any]:
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": said, "type": kind, "param": None, "code": status}}
