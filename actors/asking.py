"""Asking from an actor: answers travel to the driver by the batch, as a Ray object an answer would
cost more than the request.
"""

from collections.abc import AsyncIterator, Mapping, Sequence

from ray.actor import ActorHandle
from ray.exceptions import RayActorError

from actors import ray_private
from electorate.base import checkout
from electorate.inference.asking import AskerLostError
from electorate.inference.completions import Answer, Call, CallT
from electorate.inference.endpoints import Connection, HttpAsker

# Batches that an actor may be ahead of the driver, which keeps the answers: what both lose when
# killed. A slow model's batches have one answer.
UNREAD = 2
WAIT_S = 0.02


class AskingActor:
    """The part of an actor that asks models for its driver."""

    async def ask(
        self, calls: Sequence[Call], reached: Mapping[str, Connection]
    ) -> AsyncIterator[list[tuple[str, Answer]]]:
        """Answers by their calls' keys, streamed back as they come."""
        checkout.require_own_packages()
        async for batch in HttpAsker(reached).batches(calls, WAIT_S):
            yield [(call.key, answer) for call, answer in batch]


class RayAsker:
    """Asks from an AskingActor."""

    def __init__(self, actor: ActorHandle) -> None:
        self._actor = actor

    async def ask(
        self, calls: Sequence[CallT], reached: Mapping[str, Connection]
    ) -> AsyncIterator[tuple[CallT, Answer]]:
        """Answers streamed back as they come."""
        by_key = {call.key: call for call in calls}
        try:
            ask = self._actor.ask.options(**{ray_private.MOST_UNREAD: UNREAD})
            async for reference in ask.remote(calls, reached):
                for key, answer in await reference:
                    yield by_key[key], answer
        except RayActorError as error:
            raise AskerLostError(str(error)) from None
