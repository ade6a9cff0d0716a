"""Routers of a study: rankings that are known before anybody has answered, and the truth.

What reads contestants' answers (System B itself) routes nothing, as the answers would have to be
paid for first; prompt_head ranks by the prompt alone.
"""

from dataclasses import dataclass, replace

import numpy as np

from electorate.base.scale import Floats, Ints
from electorate.config.systems import ORACLE, SYSTEMS
from electorate.evaluation import routing
from electorate.evaluation.predictions import Prediction, System
from electorate.evaluation.systems import built
from electorate.rewards import prompt_head as heads
from electorate.rewards import store, weights
from electorate.rewards.prompt_head import PromptRead
from electorate.rewards.systems import Personal
from electorate.study.systems import AfterRound

PROMPT_ALONE = "prompt_alone"
LABELS = {
    routing.RANDOM: "a contestant at random",
    routing.GLOBAL: "the global ranking",
    "segment_bt": "the archetype's ranking",
    PROMPT_ALONE: "by the prompt, the same for all users",
    "elo_offset": "by the user (System A)",
    "prompt_head": "by the user and the prompt",
    ORACLE: "the truth",
}


def of_round(at: AfterRound) -> dict[str, System]:
    """The routers after a round, by name: those of LABELS that the run has what it takes for."""
    compared = at.voters.config.evaluation.systems
    wanted = [name for name in LABELS if name in SYSTEMS and name != ORACLE]
    names = tuple(n for n in wanted if not SYSTEMS[n].reward or n in compared)
    found, _ = built(at, names)
    if "prompt_head" in found and (alone := _prompt_alone(at)) is not None:
        found[PROMPT_ALONE] = alone
    return {name: found[name] for name in LABELS if name in found}


def _prompt_alone(at: AfterRound) -> System | None:
    """What the prompt alone tells of a user of whom nothing is known."""
    of = at.rewards
    if of is None:
        return None
    read = store.read(store.of_round(of.folder, of.version), store.PROMPT_HEAD)
    if not isinstance(read, PromptRead):
        return None
    everybody = heads.without_label(read, of.voters.shares)
    nobody = np.zeros(1, dtype=np.int64)
    unknown = replace(of.battles.take(slice(0, 0)), archetype=nobody)
    own = weights.solve(everybody, unknown, at.ties)
    mix = of.voters.shares[None] @ of.voters.prompt_weights
    return _ForEverybody(Personal(everybody, nobody, mix, own, at.ties))


@dataclass(frozen=True)
class _ForEverybody:
    """A system of one user's predictions, which are everybody's."""

    one: Personal

    @property
    def overall(self) -> Floats:
        """(n or 1, M) strengths over all prompts."""
        return self.one.overall

    def on(self, prompt: int) -> Prediction:
        """What it says on one prompt."""
        return self.one.on(prompt)

    def take(self, users: Ints) -> "_ForEverybody":  # noqa: ARG002 the same for all
        """The same for these rows of its users."""
        return self
