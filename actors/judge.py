"""A judge as a Ray actor: it asks the models that judge, or answer, for a share of the personas."""

from collections.abc import AsyncIterator, Mapping, Sequence

import ray

from electorate.base import checkout
from electorate.inference.completions import Answer, CallT
from electorate.inference.endpoints import Connection, HttpAsker


# What it had not given back when it died is asked again by whoever is there; a retried call would
# ask everything anew.
@ray.remote(max_restarts=-1, max_task_retries=0)
class JudgeActor:
    """Holds nothing between calls, so a restarted one is as good as the first."""

    async def ask(
        self, calls: Sequence[CallT], reached: Mapping[str, Connection]
    ) -> AsyncIterator[tuple[CallT, Answer]]:
        """Answers streamed back as they come."""
        checkout.require_own_packages()
        async for answered in HttpAsker(reached).ask(calls):
            yield answered
