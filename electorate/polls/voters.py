"""Personas that language models judge for, as the voters of a run.

A persona's battles are drawn without replacement from all pairs of contestants on all training
prompts, so that none is judged twice. What systems are compared with are the judges' own rankings:
some personas judge every pair of responses to some test prompts (truth.parquet).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from electorate.base.draws import Stream, generator
from electorate.base.errors import ElectorateError
from electorate.base.pairs import pair_indices
from electorate.base.scale import Floats, Ints
from electorate.base.votes import Votes
from electorate.config.judging import Rankings
from electorate.config.run import Config
from electorate.data import run_files
from electorate.data.prompts import SPLITS
from electorate.polls import cards, verdicts
from electorate.polls.battles import Battles
from electorate.polls.cards import Card
from electorate.population import voters
from electorate.population.voters import BLOCK, PromptTruth, Users, VotersOfRun
from electorate.storage import files, joins
from electorate.storage.run_folder import RunFolder
from electorate.storage.vote_columns import table_of

# A judge's log-probabilities have no unit of their own: odds beyond 99 to 1 count as these.
SUREST = 0.99


@dataclass(frozen=True)
class JudgedPersonas(VotersOfRun):
    """Personas whose votes a judge casts, as Voters.

    Args:
        archetype: (size,) the place of each persona's archetype.
        test_prompts: ids of the prompts that no vote is on.
    """

    config: Config
    folder: RunFolder
    archetypes: tuple[str, ...]
    archetype: Ints
    training_prompts: Ints
    test_prompts: Ints
    prompt_weights: Floats

    @property
    def shares(self) -> Floats:
        """(K,) of the archetypes among the voters, summing to 1."""
        return np.bincount(self.archetype, minlength=len(self.archetypes)) / self.size

    @property
    def size(self) -> int:
        """The number of voters."""
        return len(self.archetype)

    def archetype_of(self, block: int) -> Ints:
        """(n,) the archetype of each user of a block."""
        return self.archetype[block * BLOCK : (block + 1) * BLOCK]

    def cards(self, user_id: Ints) -> list[Card]:
        """The cards of the personas with these ids."""
        return cards.with_ids(self.folder.personas, user_id)

    def battles(self, round_: int, block: int, users: int | None = None) -> Battles:
        """A round's battles of a block, or of its first users; `persona` is the row in the block.

        In the order of prompts and pairs, so that what a judge reads again stands together.
        """
        low, high = pair_indices(self.models)
        checkpoints = (0, *self.config.votes.checkpoints)
        rows = min(len(self.archetype_of(block)), BLOCK if users is None else users)
        chosen = list[Ints]()
        turned = list[Ints]()
        for row in range(rows):
            random = generator(self.seed, Stream.POLL, block * BLOCK + row)
            drawn = random.permutation(len(self.training_prompts) * len(low))
            own = drawn[checkpoints[round_] : checkpoints[round_ + 1]]
            turn = random.integers(2, size=checkpoints[-1])[checkpoints[round_] :][: len(own)]
            order = np.argsort(own)
            chosen.append(own[order])
            turned.append(turn[order])
        which = np.concatenate(chosen)
        # Which response is called A says nothing: places are drawn evenly.
        turn = np.concatenate(turned)
        prompt, pair = np.divmod(which, len(low))
        return Battles(
            np.repeat(np.arange(rows), [len(own) for own in chosen]),
            self.training_prompts[prompt],
            np.where(turn, high[pair], low[pair]),
            np.where(turn, low[pair], high[pair]),
        )

    def votes(
        self, round_: int, block: int, fought: Battles, odds: Floats, both_bad: Floats, judge: str
    ) -> pa.Table:
        """The rows of the vote log that come of these battles.

        Args:
            odds: (n, 3) log-probabilities of A, B and tie, NaN where nothing was said.
            both_bad: (n,) the part of a tie that says neither will do.
            judge: who cast them.
        """
        rows = np.flatnonzero(~np.isnan(odds[:, 0]))
        outcome = verdicts.outcome(odds[rows], both_bad[rows])
        first = (0, *self.config.votes.checkpoints)[round_]
        place = np.arange(len(fought)) - np.searchsorted(fought.persona, fought.persona)
        votes = Votes(
            user=block * BLOCK + fought.persona[rows],
            prompt=fought.prompt[rows],
            a=fought.a[rows],
            b=fought.b[rows],
            outcome=outcome,
        )
        return table_of(votes, first + place[rows], judge, np.exp(odds[rows]))

    def truth_prompts(self, test: Ints) -> Ints:
        """Those of the test prompts that `truths` knows."""
        return test[: self._rankings.prompts]

    def truths(self, users: Users, prompts: Ints) -> Iterator[PromptTruth]:
        """What these users would do on each of these prompts in turn."""
        known, odds = self._truth
        rows = np.searchsorted(known, users.user_id)
        place = {prompt: i for i, prompt in enumerate(self.truth_prompts(self.test_prompts))}
        for prompt in prompts.tolist():
            of_users = odds[rows, place[prompt]]
            # Votes are the likeliest outcome, so that is what systems predict.
            yield PromptTruth(utilities(of_users, self.models), self._votes(of_users))

    def overall(self, users: Users) -> Floats:
        """(n, M) utility of each contestant over all of a user's prompts, in logits. Over the test
        prompts that the judges ranked responses to.
        """
        known, odds = self._truth
        mean: Floats = utilities(odds, self.models).mean(axis=1)
        return mean[np.searchsorted(known, users.user_id)]

    @property
    def _rankings(self) -> Rankings:
        if self.config.judging is None:
            raise ValueError("a config whose voters are not models")
        return self.config.judging.rankings

    @cached_property
    def _truth(self) -> tuple[Ints, Floats]:
        """Ids of the users compared, ascending, and (users, prompts, pairs, 3) probabilities."""
        known = voters.compared(self)
        prompts = self.truth_prompts(self.test_prompts)
        low, _ = pair_indices(self.models)
        keys: dict[str, Sequence[int]] = {
            "user_id": known.tolist(),
            "prompt_id": prompts.tolist(),
            "pair": range(len(low)),
        }
        table = joins.in_order(self.folder.truth, files.read_table(self.folder.truth), keys)
        columns = [table[name].to_numpy() for name in ("p_a", "p_b", "p_tie")]
        odds = np.stack(columns, axis=1).astype(float)
        return known, odds.reshape(len(known), len(prompts), len(low), 3)

    @staticmethod
    def _votes(odds: Floats) -> Floats:
        """The votes that these probabilities become, as probabilities of 0 and 1."""
        votes = verdicts.choice(np.log(np.maximum(odds, 1e-300)).reshape(-1, 3))
        return np.eye(3)[votes].reshape(odds.shape)


def truth_table(user_id: Ints, prompts: Ints, probabilities: Floats, models: int) -> pa.Table:
    """The rows of truth.parquet. probabilities: (users, prompts, pairs, 3)."""
    users, _, pairs, _ = probabilities.shape
    a, b = pair_indices(models)
    each = len(prompts) * pairs
    flat = probabilities.reshape(-1, 3)
    columns: dict[str, Any] = {
        "user_id": np.repeat(user_id, each),
        "prompt_id": np.tile(np.repeat(prompts, pairs), users),
        "pair": np.tile(np.arange(pairs), users * len(prompts)),
        "model_a": np.tile(a, users * len(prompts)),
        "model_b": np.tile(b, users * len(prompts)),
    }
    return pa.table(columns | {f"p_{name}": flat[:, i] for i, name in enumerate(("a", "b", "tie"))})


def utilities(odds: Floats, models: int) -> Floats:
    """(..., M) utilities in logits that fit the odds of all pairs best, by least squares.

    Args:
        odds: (..., pairs, 3) probabilities of A, B and tie. A tie is half a win.
    """
    a, b = pair_indices(models)
    won = np.clip(odds[..., 0] + odds[..., 2] / 2, 1 - SUREST, SUREST)
    logit = np.log(won / (1 - won))
    total = np.zeros((*odds.shape[:-2], models))
    for pair, (one, other) in enumerate(zip(a, b, strict=True)):
        total[..., one] += logit[..., pair]
        total[..., other] -= logit[..., pair]
    return total / models


def of_run(folder: RunFolder) -> JudgedPersonas:
    """The personas of a run whose personas and prompts are written."""
    config = run_files.read_config(folder)
    prompts = run_files.read_prompts(folder)
    archetypes = tuple(folder.read_manifest()["archetypes"])
    used = np.isin(np.array(prompts.split), SPLITS).astype(float)
    return JudgedPersonas(
        config,
        folder,
        archetypes,
        cards.archetype_of(folder.personas, config.users, archetypes),
        prompts.ids("train"),
        prompts.ids("test"),
        np.tile(used / used.sum(), (len(archetypes), 1)),
    )


def check_votes(config: Config, training_prompts: int) -> None:
    """Refuse more votes a persona than there are battles.

    Raises:
        ElectorateError: there are fewer.
    """
    models = len(config.contestant_names)
    battles = training_prompts * models * (models - 1) // 2
    if config.votes.checkpoints[-1] > battles:
        raise ElectorateError(
            f"votes.checkpoints (of a poll: battles): {config.votes.checkpoints[-1]} votes a "
            f"persona are asked for, and {models} contestants on {training_prompts} training "
            f"prompts make {battles} battles; lower it, or raise prompts.per_archetype"
        )
