"""Systems compared on the votes of people: every vote predicted from the votes on other prompts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from electorate.base import resampling
from electorate.base.draws import Stream, generator
from electorate.base.errors import ElectorateError
from electorate.base.registry import load
from electorate.base.scale import Floats, Ints
from electorate.config import systems as specs
from electorate.config.metrics import METRICS, UNSEEN
from electorate.config.run import RatingSettings
from electorate.config.systems import GATED
from electorate.data.vote_files import PROMPT, USER
from electorate.data.votes import NamedVotes
from electorate.evaluation import extrapolation, held_out, metrics, who_gains
from electorate.evaluation.intervals import Estimate, Key
from electorate.evaluation.two_systems import BASELINE, SYSTEM_A
from electorate.evaluation.who_gains import Gains

FOLDS = 5
SEEDS = 4  # in which prompts are dealt into folds
SEEDS_OF_SYSTEM_B = 1  # where System B, whose training takes minutes, is compared too
RESAMPLES = 1000
AT_ONCE = 50  # resamples
CONFIDENCE = 0.95
# Own votes of a user to whose votes nothing was fitted, while half of the votes are of users who
# have as many.
KNOWN = (0, 2, 5, 10, 20, 50, 100, 200, 500)
MANY_VOTES = 20_000
FEWEST_OF_GROUP = 20  # votes
MOST_GROUPS = 30
AHEAD = (2, 5, 10)  # times the last point of a learning curve, to which it is extrapolated
LOG_LOSS = (UNSEEN, "log_loss")
ALL = specs.by_default("people", reward=False)
OF_NEWCOMERS = ("global_bt", "elo_online", "elo_offset", "elo_offset_low_rank")
Predicted = dict[str, Floats]  # system to (seeds, votes, 3)
NotConverged = dict[str, list[str]]  # system to why folds have the global ranking's odds


def prompts(votes: NamedVotes, origin: str) -> Ints:
    """(n,) the prompt of each vote, counted from 0. Where texts were read, prompts of the same text
    are one, whatever their ids.

    Raises:
        ElectorateError: the votes name no users or too few prompts. It begins with `origin`.
    """
    if votes.prompt is None:
        raise ElectorateError(
            f"{origin}: has no column {' or '.join(PROMPT)}; folds must not share a prompt"
        )
    if not votes.names_users:
        raise ElectorateError(
            f"{origin}: has no column {' or '.join(USER)}; whose votes they are is what is compared"
        )
    of = votes.prompt if votes.texts is None else _connected(votes.prompt, votes.texts.prompt)
    named, of = np.unique(of, return_inverse=True)
    if len(named) < FOLDS:
        raise ElectorateError(
            f"{origin}: {len(named)} prompts; at least {FOLDS} are needed, one a fold"
        )
    return of.astype(np.int64)


def _connected(one: Ints, other: Ints) -> Ints:
    """(n,) the same number for rows that are alike in either, or linked by rows that are."""
    ones = int(one.max()) + 1
    size = ones + int(other.max()) + 1
    links = coo_array((np.ones(len(one)), (one, ones + other)), shape=(size, size))
    found: Ints = connected_components(links, directed=False)[1][one].astype(np.int64)
    return found


def predict(
    votes: NamedVotes,
    prompt: Ints,
    settings: RatingSettings,
    names: Sequence[str] = ALL,
    seeds: int = SEEDS,
    advance: Callable[[], None] = lambda: None,
) -> tuple[Predicted, NotConverged]:
    """Each vote by each system, for every fold seed. Systems for which the votes do not say enough
    are left out.

    Args:
        prompt: (n,) of each vote, as `prompts` returns it.
        names: of systems that need no texts.
        seeds: how many fold seeds.
        advance: called after each fold seed.
    """
    found = dict[str, list[Floats]]()
    not_converged = NotConverged()
    folds = [held_out.folds(prompt, FOLDS, seed) for seed in range(seeds)]
    for fold in folds:
        for name, own in held_out.predict(votes, fold, names, settings).items():
            found.setdefault(name, []).append(own.odds)
            if own.failed:
                not_converged.setdefault(name, []).extend(own.failed)
        advance()
    predicted = {name: np.array(odds) for name, odds in found.items() if len(odds) == seeds}
    if {GATED, SYSTEM_A, BASELINE} <= {*names}:
        columns = (votes.outcome_of_3, votes.user, prompt, votes.weight)
        predicted[GATED] = who_gains.gated(
            predicted[SYSTEM_A], predicted[BASELINE], *columns, folds
        )
        if SYSTEM_A in not_converged:
            not_converged[GATED] = not_converged[SYSTEM_A]
    return predicted, not_converged


def group_gains(
    votes: NamedVotes, prompt: Ints, predicted: Predicted
) -> dict[str, tuple[int, int, dict[Key, Estimate]]]:
    """System A's gains over the global ranking by the values of the column that votes are grouped
    by: value to votes, users and gains. Those with the most votes, of at least FEWEST_OF_GROUP.
    """
    if votes.group is None:
        return {}
    size = np.bincount(votes.group, minlength=len(votes.group_names))
    found = {}
    for group in np.argsort(-size, kind="stable")[:MOST_GROUPS].tolist():
        rows = np.flatnonzero(votes.group == group)
        of = np.unique(prompt[rows], return_inverse=True)[1]
        if len(rows) < FEWEST_OF_GROUP or int(of.max()) == 0:
            continue
        own = {name: predicted[name][:, rows] for name in (BASELINE, SYSTEM_A)}
        some = votes.take(rows)
        _, gains = estimates(some, of, own)
        users = len(np.unique(some.user))
        found[votes.group_names[group]] = (len(rows), users, gains[SYSTEM_A])
    return found


def user_gains(votes: NamedVotes, prompt: Ints, predicted: Predicted) -> Gains:
    """How much System A gains each user over the global ranking, by held-out votes."""
    gain = who_gains.log_gain(predicted[SYSTEM_A], predicted[BASELINE], votes.outcome_of_3)
    users = len(votes.user_names)
    return who_gains.posterior(who_gains.measure(gain, votes.user, prompt, votes.weight, users))


@dataclass(frozen=True)
class Compared:
    """What the comparison of some predictions came to.

    Attributes:
        known: how many of a user's own votes systems knew, where they were fitted to other users'
            alone; None where they were fitted to everybody's on other prompts.
        estimates, gains: by system; gains are differences to the global ranking's.
        not_converged: system to why folds have the global ranking's odds.
        over: other system to the gains over it of those that are compared with it.
    """

    known: int | None
    estimates: dict[str, dict[Key, Estimate]]
    gains: dict[str, dict[Key, Estimate]]
    not_converged: NotConverged
    over: dict[str, dict[str, dict[Key, Estimate]]] = field(default_factory=dict)

    @property
    def users(self) -> str:
        """Whether systems were fitted to votes of the users themselves, as tables name it."""
        return "seen" if self.known is None else "unseen"


@dataclass(frozen=True)
class Curve:
    """A new user's learning curve.

    Attributes:
        points: by how many of its own votes are known.
        ahead: System A's gain in log loss after more votes than there are, extrapolated; by votes.
    """

    points: list[Compared]
    ahead: dict[int, Estimate]


def newcomer_folds(votes: NamedVotes) -> list[tuple[int, int]]:
    """The folds of users and of prompts whose votes the learning curve predicts: all where votes
    are few, and each once where one split of either says enough.
    """
    if len(votes) > MANY_VOTES:
        return [(fold, fold) for fold in range(FOLDS)]
    return list(np.ndindex(FOLDS, FOLDS))


def learning_curve(
    votes: NamedVotes,
    prompt: Ints,
    settings: RatingSettings,
    names: Sequence[str] = ALL,
    advance: Callable[[], None] = lambda: None,
) -> Curve:
    """How well systems predict a new user by how many of the user's votes they know. They are
    fitted to other users' votes on other prompts.

    Args:
        votes: which must name at least FOLDS users.
        prompt: (n,) of each vote, as `prompts` returns it.
        names: of systems; those of OF_NEWCOMERS are compared.
        advance: called after each of `newcomer_folds`.
    """
    compared = [name for name in OF_NEWCOMERS if name in names]
    known = known_votes(votes)
    pairs = newcomer_folds(votes)
    found = held_out.predict_newcomers(votes, prompt, known, pairs, compared, settings, advance)
    rows = np.flatnonzero(np.isfinite(found[known[0]][BASELINE].odds).all(axis=1))
    some = votes.take(rows)
    of = np.unique(prompt[rows], return_inverse=True)[1]
    users = len(np.unique(some.user))
    points = []
    gains = []
    for k, by_system in found.items():
        predicted = {name: one.odds[None, rows] for name, one in by_system.items()}
        failed = {name: list(one.failed) for name, one in by_system.items() if one.failed}
        drawn = replicates(some, of, predicted)
        points.append(Compared(k, *summarised(drawn, users), failed))
        gains.append(drawn[SYSTEM_A][LOG_LOSS] - drawn[BASELINE][LOG_LOSS])
    ahead = [known[-1] * times for times in AHEAD]
    further = extrapolation.extrapolate(known, np.column_stack(gains), ahead)
    if further is None:
        return Curve(points, {})
    return Curve(
        points, {k: _summary(values, users) for k, values in zip(ahead, further.T, strict=True)}
    )


def known_votes(votes: NamedVotes) -> tuple[int, ...]:
    """How many own votes are known at each point of a learning curve."""
    cast = np.bincount(votes.user)[votes.user]
    # Of a user's votes those on a fold of the prompts are predicted.
    at_most = np.median(cast) * (1 - 1 / FOLDS)
    return tuple(k for k in KNOWN if k <= at_most)


def estimates(
    votes: NamedVotes, prompt: Ints, predicted: Predicted
) -> tuple[dict[str, dict[Key, Estimate]], dict[str, dict[Key, Estimate]]]:
    """Each system's metrics, and their differences to the baseline's, with bootstrap intervals
    over people and prompts.
    """
    return summarised(replicates(votes, prompt, predicted), len(np.unique(votes.user)))


def replicates(
    votes: NamedVotes, prompt: Ints, predicted: Predicted
) -> dict[str, dict[Key, Floats]]:
    """System to metric to (1 + RESAMPLES,): by all votes, and by each resample of users and of
    prompts.
    """
    drawn = Resamples.of(votes.user, prompt)
    return {name: _replicates(votes, odds, drawn) for name, odds in predicted.items()}


@dataclass(frozen=True)
class Resamples:
    """Users and prompts drawn anew, each by themselves, as other people on other prompts would have
    it: a vote counts as often as its user times as often as its prompt (the pigeonhole bootstrap:
    Owen, 2007). The first counts every vote once.

    Attributes:
        cell: (n,) of each vote, the pair of its user and prompt.
        user, prompt: (cells,) places in `users` and `prompts`.
        users, prompts: (1 + RESAMPLES, ...) how often each is drawn.
    """

    cell: Ints
    user: Ints
    prompt: Ints
    users: Ints
    prompts: Ints

    @classmethod
    def of(cls, user: Ints, prompt: Ints) -> "Resamples":
        """Of votes (n,) by these users on these prompts."""
        users, by_user = np.unique(user, return_inverse=True)
        prompts, by_prompt = np.unique(prompt, return_inverse=True)
        pairs, cell = np.unique(by_user * len(prompts) + by_prompt, return_inverse=True)
        random = generator(0, Stream.BOOTSTRAP)
        drawn = [resampling.times(random, len(of), RESAMPLES) for of in (users, prompts)]
        once = [np.vstack([np.ones(of.shape[1], dtype=of.dtype), of]) for of in drawn]
        return cls(cell.astype(np.int64), *divmod(pairs, len(prompts)), *once)

    def sums(self, values: Floats) -> Floats:
        """(1 + RESAMPLES, k) of values (n, k) over the votes of each resample."""
        cells = np.zeros((len(self.user), values.shape[1]))
        np.add.at(cells, self.cell, values)
        found = np.empty((len(self.users), values.shape[1]))
        for first in range(0, len(self.users), AT_ONCE):
            some = slice(first, first + AT_ONCE)
            times = self.users[some][:, self.user] * self.prompts[some][:, self.prompt]
            found[some] = times @ cells
        return found


def summarised(
    drawn: Mapping[str, Mapping[Key, Floats]], users: int
) -> tuple[dict[str, dict[Key, Estimate]], dict[str, dict[Key, Estimate]]]:
    """Each system's estimates and its gains over BASELINE, from replicates of `users` users."""
    own = {
        name: {key: _summary(values, users) for key, values in by_key.items()}
        for name, by_key in drawn.items()
    }
    return own, _gains(drawn, BASELINE, [name for name in drawn if name != BASELINE], users)


def gains_over_others(
    drawn: Mapping[str, Mapping[Key, Floats]], users: int
) -> dict[str, dict[str, dict[Key, Estimate]]]:
    """The gains over each other system of those that are declared to be compared with it."""
    found = dict[str, dict[str, dict[Key, Estimate]]]()
    for other in drawn:
        names = [name for name in drawn if other in specs.SYSTEMS[name].compared_with]
        if names and other != BASELINE:
            found[other] = _gains(drawn, other, names, users)
    return found


def _gains(
    drawn: Mapping[str, Mapping[Key, Floats]], baseline: str, names: Sequence[str], users: int
) -> dict[str, dict[Key, Estimate]]:
    base = drawn[baseline]
    return {
        name: {key: _summary(values - base[key], users) for key, values in drawn[name].items()}
        for name in names
    }


def _summary(values: Floats, users: int) -> Estimate:
    low, high = resampling.interval(values[1:], CONFIDENCE)
    return Estimate(float(values[0]), low, high, users)


def calibration_sums(votes: NamedVotes, predicted: Predicted) -> dict[str, Floats]:
    """System to (bins, 3) sums of prediction, truth and count over votes and fold seeds."""
    true = np.eye(3)[votes.outcome_of_3]
    return {
        name: sum(
            (metrics.calibration_sums(one[None], true[None])[0] for one in odds),
            start=np.zeros((metrics.ECE_BINS, 3)),
        )
        for name, odds in predicted.items()
    }


def _replicates(votes: NamedVotes, odds: Floats, drawn: Resamples) -> dict[Key, Floats]:
    """(1 + RESAMPLES,) of each metric; votes by their weight, fold seeds averaged. A metric that
    says nothing of any vote is left out.
    """
    found = dict[Key, Floats]()
    for spec in METRICS.values():
        if spec.of_votes is None:
            continue
        value = load(spec.of_votes)(odds, votes.outcome_of_3)
        there = ~np.isnan(value)
        if there.any():
            weight = votes.weight * there
            total, share = drawn.sums(
                np.column_stack([weight, weight * np.where(there, value, 0)])
            ).T
            found[UNSEEN, spec.name] = _share(share, total)
    true = np.eye(3)[votes.outcome_of_3]
    bins = np.sum([metrics.calibration_sums(one[:, None], true[:, None]) for one in odds], axis=0)
    flat = (bins * votes.weight[:, None, None]).reshape(len(votes), -1)
    resampled = drawn.sums(flat).reshape(-1, *bins.shape[1:])
    return found | {(UNSEEN, "ece"): metrics.expected_calibration_error(resampled)}


def _share(of: Floats, total: Floats) -> Floats:
    """of / total; a resample without such votes says nothing, and has what all votes say."""
    return np.divide(of, total, out=np.full_like(of, of[0] / total[0]), where=total > 0)
