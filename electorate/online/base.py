"""What snapshots begin with: a finished run, or nothing yet."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from electorate.base.errors import ElectorateError
from electorate.base.scale import Floats, Ints
from electorate.data import run_files
from electorate.data.prompts import PromptSet
from electorate.online import pseudonyms
from electorate.online.given import (
    KIND,
    ComparedPeople,
    GivenVotes,
    VotesFile,
    remove_rows,
    rows_of,
    tables_of_number,
)
from electorate.online.pseudonyms import PLAIN, Pseudonyms
from electorate.online.sent import as_persona
from electorate.online.store import MODELS_PER_KEY, VoteStore
from electorate.population import voters as voters_module
from electorate.population.voters import BLOCK, Voters
from electorate.ratings import prior_file
from electorate.ratings.prior import Prior
from electorate.ratings.ties import DEFAULT, MODELS, Name, TieModel
from electorate.rewards import store as reward_store
from electorate.storage.run_folder import RunFolder
from electorate.storage.vote_log import VoteLog

ONLINE = "online"
PRIOR_SD = 1000.0


@dataclass(frozen=True)
class Run:
    """A finished run. prior: System A's, by archetype."""

    folder: RunFolder
    voters: Voters
    prompts: PromptSet
    prior: Prior

    @property
    def shares(self) -> Floats:
        """(K,) of the archetypes in the population, summing to 1."""
        return self.voters.shares

    @property
    def rounds(self) -> int:
        """The number of rounds in the run's vote log."""
        return len(self.voters.config.votes.checkpoints)

    def segments(self, personas: Ints) -> Ints:
        """(n,) the archetypes of these personas."""
        return voters_module.archetypes_of_users(self.voters, personas)


@dataclass(frozen=True)
class Base:
    """folder: where online votes are kept. run: None where everything is still to be collected.
    given: votes of people that the online ones begin with; None: there are none. pseudonyms: as
    users' ids are kept online.
    """

    folder: Path
    run: Run | None
    given: GivenVotes | None = None
    pseudonyms: Pseudonyms = PLAIN

    @property
    def segments(self) -> tuple[str, ...]:
        """The run's archetypes, or the groups of people that are known."""
        if self.given is not None:
            return self.given.segments
        return self.run.voters.archetypes if self.run else ()

    @property
    def personas(self) -> int:
        """How many the run has."""
        return self.run.voters.size if self.run else 0

    @property
    def prompts(self) -> int:
        """How many prompts votes may be on, so that those on one are known to be."""
        if self.given is not None:
            return self.given.prompts
        return len(self.run.prompts) if self.run else 0

    @property
    def ties_name(self) -> Name:
        """The tie model of every rating."""
        if self.given is not None:
            return self.given.ties
        return self.run.voters.config.ratings.ties if self.run else DEFAULT

    @property
    def ties(self) -> TieModel:
        """The tie model of every rating."""
        return MODELS[self.ties_name]

    @property
    def prior_sd(self) -> float:
        """Of the Bradley-Terry prior, Elo points."""
        return self.run.voters.config.ratings.prior_sd if self.run else PRIOR_SD

    def open_store(
        self, declared: Sequence[str] = (), models_per_key: int = MODELS_PER_KEY
    ) -> VoteStore:
        """The votes that came online; for one process at a time. See VoteStore."""
        names = self.run.voters.config.contestant_names if self.run else ()
        return VoteStore(
            self.folder,
            names,
            self.personas,
            self._erase_elsewhere,
            declared,
            models_per_key,
            self.pseudonyms,
        )

    def votes_of_run(self, number: int) -> list[pa.Table]:
        """A persona's in the run's log, by round; none for anybody else."""
        run = self.run
        if run is None or number >= self.personas:
            return []
        log = VoteLog(run.folder.votes, run.voters.config.contestant_names)
        block = number // BLOCK
        there = [log.read(r, block) for r in range(run.rounds) if log.has(r, block)]
        return [votes.filter(pc.equal(votes["user_id"], number)) for votes in there]

    def kept_elsewhere(self, user: str) -> dict[str, list[dict[str, Any]]]:
        """What is kept of a user beside the store, but for its votes: rows by the file's name."""
        if self.given is not None:
            name = self.pseudonyms.of(user)
            return self.given.kept(lambda plain: self.pseudonyms.of(plain) == name)
        number = as_persona(user, self.personas)
        if self.run is None or number is None:
            return {}
        tables = tables_of_number(self.run.folder, number)
        return {place.name: rows_of(place, key) for place, key in tables}

    def _erase_elsewhere(self, number: int, name: str) -> list[pa.Table]:
        """Remove a persona from the run's log, personas and ratings, or a person from the ratings
        that `human` left; returns the votes it took out.

        What was trained on them is stale from then on.
        """
        if self.given is not None:
            self.given.erase(lambda plain: self.pseudonyms.of(plain) == name)
            return []
        run = self.run
        if run is None or number >= self.personas:
            return []
        log = VoteLog(run.folder.votes, run.voters.config.contestant_names)
        block = number // BLOCK
        gone = [log.remove_user(round_, block, number) for round_ in range(run.rounds)]
        if any(len(votes) for votes in gone):
            reward_store.mark_stale(run.folder)
        for place, key in tables_of_number(run.folder, number):
            remove_rows(place, key)
        return gone


def of_folder(path: Path, hash_ids: Path | None = None) -> Base:
    """On the finished run in this folder; on nothing where the folder is empty, new, or was
    begun so.

    hash_ids: a file with the key that users' ids are hashed with; None: they are kept as they are.

    Raises ElectorateError if a run there is not finished, or has no prior of System A.
    """
    return replace(_of_folder(path), pseudonyms=pseudonyms.of_file(hash_ids))


def _of_folder(path: Path) -> Base:
    if path.exists() and not path.is_dir():
        raise ElectorateError(
            f"{path}: is a file; give the --out of a run, or a new folder to begin with nothing"
        )
    folder = RunFolder(path)
    if not folder.manifest.exists():
        if path.is_dir() and any(entry.name != ONLINE for entry in path.iterdir()):
            raise ElectorateError(
                f"{path}: holds files but no finished run; give the --out of a run, or a new "
                "folder to begin with nothing"
            )
        return Base(path / ONLINE, None)
    manifest = folder.read_manifest()
    kind = manifest.get("kind", "run")
    if kind == KIND:
        return Base(path / ONLINE, None, VotesFile(manifest))
    if kind in ("run", "human") and manifest["status"] != "complete":
        raise ElectorateError(
            f"{path}: the run is {manifest['status']}; finish it with --resume, then serve it"
        )
    if kind == "human" or (kind == "run" and run_files.voters_kind(folder) == "people"):
        if "sha256" not in manifest:
            raise ElectorateError(
                f"{path}: was written by an earlier version of `human`, which kept too little to "
                "serve from; compare the votes again"
            )
        return Base(path / ONLINE, None, ComparedPeople(manifest, folder))
    if kind != "run":
        raise ElectorateError(
            f"{path}: was written by `{kind}` of an earlier version, which kept no rankings; only "
            "the --out of a finished `run` can be served, or a new folder"
        )
    voters = voters_module.of_run(folder)
    prompts = run_files.read_prompts(folder)
    return Base(path / ONLINE, Run(folder, voters, prompts, prior_file.read(folder.prior)))
