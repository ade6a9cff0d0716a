"""A replica's standings, followed from the writer, who is never asked on the way to an answer."""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import ray
from ray.exceptions import RayError, RayTaskError
from ray.serve import metrics as serve_metrics
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle

from electorate.endpoints import Answer
from electorate.errors import ElectorateError
from electorate.online.base import Base
from electorate.online.rankings import Rankings
from electorate.online.standings import Standings
from electorate.online.store import Batch, Taken
from electorate.rewards.weights import PersonalRead
from electorate.scale import Ints
from serve.live import Live
from serve.security import Refused

WAIT_S = 2.0  # at most, for a version that a reader wants
ANSWER_S = 10.0  # at most, for a write to be acknowledged or a text to be read
UNREAD = "what reads texts is away"
AGAIN_S = 0.5  # after the writer was lost
REPORT_S = 1.0
PREFIXES = ("ray_electorate_", "ray_serve_")  # Serve counts latencies itself


class Follower:
    """The service of a replica on Ray Serve."""

    def __init__(self, base: Base, writer: DeploymentHandle, reader: DeploymentHandle | None, live: Live | None) -> None:
        self.rankings = Rankings(base)
        self._writer, self._reader, self._live = writer, reader, live
        self._standings: Standings | None = None
        self._newer = asyncio.Condition()
        self._tasks: list[asyncio.Task[None]] = []
        self._requests = serve_metrics.Counter("electorate_requests", "Requests answered", ("route", "status"))
        self._answered = Counter[tuple[str, int]]()
        self._votes = serve_metrics.Counter("electorate_online_votes", "Votes acknowledged, repeats left out")

    async def start(self) -> None:
        """Begin to follow, and to report."""
        self._tasks = [asyncio.get_running_loop().create_task(work) for work in (self._follow(), self._report())]

    async def stop(self) -> None:
        """Follow no more."""
        for task in self._tasks:
            task.cancel()

    async def _follow(self) -> None:
        while True:
            last = -1 if self._standings is None else self._standings.version
            try:
                found = await self._writer.standings.remote(last)
            except (RayError, RayServeException) as error:
                logging.getLogger("ray.serve").warning(
                    "the writer is away, reads are answered from what is known: %s", type(error).__name__
                )
                await asyncio.sleep(AGAIN_S)
                continue
            if found is not None:
                async with self._newer:
                    self._standings = found
                    self._newer.notify_all()

    async def standings(self, min_version: int) -> Standings:
        """See Service."""
        known = self._standings
        if known is not None and known.version >= min_version:
            return known
        try:
            async with asyncio.timeout(WAIT_S), self._newer:
                await self._newer.wait_for(lambda: self._standings is not None and self._standings.version >= min_version)
        except TimeoutError:
            pass
        if self._standings is None:
            raise Refused(503, "the standings are not there yet", 1)
        if self._standings.version < min_version:
            raise Refused(
                409, f"min_version: {min_version} is not there after {WAIT_S:g} s; the standings are at {self._standings.version}"
            )
        return self._standings

    async def vote(self, batch: Batch) -> Taken:
        """See Service."""
        taken = await self._written(self._writer.vote.remote(batch))
        if isinstance(taken, ElectorateError):
            raise taken
        self._votes.inc(taken.new) if taken.new else None
        found: Taken = taken
        return found

    async def erase(self, user: str, key: str) -> int | None:
        """See Service."""
        version: int | None = await self._written(self._writer.erase.remote(user, key))
        return version

    async def read_answers(self, prompt: str, responses: Sequence[str], models: Ints) -> PersonalRead:
        """See Service."""
        read: PersonalRead = await self._awaited(self._texts().answers.remote(prompt, responses, models), UNREAD)
        return read

    async def read_prompt(self, prompt: str) -> PersonalRead | None:
        """See Service."""
        read: PersonalRead | None = await self._awaited(self._texts().prompt.remote(prompt), UNREAD)
        return read

    async def ask(self, prompt: str, models: Sequence[str]) -> Mapping[str, Answer]:
        """See Service."""
        if self._live is None:
            raise ElectorateError("live: this endpoint asks no contestants; serve with --live")
        return await self._live.ask(prompt, models)

    def _texts(self) -> DeploymentHandle:
        if self._reader is None:
            raise Refused(503, "nothing here reads texts", None)
        return self._reader

    async def _written(self, response: Any) -> Any:
        return await self._awaited(response, "nothing was acknowledged, as the writer is away; send it again with the same ids")

    async def _awaited(self, response: Any, otherwise: str) -> Any:
        try:
            async with asyncio.timeout(ANSWER_S):
                return await response
        except BackPressureError:
            raise Refused(429, "too many wait", 1) from None
        except RayTaskError as error:
            # Its own words are a traceback, which is nobody's business outside.
            raise (error.cause if isinstance(error.cause, ElectorateError) else error) from None
        except (RayError, RayServeException, TimeoutError):
            raise Refused(503, otherwise, 1) from None

    def count(self, route: str, status: int) -> None:
        """See Service."""
        self._answered[route, status] += 1

    async def _report(self) -> None:
        """What was counted, once in REPORT_S: Ray's metrics cost more a call than a ranking does."""
        while True:
            await asyncio.sleep(REPORT_S)
            counted, self._answered = self._answered, Counter()
            for (route, status), times in counted.items():
                self._requests.inc(times, tags={"route": route, "status": str(status)})

    async def metrics(self) -> str:
        """See Service: what every node's agent has gathered of this project's metrics."""
        found = dict.fromkeys(list[str]())
        async with httpx.AsyncClient(timeout=2.0) as client:
            for node in ray.nodes():
                if node["Alive"]:
                    try:
                        text = (await client.get(f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics")).text
                    except httpx.HTTPError:
                        continue
                    found |= dict.fromkeys(line for line in text.splitlines() if any(prefix in line.split("{")[0] for prefix in PREFIXES))
        return "\n".join([*found, ""])
