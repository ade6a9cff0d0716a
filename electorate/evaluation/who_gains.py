"""Who gains from a personal ranking: each user's own gain, as far as its held-out votes show it.

A user's gain is the log likelihood a vote of its held-out votes under a personal system, less that
under the global ranking. Few votes measure it badly, so users' true gains are taken as drawn from
one normal distribution, found from all of them:

    measured_u ~ N(gain_u, s_u^2),   gain_u ~ N(m, t^2)

(the random-effects model; m and t by maximum likelihood, s_u from how votes on a prompt depart
together from their user's mean).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import ndtr, ndtri

from electorate.base.scale import Floats, Ints
from electorate.evaluation import findings

DRAWS = 64  # of the mean gain, which all users share
WIDEST = 10.0  # nats a vote, of users' gains
LEAST = 1e-4
# Nats a vote. Where nothing personal is left System A differs from the global ranking in the fourth
# decimal, always in the same direction for a user: significant, and nothing to anybody.
MATTERS = 0.005


@dataclass(frozen=True)
class Measured:
    """n users' gains as their votes show them, in nats a vote.

    gain, sd: (n,); of users without votes 0 and infinite. weight: (n,) of the votes.
    """

    gain: Floats
    sd: Floats
    weight: Floats


@dataclass(frozen=True)
class Gains:
    """What is known of n users' true gains, in nats a vote.

    Attributes:
        mean, sd: (n,) of each user's posterior.
        overall, overall_sd: of the mean gain m.
        spread: t, how far users' gains are apart.
        no_gain, no_loss: (n, DRAWS) each user's probability of a gain, or a loss, of less than
            MATTERS, for each draw of m.
    """

    mean: Floats
    sd: Floats
    overall: float
    overall_sd: float
    spread: float
    no_gain: Floats
    no_loss: Floats

    def gainers(self, rate: float) -> Ints:
        """(n,) who is said to gain MATTERS or more, at most `rate` of them by mistake; see
        findings.discoveries.
        """
        return findings.discoveries(self.no_gain, rate)

    def losers(self, rate: float) -> Ints:
        """(n,) who is said to lose, the same way."""
        return findings.discoveries(self.no_loss, rate)


def measure(gain: Floats, user: Ints, prompt: Ints, weight: Floats, users: int) -> Measured:
    """Each user's mean gain over its votes.

    Args:
        gain: (votes,) log likelihood of a vote under the personal system less the global one.
        user: (votes,) whose it is, of so many `users`.
        prompt: (votes,) what it was on; a user's votes on one prompt go together.
        weight: (votes,).
    """
    total = np.bincount(user, weight, users).astype(float, copy=False)
    voted = total > 0
    mean = np.divide(
        np.bincount(user, weight * gain, users), total, out=np.zeros(users), where=voted
    )
    cluster = np.unique(user * (int(prompt.max(initial=0)) + 1) + prompt, return_inverse=True)[1]
    of_cluster = np.bincount(cluster, weight)
    away = np.bincount(cluster, weight * (gain - mean[user]))
    owner = np.zeros(len(of_cluster), dtype=np.int64)
    owner[cluster] = user
    squares = np.bincount(owner, of_cluster**2, users)
    # A user's own mean is taken out, which leaves a little less than its votes vary.
    left = squares - np.divide(squares**2, total**2, out=np.zeros(users), where=voted)
    variance = float((away**2).sum() / max(left.sum(), LEAST))
    sd = np.full(users, np.inf)
    sd[voted] = np.sqrt(variance * squares[voted]) / total[voted]
    return Measured(mean, sd, total)


def posterior(measured: Measured) -> Gains:
    """Users' true gains from measured ones."""
    precision = np.where(np.isfinite(measured.sd), 1 / np.maximum(measured.sd, LEAST) ** 2, 0.0)

    def weights(spread: float) -> Floats:
        found: Floats = precision / (1 + spread**2 * precision)
        return found

    def overall(spread: float) -> tuple[float, float]:
        of = weights(spread)
        total = max(float(of.sum()), LEAST)
        return float((of * measured.gain).sum()) / total, total**-0.5

    def minus_likelihood(log_spread: float) -> float:
        of = weights(np.exp(log_spread))
        there = of > 0
        mean, mean_sd = overall(np.exp(log_spread))
        away = (of * (measured.gain - mean) ** 2).sum()
        # Restricted likelihood: the mean is found from the same users.
        return float(away - np.log(of[there]).sum() - 2 * np.log(mean_sd))

    bounds = (np.log(LEAST), np.log(WIDEST))
    found = minimize_scalar(minus_likelihood, bounds=bounds, method="bounded")
    spread = float(np.exp(found.x))
    # A spread that explains no more than none does is none.
    if minus_likelihood(np.log(LEAST)) <= found.fun + 1e-6:
        spread = LEAST
    mean, mean_sd = overall(spread)
    own = precision / (precision + spread**-2)
    sd = np.sqrt(1 / (precision + spread**-2))
    drawn = mean + mean_sd * ndtri((np.arange(DRAWS) + 0.5) / DRAWS)
    of_draw = own[:, None] * measured.gain[:, None] + (1 - own)[:, None] * drawn
    total_sd = np.sqrt(sd**2 + ((1 - own) * mean_sd) ** 2)
    return Gains(
        mean=own * measured.gain + (1 - own) * mean,
        sd=total_sd,
        overall=mean,
        overall_sd=mean_sd,
        spread=spread if spread > LEAST else 0.0,
        no_gain=ndtr((MATTERS - of_draw) / sd[:, None]),
        no_loss=ndtr((MATTERS + of_draw) / sd[:, None]),
    )


def log_gain(own: Floats, base: Floats, outcome: Ints) -> Floats:
    """(votes,) log likelihood of each vote under some odds less that under others.

    own, base: (seeds, votes, 3); of several fold seeds the mean. outcome: (votes,).
    """
    one, other = (
        np.log(np.maximum(np.take_along_axis(odds, outcome[None, :, None], axis=2)[..., 0], 1e-12))
        for odds in (own, base)
    )
    found: Floats = (one - other).mean(axis=0)
    return found


def gated(
    own: Floats,
    base: Floats,
    outcome: Ints,
    user: Ints,
    prompt: Ints,
    weight: Floats,
    folds: Sequence[Ints],
) -> Floats:
    """(seeds, votes, 3) the personal odds where a user is expected to gain, else the global ones.

    Whether it is, is told by the user's held-out votes in the other folds.

    Args:
        own, base: (seeds, votes, 3) held-out odds.
        outcome, user, prompt, weight: (votes,).
        folds: of each seed, (votes,).
    """
    users = int(user.max(initial=-1)) + 1
    found = own.copy()
    for seed, fold in enumerate(folds):
        gain = log_gain(own[seed : seed + 1], base[seed : seed + 1], outcome)
        for held in np.unique(fold):
            known = fold != held
            of = measure(gain[known], user[known], prompt[known], weight[known], users)
            stays = posterior(of).mean <= 0
            rows = np.flatnonzero(~known & stays[user])
            found[seed, rows] = base[seed, rows]
    return found
