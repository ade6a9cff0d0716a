"""Routes for whoever runs the endpoint: the models that votes may be on, and who votes."""

from typing import Annotated

from fastapi import APIRouter, Query

from serve import schemas
from serve.schemas import Name, Problem
from serve.security import Gate
from serve.service import Service


def routes(service: Service, gate: Gate, asked: list[schemas.OpenAIModel]) -> APIRouter:
    """All of them. asked: what the gateway's clients may ask for."""
    router = APIRouter()

    @router.get("/v1/models", dependencies=[gate.may("read")])
    async def models(min_version: schemas.Version = 0) -> schemas.Models:
        """Every model that votes are on or may be on."""
        snapshot = await service.snapshot(min_version)
        votes = dict.fromkeys(snapshot.models, 0)
        if snapshot.fits:
            votes |= dict(zip(snapshot.models, snapshot.fits[0].votes.tolist(), strict=True))
        return schemas.Models(
            version=snapshot.version,
            models=[
                schemas.Model(name=name, retired=name in snapshot.retired, votes=round(votes[name]))
                for name in snapshot.models
                if name
            ],
            data=asked,
        )

    @router.post("/v1/models")
    async def add(model: schemas.NewModel, key: Annotated[str, gate.may("manage")]) -> schemas.Done:
        """Let votes be on another model."""
        return schemas.Done(version=await service.add_model(model.name, key))

    @router.patch("/v1/models/{name:path}", responses={404: {"model": Problem}})
    async def change(
        name: Name, wanted: schemas.ModelChange, key: Annotated[str, gate.may("manage")]
    ) -> schemas.Done:
        """Rename a model; retire it, so that it takes no more votes and is not ranked; or take it
        back. Its votes stay.
        """
        version = await service.change_model(name, key, wanted.name, wanted.retired)
        return schemas.Done(version=version)

    @router.get("/v1/voters", dependencies=[gate.may("manage")])
    async def voters(limit: Annotated[int, Query(ge=1, le=1000)] = 50) -> schemas.Voters:
        """The users who vote most and the keys that send votes, with what is odd about them."""
        found = await service.voters(limit)
        return schemas.Voters(
            weights=found.rule,
            users=[schemas.Voter(**vars(one) | {"flags": list(one.flags)}) for one in found.users],
            keys=[schemas.Voter(**vars(one) | {"flags": list(one.flags)}) for one in found.keys],
        )

    return router
