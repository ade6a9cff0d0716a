"""Routes that read: leaderboards, rankings, and what the page shows beside them. They never reach the writer."""

from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query
from fastapi.responses import Response

from electorate.errors import ElectorateError
from electorate.online.rankings import Ranking
from electorate.online.standings import Standings
from electorate.rewards.store import PROMPT_HEAD
from electorate.scale import Ints
from serve import schemas
from serve.gallery import Gallery
from serve.schemas import Name, Problem, Ties, Version
from serve.security import Gate, Refused
from serve.service import Service

KEPT = 20_000  # answers a replica keeps while the standings are the same


class Kept:
    """Answers already put together, for as long as the standings stay the same."""

    def __init__(self) -> None:
        self._of, self._bodies = -1.0, dict[object, bytes]()

    def answer(self, standings: Standings, what: object, make: Callable[[], Any]) -> Response:
        """What was put together for these standings, or is now."""
        if self._of != standings.made or len(self._bodies) >= KEPT:
            self._of, self._bodies = standings.made, {}
        if what not in self._bodies:
            self._bodies[what] = make().model_dump_json().encode()
        return Response(self._bodies[what], media_type="application/json")


def routes(service: Service, gate: Gate, costs: dict[str, float]) -> APIRouter:
    """All of them. costs: contestant to what an answer of it costs."""
    router, rankings, kept = APIRouter(dependencies=[gate.may("read")]), service.rankings, Kept()
    gallery = Gallery(rankings.base)

    @router.get("/v1/leaderboard", response_model=schemas.Leaderboard)
    async def leaderboard(
        segment: Name | None = None,
        ties: Ties | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
        min_version: Version = 0,
    ) -> Response:
        """Everyone's ratings, or a segment's. ties: another model of ties than the run's."""
        standings = await service.standings(min_version)

        def make() -> schemas.Leaderboard:
            places = [schemas.Place.model_validate(row) for row in rankings.leaderboard(standings, segment, ties)[:limit]]
            return schemas.Leaderboard(segment=segment, version=standings.version, votes=standings.online, leaderboard=places)

        return kept.answer(standings, ("leaderboard", segment, ties, limit), make)

    @router.get("/v1/users/{user_id}/ranking", response_model=schemas.PersonalRanking)
    async def user_ranking(user_id: Name, segment: Name | None = None, min_version: Version = 0) -> Response:
        """A user's own ranking; of a user without votes its segment's or everyone's, and the answer says so."""
        standings = await service.standings(min_version)
        return kept.answer(standings, (user_id, segment), lambda: _personal(user_id, rankings.of_user(standings, user_id, segment)))

    @router.post("/v1/rankings")
    async def ranking(asked: schemas.RankingRequest) -> schemas.PersonalRanking:
        """The same with a choice of models, or on a prompt by what the models answer to it."""
        standings = await service.standings(asked.min_version)
        if asked.live:
            return await _live(service, standings, asked)
        return _personal(asked.user_id, await _ranked(service, standings, asked, asked.candidates))

    @router.post("/v1/route")
    async def route(asked: schemas.RouteRequest) -> schemas.Route:
        """The contestant that serves this user best within the cost."""
        standings = await service.standings(asked.min_version)
        found = await _ranked(service, standings, asked, _within(standings.models, costs, asked.max_cost))
        best = found.ranking[0]
        return schemas.Route(
            model=best.model,
            cost=costs.get(best.model, 0.0),
            rating=best.rating,
            p_top1=best.p_top1,
            system=found.system,
            personal=found.personal,
            version=standings.version,
        )

    @router.get("/v1/about", response_model=schemas.About)
    async def about() -> Response:
        """The models, segments and some personas of each, and learning curves."""
        standings = await service.standings(0)

        def make() -> schemas.About:
            return schemas.About(
                models=list(standings.models),
                segments=gallery.segments,
                personas=rankings.base.personas,
                prompts=rankings.by_prompt is not None,
                curves=gallery.curves,
            )

        return kept.answer(standings, "about", make)

    @router.get("/v1/battle", responses={404: {"model": Problem}})
    async def battle(user_id: Name | None = None, seed: Annotated[int, Query(ge=0, le=2**31)] = 0) -> schemas.Battle:
        """Two of the run's responses to one prompt. seed: another one gives another battle."""
        found = gallery.battle(user_id or "", seed)
        if found is None:
            raise Refused(404, "there are no responses here; votes on your own battles can be sent all the same")
        return found

    return router


def _personal(user: str | None, found: Ranking) -> schemas.PersonalRanking:
    return schemas.PersonalRanking(
        user_id=user,
        segment=found.segment,
        system=found.system,
        system_version=found.version,
        stale=found.stale,
        personal=found.personal,
        note=found.note,
        votes=found.votes,
        version=found.standings,
        ranking=[schemas.RankedModel(**vars(entry)) for entry in found.ranking],
    )


async def _live(service: Service, standings: Standings, asked: schemas.RankingRequest) -> schemas.PersonalRanking:
    """By what the contestants answer now; one that does not is left out, and the note names it."""
    if asked.prompt is None or asked.responses is not None:
        raise ElectorateError("live: contestants are asked a `prompt`, and only where no `responses` are given")
    # Before anything is spent.
    service.rankings.reads_prompts()
    names = list(dict.fromkeys(asked.candidates or standings.models))
    said = await service.ask(asked.prompt, names)
    failed = {name: answer.error for name, answer in said.items() if answer.error}
    answers = [schemas.Answer(model=name, response=answer.text) for name, answer in said.items() if not answer.error]
    if not answers:
        name, why = next(iter(failed.items()))
        raise Refused(503, f"no contestant answered; {name}: {why}", 1)
    on_answers = asked.model_copy(update={"responses": answers, "candidates": None})
    found = _personal(asked.user_id, await _ranked(service, standings, on_answers, None))
    away = [f"left out: {name} ({why})" for name, why in failed.items()]
    return found.model_copy(update={"responses": answers, "note": "; ".join([*filter(None, [found.note]), *away])})


async def _ranked(
    service: Service, standings: Standings, asked: schemas.RankingRequest | schemas.RouteRequest, candidates: list[str] | None
) -> Ranking:
    """By the responses that were given, by the run's own to this prompt, by the prompt alone, or without a prompt."""
    rankings, whose = service.rankings, (standings, asked.user_id)
    given = asked.responses if isinstance(asked, schemas.RankingRequest) else None
    if asked.prompt is None:
        if given is not None:
            raise ElectorateError("responses: to which prompt? give it as `prompt`")
        return rankings.of_user(*whose, asked.segment, candidates)
    form = rankings.reads_prompts().form
    if given is not None:
        models = _models(standings, [answer.model for answer in given])
        told = await service.read_answers(asked.prompt, [answer.response for answer in given], models)
        return rankings.on_answers(*whose, form, told, models, asked.segment, candidates)
    if (prompt := rankings.prompt(asked.prompt)) is not None:
        return rankings.on_stored(*whose, prompt, asked.segment, candidates)
    ahead = await service.read_prompt(asked.prompt)
    if ahead is None:
        raise ElectorateError("prompt: the run asked another, and learned nothing of prompts alone; add prompt_head to its systems")
    return rankings.on_answers(*whose, PROMPT_HEAD, ahead, np.arange(len(standings.models)), asked.segment, candidates)


def _models(standings: Standings, names: list[str]) -> Ints:
    """Their places. Raises ElectorateError for one that is not there, or there twice."""
    for name in names:
        if name not in standings.models:
            raise ElectorateError(f"responses: {name!r} is not a contestant")
        if names.count(name) > 1:
            raise ElectorateError(f"responses: two of {name!r}; one a contestant")
    return np.array([standings.models.index(name) for name in names])


def _within(models: tuple[str, ...], costs: dict[str, float], most: float | None) -> list[str]:
    """The models whose answers cost no more."""
    if not models:
        raise ElectorateError("there are no contestants yet; the first votes name them")
    by_cost = {model: costs.get(model, 0.0) for model in models}
    within = [model for model, cost in by_cost.items() if most is None or cost <= most]
    if not within:
        cheapest = min(by_cost, key=lambda model: by_cost[model])
        raise ElectorateError(f"max_cost: no contestant costs {most:g} or less; {cheapest} costs {by_cost[cheapest]:g}")
    return within
