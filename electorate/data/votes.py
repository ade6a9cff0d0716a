"""NamedVotes as columns, whoever cast them. vote_files.py reads them."""

from dataclasses import dataclass, replace

import numpy as np

from electorate.base.columns import Columns
from electorate.base.scale import Floats, Ints
from electorate.base.votes import Votes
from electorate.ratings.thresholds import Thumbs


@dataclass(frozen=True)
class Texts(Columns):
    """What n votes are about: prompts and responses, each text once; prompt, a and b: (n,) which of
    them.
    """

    WHOLE = frozenset({"prompts", "responses"})

    prompts: list[str]
    responses: list[str]
    prompt: Ints
    a: Ints
    b: Ints


@dataclass(frozen=True, kw_only=True)
class NamedVotes(Votes):
    """n votes whose models and users have names, as a file holds them.

    Attributes:
        weight: (n,) how much each counts.
        models: names, by the codes a and b.
        user_names: by the users' codes; empty where the votes name no users, and all are user 0.
        style: (n, len(features.CONTROLS)) measures of A's answer less B's, or None.
        texts: of prompts and answers, or None.
        thumbs: votes on one answer alone, beside the n, with the same users and models; or None.
        group: (n,) codes of the values of a column that was asked for, or None.
        group_names: by these codes.
        time: (n,) when each was cast, NaN where it is not known; None: of none.
    """

    WHOLE = frozenset({"models", "user_names", "thumbs", "group_names"})

    weight: Floats
    models: tuple[str, ...]
    user_names: tuple[str, ...] = ()
    style: Floats | None = None
    texts: Texts | None = None
    thumbs: Thumbs | None = None
    group: Ints | None = None
    group_names: tuple[str, ...] = ()
    time: Floats | None = None

    @property
    def names_users(self) -> bool:
        """Whether it is known whose votes they are."""
        return bool(self.user_names)


def effective(votes: NamedVotes) -> NamedVotes:
    """The votes weighed as so many independent ones as their weights make: whatever the unit of the
    weights is, they sum to their effective sample size.
    """
    return replace(votes, weight=votes.weight * votes_a_unit(votes.weight))


def votes_a_unit(weight: Floats) -> float:
    """How many independent votes a unit of weight is worth: together as many as their effective
    sample size (sum w)^2 / sum w^2 (Kish, 1965).
    """
    return float(weight.sum() / (weight**2).sum()) if len(weight) else 1.0


def compact(votes: NamedVotes) -> NamedVotes:
    """The votes with only the models, users and prompts that are in them, numbered without gaps."""
    none = np.empty(0, dtype=np.int64)
    thumbs = votes.thumbs or Thumbs(0, none, none, none, none.astype(float))
    seen, (a, b, thumbed) = _renumbered(votes.a, votes.b, thumbs.model)
    prompt = votes.prompt
    user = votes.user
    names = votes.user_names
    users, (own, whose) = _renumbered(user if votes.names_users else none, thumbs.user)
    if votes.names_users:
        user = own
        names = tuple(names[u] for u in users)
    if prompt is not None:
        _, (prompt,) = _renumbered(prompt)
    models = tuple(votes.models[m] for m in seen)
    if votes.thumbs is not None:
        thumbs = replace(thumbs, users=len(users), user=whose, model=thumbed)
        votes = replace(votes, thumbs=thumbs)
    return replace(votes, models=models, a=a, b=b, user=user, prompt=prompt, user_names=names)


def _renumbered(*columns: Ints) -> tuple[Ints, tuple[Ints, ...]]:
    """The codes that occur in any of the columns, ascending, and the columns with each code's
    place among them.
    """
    there = np.zeros(max(int(codes.max(initial=-1)) for codes in columns) + 1, dtype=bool)
    for codes in columns:
        there[codes] = True
    if there.all():
        return np.arange(len(there)), columns
    place = np.cumsum(there) - 1
    return np.flatnonzero(there), tuple(place[codes] for codes in columns)
