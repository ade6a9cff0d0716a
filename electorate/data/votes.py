"""Votes as columns, whoever cast them. vote_files.py reads them."""

from dataclasses import dataclass, replace

import numpy as np

from electorate.base.columns import Columns
from electorate.base.pairs import sides
from electorate.base.scale import Floats, Ints
from electorate.ratings.thresholds import Thumbs

MISSING = -1


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


@dataclass(frozen=True)
class Votes(Columns):
    """n votes as columns.

    Attributes:
        models: names.
        a, b: (n,) indices into models.
        outcome: (n,) 0 A, 1 B, 2 tie, 3 both bad.
        weight: (n,) how much each counts.
        user, prompt: (n,) codes; None where the votes name none.
        style: (n, len(features.CONTROLS)) measures of A's answer less B's, or None.
        texts: of prompts and answers, or None.
        user_names: by the users' codes.
        thumbs: votes on one answer alone, beside the n, with the same users and models; or None.
        group: (n,) codes of the values of a column that was asked for, or None.
        group_names: by these codes.
        first_shown: (n,) 0 where A was shown first, 1 where B was, MISSING where it is not known;
            None: of none.
        time: (n,) when each was cast, NaN where it is not known; None: of none.
    """

    WHOLE = frozenset({"models", "user_names", "thumbs", "group_names"})

    models: tuple[str, ...]
    a: Ints
    b: Ints
    outcome: Ints
    weight: Floats
    user: Ints | None
    prompt: Ints | None
    style: Floats | None = None
    texts: Texts | None = None
    user_names: tuple[str, ...] = ()
    thumbs: Thumbs | None = None
    group: Ints | None = None
    group_names: tuple[str, ...] = ()
    first_shown: Ints | None = None
    time: Floats | None = None

    @property
    def side(self) -> Floats:
        """(n,) +1 where A was shown first, -1 where B was, 0 where it is not known."""
        if self.first_shown is None:
            return np.zeros(len(self))
        return sides(self.first_shown)

    @property
    def outcome_of_3(self) -> Ints:
        """(n,) 0 A, 1 B, 2 tie: both bad says no more of who is better than a tie does."""
        return np.minimum(self.outcome, 2)

    @property
    def users(self) -> Ints:
        """(n,) the user of each vote; all one where the file names none."""
        return np.zeros(len(self), dtype=np.int64) if self.user is None else self.user

    @property
    def battle(self) -> Ints:
        """(n,) where in (M, M, 3) each vote counts."""
        return (self.a * len(self.models) + self.b) * 3 + self.outcome_of_3

    def by_battle(self, values: Floats) -> Floats:
        """(M, M, 3): sums of values (n,) over the votes of each ordered pair and outcome."""
        models = len(self.models)
        return (
            np.bincount(self.battle, values, models * models * 3)
            .astype(float, copy=False)
            .reshape(models, models, 3)
        )


def effective(votes: Votes) -> Votes:
    """The votes weighed as so many independent ones as their weights make: whatever the unit of the
    weights is, they sum to their effective sample size.
    """
    return replace(votes, weight=votes.weight * votes_a_unit(votes.weight))


def votes_a_unit(weight: Floats) -> float:
    """How many independent votes a unit of weight is worth: together as many as their effective
    sample size (sum w)^2 / sum w^2 (Kish, 1965).
    """
    return float(weight.sum() / (weight**2).sum()) if len(weight) else 1.0


def compact(votes: Votes) -> Votes:
    """The votes with only the models, users and prompts that are in them, numbered without gaps."""
    none = np.empty(0, dtype=np.int64)
    thumbs = votes.thumbs or Thumbs(0, none, none, none, none.astype(float))
    seen, (a, b, thumbed) = _renumbered(votes.a, votes.b, thumbs.model)
    user = votes.user
    prompt = votes.prompt
    names = votes.user_names
    users, (own, whose) = _renumbered(none if user is None else user, thumbs.user)
    if user is not None:
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
