"""System A beside the exact posterior, where quadrature can tell it: two models, with and
without ties.

Users drawn from a known population. The population's spread is found by System A's fit and by the
exact marginal likelihood under the same priors; a user's difference of ratings by Laplace's
approximation and exactly. Bias is of posterior means in posterior sds; coverage of 95% intervals
over users.
"""

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from electorate.base.scale import Floats
from electorate.ratings import bradley_terry, offsets, posteriors
from electorate.ratings.prior import Prior
from electorate.ratings.ties import DEFAULT, MODELS
from electorate.ratings.user_votes import UserVotes

USERS = 600
REPLICATIONS = 8
MEAN = 0.4
TIES = MODELS[DEFAULT]
DIFFERENCE = np.linspace(-6, 6, 121)
TIE = np.linspace(-4, 4, 33)


class Case(NamedTuple):
    """each: votes a user; sd: of a strength, nats; eta: mean tie parameter; tie_sd: 0 where none
    tied.
    """

    each: int
    sd: float
    eta: float
    tie_sd: float


CASES = [
    Case(each, sd, eta, tie_sd)
    for eta, tie_sd in ((-0.5, 0.4), (-20.0, 0.0))
    for sd in (0.4, 1.5)
    for each in (2, 10, 50)
]


def drawn(case: Case, seed: int) -> tuple[UserVotes, Floats]:
    """Votes, and the users' true differences."""
    random = np.random.default_rng(seed)
    difference = 2 * MEAN + np.sqrt(2) * case.sd * random.normal(size=USERS)
    eta = case.eta + case.tie_sd * random.normal(size=USERS)
    user = np.repeat(np.arange(USERS), case.each)
    odds = TIES.probabilities(difference[user], eta[user])
    outcome = (random.random(len(user))[:, None] > odds.cumsum(axis=1)[:, :2]).sum(axis=1)
    a = np.zeros_like(user)
    b = np.ones_like(user)
    return UserVotes(
        archetype=np.zeros(USERS, dtype=np.int64), user=user, a=a, b=b, outcome=outcome
    ), difference


class Exact:
    """The joint posterior of every user on a grid of standard normal deviates."""

    def __init__(self, votes: UserVotes, tied: bool) -> None:
        self._counts = np.bincount(3 * votes.user + votes.outcome, minlength=3 * USERS)
        self._counts = self._counts.reshape(-1, 3)
        self._tie = TIE if tied else np.zeros(1)

    def __call__(
        self, mean: float, sd: float, eta: float, tie_sd: float
    ) -> tuple[Floats, Floats, Floats]:
        """(users,) log marginal likelihood, and the grid's differences and (users, grid)
        weights.
        """
        d = mean + np.sqrt(2) * sd * DIFFERENCE
        density = np.exp(-(DIFFERENCE**2) / 2)[:, None] * np.exp(-(self._tie**2) / 2)
        density /= density.sum()
        odds = TIES.probabilities(d[:, None], eta + tie_sd * self._tie)
        logs = np.tensordot(self._counts, np.log(np.maximum(odds, 1e-300)), axes=(1, 2))
        most = logs.max(axis=(1, 2), keepdims=True)
        weight = np.exp(logs - most) * density
        total = weight.sum(axis=(1, 2))
        return np.log(total) + most.ravel(), d, weight.sum(axis=2) / total[:, None]

    def fit(self, at: Prior) -> Floats:
        """(mean, sd, eta, tie_sd) of the highest posterior, from System A's."""
        held = self._tie.size == 1

        def minus(x: Floats) -> float:
            sd = np.exp(x[1])
            tie_sd = np.exp(x[3])
            value = self(x[0], sd, x[2], tie_sd)[0].sum()
            return float(-value + (sd**2 + (0 if held else tie_sd**2)) / 2)

        start = [at.mean[0, 0] - at.mean[0, 1], np.log(at.sd), at.mean[0, 2], np.log(at.tie_sd)]
        found = minimize(minus, start, method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-3})
        return np.array([found.x[0], np.exp(found.x[1]), found.x[2], np.exp(found.x[3])])


ALIKE = 0.01  # nats: users whom the votes show no further apart have no sd to tell a bias in


def replicate(case: Case, seed: int) -> Floats:
    """sd found, exact sd, bias, coverage of System A's and of exact intervals, and of the mean."""
    votes, truth = drawn(case, seed)
    weight = np.zeros((2, 2, 3))
    np.add.at(weight, (votes.a, votes.b, votes.outcome), 1)
    start = bradley_terry.fit(weight, TIES, 1000.0)
    prior = offsets.fit(offsets.InMemory([votes], TIES), start, 1)
    exact = Exact(votes, start.ties > 0)
    best = exact.fit(prior)
    at = posteriors.posterior(votes, prior, TIES)
    everyone = np.arange(USERS)
    difference = at.differences(everyone, np.zeros_like(everyone), np.ones_like(everyone))
    shift = posteriors.mean_shift(at, TIES)[at.votes.own.start[:-1]] * 2
    mean = difference.d + shift
    sd = np.sqrt(difference.variance)
    _, d, share = exact(*best)
    exact_mean = share @ d
    exact_sd = np.sqrt(share @ d**2 - exact_mean**2)
    below = share.cumsum(axis=1)
    low = d[(below > 0.025).argmax(axis=1)]
    high = d[(below > 0.975).argmax(axis=1)]
    return np.array(
        [
            prior.sd,
            best[1],
            np.mean((mean - exact_mean) / exact_sd) if best[1] > ALIKE else np.nan,
            np.mean(np.abs(mean - truth) < 1.96 * sd),
            np.mean((low <= truth) & (truth <= high)),
        ]
    )


def rows(replications: int = REPLICATIONS) -> list[tuple[Case, Floats]]:
    """Means over replications of each case."""
    found = []
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        for case in CASES:
            values = list(pool.map(replicate, [case] * replications, range(replications)))
            found.append((case, np.mean(values, axis=0)))
    return found


def lines(replications: int = REPLICATIONS) -> list[str]:
    """A Markdown table."""
    table = [
        "| votes a user | ties | spread | found | exact | bias of means, sds | covers | exact "
        "covers |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for case, (sd, exact, bias, ours, theirs) in rows(replications):
        ties = "some" if case.tie_sd else "none"
        shown = "none" if np.isnan(bias) else f"{bias:+.3f}"
        table.append(
            f"| {case.each} | {ties} | {case.sd:g} | {sd:.3f} | {exact:.3f} | {shown} | "
            f"{100 * ours:.1f}% | {100 * theirs:.1f}% |"
        )
    return table


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    print("\n".join(lines()))
