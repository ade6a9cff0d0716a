"""The forms of System B: which parts of a rating each of its rows in the table has.

    U_u(x, m) = strength_k(m) + base_k . h(x, y_m)                           fitted to everybody's votes
              + w_u . V h(x, y_m) + tau eps_u(m),   (w_u, eps_u) ~ N((w_k, 0), I)   from the user's own

h is what the encoder reads in an answer y_m to prompt x; k the user's archetype, or everybody.
"""

from dataclasses import dataclass

from electorate.config import RewardSystem


@dataclass(frozen=True)
class Form:
    """text: which of h it reads. segments: strength and base are an archetype's own. ratings: it has strengths, and if it
    is personal eps_u. personal: it has w_u.
    """

    text: str = "all"
    segments: bool = False
    ratings: bool = False
    personal: bool = False


LENGTH = "length"
FORMS: dict[RewardSystem, Form] = {
    "length_only": Form(text=LENGTH),
    "pooled_rm": Form(),
    "segment_rm": Form(segments=True),
    "low_rank_rm": Form(personal=True),
    "pooled_hybrid": Form(ratings=True),
    "segment_hybrid": Form(segments=True, ratings=True),
    "hybrid": Form(ratings=True, personal=True),
}
