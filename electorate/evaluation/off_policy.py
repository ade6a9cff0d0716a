"""What requests would have been worth to their users had others answered them, from thumbs on those
who did.

A gateway logs with which probability p it chose each answer, and whom each policy would have
chosen. A policy's share of thumbs up is then the mean of the thumbs on answers that it would have
chosen too, each with weight 1 / p: inverse propensity scores, normalised by their sum (Horvitz and
Thompson, 1952; Swaminathan and Joachims, 2015). That is unbiased, up to the normalisation, as long
as everything a policy would choose has some probability, and whether a thumb is given hangs on the
answer as much as with any other contestant.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from electorate.base import resampling
from electorate.base.columns import Columns
from electorate.base.draws import Stream, generator
from electorate.base.scale import Floats, Ints

RESAMPLES = 2000
CONFIDENCE = 0.95
FEWEST = 20.0  # answers that an estimate has to be worth as many as
BY_USER = "by_user"
BY_ALL = "by_all"


@dataclass(frozen=True)
class Thumbs(Columns):
    """n thumbs on answers that a gateway chose.

    Attributes:
        user: (n,) whose each is.
        model: (n,) who answered, of `models`.
        probability: (n,) with which it was chosen, above 0.
        by_user: (n,) the best contestant by the user's own ranking.
        by_all: (n,) the best by everyone's.
        up: (n,) 1 or 0.
        models: names.
    """

    WHOLE = frozenset({"models"})

    user: Ints
    model: Ints
    probability: Floats
    by_user: Ints
    by_all: Ints
    up: Ints
    models: tuple[str, ...]

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, object]]) -> "Thumbs":
        """From rows of a ledger, see electorate/online/ledger.py."""
        models = sorted({str(row[name]) for row in rows for name in ("model", BY_USER, BY_ALL)})
        users = sorted({str(row["user"]) for row in rows})
        place = {name: i for i, name in enumerate(models)}
        number = {name: i for i, name in enumerate(users)}
        return cls(
            user=np.array([number[str(row["user"])] for row in rows], dtype=np.int64),
            model=np.array([place[str(row["model"])] for row in rows], dtype=np.int64),
            probability=np.array([row["probability"] for row in rows], dtype=float),
            by_user=np.array([place[str(row[BY_USER])] for row in rows], dtype=np.int64),
            by_all=np.array([place[str(row[BY_ALL])] for row in rows], dtype=np.int64),
            up=np.array([row["up"] for row in rows], dtype=np.int64),
            models=tuple(models),
        )

    @property
    def users(self) -> int:
        """How many gave any."""
        return len(np.unique(self.user))


@dataclass(frozen=True)
class Value:
    """A policy's share of thumbs up, with its 95% interval over users.

    Attributes:
        worth: how many answers chosen by the policy itself would say as much: (sum w)^2 / sum w^2
            (Kish, 1965). Below FEWEST there is no value, and value, low and high are NaN.
    """

    value: float
    low: float
    high: float
    worth: float


@dataclass(frozen=True)
class Gain:
    """How much larger the share of thumbs up is by users' own rankings than by everyone's.

    Attributes:
        value, low, high: with its 95% interval over users; NaN where too little is known.
        differ: share of the thumbs where the two rankings have another first contestant.
        needed: how many thumbs in all would tell a gain as large as this from none, by an interval
            that shrinks with their square root; None where there is no interval or no gain.
    """

    value: float
    low: float
    high: float
    differ: float
    needed: int | None


def values(thumbs: Thumbs) -> dict[str, Value]:
    """Of users' own rankings (BY_USER), of everyone's (BY_ALL), and of each contestant for all."""
    chosen = {BY_USER: thumbs.by_user, BY_ALL: thumbs.by_all}
    chosen |= {name: np.full(len(thumbs), m) for m, name in enumerate(thumbs.models)}
    drawn = _drawn(thumbs)
    found = {}
    for name, choice in chosen.items():
        weight = (thumbs.model == choice) / thumbs.probability
        sums = _sums(thumbs, np.column_stack([weight * thumbs.up, weight]), drawn)
        worth = float(weight.sum() ** 2 / max((weight**2).sum(), 1e-300))
        found[name] = Value(*_interval(_ratio(sums[:, 0], sums[:, 1]), worth), worth)
    return found


def gain(thumbs: Thumbs) -> Gain:
    """Of users' own rankings over everyone's.

    Where both have the same first contestant nothing differs, so it is the difference between
    the two where they do not, times the share of requests of which that is so.
    """
    differ = thumbs.by_user != thumbs.by_all
    own, other = (
        differ * (thumbs.model == choice) / thumbs.probability
        for choice in (thumbs.by_user, thumbs.by_all)
    )
    columns = [own * thumbs.up, own, other * thumbs.up, other, differ, np.ones(len(thumbs))]
    sums = _sums(thumbs, np.column_stack(columns), _drawn(thumbs))
    share = _ratio(sums[:, 4], sums[:, 5])
    apart = _ratio(sums[:, 0], sums[:, 1]) - _ratio(sums[:, 2], sums[:, 3])
    replicates = np.where(share > 0, share * apart, 0.0)
    worth = min(
        float(weight.sum() ** 2 / max((weight**2).sum(), 1e-300)) for weight in (own, other)
    )
    value, low, high = _interval(replicates, worth)
    needed = None
    if value > 0 and high > low:
        needed = int(np.ceil(len(thumbs) * ((high - low) / 2 / value) ** 2))
    return Gain(value, low, high, float(differ.mean()), needed)


def _drawn(thumbs: Thumbs) -> Ints:
    """(1 + RESAMPLES, users) how often each user is drawn, once in the first."""
    users = thumbs.users
    drawn = resampling.times(generator(0, Stream.BOOTSTRAP), users, RESAMPLES)
    return np.vstack([np.ones((1, users), dtype=drawn.dtype), drawn])


def _sums(thumbs: Thumbs, columns: Floats, drawn: Ints) -> Floats:
    """(1 + RESAMPLES, k) of columns (n, k) over the users of each resample."""
    _, place = np.unique(thumbs.user, return_inverse=True)
    by_user = np.zeros((drawn.shape[1], columns.shape[1]))
    np.add.at(by_user, place, columns)
    found: Floats = drawn @ by_user
    return found


def _ratio(top: Floats, bottom: Floats) -> Floats:
    """NaN where nothing is known."""
    return np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 0)


def _interval(replicates: Floats, worth: float) -> tuple[float, float, float]:
    known = replicates[1:][np.isfinite(replicates[1:])]
    if worth < FEWEST or not len(known) or not np.isfinite(replicates[0]):
        return float("nan"), float("nan"), float("nan")
    return float(replicates[0]), *resampling.interval(known, CONFIDENCE)
