"""What the standings begin with: a finished run, or nothing yet."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from electorate import founding
from electorate.errors import ElectorateError
from electorate.online.store import VoteStore, without
from electorate.personas import BLOCK, Electorate, draw_archetypes
from electorate.prompts import PromptSet
from electorate.ratings import priors
from electorate.ratings.posteriors import Prior
from electorate.ratings.ties import MODELS, TieModel
from electorate.rewards import store as reward_store
from electorate.scale import Floats, Ints
from electorate.storage import files
from electorate.storage.run_folder import RunFolder
from electorate.storage.vote_log import VoteLog

ONLINE = "online"
TIES, PRIOR_SD = "davidson", 1000.0


@dataclass(frozen=True)
class Run:
    """A finished run. prior: System A's, by archetype."""

    folder: RunFolder
    electorate: Electorate
    prompts: PromptSet
    prior: Prior

    @property
    def shares(self) -> Floats:
        """(K,) of the archetypes in the population, summing to 1."""
        shares = np.array([archetype.share for archetype in self.electorate.population.archetypes.values()])
        return shares / shares.sum()

    @property
    def rounds(self) -> int:
        """Of its vote log."""
        return len(self.electorate.config.votes.checkpoints)

    def segments(self, personas: Ints) -> Ints:
        """(n,) the archetypes of these personas."""
        block, row = np.divmod(personas, BLOCK)
        found = np.zeros_like(personas)
        for one in np.unique(block).tolist():
            found[block == one] = draw_archetypes(self.electorate, one)[row[block == one]]
        return found


@dataclass(frozen=True)
class Base:
    """folder: where online votes are kept. run: None where everything is still to be collected."""

    folder: Path
    run: Run | None

    @property
    def segments(self) -> tuple[str, ...]:
        """The run's archetypes."""
        return self.run.electorate.archetypes if self.run else ()

    @property
    def personas(self) -> int:
        """How many the run has."""
        return self.run.electorate.population.size if self.run else 0

    @property
    def ties(self) -> TieModel:
        """Of every rating."""
        return MODELS[self.run.electorate.config.ratings.ties if self.run else TIES]

    @property
    def prior_sd(self) -> float:
        """Of the Bradley-Terry prior, Elo points."""
        return self.run.electorate.config.ratings.prior_sd if self.run else PRIOR_SD

    def open_store(self) -> VoteStore:
        """The votes that came online; for one process at a time."""
        names = self.run.electorate.config.contestant_names if self.run else ()
        return VoteStore(self.folder, names, self.personas, self._erase_from_run)

    def _erase_from_run(self, number: int) -> None:
        """A persona's votes in the run's log; what was trained on them is stale from then on."""
        run = self.run
        if run is None or number >= self.personas:
            return
        log, block = VoteLog(run.folder.votes, run.electorate.config.contestant_names), number // BLOCK
        if sum(without(log, round_, block, number) for round_ in range(run.rounds)):
            reward_store.mark_stale(run.folder)


def of_folder(path: Path) -> Base:
    """On the finished run in this folder; on nothing where the folder is empty, new, or was begun so.

    Raises ElectorateError if a run there is not finished, or has no prior of System A.
    """
    folder = RunFolder(path)
    if not folder.manifest.exists():
        if path.is_dir() and any(entry.name != ONLINE for entry in path.iterdir()):
            raise ElectorateError(
                f"{path}: holds files but no finished run; give the --out of a run, or a new folder to begin with nothing"
            )
        return Base(path / ONLINE, None)
    manifest = folder.read_manifest()
    if manifest.get("kind", "run") != "run" or manifest["status"] != "complete":
        raise ElectorateError(f"{path}: a {manifest.get('kind', 'run')} that is {manifest['status']}; only a finished run can be served")
    electorate, prompts = founding.of_run(folder), PromptSet.from_table(files.read_table(folder.prompts))
    return Base(path / ONLINE, Run(folder, electorate, prompts, priors.read(folder.prior)))
