"""The forms of System B: which parts of a rating each of its rows in the table has.

    U_u(x, m) = strength_k(m) + base_k . h(x, y_m)                           fitted to everybody's
    votes
              + w_u . V h(x, y_m) + tau eps_u(m),   (w_u, eps_u) ~ N((w_k, 0), I)   from the user's
              own

h is what the encoder reads in an answer y_m to prompt x; k the user's archetype, or everybody.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from electorate.base.scale import Floats, Ints


@dataclass(frozen=True)
class Form:
    """A form of the reward model.

    Attributes:
        text: which of h it reads.
        segments: strength and base are an archetype's own.
        ratings: it has strengths, and if it is personal eps_u.
        personal: it has w_u.
        tastes: without, of a personal form only a user's tie rate and position bias are its own.
        battles: ties hang on what both answers are, and a place may be worth something.
        scale: of the penalty on what reads text, toward nothing, times the config's.
        beats: simpler forms that it must beat on held-out prompts, or it falls back to one.
    """

    text: Literal["all", "length", "none"] = "all"
    segments: bool = False
    ratings: bool = False
    personal: bool = False
    tastes: bool = True
    battles: bool = False
    scale: float = 1.0
    beats: tuple[str, ...] = ()


# The one-standard-error rule (Breiman et al., 1984) with two, as epochs and scales are chosen on
# the same votes.
ERRORS = 2.0
# A population's hybrid is held against pooled_hybrid, which reads the text for all unasked, and
# must not fall behind it. People's is held against ratings, which read none, and there text has to
# earn its say too.
FOR_ALL = ("pooled_hybrid_own_ties",)
# Simpler forms stand before those that must beat them. The rows of the table are named in
# electorate/config/systems.py; the rest are there to be beaten: people tell ties apart
# differently even where they like the same, and that alone must not pass for a taste.
FORMS: dict[str, Form] = {
    "length_only": Form(text="length"),
    "pooled_rm": Form(),
    "segment_rm": Form(segments=True, beats=("pooled_rm",)),
    "pooled_rm_own_ties": Form(personal=True, tastes=False),
    "segment_rm_own_ties": Form(
        segments=True, personal=True, tastes=False, beats=("pooled_rm_own_ties",)
    ),
    "low_rank_rm": Form(personal=True, beats=("segment_rm_own_ties",)),
    "pooled_hybrid": Form(ratings=True),
    "segment_hybrid": Form(segments=True, ratings=True, beats=("pooled_hybrid",)),
    "ratings_own_ties": Form(text="none", ratings=True, personal=True, tastes=False),
    "pooled_hybrid_own_ties": Form(
        ratings=True, personal=True, tastes=False, beats=("ratings_own_ties",)
    ),
    "segment_hybrid_own_ties": Form(
        segments=True, ratings=True, personal=True, tastes=False, beats=("pooled_hybrid_own_ties",)
    ),
    "ratings_only": Form(text="none", ratings=True, personal=True, beats=("ratings_own_ties",)),
    "hybrid": Form(ratings=True, personal=True, beats=("segment_hybrid_own_ties", "ratings_only")),
}
# What predicts anybody's preference, from the texts alone.
PREFERENCE: dict[str, Form] = {
    "length_only": FORMS["length_only"],
    "preference": Form(battles=True),
}


def wanted(rows: Collection[str]) -> dict[str, Form]:
    """The forms among these rows of the table, and what they must beat."""
    found = {name for name in rows if name in FORMS}
    for name in reversed(FORMS):  # simpler ones come later here
        found |= set(FORMS[name].beats) if name in found else set()
    return {name: form for name, form in FORMS.items() if name in found}


def scaled(forms: Mapping[str, Form], scales: Sequence[float]) -> dict[str, Form]:
    """Every form under several scales of its penalty, learned together: which one suits few votes
    shows on held-out prompts.
    """
    return {
        f"{name}@{scale:g}": replace(form, scale=scale)
        for name, form in forms.items()
        for scale in scales
    }


def best_scaled(log_likelihood: Mapping[str, Floats]) -> dict[str, str]:
    """Form to its name under the scale that suits it best.

    log_likelihood: (n,) of held-out votes, by the names that `scaled` gave.
    """
    best: dict[str, str] = {}
    for name, own in log_likelihood.items():
        form = name.split("@")[0]
        if form not in best or own.sum() > log_likelihood[best[form]].sum():
            best[form] = name
    return best


def fallbacks(
    log_likelihood: Mapping[str, Floats], prompt: Ints, unasked: Collection[str] = ()
) -> dict[str, str]:
    """Form to the form whose rankings it gives: its own, unless a simpler one does as well.

    A form must beat the simpler ones by more than ERRORS standard errors of their difference,
    clustered by prompt; those `unasked` need only be better.

    Args:
        log_likelihood: (n,) of held-out votes, by form.
        prompt: (n,) of each vote.
    """
    shown = dict[str, str]()
    for name in sorted(log_likelihood, key=list(FORMS | PREFERENCE).index):
        errors = 0.0 if name in unasked else ERRORS
        level = [
            simpler
            for simpler in _rungs(name, log_likelihood)
            if not ahead(log_likelihood[name] - log_likelihood[simpler], prompt, errors)
        ]
        total = {simpler: float(log_likelihood[simpler].sum()) for simpler in level}
        shown[name] = shown[max(total, key=total.__getitem__)] if total else name
    return shown


def _rungs(name: str, there: Collection[str]) -> list[str]:
    """What a form must beat of those that are there; where one is not, what that one must beat."""
    beats = (FORMS | PREFERENCE)[name].beats
    return [
        rung
        for simpler in beats
        for rung in ([simpler] if simpler in there else _rungs(simpler, there))
    ]


def ahead(by: Floats, prompt: Ints, errors: float = ERRORS) -> bool:
    """Whether log-likelihoods are ahead by more than so many standard errors, clustered by prompt.

    by: (n,) of each vote; prompt: (n,) what it was on.
    """
    by_prompt = np.bincount(prompt, by - by.mean())
    return bool(by.sum() > errors * np.sqrt((by_prompt**2).sum()))
