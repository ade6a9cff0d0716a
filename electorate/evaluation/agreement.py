"""How the simulated votes compare with people's: accuracy to the truth, ties, and agreement of
two voters.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from electorate.base.draws import Stream, generator
from electorate.base.pairs import pair_indices
from electorate.population.voters import PromptTruth


@dataclass(frozen=True)
class Agreement:
    """Shares in 0..1. truth_accuracy is of decisive votes; agreement of two voters on one
    battle, with and without ties; None where every vote is a tie.
    """

    truth_accuracy: float | None
    tie_rate: float
    agreement: float
    agreement_without_ties: float | None


# Measured on the human votes of MT-bench (Zheng et al., 2023): 1,704 votes by 33 judges.
PEOPLE = Agreement(
    truth_accuracy=None, tie_rate=0.242, agreement=0.661, agreement_without_ties=0.807
)


def simulated(truths: Iterable[PromptTruth], seed: int) -> Agreement:
    """Expected values over all battles on these prompts; each persona is matched with another
    one at random.
    """
    total = np.zeros(7)
    for truth in truths:
        a, b = pair_indices(truth.utility.shape[-1])
        odds = truth.odds
        better = truth.utility[:, a] > truth.utility[:, b]
        order = generator(seed, Stream.AGREEMENT).permutation(len(odds))
        one = odds[order]
        two = odds[np.roll(order, 1)]
        same = one * two
        decisive = (1 - one[..., 2]) * (1 - two[..., 2])
        right = np.where(better, odds[..., 0], odds[..., 1])
        parts = (
            right,
            odds[..., :2],
            odds[..., 2],
            same,
            same[..., :2],
            decisive,
            np.ones_like(decisive),
        )
        total += [part.sum() for part in parts]
    agreed, decided, ties, alike, alike_decided, both_decided, battles = (
        float(sum_) for sum_ in total
    )
    return Agreement(
        truth_accuracy=agreed / decided if decided else None,
        tie_rate=ties / battles,
        agreement=alike / battles,
        agreement_without_ties=alike_decided / both_decided if both_decided else None,
    )
