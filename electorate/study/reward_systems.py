"""The systems that the reward model gives: System B and what it is compared with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from electorate.config.reward import TOLD_BY_PROMPT
from electorate.config.run import Config
from electorate.config.systems import SYSTEMS
from electorate.evaluation.predictions import System
from electorate.evaluation.systems import elo_offset
from electorate.population.logged_votes import LoggedVotes
from electorate.population.voters import Users, Voters
from electorate.rewards import prompt_head as heads
from electorate.rewards import store, weights
from electorate.rewards.answer_votes import AnswerVotes
from electorate.rewards.ratings_beside import SYSTEM_A
from electorate.rewards.systems import Adapters, Personal, Pooled
from electorate.rewards.weights import PersonalRead
from electorate.storage.run_folder import RunFolder

if TYPE_CHECKING:
    # Which imports torch.
    from electorate.rewards.adapters import Adapted
    from electorate.study.systems import AfterRound

# Trains a model of its own for each user of the votes, from the training after this round.
Adapt = Callable[[int, AnswerVotes], "Adapted"]


@dataclass(frozen=True)
class Trained:
    """The reward model in force after a round, and the votes of the users compared."""

    voters: Voters
    folder: RunFolder
    version: int
    people: Users
    battles: AnswerVotes
    adapt: Adapt | None


def rounds(config: Config) -> list[int]:
    """After which rounds the reward model is trained."""
    if config.reward is None:
        return []
    last = len(config.votes.checkpoints) - 1
    each = config.reward.incremental and config.evaluation.incremental
    return list(range(last + 1)) if each else [last]


def versions(voters: Voters, folder: RunFolder, round_: int) -> dict[str, str]:
    """System to the version of the reward model that is in force after a round."""
    if round_ not in rounds(voters.config):
        return {}
    name = store.version_name(folder, store.read_versions(folder)[round_])
    return {system: name for system, spec in SYSTEMS.items() if spec.reward}


def trained(
    voters: Voters,
    folder: RunFolder,
    round_: int,
    votes: LoggedVotes,
    people: Users,
    adapt: Adapt | None,
) -> Trained | None:
    """What is in force after a round, None if nothing was trained for it.

    Args:
        votes: the people's own votes.
        adapt: see Adapt.
    """
    if round_ not in rounds(voters.config):
        return None
    version = store.read_versions(folder)[round_]
    battles = AnswerVotes.of_run(votes, people.archetype, voters.models)
    return Trained(voters, folder, version, people, battles, adapt)


def form(at: "AfterRound", name: str) -> System | None:
    """A variant of the reward model, as electorate/rewards/forms.py describes it."""
    of = at.rewards
    if of is None:
        return None
    if name in store.read_fallbacks(of.folder).get(at.round_, ()):
        return elo_offset(at, SYSTEM_A)
    read = store.read(store.of_round(of.folder, of.version), name)
    archetype = of.people.archetype
    mix = of.voters.prompt_weights
    if isinstance(read, PersonalRead):
        return Personal(read, archetype, mix, weights.solve(read, of.battles, at.ties), at.ties)
    return Pooled(read, archetype, mix, at.ties)


def prompt_head(at: "AfterRound", name: str) -> System | None:
    """What is predicted from the prompt alone.

    A user's weights come from votes on responses that are there; only what they are applied to is
    predicted from the prompt.
    """
    of = at.rewards
    if of is None:
        return None
    where = store.of_round(of.folder, of.version)
    wanted = of.voters.config.evaluation.systems
    teacher = heads.personal(
        store.read(where, next(form for form in TOLD_BY_PROMPT if form in wanted))
    )
    read = store.read(where, name)
    if not isinstance(read, PersonalRead):
        return None
    own = weights.solve(teacher, of.battles, at.ties)
    return Personal(read, of.people.archetype, of.voters.prompt_weights, own, at.ties)


def personal_rm(at: "AfterRound", _: str) -> System | None:
    """A reward model of its own for each user."""
    of = at.rewards
    if of is None or of.adapt is None:
        return None
    own = of.adapt(of.version, of.battles)
    archetype = of.people.archetype
    return Adapters(own.base, own.eta, archetype, of.voters.prompt_weights, at.ties)
