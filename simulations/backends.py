"""What a study runs on: actors on Ray, or with `cluster.cohorts: 0` this process alone."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rich.console import Console

from electorate.base.errors import ElectorateError
from electorate.config.contest import Cluster
from electorate.config.engines import VllmModel
from electorate.config.reward import Reward
from electorate.config.run import Config
from electorate.storage.run_folder import RunFolder
from electorate.study.pool import InProcessPool, Pool

if TYPE_CHECKING:
    from electorate.rewards.adapters import Adapted
    from electorate.rewards.answer_votes import AnswerVotes

# Ray takes seconds to import: only where it is used.


def check(settings: Cluster, served: Mapping[str, VllmModel]) -> None:
    """Whether there is what these models' engines run on.

    Raises:
        ElectorateError: they need Ray, which is not to be started.
    """
    if settings.cohorts == 0 and served:
        raise ElectorateError(
            f"cluster.cohorts: 0 runs without Ray, and models.{min(served)} is served by vLLM on "
            "Ray; set it to 1 or more"
        )


@contextmanager
def of_run(
    config: Config, folder: RunFolder, served: Mapping[str, VllmModel], console: Console
) -> Iterator[Pool]:
    """The pool of a run, for the length of the block.

    Args:
        served: the models whose engines have to be started.

    Raises:
        ElectorateError: the cluster could never hold the run, or models need one and there is none.
    """
    if config.cluster.cohorts == 0:
        check(config.cluster, served)
        yield InProcessPool(folder)
        return
    from actors.ray_pool import RayPool
    from simulations import memory, plan

    parts = plan.of_run(config, served)
    with plan.on_cluster(config.cluster, parts, memory.of_run(config, served), console):
        yield RayPool.start(folder, config.cluster)


class Trainer(Protocol):
    """What trains System B. See electorate.rewards.job for the functions."""

    def train(self, run: RunFolder, settings: Reward, round_: int, cache_dir: Path) -> None:
        """Train on the votes of rounds 0..round_, and keep the best epoch in the run's folder."""
        ...

    def adapted(
        self, run: RunFolder, settings: Reward, version: int, cache_dir: Path, votes: "AnswerVotes"
    ) -> "Adapted":
        """A model of its own for each user of `votes`."""
        ...


def trainer(settings: Cluster) -> Trainer:
    """This process, or a Ray Train job."""
    if settings.cohorts == 0:
        from electorate.rewards import job

        return job
    from cluster import reward_job

    return reward_job
