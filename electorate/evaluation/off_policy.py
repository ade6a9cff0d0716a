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
FEWEST = 20.0  # of an estimate's effective sample size
BY_USER = "by_user"
BY_ALL = "by_all"
AT_ONCE = 10_000_000  # draws of users
UNKNOWN = (float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True)
class RoutedThumbs(Columns):
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
    def of(cls, rows: Sequence[Mapping[str, object]]) -> "RoutedThumbs":
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
        effective: sample size, (sum w)^2 / sum w^2 (Kish, 1965): as many answers chosen by the
            policy itself would say as much. Below FEWEST value, low and high are NaN.
        reached: whether what it would choose had some probability everywhere, so that weights are
            1 on average; else there is no value either.
    """

    value: float
    low: float
    high: float
    effective: float
    reached: bool


@dataclass(frozen=True)
class Gain:
    """How much larger the share of thumbs up is by users' own rankings than by everyone's.

    Attributes:
        value, low, high: with its 95% interval over users; NaN where too little is known, or one
            of the rankings' first contestants had no chance to be chosen.
        differ: share of the thumbs where the two rankings have another first contestant.
        needed: how many thumbs in all would tell a gain as large as this from none, by an interval
            that shrinks with their square root; None where there is no interval or no gain.
    """

    value: float
    low: float
    high: float
    differ: float
    needed: int | None


def values(thumbs: RoutedThumbs) -> dict[str, Value]:
    """Of users' own rankings (BY_USER), of everyone's (BY_ALL), and of each contestant for all."""
    chosen = {BY_USER: thumbs.by_user, BY_ALL: thumbs.by_all}
    chosen |= {name: np.full(len(thumbs), m) for m, name in enumerate(thumbs.models)}
    weights = {
        name: (thumbs.model == choice) / thumbs.probability for name, choice in chosen.items()
    }
    columns = [column for own in weights.values() for column in (own * thumbs.up, own)]
    sums = _sums(thumbs, np.column_stack(columns))
    found = {}
    for place, (name, weight) in enumerate(weights.items()):
        replicates = _ratio(sums[:, 2 * place], sums[:, 2 * place + 1])
        effective = _effective(weight)
        reached = _is_reached(weight)
        interval = _interval(replicates, effective) if reached else UNKNOWN
        found[name] = Value(*interval, effective, reached)
    return found


def gain(thumbs: RoutedThumbs) -> Gain:
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
    sums = _sums(thumbs, np.column_stack(columns))
    share = _ratio(sums[:, 4], sums[:, 5])
    apart = _ratio(sums[:, 0], sums[:, 1]) - _ratio(sums[:, 2], sums[:, 3])
    replicates = np.where(share > 0, share * apart, 0.0)
    reached = all(_is_reached(weight[differ]) for weight in (own, other))
    effective = min(_effective(weight) for weight in (own, other))
    value, low, high = _interval(replicates, effective) if reached else UNKNOWN
    needed = None
    if value > 0 and high > low:
        needed = int(np.ceil(len(thumbs) * ((high - low) / 2 / value) ** 2))
    return Gain(value, low, high, float(differ.mean()), needed)


def _effective(weight: Floats) -> float:
    squares = float((weight**2).sum())
    return float(weight.sum()) ** 2 / squares if squares > 0 else 0.0


def _is_reached(weight: Floats) -> bool:
    """Whether the mean weight is 1, by three standard errors."""
    if len(weight) < 2:
        return False
    error = float(weight.std() / np.sqrt(len(weight)))
    return bool(weight.mean() + 3 * error >= 1)


def _sums(thumbs: RoutedThumbs, columns: Floats) -> Floats:
    """(1 + RESAMPLES, k) of columns (n, k) over the users of each resample; in the first each user
    is drawn once.
    """
    _, place = np.unique(thumbs.user, return_inverse=True)
    users = thumbs.users
    by_user = np.zeros((users, columns.shape[1]))
    np.add.at(by_user, place, columns)
    random = generator(0, Stream.BOOTSTRAP)
    found = [by_user.sum(axis=0)[None]]
    at_once = max(1, AT_ONCE // users)
    for first in range(0, RESAMPLES, at_once):
        drawn = resampling.times(random, users, min(at_once, RESAMPLES - first))
        found.append(drawn @ by_user)
    return np.concatenate(found)


def _ratio(top: Floats, bottom: Floats) -> Floats:
    """NaN where nothing is known."""
    return np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 0)


def _interval(replicates: Floats, effective: float) -> tuple[float, float, float]:
    known = replicates[1:][np.isfinite(replicates[1:])]
    if effective < FEWEST or not len(known) or not np.isfinite(replicates[0]):
        return UNKNOWN
    return float(replicates[0]), *resampling.interval(known, CONFIDENCE)
