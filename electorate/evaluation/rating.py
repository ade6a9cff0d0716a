"""A table of votes rated by Bradley-Terry: ratings, intervals, and notes about both."""

from dataclasses import dataclass, replace

import numpy as np

from electorate.base.errors import ElectorateError
from electorate.base.pairs import scores
from electorate.base.scale import Floats, Ints
from electorate.data import vote_files
from electorate.data.votes import NamedVotes
from electorate.ratings import bootstrap, bradley_terry, clustering, contextual, thresholds
from electorate.ratings import first_place as first_place_module
from electorate.ratings.bradley_terry import Fit
from electorate.ratings.contextual import Style
from electorate.ratings.thresholds import Thresholds, Thumbs
from electorate.ratings.ties import DEFAULT, MODELS, TieModel

PRIOR_SD_ELO = 1000.0
CONFIDENCE = 0.95
LEANS_ON_PRIOR = (
    "some models only won or only lost against the rest: their ratings lean on a prior of "
    f"{PRIOR_SD_ELO:.0f} Elo"
)
NOT_LINKED = (
    "votes do not link all models: the distance between the parts comes from the prior alone"
)
POSITION_LEFT = (
    "which answer was shown first is not held equal where intervals are by resampling or votes are "
    "thumbs"
)
CLUSTERS = ("prompt", "user", "both", "none")


@dataclass(frozen=True)
class Options:
    """How votes are rated. cluster: prompt, user, both, none, or None: by what the file names;
    intervals: sandwich or bootstrap; weigh: votes or pairs; simultaneous: whether ranks' ranges
    hold for all models at once.
    """

    ties: str = DEFAULT
    cluster: str | None = None
    intervals: str = "sandwich"
    weigh: str = "votes"
    style: bool = False
    simultaneous: bool = False


@dataclass(frozen=True)
class Rated:
    """notes: what a reader has to know. draws: bootstrapped strengths, or none. style: effects
    of style, or none. first: what being shown first is worth, and its standard error, Elo points,
    or none. thresholds: that thumbs were given against, or none.
    """

    fit: Fit
    notes: list[str]
    draws: Floats | None = None
    style: Style | None = None
    first: tuple[float, float] | None = None
    thresholds: Thresholds | None = None


def win_rates(votes: NamedVotes) -> Floats:
    """(M,) share of its battles each model won, a tie being half a win; by weight. NaN without
    battles.
    """
    won = scores(votes.outcome)
    models = len(votes.models)
    wins = np.bincount(votes.a, votes.weight * won, models) + np.bincount(
        votes.b, votes.weight * (1 - won), models
    )
    battles = np.bincount(votes.a, votes.weight, models) + np.bincount(
        votes.b, votes.weight, models
    )
    rates: Floats = np.divide(wins, battles, out=np.full(models, np.nan), where=battles > 0)
    return rates


def fit(votes: NamedVotes, options: Options) -> Rated:
    """The ratings of votes, by these options.

    Raises:
        ElectorateError: the options do not fit the votes.
    """
    if votes.thumbs is not None:
        return _with_thumbs(votes, votes.thumbs, options)
    ties = MODELS[options.ties]
    notes = list[str]()
    prior_sd = None
    battles = np.bincount(np.concatenate([votes.a, votes.b]), minlength=len(votes.models))
    if options.weigh == "pairs":
        votes = replace(votes, weight=votes.weight * _pair_weights(votes))
    weight = votes.by_battle(len(votes.models))
    if not bradley_terry.estimable(weight):
        prior_sd = PRIOR_SD_ELO
        notes.append(LEANS_ON_PRIOR)
    squared = (
        None if np.all(votes.weight == 1) else votes.by_battle(len(votes.models), votes.weight**2)
    )
    fitted = replace(bradley_terry.fit(weight, ties, prior_sd, squared), votes=battles)
    if not fitted.connected:
        notes.append(NOT_LINKED)
    groups, note = _clusters(votes, options.cluster)
    notes += note
    if options.intervals == "bootstrap":
        return _by_resampling(votes, ties, fitted, groups, notes)
    columns = (votes.a, votes.b, votes.outcome_of_3, votes.weight)
    contrast = _contrast(votes, options)
    if contrast.shape[1]:
        controlled, effects = contextual.fit(
            fitted, *columns, contrast, ties, prior_sd, groups or [np.arange(len(votes))]
        )
        return _held_equal(votes, options, controlled, notes, effects)
    if groups:
        fitted = replace(fitted, covariance=clustering.covariance(fitted, ties, *columns, groups))
    return Rated(fitted, notes)


def _by_resampling(
    votes: NamedVotes, ties: TieModel, fitted: Fit, groups: list[Ints], notes: list[str]
) -> Rated:
    """The ratings with intervals by resampled votes."""
    if votes.side.any():
        notes = [*notes, POSITION_LEFT]
    draws = bootstrap.strengths(
        votes.battle(len(votes.models)), votes.weight, groups, len(votes.models), ties, PRIOR_SD_ELO
    )
    covariance = np.zeros_like(fitted.covariance)
    covariance[:-1, :-1] = np.cov(draws.T)
    notes = [*notes, f"intervals by {len(draws)} resamples"]
    return Rated(replace(fitted, covariance=covariance), notes, draws)


def _contrast(votes: NamedVotes, options: Options) -> Floats:
    """(n, F) what is held equal: the answers' style, if that is asked for, and which was shown
    first, where the file knows.
    """
    columns = list[Floats]()
    if options.style and votes.style is not None:
        columns.append(votes.style)
    if votes.side.any():
        columns.append(votes.side[:, None])
    return np.hstack(columns) if columns else np.empty((len(votes), 0))


def _held_equal(
    votes: NamedVotes, options: Options, fitted: Fit, notes: list[str], effects: Style
) -> Rated:
    """What was rated, with the effects of what was held equal; see _contrast."""
    first = None
    if votes.side.any():
        # Of a standard deviation, to of being first rather than in no known place.
        unit = float(np.sqrt((votes.side**2).mean()))
        first = (float(effects.effect[-1]) / unit, float(effects.sd[-1]) / unit)
        effects = Style(effects.effect[:-1], effects.sd[:-1])
    return Rated(fitted, notes, style=effects if options.style else None, first=first)


def _with_thumbs(votes: NamedVotes, thumbs: Thumbs, options: Options) -> Rated:
    """The ratings of battles and thumbs together."""
    for name, default in (("intervals", "sandwich"), ("weigh", "votes"), ("style", False)):
        if getattr(options, name) != default:
            raise ElectorateError(
                f"{name}: with thumbs among the votes only {default} is possible; leave it out"
            )
    notes = [POSITION_LEFT] if votes.side.any() else []
    weight = votes.by_battle(len(votes.models))
    prior_sd = None
    if not thresholds.estimable(weight, thumbs):
        prior_sd = PRIOR_SD_ELO
        notes.append(LEANS_ON_PRIOR)
    groups, clustered = _clusters(votes, options.cluster) if len(votes) else ([], [])
    fitted, found = thresholds.fit(
        votes, thumbs, groups, MODELS[options.ties], len(votes.models), prior_sd
    )
    if not fitted.connected:
        notes.append(NOT_LINKED)
    return Rated(fitted, [*notes, *clustered], thresholds=found)


def _pair_weights(votes: NamedVotes) -> Floats:
    """(n,) weights, of mean 1, by which every pair of models that met counts alike, however
    often it did.
    """
    pair = votes.pair(len(votes.models))
    met = np.bincount(pair, votes.weight)
    weight: Floats = votes.weight.sum() / (np.count_nonzero(met) * met[pair])
    return weight


def _clusters(votes: NamedVotes, cluster: str | None) -> tuple[list[Ints], list[str]]:
    """The groupings that intervals are clustered by, and what a reader has to know of them.

    cluster: prompt, user, both or none; None takes what the file names and has enough of.
    """
    columns = {
        "prompt": (votes.prompt, vote_files.PROMPT),
        "user": (votes.user if votes.names_users else None, vote_files.USER),
    }
    asked = columns if cluster in (None, "both") else [name for name in columns if name == cluster]
    groups = list[Ints]()
    by = list[str]()
    notes = list[str]()
    for name in asked:
        group, spellings = columns[name]
        count = 0 if group is None else len(np.unique(group))
        if cluster is None and count < clustering.FEWEST:
            if group is not None:
                few = f"{count} of at least {clustering.FEWEST}"
                notes.append(
                    f"intervals are not clustered by {name}: {few}; cluster {name} does so all the "
                    "same"
                )
            continue
        if group is None:
            raise ElectorateError(
                f"cluster {cluster}: the votes have no column {' or '.join(spellings)}"
            )
        if count < 2:
            raise ElectorateError(
                f"cluster {cluster}: all votes have the same {spellings[0]}; at least two are "
                "needed"
            )
        groups.append(group)
        by.append(f"{name} ({count:,})")
    if groups:
        notes.append(f"intervals are clustered by {' and by '.join(by)}")
    return groups, notes


def position_line(effect: float, sd: float) -> str:
    """What being shown first is worth, in words. effect, sd: Elo points."""
    low = effect - 1.96 * sd
    high = effect + 1.96 * sd
    found = "no bias is seen" if low <= 0 <= high else "a position bias, held equal in the ratings"
    return f"being shown first is worth {effect:+.1f} Elo [{low:+.1f}, {high:+.1f}]: {found}"


def first_place(votes: NamedVotes, rated: Rated, ties: str) -> list[str]:
    """How sure the first place is, in words; nothing where a single model was rated, or ratings
    hold style or position equal, whose refits are not foretold.

    rated: these votes, each by its weight.
    """
    if len(votes.models) < 2 or not len(votes) or rated.style or rated.first:
        return []
    fitted = rated.fit
    second, first = (
        votes.models[m] for m in np.argsort(fitted.strength, kind="stable")[-2:].tolist()
    )
    columns = (votes.a, votes.b, votes.outcome_of_3, votes.weight)
    flipped = first_place_module.flip(fitted, MODELS[ties], *columns)
    if flipped is None:
        hangs = f"{first} stays first whichever half of the votes is left out"
    else:
        gone = len(flipped.votes)
        hangs = (
            f"without {gone:,} of the {len(votes):,} votes ({gone / len(votes):.1%}) "
            f"{votes.models[flipped.rival]} would be ahead of {first}, which is first"
        )
    needed = first_place_module.votes_needed(fitted, len(votes))
    if needed is None or needed <= len(votes):
        return [hangs]
    return [
        f"{hangs}; about {needed - len(votes):,.0f} votes more would show its lead over {second} "
        "(at 95%, with a chance of 80%), if that is as large as it seems"
    ]
