"""Routes that read: leaderboards, rankings, and what the page shows beside them.

They never reach the writer.
"""

from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query
from fastapi.responses import Response

from electorate.base.errors import RequestError
from electorate.base.scale import Ints
from electorate.online.rankings import Ranking
from electorate.online.snapshot import Snapshot
from electorate.rewards.store import PROMPT_HEAD
from serve import schemas
from serve.gallery import Gallery
from serve.kept import Kept
from serve.schemas import Name, Problem, Ties, Version
from serve.security import Gate, Refused
from serve.service import Service


def routes(service: Service, gate: Gate, costs: dict[str, float]) -> APIRouter:
    """All of them. costs: contestant to what an answer of it costs."""
    router = APIRouter(dependencies=[gate.may("read")])
    rankings = service.rankings
    kept = Kept(rankings)
    gallery = Gallery(rankings.base)

    @router.get("/v1/leaderboard", response_model=schemas.Leaderboard)
    async def leaderboard(
        segment: Name | None = None,
        ties: Ties | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
        min_version: Version = 0,
    ) -> Response:
        """Everyone's ratings, or a segment's. ties: another model of ties than the run's."""
        snapshot = await service.snapshot(min_version)

        def make() -> schemas.Leaderboard:
            rows = rankings.leaderboard(snapshot, segment, ties)[:limit]
            return schemas.Leaderboard(
                segment=segment,
                ties=ties or rankings.base.ties_name,
                version=snapshot.version,
                votes=snapshot.online,
                weights=str(snapshot.caps),
                leaderboard=[
                    schemas.Place.model_validate({**row, "cost": costs.get(str(row["model"]))})
                    for row in rows
                ],
            )

        return kept.answer(snapshot, ("leaderboard", segment, ties, limit), make)

    @router.get("/v1/users/{user_id:path}/ranking", response_model=schemas.PersonalRanking)
    async def user_ranking(
        user_id: Name, segment: Name | None = None, min_version: Version = 0
    ) -> Response:
        """A user's own ranking; of a user without votes its segment's or everyone's, and the
        answer says so.
        """
        snapshot = await service.snapshot(min_version)

        def make() -> schemas.PersonalRanking:
            return _personal(user_id, rankings.of_user(snapshot, user_id, segment))

        return kept.of_user(snapshot, user_id, segment, make)

    @router.post("/v1/rankings")
    async def ranking(asked: schemas.RankingRequest) -> schemas.PersonalRanking:
        """The same with a choice of models, or on a prompt by what the models answer to it."""
        snapshot = await service.snapshot(asked.min_version)
        if asked.live:
            return await _live(service, snapshot, asked)
        return _personal(asked.user_id, await _ranked(service, snapshot, asked, asked.candidates))

    @router.post("/v1/route")
    async def route(asked: schemas.RouteRequest) -> schemas.Route:
        """The contestant that serves this user best within the cost."""
        snapshot = await service.snapshot(asked.min_version)
        found = await _ranked(
            service, snapshot, asked, _within(snapshot.ranked, costs, asked.max_cost)
        )
        best = found.ranking[0]
        return schemas.Route(
            model=best.model,
            cost=costs.get(best.model, 0.0),
            rating=best.rating,
            p_top1=best.p_top1,
            system=found.system,
            personal=found.personal,
            version=snapshot.version,
        )

    @router.get("/v1/about", response_model=schemas.About)
    async def about() -> Response:
        """The models, segments and some personas of each, and learning curves."""
        snapshot = await service.snapshot(0)

        def make() -> schemas.About:
            return schemas.About(
                models=list(snapshot.ranked),
                segments=gallery.segments,
                personas=rankings.base.personas,
                prompts=rankings.by_prompt is not None,
                curves=gallery.curves,
            )

        return kept.answer(snapshot, "about", make)

    @router.get("/v1/battle", responses={404: {"model": Problem}})
    async def battle(
        user_id: Name | None = None, seed: Annotated[int, Query(ge=0, le=2**31)] = 0
    ) -> schemas.Battle:
        """Two of the run's responses to one prompt. seed: another one gives another battle."""
        found = gallery.battle(user_id or "", seed)
        if found is None:
            raise Refused(
                404,
                "there are no responses here; votes on your own battles can be sent all the same",
            )
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
        weight=found.weight,
        version=found.snapshot,
        ranking=[schemas.RankedModel(**vars(entry)) for entry in found.ranking],
    )


async def _live(
    service: Service, snapshot: Snapshot, asked: schemas.RankingRequest
) -> schemas.PersonalRanking:
    """By what the contestants answer now; one that does not is left out, and the note names it."""
    if asked.prompt is None or asked.responses is not None:
        raise RequestError(
            "live: contestants are asked a `prompt`, and only where no `responses` are given"
        )
    # Before anything is spent.
    service.rankings.reads_prompts()
    names = list(dict.fromkeys(asked.candidates or snapshot.ranked))
    responses = await service.ask(asked.prompt, names)
    failed = {name: answer.error for name, answer in responses.items() if answer.error}
    answers = [
        schemas.Answer(model=name, response=answer.text)
        for name, answer in responses.items()
        if not answer.error
    ]
    if not answers:
        name, why = next(iter(failed.items()))
        raise Refused(503, f"no contestant answered; {name}: {why}", 1)
    on_answers = asked.model_copy(update={"responses": answers, "candidates": None})
    found = _personal(asked.user_id, await _ranked(service, snapshot, on_answers, None))
    away = [f"left out: {name} ({why})" for name, why in failed.items()]
    return found.model_copy(
        update={"responses": answers, "note": "; ".join([*filter(None, [found.note]), *away])}
    )


async def _ranked(
    service: Service,
    snapshot: Snapshot,
    asked: schemas.RankingRequest | schemas.RouteRequest,
    candidates: list[str] | None,
) -> Ranking:
    """By the responses that were given, by the run's own to this prompt, by the prompt alone, or
    without a prompt.
    """
    rankings = service.rankings
    whose = (snapshot, asked.user_id)
    given = asked.responses if isinstance(asked, schemas.RankingRequest) else None
    if asked.prompt is None:
        if given is not None:
            raise RequestError("responses: to which prompt? give it as `prompt`")
        return rankings.of_user(*whose, asked.segment, candidates)
    form = rankings.reads_prompts().form
    if given is not None:
        models = _models(snapshot, [answer.model for answer in given])
        answers_read = await service.read_answers(
            asked.prompt, [answer.response for answer in given], models
        )
        return rankings.on_answers(*whose, form, answers_read, models, asked.segment, candidates)
    if (prompt := rankings.prompt(asked.prompt)) is not None:
        return rankings.on_stored(*whose, prompt, asked.segment, candidates)
    ahead = await service.read_prompt(asked.prompt)
    if ahead is None:
        raise RequestError(
            "prompt: not a prompt of the run, and the run has no prompt_head for new prompts; add "
            "prompt_head to evaluation.systems, or give `responses`"
        )
    return rankings.on_answers(
        *whose, PROMPT_HEAD, ahead, rankings.contestants, asked.segment, candidates
    )


def _models(snapshot: Snapshot, names: list[str]) -> Ints:
    """Their places. Raises RequestError for one that is not there, or there twice."""
    for name in names:
        if name not in snapshot.models:
            raise RequestError(f"responses: {name!r} is not a contestant")
        if names.count(name) > 1:
            raise RequestError(f"responses: two of {name!r}; one a contestant")
    return np.array([snapshot.models.index(name) for name in names])


def _within(models: tuple[str, ...], costs: dict[str, float], most: float | None) -> list[str]:
    """The models whose answers cost no more."""
    if not models:
        raise RequestError("there are no contestants yet; the first votes name them")
    by_cost = {model: costs.get(model, 0.0) for model in models}
    within = [model for model, cost in by_cost.items() if most is None or cost <= most]
    if not within:
        cheapest = min(by_cost, key=lambda model: by_cost[model])
        raise RequestError(
            f"max_cost: no contestant costs {most:g} or less; {cheapest} costs "
            f"{by_cost[cheapest]:g}"
        )
    return within
