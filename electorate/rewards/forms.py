"""The forms of System B: which parts of a rating each of its rows in the table has.

    U_u(x, m) = strength_k(m) + base_k . h(x, y_m)                           fitted to everybody's votes
              + w_u . V h(x, y_m) + tau eps_u(m),   (w_u, eps_u) ~ N((w_k, 0), I)   from the user's own

h is what the encoder reads in an answer y_m to prompt x; k the user's archetype, or everybody.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from electorate.config import RewardSystem
from electorate.scale import Floats, Ints


@dataclass(frozen=True)
class Form:
    """text: which of h it reads. segments: strength and base are an archetype's own. ratings: it has strengths, and if it
    is personal eps_u. personal: it has w_u. beats: simpler forms that it must beat on held-out prompts to have its own say.
    """

    text: Literal["all", "length", "none"] = "all"
    segments: bool = False
    ratings: bool = False
    personal: bool = False
    beats: tuple[RewardSystem, ...] = ()


# Simpler forms stand before those that must beat them.
FORMS: dict[RewardSystem, Form] = {
    "length_only": Form(text="length"),
    "pooled_rm": Form(),
    "segment_rm": Form(segments=True, beats=("pooled_rm",)),
    "low_rank_rm": Form(personal=True, beats=("pooled_rm",)),
    "pooled_hybrid": Form(ratings=True),
    "segment_hybrid": Form(segments=True, ratings=True, beats=("pooled_hybrid",)),
    "ratings_only": Form(text="none", ratings=True, personal=True),
    "hybrid": Form(ratings=True, personal=True, beats=("pooled_hybrid", "ratings_only")),
}


def own_say(said: Mapping[RewardSystem, Floats], prompt: Ints) -> dict[RewardSystem, RewardSystem]:
    """Form to the form whose rankings it gives: its own, unless a simpler one does as well.

    said: (n,) log-likelihood by each form of held-out votes, on these prompts (n,). The one-standard-error rule (Breiman et
    al., 1984): a form must beat the simpler ones by more than the error of their difference, clustered by prompt.
    """
    gives = dict[RewardSystem, RewardSystem]()
    for name in (form for form in FORMS if form in said):
        level = [simpler for simpler in FORMS[name].beats if simpler in said and not _beats(said[name] - said[simpler], prompt)]
        gives[name] = gives[max(level, key=lambda simpler: float(said[simpler].sum()))] if level else name
    return gives


def _beats(ahead: Floats, prompt: Ints) -> bool:
    by_prompt = np.bincount(prompt, ahead - ahead.mean())
    return bool(ahead.sum() > np.sqrt((by_prompt**2).sum()))
