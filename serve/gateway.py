"""An OpenAI-compatible gateway: conversations go to the contestant that suits the user.

What a contestant answers passes unchanged, streamed or not, tools and errors too; headers say who
answered and why. One that cannot be reached, is too slow, pushes back or fails is passed over for
the next best.
"""

import hashlib
import logging
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote

import aiohttp
import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import Response

from electorate.base.errors import ElectorateError, RequestError
from electorate.online import routing, sent
from electorate.online.rankings import Ranking
from electorate.online.routing import Choice, Shares
from electorate.online.sent import Batch, Routed, Vote
from electorate.online.snapshot import Snapshot
from electorate.rewards.store import PROMPT_HEAD
from serve import answer_ids, schemas
from serve.chat_request import NOBODY, ROUTER, Asked, body_of, last_words, rate_of, user_of
from serve.passing_on import Answer, begun, is_passed_over, passed_on, problem
from serve.security import Gate, Refused
from serve.service import Service
from serve.spending import Spending
from serve.upstreams import Upstream

LOG = logging.getLogger("ray.serve")
CONNECT_S = 5.0
KEPT = 10_000  # rankings
PRINTABLE = "".join(chr(letter) for letter in range(32, 127) if chr(letter) != "%")


class Gateway:
    """Of one replica.

    Args:
        upstreams: the contestants by name.
        key: that ids of answers are signed with.
        shares: of requests that do not go to the user's best.
    """

    def __init__(self, upstreams: Mapping[str, Upstream], key: bytes, shares: Shares) -> None:
        self.upstreams = upstreams
        self._key = key
        self._shares = shares
        self._random = np.random.default_rng()
        self._session: aiohttp.ClientSession | None = None
        self._made = 0.0
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
        asked = Asked(service, body, user, key)
        name = body.get("model")
        if isinstance(name, str) and name in self.upstreams:
            found = _Found(Choice((name,), 1.0, "asked for"), "asked for", "")
        else:
            found = await self._route(asked, rate_of(name, [*self.upstreams]))
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
            raise RequestError(f"worse: both answers are from {better.model}; compare two models")
        if better.user == NOBODY:
            raise RequestError(
                "better: not linked to a user; set `user` in the chat completion request"
            )
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
            raise RequestError(
                "answer: not linked to a user; set `user` in the chat completion request"
            )
        outcome = 0 if given.thumb == "up" else 1
        name = f"thumb-{answer.nonce}"
        routed = Routed(answer.nonce, answer.probability, answer.by_user, answer.by_all)
        return Vote(name, answer.user, answer.model, sent.NOBODY, outcome, routed=routed)

    async def stop(self, service: Service) -> None:
        """Close connections after the last request."""
        await self.spending.tell(service)
        if self._session is not None:
            await self._session.close()

    async def _route(self, asked: Asked, rate: float) -> "_Found":
        """By the user's ranking, on the prompt where something here reads prompts."""
        service = asked.service
        user = asked.user
        snapshot = await service.snapshot(0)
        there = [name for name in self.upstreams if name not in snapshot.retired]
        if not there:
            raise Refused(503, "every contestant is retired")
        names = [name for name in there if self.upstreams[name].is_open] or there
        rated = [name for name in names if name in snapshot.ranked]
        prompt = last_words(asked.body["messages"])
        costs = {name: self.upstreams[name].cost(asked.letters) for name in names}
        ranking = None
        if rated:
            ranking = await _on_prompt(service, snapshot, user, prompt, rated)
            ranking = ranking or self._of_user(service, snapshot, user, rated)
        entries = () if ranking is None else ranking.ranking
        everyone = self._of_user(service, snapshot, NOBODY, rated).ranking if rated else ()
        choice = routing.choose(entries, everyone, names, costs, rate, self._shares, self._random)
        if ranking is None:
            return _Found(choice, "no votes yet", str(snapshot.version))
        versions = filter(None, [ranking.version, str(snapshot.version)])
        return _Found(choice, ranking.system, "/".join(versions))

    def _of_user(
        self, service: Service, snapshot: Snapshot, user: str, names: list[str]
    ) -> Ranking:
        """Over all prompts; kept until there is another snapshot, as it takes milliseconds."""
        if snapshot.made != self._made or len(self._known) >= KEPT:
            self._known.clear()
            self._made = snapshot.made
        key = (user, *names)
        if key not in self._known:
            found = service.rankings.of_user(snapshot, user or None, None, names)
            self._known[key] = found
        return self._known[key]

    async def _first_to_answer(self, asked: Asked, found: "_Found") -> Response:
        """The answer of the first contestant in order that gives one."""
        why = ""
        for place, name in enumerate(found.choice.order):
            upstream = self.upstreams[name]
            after = found.choice.order[place + 1 :]
            last = not after
            if not upstream.is_open and any(self.upstreams[other].is_open for other in after):
                why = f"{name}: left alone"
                continue
            upstream.asked()
            try:
                reply = await self._ask(upstream, asked.body)
                first = await begun(reply)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                upstream.failed()
                why = f"{name}: {type(error).__name__}"
                LOG.warning("passed over: %s", why)
                continue
            if is_passed_over(reply.status) and not last:
                upstream.failed()
                why = f"{name}: HTTP {reply.status}"
                LOG.warning("passed over: %s", why)
                reply.release()
                continue
            probability = found.choice.probability if place == 0 else 0.0
            headers = found.headers(name, why)
            headers["x-electorate-id"] = answer_ids.write(
                self._key, asked.user, name, found.choice, probability
            )
            answer = Answer(asked, upstream, probability, self.spending)
            return passed_on(reply, first, answer, headers)
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


class _Found:
    """A choice and what it rests on."""

    def __init__(self, choice: Choice, system: str, version: str) -> None:
        self.choice = choice
        self._system = system
        self._version = version

    def headers(self, name: str, passed_over: str) -> dict[str, str]:
        """That say who answers and why."""
        first = name == self.choice.order[0]
        why = self.choice.why
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
            body = body_of(await request.body())
            there.spending.check(gate.key(key))
            return await there.chat(service, body, user_of(body, request.headers), key)
        except RequestError as error:
            return problem(400, str(error))
        except Refused as error:
            return problem(error.status, error.why, error.headers)

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
