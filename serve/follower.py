"""A replica's snapshot, followed from the writer, who is never asked on the way to an answer."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import ray
from ray.exceptions import RayError, RayTaskError
from ray.serve import metrics as serve_metrics
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle

from electorate.base.errors import ElectorateError, RequestError
from electorate.base.scale import Ints
from electorate.inference.completions import Answer
from electorate.online.base import Base
from electorate.online.handover import Inbox
from electorate.online.ledger import Answered, Spent
from electorate.online.rankings import Rankings
from electorate.online.sent import Batch, Taken
from electorate.online.snapshot import Snapshot
from electorate.online.voters import Voters
from electorate.rewards.weights import PersonalRead
from serve.live import Live
from serve.security import Refused
from serve.writer import Progress

LOG = logging.getLogger("ray.serve")
WAIT_S = 2.0  # at most, for a version that a reader wants
ANSWER_S = 10.0  # at most, for a write to be acknowledged or a text to be read
UNREAD = "the reward model is unavailable"
AGAIN_S = 0.5  # after the writer was lost
REPORT_S = 1.0
PREFIXES = ("ray_electorate_", "ray_serve_")  # Serve counts latencies itself


class Follower:
    """The service of a replica on Ray Serve.

    max_lag_s: the replica is not ready while its snapshot is further behind the votes than this.
    """

    def __init__(
        self,
        base: Base,
        writer: DeploymentHandle,
        reader: DeploymentHandle | None,
        live: Live | None,
        max_lag_s: float,
    ) -> None:
        self.rankings = Rankings(base)
        self._writer = writer
        self._reader = reader
        self._live = live
        self._max_lag_s = max_lag_s
        self._inbox = Inbox(base.folder / "snapshots")
        self._snapshot: Snapshot | None = None
        self._name = ""
        self._progress = Progress("", 0.0, 0, "")
        self._heard = time.monotonic()
        self._newer = asyncio.Condition()
        self._tasks: list[asyncio.Task[None]] = []
        self._requests = serve_metrics.Counter(
            "electorate_requests", "Requests answered", ("route", "status")
        )
        self._answered = Counter[tuple[str, int]]()
        self._votes = serve_metrics.Counter(
            "electorate_online_votes", "Votes acknowledged, repeats left out"
        )
        self._lag = serve_metrics.Gauge(
            "electorate_snapshot_lag_seconds", "Since the first write that the snapshot lacks"
        )
        self._failures = serve_metrics.Gauge(
            "electorate_snapshot_failures", "Snapshots that could not be made"
        )

    async def start(self) -> None:
        """Begin to follow, and to report."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(work) for work in (self._follow(), self._report())]

    async def stop(self) -> None:
        """Stop following the writer."""
        for task in self._tasks:
            task.cancel()

    async def _follow(self) -> None:
        """Take each snapshot that the writer makes, whatever goes wrong with one."""
        while True:
            try:
                await self._take_next()
            except (RayError, RayServeException) as error:
                away = "the writer is unavailable, reads are answered from the last snapshot: %s"
                LOG.warning(away, type(error).__name__)
                await asyncio.sleep(AGAIN_S)
            except Exception:
                LOG.exception("a snapshot could not be taken over; the next one is waited for")
                await asyncio.sleep(AGAIN_S)

    async def _take_next(self) -> None:
        progress: Progress = await self._writer.progress.remote(self._name)
        self._progress = progress
        self._heard = time.monotonic()
        if progress.name in ("", self._name):
            return
        # In a thread, as a large one takes longer than a request may wait.
        snapshot = await asyncio.to_thread(self._read, progress.name)
        async with self._newer:
            self._snapshot = snapshot
            self._name = progress.name
            self._newer.notify_all()

    def _read(self, name: str) -> Snapshot:
        snapshot = self._inbox.take(name)
        self.rankings.people.open(snapshot)
        return snapshot

    async def snapshot(self, min_version: int) -> Snapshot:
        """The last one, once it counts this version. Raises Refused if that takes too long."""
        known = self._snapshot
        if known is not None and known.version >= min_version:
            return known

        def is_there() -> bool:
            return self._snapshot is not None and self._snapshot.version >= min_version

        try:
            async with asyncio.timeout(WAIT_S), self._newer:
                await self._newer.wait_for(is_there)
        except TimeoutError:
            pass
        known = self._snapshot
        if known is None:
            raise Refused(503, "there is no snapshot yet", 1)
        if known.version < min_version:
            raise Refused(
                409,
                f"min_version: {min_version} is not there after {WAIT_S:g} s; the snapshot is at "
                f"{known.version}",
            )
        return known

    @property
    def lag_s(self) -> float:
        """How far the snapshot is behind the votes, as far as the writer has been heard."""
        return self._progress.behind_s + time.monotonic() - self._heard

    async def check_ready(self) -> None:
        """Raises Refused, with the reason, if there is no snapshot or it is too far behind."""
        await self.snapshot(0)
        if self.lag_s <= self._max_lag_s:
            return
        if time.monotonic() - self._heard > self._max_lag_s:
            raise Refused(503, f"the writer was not heard for {self._max_lag_s:g} s", 1)
        raise Refused(
            503,
            f"the snapshot is {self.lag_s:.0f} s behind the votes (at most {self._max_lag_s:g}); "
            "see the server log",
            1,
        )

    async def vote(self, batch: Batch) -> Taken:
        """Returns when the votes are on disk."""
        taken = await self._written(self._writer.vote.remote(batch))
        if isinstance(taken, ElectorateError):
            raise taken
        if taken.new:
            self._votes.inc(taken.new)
        found: Taken = taken
        return found

    async def answered(self, answers: Sequence[Answered]) -> Mapping[str, Spent]:
        """Keep what the gateway answered; what each key spent by now."""
        found: Mapping[str, Spent] = await self._written(self._writer.answered.remote(answers))
        return found

    async def export(self, user: str) -> dict[str, Any] | None:
        """What is kept of a user, see electorate/online/export.py; None if it is not known."""
        found: dict[str, Any] | None = await self._written(self._writer.export.remote(user))
        return found

    async def erase(self, user: str, key: str) -> int | None:
        """The version without the user; None if it is not known."""
        version: int | None = await self._written(self._writer.erase.remote(user, key))
        return version

    async def add_model(self, name: str, key: str) -> int:
        """The version that knows the model. Raises RequestError if it may not be added."""
        return await self._changed(self._writer.add_model.remote(name, key))

    async def change_model(self, name: str, key: str, to: str | None, retired: bool | None) -> int:
        """Rename, retire or take back; the version that knows it. Raises RequestError."""
        return await self._changed(self._writer.change_model.remote(name, key, to, retired))

    async def _changed(self, response: Any) -> int:
        version: int | RequestError = await self._written(response)
        if isinstance(version, RequestError):
            raise version
        return version

    async def voters(self, limit: int) -> Voters:
        """The users and keys with the most votes."""
        found: Voters = await self._written(self._writer.voters.remote(limit))
        return found

    async def read_answers(
        self, prompt: str, responses: Sequence[str], models: Ints
    ) -> PersonalRead:
        """What System B says of responses to a prompt by these models."""
        read: PersonalRead = await self._awaited(
            self._texts().answers.remote(prompt, responses, models), UNREAD
        )
        return read

    async def read_prompt(self, prompt: str) -> PersonalRead | None:
        """What a prompt alone tells of all models; None where that was not learned. Raises Refused
        if nothing here reads texts.
        """
        read: PersonalRead | None = await self._awaited(self._texts().prompt.remote(prompt), UNREAD)
        return read

    async def ask(self, prompt: str, models: Sequence[str]) -> Mapping[str, Answer]:
        """What these contestants answer now, each with text or an error."""
        if self._live is None:
            raise RequestError("live: this endpoint asks no contestants; serve with --live")
        return await self._live.ask(prompt, models)

    def _texts(self) -> DeploymentHandle:
        if self._reader is None:
            raise Refused(503, "nothing here reads texts", None)
        return self._reader

    async def _written(self, response: Any) -> Any:
        return await self._awaited(
            response,
            "the writer is unavailable and acknowledged nothing; send the votes again with the "
            "same ids",
        )

    async def _awaited(self, response: Any, otherwise: str) -> Any:
        try:
            async with asyncio.timeout(ANSWER_S):
                return await response
        except BackPressureError:
            raise Refused(429, "queue full", 1) from None
        except RayTaskError as error:
            # Its own words are a traceback, which is nobody's business outside.
            raise (error.cause if isinstance(error.cause, ElectorateError) else error) from None
        except (RayError, RayServeException, TimeoutError):
            raise Refused(503, otherwise, 1) from None

    def count(self, route: str, status: int) -> None:
        """Count an answered request."""
        self._answered[route, status] += 1

    async def _report(self) -> None:
        """What was counted, every REPORT_S: a call of Ray's metrics costs more than a ranking."""
        while True:
            await asyncio.sleep(REPORT_S)
            counted = self._answered
            self._answered = Counter()
            self._lag.set(self.lag_s)
            self._failures.set(self._progress.failed)
            for (route, status), times in counted.items():
                self._requests.inc(times, tags={"route": route, "status": str(status)})

    async def metrics(self) -> str:
        """Of all replicas, as Prometheus reads them: what every node's agent has gathered of this
        project's metrics.
        """
        found = dict.fromkeys(list[str]())
        async with httpx.AsyncClient(timeout=2.0) as client:
            for node in [node for node in ray.nodes() if node["Alive"]]:
                address = f"{node['NodeManagerAddress']}:{node['MetricsExportPort']}"
                try:
                    text = (await client.get(f"http://{address}/metrics")).text
                except httpx.HTTPError:
                    continue
                found |= dict.fromkeys(line for line in text.splitlines() if _is_ours(line))
        return "\n".join([*found, ""])


def _is_ours(line: str) -> bool:
    """Whether a line of Prometheus's text is about a metric of this project."""
    return any(prefix in line.split("{", maxsplit=1)[0] for prefix in PREFIXES)
