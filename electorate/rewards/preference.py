"""Which of two answers is preferred, told from their texts alone: a reward model trained on
anybody's battles, for battles of models it has never met.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from electorate.base.scale import Floats, Ints
from electorate.config.reward import Reward
from electorate.data.conversations import plain
from electorate.ratings.ties import MODELS
from electorate.rewards import few, texts, weights
from electorate.rewards.answer_votes import AnswerVotes
from electorate.rewards.corpus import Texted
from electorate.rewards.encoder import Encoder
from electorate.rewards.forms import PREFERENCE
from electorate.rewards.network import Network


@dataclass(frozen=True)
class Predictor:
    """A trained network, and the name of the head on it that predicts. held_out: form to log
    loss on prompts it did not learn from.
    """

    network: Network
    head: str
    held_out: dict[str, float]
    ties: str
    tokenizer: Any
    max_tokens: int

    def odds(self, prompts: Sequence[str], a: Sequence[str], b: Sequence[str]) -> Floats:
        """(n, 3) probabilities of A, B and tie, averaged over both orders of the two answers."""
        asked, responses = ([plain(text) for text in of] for of in ([*prompts, *prompts], [*a, *b]))
        answers = texts.tokenise(self.tokenizer, asked, responses, self.max_tokens)
        n = len(prompts)
        nobodys = np.zeros(n, dtype=np.int64)
        read = self.network.heads[self.head].read(
            self.network.encoder.encode(answers), np.zeros(2 * n, dtype=np.int64)
        )
        first = np.arange(n)
        second = n + np.arange(n)

        def in_order(shown_first: Ints, shown_second: Ints) -> Floats:
            votes = AnswerVotes(
                archetype=nobodys[:1],
                user=nobodys,
                a=nobodys,
                b=nobodys,
                outcome=nobodys,
                first_shown=nobodys,
                prompt=nobodys,
                answer_a=shown_first,
                answer_b=shown_second,
            )
            return MODELS[self.ties].probabilities(*weights.difference(read, votes))

        swapped = in_order(second, first)[:, [1, 0, 2]]
        return (in_order(first, second) + swapped) / 2


def train(
    of: Texted,
    votes: Ints,
    settings: Reward,
    reader: Encoder,
    tokenizer: Any,
    ties: str,
    tick: Callable[[], None],
) -> dict[str, Predictor]:
    """A predictor from these votes for each form of PREFERENCE. tick(): an epoch is done."""
    corpus = of.corpus(votes)
    learned = few.learn(reader, corpus, of.models, PREFERENCE, settings, ties, tick)
    return {
        form: Predictor(
            learned.network, head, learned.held_out, ties, tokenizer, settings.max_tokens
        )
        for form, head in learned.heads.items()
    }
