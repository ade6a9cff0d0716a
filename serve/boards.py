"""Routes for a board's details: win matrix, first place, and a user's own record."""

import asyncio

from fastapi import APIRouter
from fastapi.responses import Response

from electorate.base.scale import ELO_PER_NAT
from electorate.online import records
from electorate.online.snapshot import Snapshot
from serve import schemas
from serve.kept import Kept
from serve.schemas import Name, Version
from serve.security import Gate
from serve.service import Service


def routes(service: Service, gate: Gate) -> APIRouter:
    """The routes for boards."""
    router = APIRouter(dependencies=[gate.may("read")])
    rankings = service.rankings
    kept = Kept(rankings)

    @router.get("/v1/matrix", response_model=schemas.Matrix)
    async def matrix(segment: Name | None = None, min_version: Version = 0) -> Response:
        """How often each model won against each other one, everyone's or a segment's, best
        first.
        """
        snapshot = await service.snapshot(min_version)

        def make() -> schemas.Matrix:
            counts = rankings.counts(snapshot, segment)
            fit = rankings.fit(snapshot, segment)
            if counts is None or fit is None:
                return schemas.Matrix(models=[], won=[], battles=[], version=snapshot.version)
            found = records.matrix(snapshot, counts, fit.strength)
            return schemas.Matrix(
                models=list(found.models),
                won=found.won.round(2).tolist(),
                battles=found.battles.round(2).tolist(),
                version=snapshot.version,
            )

        return kept.answer(snapshot, ("matrix", segment), make)

    @router.get("/v1/first-place", response_model=schemas.FirstPlace)
    async def first_place(segment: Name | None = None, min_version: Version = 0) -> Response:
        """How sure the first place is: votes that would settle it, and votes that it hangs on."""
        snapshot = await service.snapshot(min_version)
        counts = rankings.counts(snapshot, segment)
        fit = rankings.fit(snapshot, segment)
        found = None
        if counts is not None and fit is not None and not kept.has(snapshot, ("first", segment)):
            ties = rankings.base.ties
            # It fits the board a few times anew, which no other request is to wait for.
            found = await asyncio.to_thread(records.first_of, snapshot, counts, fit, ties)
        return kept.answer(snapshot, ("first", segment), lambda: _first_place(snapshot, found))

    @router.get("/v1/users/{user_id:path}/record")
    async def record(user_id: Name, min_version: Version = 0) -> schemas.Records:
        """A user's battles by model: won, tied and lost, beside what everyone's ranking expects."""
        snapshot = await service.snapshot(min_version)
        fit = rankings.fit(snapshot, None)
        person = rankings.people.who(snapshot, user_id, None)
        votes = rankings.people.votes(snapshot, person)
        found = (
            [] if fit is None else records.record(snapshot.models, votes, fit, rankings.base.ties)
        )
        return schemas.Records(
            user_id=user_id,
            votes=len(votes.user),
            records=[schemas.Record(**vars(one)) for one in found],
            version=snapshot.version,
        )

    return router


def _first_place(snapshot: Snapshot, found: records.FirstPlace | None) -> schemas.FirstPlace:
    if found is None:
        return schemas.FirstPlace(version=snapshot.version)
    return schemas.FirstPlace(
        first=found.first,
        second=found.second,
        lead=round(ELO_PER_NAT * found.lead, 2),
        votes=found.votes,
        needed=found.needed,
        flipped_by=found.flipped_by,
        rival=found.rival,
        version=snapshot.version,
    )
