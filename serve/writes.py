"""The route that takes votes."""

from typing import Annotated

from fastapi import APIRouter

from electorate.base.errors import RequestError
from electorate.data.winners import SPELLINGS
from electorate.online.rankings import Rankings
from electorate.online.sent import NO_PROMPT, Batch
from electorate.online.sent import Vote as StoredVote
from serve import schemas
from serve.security import Gate
from serve.service import Service


def routes(service: Service, gate: Gate) -> APIRouter:
    """The route that takes votes."""
    router = APIRouter()
    rankings = service.rankings

    @router.post("/v1/votes")
    async def vote(
        votes: schemas.Votes, key: Annotated[str, gate.may("vote")]
    ) -> schemas.Acknowledged:
        """Acknowledged once the votes are on disk; all of them are taken, or none."""
        taken = await service.vote(
            Batch(key, [_stored(vote, rankings, i) for i, vote in enumerate(votes.votes)])
        )
        return schemas.Acknowledged(version=taken.version, new=taken.new)

    return router


def _stored(vote: schemas.Vote, rankings: Rankings, place: int) -> StoredVote:
    """As it is kept. Raises RequestError for what the schema cannot know."""
    run = rankings.base.run
    where = f"votes.{place}"
    if vote.model_a == vote.model_b:
        raise RequestError(f"{where}: a model against itself")
    if vote.prompt_id is not None and (run is None or vote.prompt_id >= len(run.prompts)):
        known = f"0 to {len(run.prompts) - 1}" if run else "none here"
        raise RequestError(
            f"{where}.prompt_id: {vote.prompt_id} is not one of the run's prompts ({known})"
        )
    segment = rankings.people.segment(vote.segment)
    prompt = NO_PROMPT if vote.prompt_id is None else vote.prompt_id
    first = int(vote.first_shown == "model_b")
    return StoredVote(
        vote.id,
        vote.user_id,
        vote.model_a,
        vote.model_b,
        SPELLINGS[vote.winner],
        first,
        prompt,
        segment,
        board=segment,
    )
