"""People as the voters of a run: who they are, what they voted on, and their votes by block.

Nothing is known of them but their votes, so systems are compared by held-out votes
(electorate/evaluation/people.py) and not with true rankings.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from electorate.base.scale import Floats, Ints
from electorate.base.votes import Votes
from electorate.config.run import Config
from electorate.data import run_files
from electorate.data.prompts import NOBODYS, PromptSet
from electorate.data.votes import NamedVotes
from electorate.population.voters import BLOCK, PromptTruth, Users, VotersOfRun
from electorate.storage import files
from electorate.storage.run_folder import RunFolder
from electorate.storage.vote_columns import table_of, votes_of
from electorate.storage.vote_log import VoteLog

PEOPLE = "people"  # their one archetype
JUDGE = "person"
MOST_CHECKPOINT = 10_000
UNKNOWN = "what people would do is known by their votes alone"


@dataclass(frozen=True)
class People(VotersOfRun):
    """People as Voters: what is known of them is their votes.

    Attributes:
        config: of the run.
        names: of the people, by id, as the file has them.
        training_prompts: ids of the prompts that votes are on.
        prompt_weights: (1, P) the same for all of them.
    """

    config: Config
    names: tuple[str, ...]
    training_prompts: Ints
    prompt_weights: Floats

    @property
    def archetypes(self) -> tuple[str, ...]:
        """The archetypes' names, in the order of their indices."""
        return (PEOPLE,)

    @property
    def unseen(self) -> Floats:
        """(K,) the share of each archetype's prompts that no vote is on; 1 where those voted on are
        a sample of prompts without end.
        """
        return np.ones(1)

    @property
    def shares(self) -> Floats:
        """(K,) of the archetypes among the voters, summing to 1."""
        return np.ones(1)

    def truths(
        self,
        users: Users,  # noqa: ARG002 as Voters has it
        prompts: Ints,  # noqa: ARG002
    ) -> Iterator[PromptTruth]:
        """What these users would do on each of these prompts in turn. Raises ValueError: there is
        none.
        """
        raise ValueError(UNKNOWN)

    def truth_prompts(self, test: Ints) -> Ints:
        """Those of the test prompts that `truths` knows."""
        return test[:0]

    def overall(self, users: Users) -> Floats:  # noqa: ARG002 as Voters has it
        """(n, M) utility of each contestant over all of a user's prompts, in logits. Raises
        ValueError: it is not known.
        """
        raise ValueError(UNKNOWN)


def of_run(folder: RunFolder) -> People:
    """The people of a run whose personas and prompts are written."""
    config = run_files.read_config(folder)
    table = files.read_table(folder.personas)
    # Who was erased since has no row.
    names = [""] * config.users
    for user_id, name in zip(table["user_id"].to_pylist(), table["name"].to_pylist(), strict=True):
        names[user_id] = name
    prompts = len(run_files.read_prompts(folder))
    even = np.full((1, prompts), 1 / prompts)
    return People(config, tuple(names), np.arange(prompts), even)


def with_voters(config: Config, votes: NamedVotes, sha256: str) -> Config:
    """The config with what the file of votes says of models and users. One round holds them all.

    Args:
        votes: which must name their users.
        sha256: of the file.
    """
    if config.people is None:
        raise ValueError("a config whose voters are no people")
    most = int(np.bincount(votes.user).max())
    named = {"models": votes.models, "users": len(votes.user_names), "sha256": sha256}
    counted = config.votes.model_copy(update={"checkpoints": (min(most, MOST_CHECKPOINT),)})
    people = config.people.model_copy(update=named)
    return config.model_copy(update={"voters": people, "votes": counted})


def personas_table(votes: NamedVotes) -> pa.Table:
    """A row a user: user_id, name, and how many votes."""
    cast = np.bincount(votes.user, minlength=len(votes.user_names))
    ids = pa.array(np.arange(len(cast)), pa.int64())
    return pa.table({"user_id": ids, "name": list(votes.user_names), "votes": cast})


def prompt_set(votes: NamedVotes, prompt: Ints) -> PromptSet:
    """The prompts, all of them voted on; their texts where the votes have them.

    Args:
        prompt: (n,) of each vote, counted from 0.
    """
    count = int(prompt.max()) + 1
    text = [""] * count
    if votes.texts is not None:
        asked = votes.texts.prompts
        for row, own in zip(prompt.tolist(), votes.texts.prompt.tolist(), strict=True):
            text[row] = asked[own]
    nobodys = (NOBODYS,) * count
    return PromptSet(nobodys, nobodys, tuple(text), ("train",) * count)


def vote_log_rows(votes: NamedVotes, prompt: Ints, block: int) -> pa.Table:
    """The block's votes as columns of the vote log, user by user in the order of the file.

    Args:
        prompt: (n,) of each vote, counted from 0.
    """
    # Files of all blocks have the same columns.
    weight = None if np.all(votes.weight == 1) else votes.weight
    whole = Votes.of(votes, prompt=prompt, weight=weight)
    own = whole.take(np.flatnonzero(votes.user // BLOCK == block))
    own = own.take(np.argsort(own.user, kind="stable"))
    step = np.arange(len(own)) - np.searchsorted(own.user, own.user)
    return table_of(own, step, JUDGE)


def votes_of_run(folder: RunFolder) -> NamedVotes:
    """The people's votes, from the run's log."""
    people = of_run(folder)
    log = VoteLog(folder.votes, people.config.contestant_names)
    table = pa.concat_tables([log.read(0, block) for block in sorted(log.blocks(0))])
    read = votes_of(table)
    return NamedVotes.of(
        read, weight=read.weights, models=people.config.contestant_names, user_names=people.names
    )
