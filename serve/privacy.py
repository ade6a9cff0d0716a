"""Routes for what users may ask about themselves: all that is kept of them, and to be forgotten."""

from typing import Annotated

from fastapi import APIRouter

from serve import schemas
from serve.schemas import Name, Problem
from serve.security import Gate, Refused
from serve.service import Service


def routes(service: Service, gate: Gate) -> APIRouter:
    """The routes for a user's own data."""
    router = APIRouter(responses={404: {"model": Problem}})

    @router.get("/v1/users/{user_id:path}/export", dependencies=[gate.may("erase")])
    async def export(user_id: Name) -> schemas.UserExport:
        """All that is kept of a user: its segment, its votes, and what was written about it."""
        found = await service.export(user_id)
        if found is None:
            raise Refused(404, "the user is not known")
        return schemas.UserExport(**found)

    @router.delete("/v1/users/{user_id:path}", responses={404: {"model": Problem}})
    async def erase(user_id: Name, key: Annotated[str, gate.may("erase")]) -> schemas.Done:
        """Forget a user: votes, name and ranking, in the database and in the log."""
        version = await service.erase(user_id, key)
        if version is None:
            raise Refused(404, "the user is not known")
        return schemas.Done(version=version)

    return router
