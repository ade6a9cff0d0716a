"""Coverage of every interval, nominal 95%, in simulation studies: `python -m benchmarks.coverage`
writes docs/coverage.md.

Ratings: REPLICATIONS elections of 6 models. Users: drawn from System A itself, its prior found from
their votes.
"""

import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from scipy.optimize import brentq

from benchmarks import exact
from electorate.base.scale import Floats, Ints, to_elo, to_nats
from electorate.config.metrics import UNSEEN
from electorate.evaluation.intervals import Bootstrap
from electorate.evaluation.orders import table as orders_table
from electorate.evaluation.scoring import Scores
from electorate.ratings import (
    bootstrap,
    bradley_terry,
    clustering,
    contextual,
    leaderboard,
    offsets,
    posteriors,
)
from electorate.ratings.prior import Prior
from electorate.ratings.ties import MODELS
from electorate.ratings.user_votes import UserVotes

# every fifth election is resampled, which takes most of the time
REPLICATIONS = 2000
ELECTORATES = 20
USERS = 8000
EVERY = 5
PAGE = Path(__file__).parent.parent / "docs" / "coverage.md"
DAVIDSON = MODELS["davidson"]
M = 6
VOTES = 4000
GROUPS = 60
STRENGTH = np.linspace(-0.7, 0.7, M)
ETA = -0.5
EFFECT_OF_PROMPT = 0.6
EFFECT = np.array([0.4, -0.2])
Inside = dict[str, list[float]]


def election(
    random: np.random.Generator, effect_sd: float, style: bool = False
) -> tuple[Ints, Ints, Ints, Ints, Floats]:
    """a, b, outcome, group and style contrasts of votes; each group (a prompt, or a user) shifts
    the strengths.
    """
    a = random.integers(0, M, VOTES)
    b = (a + random.integers(1, M, VOTES)) % M
    group = random.integers(0, GROUPS, VOTES)
    shift = effect_sd * random.normal(size=(GROUPS, M))
    contrast = random.normal(size=(VOTES, 2))
    d = (
        STRENGTH[a]
        - STRENGTH[b]
        + shift[group, a]
        - shift[group, b]
        + style * contrast / contrast.std(axis=0) @ EFFECT
    )
    odds = DAVIDSON.probabilities(d, np.full(VOTES, ETA))
    return (
        a,
        b,
        (random.random(VOTES)[:, None] > odds.cumsum(axis=1)[:, :2]).sum(axis=1),
        group,
        contrast,
    )


def counted(a: Ints, b: Ints, outcome: Ints) -> Floats:
    """(M, M, 3)."""
    return (
        np.bincount((a * M + b) * 3 + outcome, minlength=M * M * 3).reshape(M, M, 3).astype(float)
    )


def marginal(effect_sd: float) -> Floats:
    """What ratings on ever more groups tend to: the truth on new prompts, or of new users.

    By 3,000,000 expected votes.
    """
    random = np.random.default_rng(7)
    total = np.zeros((M, M, 3))
    shift = effect_sd * random.normal(size=(100_000, M))
    for a in range(M):
        for b in range(M):
            if a != b:
                d = STRENGTH[a] - STRENGTH[b] + shift[:, a] - shift[:, b]
                total[a, b] = DAVIDSON.probabilities(d, np.full(len(d), ETA)).mean(axis=0)
    return bradley_terry.fit(1e5 * total, DAVIDSON, None).strength


def inside(strength: Floats, covariance: Floats, truth: Floats) -> float:
    """Share of ratings whose interval holds the truth."""
    return float((np.abs(strength - truth) < 1.96 * np.sqrt(np.diag(covariance)[:M])).mean())


def by_bootstrap(
    a: Ints, b: Ints, outcome: Ints, group: Ints | None, truth: Floats, seed: int
) -> float:
    """Share of ratings whose percentiles hold the truth."""
    draws = bootstrap.strengths(
        (a * M + b) * 3 + outcome,
        np.ones(VOTES),
        [] if group is None else [group],
        M,
        DAVIDSON,
        1000.0,
        seed,
    )
    low, high = np.quantile(draws, (0.025, 0.975), axis=0)
    return float(((low < truth) & (high > truth)).mean())


def replicate(seed: int) -> Inside:
    """One election of each kind."""
    bootstrap.RESAMPLES = 200  # of the 500 that `rate` draws
    resampled = seed % EVERY == 0
    random = np.random.default_rng(seed)
    found = Inside()
    a, b, outcome, _, _ = election(random, 0.0)
    fit = bradley_terry.fit(counted(a, b, outcome), DAVIDSON, None)
    found["ratings, these prompts: sandwich"] = [inside(fit.strength, fit.covariance, STRENGTH)]
    row = leaderboard.rows([str(m) for m in range(M)], fit, 0.95)
    rank = M - np.arange(M)
    found["rank ranges hold the true rank (at least 95%)"] = [
        np.mean([r["rank_low"] <= k <= r["rank_high"] for r, k in zip(row, rank, strict=True)])
    ]
    if resampled:
        found["ratings, these prompts: bootstrap"] = [
            by_bootstrap(a, b, outcome, None, STRENGTH, seed)
        ]
    pairs = np.bincount(np.minimum(a, b) * M + np.maximum(a, b), minlength=M * M)
    weight = (1 / pairs[np.minimum(a, b) * M + np.maximum(a, b)]) * VOTES / (M * (M - 1) / 2)
    cells = (a * M + b) * 3 + outcome
    by_weight, by_square = (
        np.bincount(cells, weight**power, M * M * 3).reshape(M, M, 3) for power in (1, 2)
    )
    weighed = bradley_terry.fit(by_weight, DAVIDSON, None, by_square)
    found["ratings, pairs weighed alike: sandwich"] = [
        inside(weighed.strength, weighed.covariance, STRENGTH)
    ]

    a, b, outcome, group, _ = election(random, 0.5)
    fit = bradley_terry.fit(counted(a, b, outcome), DAVIDSON, None)
    truth = MARGINAL
    by_group = clustering.covariance(fit, DAVIDSON, a, b, outcome, np.ones(VOTES), [group])
    found["ratings, new prompts or users: clustered sandwich"] = [
        inside(fit.strength, by_group, truth)
    ]
    found["the same by the plain sandwich, for comparison"] = [
        inside(fit.strength, fit.covariance, truth)
    ]
    if resampled:
        found["ratings, new prompts or users: clustered bootstrap"] = [
            by_bootstrap(a, b, outcome, group, truth, seed)
        ]

    a, b, outcome, _, contrast = election(random, 0.0, style=True)
    start = bradley_terry.fit(counted(a, b, outcome), DAVIDSON, None)
    held, style = contextual.fit(
        start, a, b, outcome, np.ones(VOTES), contrast, DAVIDSON, None, [np.arange(VOTES)]
    )
    found["ratings with style held equal: sandwich"] = [
        inside(held.strength, held.covariance, STRENGTH)
    ]
    found["effects of style: sandwich"] = [
        float((np.abs(style.effect - (to_elo(EFFECT) - 1000)) < 1.96 * style.sd).mean())
    ]
    return found | more_elections(random) | comparison(random)


def more_elections(random: np.random.Generator) -> Inside:
    """Elections whose users and prompts both shift the strengths, and elections without ties."""
    a, b, outcome, user, _ = election(random, 0.5)
    prompt = random.integers(0, GROUPS, VOTES)
    shift = 0.5 * random.normal(size=(GROUPS, M))
    user_shift = 0.5 * random.normal(size=(GROUPS, M))
    d = STRENGTH[a] - STRENGTH[b] + shift[prompt, a] - shift[prompt, b]
    d += user_shift[user, a] - user_shift[user, b]
    odds = DAVIDSON.probabilities(d, np.full(VOTES, ETA))
    outcome = (random.random(VOTES)[:, None] > odds.cumsum(axis=1)[:, :2]).sum(axis=1)
    fit = bradley_terry.fit(counted(a, b, outcome), DAVIDSON, None)
    votes = (a, b, outcome, np.ones(VOTES))
    both, one = (
        clustering.covariance(fit, DAVIDSON, *votes, groups) for groups in ([user, prompt], [user])
    )
    there = random.random(VOTES) < 1 / (1 + np.exp(STRENGTH[b] - STRENGTH[a]))
    untied = bradley_terry.fit(counted(a, b, np.where(there, 0, 1)), DAVIDSON, None)
    return {
        "ratings, new prompts and new users: two-way clustered sandwich": [
            inside(fit.strength, both, MARGINAL_BOTH)
        ],
        "the same clustered by user alone, for comparison": [
            inside(fit.strength, one, MARGINAL_BOTH)
        ],
        "ratings without ties: sandwich": [inside(untied.strength, untied.covariance, STRENGTH)],
    }


def comparison(random: np.random.Generator) -> Inside:
    """A metric's interval over users and prompts, and the mean rank's over users: the truth is
    the mean they are drawn about.
    """
    users = 200
    prompts = 30
    value = (
        0.3 * random.normal(size=(users, 1))
        + 0.3 * random.normal(size=(1, prompts))
        + random.normal(size=(users, prompts))
    )
    scores = Scores({(UNSEEN, "regret"): value}, np.ones((users, 15, 3)))
    boot = Bootstrap(int(random.integers(2**31)), users, prompts, 300, 0.95)
    estimate = boot.of({"s": scores}, np.arange(users)).estimates()["s"][UNSEEN, "regret"]
    own = STRENGTH + 0.5 * random.normal(size=(users, M))
    rows = orders_table(
        [str(m) for m in range(M)], STRENGTH, own, own, {"all": np.arange(users)}, 0.95
    ).to_pylist()
    return {
        "metrics over users x prompts: pigeonhole bootstrap (at least 95%)": [
            float(estimate.ci_low < 0 < estimate.ci_high)
        ],
        "mean personal rank over users": [
            float(
                np.mean(
                    [r["ci_low"] < t < r["ci_high"] for r, t in zip(rows, MEAN_RANK, strict=True)]
                )
            )
        ],
    }


def mean_rank() -> Floats:
    """(M,) the mean rank over ever more users."""
    own = STRENGTH + 0.5 * np.random.default_rng(8).normal(size=(400_000, M))
    return (np.argsort(np.argsort(-own, axis=1), axis=1) + 1).mean(axis=0)


def electorate(seed: int) -> Inside:
    """Users drawn from System A, plain and with factors; their prior is found from their votes."""
    random = np.random.default_rng(seed)
    found = Inside()
    for name, lengths in (("", []), (" with factors", [300.0, 150.0])):
        factors = (
            to_nats(1.0)
            * np.array(lengths)[:, None]
            * np.linalg.qr(random.normal(size=(12, 12)))[0][: len(lengths)]
        )
        truth = Prior(
            np.append(np.linspace(-0.6, 0.6, 12), ETA)[None],
            to_nats(40.0 if lengths else 80.0),
            0.3,
            factors,
        )
        true = random.multivariate_normal(truth.mean[0], truth.covariance, USERS)
        for each in (10, 50):
            user = np.repeat(np.arange(USERS), each)
            a = random.integers(0, 12, len(user))
            b = (a + random.integers(1, 12, len(user))) % 12
            odds = DAVIDSON.probabilities(true[user, a] - true[user, b], true[user, -1])
            outcome = (random.random(len(user))[:, None] > odds.cumsum(axis=1)[:, :2]).sum(axis=1)
            votes = UserVotes(
                archetype=np.zeros(USERS, dtype=np.int64), user=user, a=a, b=b, outcome=outcome
            )
            found[f"users' ratings by System A{name}, {each} votes each, prior known"] = [
                _users_inside(true, votes, truth)
            ]
            found[f"users' ratings by System A{name}, {each} votes each, prior found"] = [
                _users_inside(true, votes, _prior(votes, bool(lengths)))
            ]
    return found


def more_electorates(seed: int) -> Inside:
    """Users whose votes have no ties, and users who vote several times on a prompt with opinions
    of its responses.
    """
    random = np.random.default_rng(1000 + seed)
    found = Inside()
    truth = Prior(np.append(np.linspace(-0.6, 0.6, 12), ETA)[None], to_nats(80.0), 0.3)
    true = random.multivariate_normal(truth.mean[0], truth.covariance, USERS)
    for each in (10, 50):
        for name, eta, effect in (
            ("no ties", -30.0, 0.0),
            ("5 votes on a prompt", ETA, EFFECT_OF_PROMPT),
        ):
            user = np.repeat(np.arange(USERS), each)
            prompt = np.tile(np.arange(each) // 5, USERS)
            a = random.integers(0, 12, len(user))
            b = (a + random.integers(1, 12, len(user))) % 12
            own = effect * random.normal(size=(USERS, each // 5, 12))
            d = true[user, a] - true[user, b] + own[user, prompt, a] - own[user, prompt, b]
            odds = DAVIDSON.probabilities(d, np.full(len(user), eta))
            outcome = (random.random(len(user))[:, None] > odds.cumsum(axis=1)[:, :2]).sum(axis=1)
            archetype = np.zeros(USERS, dtype=np.int64)
            votes = UserVotes(
                archetype=archetype,
                user=user,
                a=a,
                b=b,
                outcome=outcome,
                weight=None,
                prompt=prompt if effect else None,
            )
            shorter = np.append(np.full(12, _attenuation(effect)), 1.0)
            covers = _users_inside(true * shorter, votes, _prior(votes, False))
            found[f"users' ratings by System A, {each} votes each, prior found, {name}"] = [covers]
    return found


def _attenuation(effect: float) -> float:
    """By how much a user's opinions of single responses shorten its ratings over all prompts."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(21)
    d = 0.6
    odds = DAVIDSON.probabilities(d + np.sqrt(2) * effect * nodes, np.full(21, ETA))
    mean = weights / weights.sum() @ odds

    def away(shorter: float) -> float:
        one = DAVIDSON.probabilities(np.array([shorter * d]), np.array([ETA]))[0]
        return float(np.log(one[0] / one[1]) - np.log(mean[0] / mean[1]))

    return float(brentq(away, 0.1, 1.5))


def _prior(votes: UserVotes, low_rank: bool) -> Prior:
    """As a run finds it."""
    weight = np.zeros((12, 12, 3))
    np.add.at(weight, (votes.a, votes.b, votes.outcome), 1)
    global_fit = bradley_terry.fit(weight, DAVIDSON, 1000.0)
    users = offsets.InMemory([votes], DAVIDSON)
    prior = offsets.fit(users, global_fit, 1)
    return offsets.with_factors(users, global_fit, prior, 8) if low_rank else prior


def _users_inside(true: Floats, votes: UserVotes, prior: Prior) -> float:
    """Share of users' ratings, about their mean, whose interval holds the true one."""
    at = posteriors.posterior(votes, prior, DAVIDSON)
    contrast = np.eye(13)[:12] - np.append(np.full(12, 1 / 12), 0)
    sd = np.sqrt(np.einsum("mp,npq,mq->nm", contrast, at.covariance, contrast))
    return float((np.abs((at.mode - true) @ contrast.T) < 1.96 * sd).mean())


MARGINAL = marginal(0.5)
MARGINAL_BOTH = marginal(0.5 * 2**0.5)
MEAN_RANK = mean_rank()


EXACT = (
    "## Beside the exact posterior",
    "",
    "Two models, 600 users, 8 draws: System A's spread of users (nats) beside that of the exact "
    "marginal likelihood under the same",
    "priors, by quadrature; users' posterior means less the exact ones in exact standard "
    "deviations; and how often 95% intervals hold",
    "a user's true difference. Where two votes a user do not show that users differ (2 votes, no "
    "ties, spread 0.4) System A gives",
    "everybody one ranking, and no interval of a user's own; no bias is told where the exact "
    "likelihood does so in a draw, too.",
)


def study(of: Callable[[int], Inside], times: int) -> dict[str, tuple[float, float, int]]:
    """Coverage, its standard error over replications and how many there were, by interval; the
    work is shared among the cores.
    """
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        parts = list(pool.map(of, range(times), chunksize=5))
    values = {
        name: np.concatenate([part[name] for part in parts if name in part]) for name in parts[0]
    }
    return {
        name: (float(value.mean()), float(value.std() / np.sqrt(len(value))), len(value))
        for name, value in values.items()
    }


def main(
    replications: int = REPLICATIONS, electorates: int = ELECTORATES, page: Path | None = PAGE
) -> None:
    """Print the table, and write the page."""
    os.environ["OMP_NUM_THREADS"] = "1"
    rows = (
        study(replicate, replications)
        | study(electorate, electorates)
        | study(more_electorates, electorates)
    )
    lines = [
        "# Coverage of the intervals",
        "",
        "Nominal 95%. `python -m benchmarks.coverage` simulates and writes this page. Ratings: "
        "elections of 6 models and 4,000 votes",
        "with ties; for new prompts or users 60 of them, each shifting the strengths by 0.5 nats. "
        "Users: electorates of 8,000 drawn",
        "from System A over 12 models (80 Elo apart; or 40 and two directions of 300 and 150), "
        "whose prior is found from their votes;",
        "some without ties, some who vote 5 times on a prompt, of whose responses they have "
        "opinions (0.6 nats): their ratings over all",
        "prompts are to be covered.",
        "",
        "| interval | covers | standard error | replications |",
        "|---|---|---|---|",
        *(
            f"| {name} | {100 * share:.1f}% | {100 * error:.1f} | {n:,} |"
            for name, (share, error, n) in rows.items()
        ),
    ]
    lines += ["", *EXACT, "", *exact.lines()]
    print("\n".join(lines[6:]))
    if page:
        page.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
