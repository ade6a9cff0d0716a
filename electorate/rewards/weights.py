"""A user's own part of System B, from its votes alone and without touching the network: Newton in a
few weights.

    d = base_k(x, a) - base_k(x, b) + w_u . (taste(x, a) - taste(x, b)) + s_u side + tau (eps_u(a) -
    eps_u(b))
    eta = eta_k + eta_sd * t_u,      (w_u, s_u, eps_u, t_u) ~ N((w_k, 0, 0, 0), I)

All scales lie in taste, the position's, tau and eta_sd, so that the prior is the same for all. Mode
and Laplace posterior.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from electorate.base.scale import Floats, Ints
from electorate.ratings import dependence
from electorate.ratings import kernels as ratings_kernels
from electorate.ratings.dependence import Dependence
from electorate.ratings.ties import Derivatives, TieModel
from electorate.rewards import kernels
from electorate.rewards.answer_votes import AnswerVotes

ITERATIONS = 50
TOLERANCE = 1e-3  # nats; the error left is about its square
CHUNK = 512
TINY = 1e-12


@dataclass(frozen=True)
class Read:
    """What a trained form of System B says of A answers, in nats.

    base: (K or 1, A), its rating for an archetype's mean user, the models' strengths included. eta:
    (K or 1,) tie parameters.
    """

    base: Floats
    eta: Floats

    def row(self, archetype: Ints) -> Ints:
        """(n,) the row of base and eta that speaks for users with these archetypes."""
        return archetype if len(self.base) > 1 else np.zeros_like(archetype)


@dataclass(frozen=True)
class PreferenceRead(Read):
    """Of a form that predicts anybody's preference. tie: (A,), what an answer adds to the tie
    parameter of its battles; position: what being shown first is worth.
    """

    tie: Floats
    position: float


@dataclass(frozen=True)
class PersonalRead(Read):
    """Of a personal form. taste: (A, R). mean: (K, R), the archetypes' weights on it. side: the sd
    of position biases; tau: of users' offsets from `models` strengths (0: it has none); eta_sd:
    of their tie parameters. prompt_correlation: how much two votes of one user on one prompt
    repeat each other, see electorate/ratings/dependence.py.
    """

    taste: Floats
    mean: Floats
    side: float
    tau: float
    eta_sd: float
    models: int
    prompt_correlation: float = field(default=0.0, kw_only=True)


@dataclass(frozen=True)
class Weights:
    """Of n users: mode (n, P) of (w, position, eps if it has ratings, tie); root (n, P, P),
    upper Cholesky factors of the information.
    """

    mode: Floats
    root: Floats

    @cached_property
    def covariance(self) -> Floats:
        """(n, P, P) The posterior covariance of each user's weights."""
        inverse: Floats = ratings_kernels.covariances(*self._places, self.root.ravel())
        return inverse.reshape(self.root.shape)

    def take(self, users: Ints) -> "Weights":
        """The weights of these users."""
        return Weights(self.mode[users], self.root[users])

    def drawn(self, normal: Floats) -> Floats:
        """(n, P) a draw from each user's posterior. normal: (n, P) standard normal."""
        step: Floats = ratings_kernels.unwhitened(*self._places, self.root.ravel(), normal.ravel())
        return self.mode + step.reshape(self.mode.shape)

    @property
    def _places(self) -> tuple[Ints, Ints]:
        """Where each user's parameters and matrix begin."""
        users, size = self.mode.shape
        return size * np.arange(users + 1), size**2 * np.arange(users + 1)


def on_prompt(read: PersonalRead, prompt: int, models: int) -> PersonalRead:
    """Of the answers to one prompt, where they lie prompt by prompt, so many each."""
    answers = slice(prompt * models, (prompt + 1) * models)
    return replace(read, base=read.base[:, answers], taste=read.taste[answers])


def prior_mean(read: PersonalRead, archetype: Ints) -> Floats:
    """(n, P) of users with these archetypes."""
    models = read.models if read.tau > 0 else 0
    return np.hstack([read.mean[archetype], np.zeros((len(archetype), 1 + models + 1))])


def difference(read: Read, battles: AnswerVotes) -> tuple[Floats, Floats]:
    """(votes,) difference and tie parameter of each vote for the archetype's base."""
    row = read.row(battles.archetype)[battles.user]
    a = battles.answer_a
    b = battles.answer_b
    d = read.base[row, a] - read.base[row, b]
    eta = read.eta[row]
    return (
        (d + read.position * battles.side, eta + read.tie[a] + read.tie[b])
        if isinstance(read, PreferenceRead)
        else (d, eta)
    )


def design(read: PersonalRead, battles: AnswerVotes) -> Floats:
    """(votes, R + 1) what a vote's difference is linear in, apart from offsets: tastes and
    position.
    """
    x = np.empty((len(battles), read.taste.shape[1] + 1))
    np.subtract(read.taste[battles.answer_a], read.taste[battles.answer_b], out=x[:, :-1])
    x[:, -1] = read.side * battles.side
    return x


def solve(read: PersonalRead, battles: AnswerVotes, ties: TieModel, threads: int = 1) -> Weights:
    """Every user's posterior given its votes, each by its design effect; one without votes has
    the prior.

    Args:
        threads: that share out the users; the result does not hang on how many.
    """
    columns = (battles.user, battles.prompt, battles.a, battles.b, battles.weight)
    battles = replace(battles, weight=dependence.weights(*columns, read.prompt_correlation))
    mode = prior_mean(read, battles.archetype)
    root = np.empty((*mode.shape, mode.shape[1]))

    def solve_from(start: int) -> None:
        stop = min(start + CHUNK, len(mode))
        own = battles.of_users(start, stop)
        mode[start:stop] = _modes(read, own, ties, mode[start:stop], root[start:stop])

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(solve_from, range(0, len(mode), CHUNK)))
    return Weights(mode, root)


def _modes(
    read: PersonalRead, own: AnswerVotes, ties: TieModel, mean: Floats, root: Floats
) -> Floats:
    """(n, P) modes by Newton's method from the prior mean; a step that makes a user's posterior
    worse is halved.
    """
    x = design(read, own)
    base = difference(read, own)
    at = mean
    kept = mean
    best = np.full(len(mean), -np.inf)
    step = np.zeros_like(mean)
    for _ in range(ITERATIONS):
        d, eta = _at(read, own, x, base, at)
        by_vote = ties.log_likelihood(d, eta, own.outcome)
        slopes = ties.derivatives(d, eta, own.outcome)
        if own.weight is not None:
            by_vote = by_vote * own.weight
            slopes = Derivatives(*(slope * own.weight for slope in slopes))
        value = np.bincount(own.user, by_vote, len(at)) - ((at - mean) ** 2).sum(axis=1) / 2
        worse = value < best - 1e-9
        kept = np.where(worse[:, None], kept, at)
        best = np.maximum(best, value)
        newton = kernels.newton(
            own.starts, x, own.a, own.b, read.tau, read.eta_sd, *slopes, at - mean, root
        )
        step = np.where(worse[:, None], step / 2, newton)
        at = kept + step
        if np.abs(step).max(initial=0.0) < TOLERANCE:
            break
    return at


def measure_dependence(read: PersonalRead, battles: AnswerVotes, ties: TieModel) -> Dependence:
    """How far users' votes on one prompt repeat each other beyond what the form itself says they
    have in common.

    At the archetypes' mean users, where d_v and d_v' of one user covary by x_v . x_v' and, at
    models they share, by offsets.
    """
    x = design(read, battles)
    d, eta = _at(read, battles, x, difference(read, battles), prior_mean(read, battles.archetype))
    of = ties.derivatives(d, eta, battles.outcome)
    cluster = dependence.clusters(battles.user, battles.prompt)
    weight = np.ones(len(battles)) if battles.weight is None else battles.weight
    columns = (battles.user, cluster, battles.a, battles.b)
    return dependence.measured(*columns, of.d, of.info_dd, weight, x, read.tau)


def log_likelihood(
    read: Read, battles: AnswerVotes, weights: Floats | None, ties: TieModel
) -> Floats:
    """(votes,) log-probability of each vote; weights: (n, P) of its users, where the form is
    personal.
    """
    d, eta = base = difference(read, battles)
    if isinstance(read, PersonalRead) and weights is not None:
        d, eta = _at(read, battles, design(read, battles), base, weights)
    odds = ties.probabilities(d, eta)
    at_seen: Floats = np.log(
        np.maximum(np.take_along_axis(odds, battles.outcome[:, None], axis=1)[:, 0], TINY)
    )
    return at_seen


def _at(
    read: PersonalRead,
    battles: AnswerVotes,
    x: Floats,
    base: tuple[Floats, Floats],
    weights: Floats,
) -> tuple[Floats, Floats]:
    """(votes,) difference and tie parameter of each vote at weights (n, P)."""
    user = battles.user
    r = x.shape[1]
    d = base[0] + np.einsum("vr,vr->v", x, weights[user, :r])
    if read.tau > 0:
        d = d + read.tau * (weights[user, r + battles.a] - weights[user, r + battles.b])
    return d, base[1] + read.eta_sd * weights[user, -1]
