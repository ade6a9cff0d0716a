"""Who votes in a study, whatever kind they are: what everything after the votes asks of them."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from electorate.base.columns import Columns
from electorate.base.draws import Stream, generator
from electorate.base.errors import ElectorateError
from electorate.base.registry import load
from electorate.base.scale import Floats, Ints
from electorate.config.run import Config
from electorate.config.voters import VOTERS
from electorate.data import run_files
from electorate.population.pairing import Pairs
from electorate.storage.run_folder import RunFolder

BLOCK = 4096  # ids: the unit of work, random draws, retry and resume
SINCERE = 0
CARELESS = 1
ADVERSARIAL = 2
CONDUCTS = ("sincere", "careless", "adversarial")


@dataclass(frozen=True)
class Users(Columns):
    """n users as columns (n,): ids, places of their archetypes, and CONDUCTS' places, as far as
    they are known.
    """

    user_id: Ints
    archetype: Ints
    conduct: Ints


@dataclass(frozen=True)
class PromptTruth:
    """What n users would do on one prompt. utility: (n, M) logits. odds: (n, pairs, 3), either
    response first.
    """

    utility: Floats
    odds: Floats


class Voters(Protocol):
    """The voters of a run, in blocks of BLOCK ids, from 0 on."""

    @property
    def config(self) -> Config:
        """The config of the run."""
        ...

    @property
    def training_prompts(self) -> Ints:
        """Ids of the prompts that votes are on."""
        ...

    @property
    def prompt_weights(self) -> Floats:
        """(K, P) each archetype's mix of prompts; rows sum to 1."""
        ...

    @property
    def unseen(self) -> Floats:
        """(K,) the share of each archetype's prompts that no vote is on; 1 where those voted on are
        a sample of prompts without end.
        """
        ...

    @property
    def seed(self) -> int:
        """The seed of every draw."""
        ...

    @property
    def archetypes(self) -> tuple[str, ...]:
        """The archetypes' names, in the order of their indices."""
        ...

    @property
    def shares(self) -> Floats:
        """(K,) of the archetypes among the voters, summing to 1."""
        ...

    @property
    def size(self) -> int:
        """The number of voters."""
        ...

    @property
    def models(self) -> int:
        """How many contestants there are, M."""
        ...

    @property
    def blocks(self) -> int:
        """How many blocks they fill."""
        ...

    @property
    def newcomers(self) -> int:
        """How many users there are besides whose votes nothing is fitted to; their ids begin with
        the block after the last.
        """
        ...

    def archetype_of(self, block: int) -> Ints:
        """(n,) the archetype of each user of a block."""
        ...

    def block(self, block: int, round_: int = 0) -> Users:
        """The users of a block as they are in a round."""
        ...

    def truths(self, users: Users, prompts: Ints) -> Iterator[PromptTruth]:
        """What these users would do on each of these prompts in turn.

        For whom and on which prompts it is known, see `compared` and `truth_prompts`.
        """
        ...

    def truth_prompts(self, test: Ints) -> Ints:
        """Those of the test prompts that `truths` knows."""
        ...

    def overall(self, users: Users) -> Floats:
        """(n, M) utility of each contestant over all of a user's prompts, in logits."""
        ...

    def overall_of_all(self, users: Users) -> Floats | None:
        """The same where it is known of every voter; else None."""
        ...


class VotersOfRun:
    """What follows from a run's config, whoever votes. Kinds of voters add the rest of Voters."""

    config: Config
    training_prompts: Ints
    prompt_weights: Floats

    @property
    def seed(self) -> int:
        """The seed of every draw."""
        return self.config.seed

    @property
    def size(self) -> int:
        """The number of voters."""
        return self.config.users

    @property
    def models(self) -> int:
        """How many contestants there are, M."""
        return len(self.config.contestant_names)

    @property
    def blocks(self) -> int:
        """How many blocks they fill."""
        return -(-self.size // BLOCK)

    @property
    def newcomers(self) -> int:
        """How many users there are besides whose votes nothing is fitted to; their ids begin with
        the block after the last.
        """
        return 0

    @property
    def unseen(self) -> Floats:
        """(K,) the share of each archetype's prompts that no vote is on."""
        return 1 - self.prompt_weights[:, self.training_prompts].sum(axis=1)

    def steps(self, round_: int) -> tuple[int, int]:
        """A round's first vote of a user, and how many it has."""
        checkpoints = (0, *self.config.votes.checkpoints)
        return checkpoints[round_], checkpoints[round_ + 1] - checkpoints[round_]

    def archetype_of(self, block: int) -> Ints:
        """(n,) the archetype of each user of a block: one for all."""
        return np.zeros(min(BLOCK, self.size - block * BLOCK), dtype=np.int64)

    def block(self, block: int, round_: int = 0) -> Users:  # noqa: ARG002 as Voters has it
        """The users of a block, who are the same in every round and vote by their taste."""
        archetype = self.archetype_of(block)
        return Users(
            block * BLOCK + np.arange(len(archetype)), archetype, np.full(len(archetype), SINCERE)
        )

    def overall_of_all(self, users: Users) -> Floats | None:  # noqa: ARG002 as Voters has it
        """(n, M) utility of each contestant, where it is known of every voter; else None."""
        return None


class Casting(VotersOfRun, ABC):
    """Voters whose votes a cohort draws when it is asked for a block's; those of others are
    recorded, and are in the log before anybody asks.
    """

    @abstractmethod
    def ballots(self, round_: int, block: int, chosen: Pairs | None = None) -> pa.Table:
        """A block's votes of one round as columns of the vote log, user by user. The same whenever
        and wherever it is called.

        Args:
            chosen: which pairs, (n, votes); None draws them evenly.
        """

    def personas_table(self, block: int) -> pa.Table:
        """A block's rows of personas.parquet, with what else is known of each."""
        users = self.block(block)
        columns = {"user_id": users.user_id, "conduct": np.array(CONDUCTS)[users.conduct]}
        return pa.table(columns)


def of_run(folder: RunFolder) -> Voters:
    """The voters of a run whose responses are there."""
    kind = run_files.read_config(folder).voters.kind
    voters: Voters = load(VOTERS[kind].of_run)(folder)
    return voters


def compared(voters: Voters) -> Ints:
    """Ids, ascending, of the users that systems are compared on: a sample drawn from the seed
    without replacement, or the first of one archetype.

    Raises:
        ElectorateError: nobody is of that archetype.
    """
    persona = voters.config.evaluation.persona
    most = voters.config.compared
    if persona is not None:
        return _first_of(voters, persona, most)
    if most >= voters.size:
        return np.arange(voters.size)
    random = generator(voters.seed, Stream.EVALUATION_USERS)
    return np.sort(random.choice(voters.size, most, replace=False, shuffle=False))


def newcomers(voters: Voters) -> Ints:
    """Ids, ascending, of users past the voters, whose votes nothing is fitted to."""
    return voters.blocks * BLOCK + np.arange(voters.newcomers)


def with_ids(voters: Voters, user_id: Ints, round_: int = 0) -> Users:
    """The users with these ids, ascending, as they are in a round."""
    parts = [
        voters.block(block, round_).take(user_id[user_id // BLOCK == block] % BLOCK)
        for block in np.unique(user_id // BLOCK).tolist()
    ]
    return type(parts[0]).joined(parts)


def archetypes_of_users(voters: Voters, user_id: Ints) -> Ints:
    """(n,) the archetypes of the users with these ids."""
    block, row = np.divmod(user_id, BLOCK)
    found = np.zeros_like(user_id)
    for one in np.unique(block).tolist():
        found[block == one] = voters.archetype_of(one)[row[block == one]]
    return found


def wrong_labels(voters: Voters, block: int, share: float = 0.2) -> Ints:
    """(n,) archetype labels of which `share` are replaced by another archetype's, drawn evenly."""
    labels = voters.archetype_of(block)
    archetype_count = len(voters.archetypes)
    random = generator(voters.seed, Stream.WRONG_LABELS, block)
    wrong = random.random(BLOCK)[: len(labels)] < share
    moved = random.integers(1, max(2, archetype_count), BLOCK)[: len(labels)]
    return np.where(wrong, (labels + moved) % archetype_count, labels)


def _first_of(voters: Voters, persona: str, most: int) -> Ints:
    """Ids of at most so many users of an archetype."""
    archetypes: Sequence[str] = voters.archetypes
    if persona not in archetypes:
        raise ElectorateError(
            f"evaluation.persona: {persona!r} is no archetype of the voters "
            f"({', '.join(archetypes)})"
        )
    found = list[Ints]()
    there = 0
    for block in range(voters.blocks):
        rows = np.flatnonzero(voters.archetype_of(block) == archetypes.index(persona))
        found.append(block * BLOCK + rows)
        there += len(rows)
        if there >= most:
            break
    if not there:
        raise ElectorateError(
            f"evaluation.persona: none of the {voters.size} voters is a {persona}; raise their "
            "number"
        )
    return np.concatenate(found)[:most]
