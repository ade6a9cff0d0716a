"""System A, Elo Offset: a rating for every user, drawn toward its archetype's and the global one.

    rating_um = R_m + delta_um,   delta_u ~ N(mu_k(u), tau^2 I),   mu_k ~ N(0, tau_k^2 I)

Here is the global step: what the population is like, m_k = (R + mu_k, eta_k), tau and the spread of
ties tau_eta, from the users' posteriors (posteriors.py). It climbs one objective

    sum over users of log p(votes_u | m_k, tau, tau_eta) + log p(tau) + log p(tau_eta)

by Newton steps in the archetypes' means and a search along each spread, pass by pass over the
users. The climb is on the first EVIDENCE_USERS users, the means' last step on all.
A pass that leaves the objective lower is taken back half way; a fit that does not converge raises
NotConvergedError. Spreads have half-normal priors of SPREAD_SCALE nats (Gelman, 2006), so that
users whose votes can be told apart without error keep finite ratings; tau_k, how far archetypes are
apart, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from electorate.base.errors import ElectorateError
from electorate.base.scale import ELO_PER_NAT, Floats, to_nats
from electorate.ratings import archetypes, dependence, kernels, moments, posteriors
from electorate.ratings.archetypes import SPREAD_SCALE
from electorate.ratings.bradley_terry import Fit
from electorate.ratings.dependence import Dependence
from electorate.ratings.moments import Moments
from electorate.ratings.posteriors import Posterior
from electorate.ratings.prior import Prior
from electorate.ratings.summed import Summed, in_order
from electorate.ratings.ties import TieModel
from electorate.ratings.user_votes import UserVotes

TAU_START = to_nats(80.0)
TAU_FLOOR = to_nats(0.5)
TAU_CEILING = to_nats(1000.0)
TIE_SD_START = 0.3
DECISIVENESS_START = 0.4
TIE_SD_FLOOR = 0.02
TIE_SD_CEILING = 3.0
NEARLY_ALIKE = to_nats(20.0)
# How far one pass looks along each spread (tau, tau_eta, the factors' length), as a factor;
# narrowed as the search closes in, since a parabola through distant points has its top elsewhere.
WIDEST = (2.0, 2.5, 1.25)
NARROWEST = 1.1
EVIDENCE_USERS = 8192  # of all blocks together, on whom the spreads are found: it costs most
# Antithetic pairs of draws a user. For thousands of users 16 gave the same spread as 4 to 0.1 Elo;
# a few users need more, as their errors do not average out, and as many as this many votes allow.
FEWEST_DRAWS = 4
MOST_DRAWS = 16
DRAWN_VOTES = 50_000
PASSES = 60
CONVERGED_MEAN = to_nats(0.2)
CONVERGED_SPREAD = 0.03  # of its logarithm
CONVERGED_OBJECTIVE = 0.02  # nats, that a pass gains
NO_OFFSETS = 1e6  # a lambda_reg that leaves a user nothing but its own tie rate


Factors = tuple[float, float, float]  # on tau, on tau_eta, on the factors' length
Tries = Sequence[Factors]
ONCE: Factors = (1.0, 1.0, 1.0)


class NotConvergedError(ElectorateError):
    """A fit of System A that did not converge; its message says what happened."""


@dataclass(frozen=True)
class Sums(Summed):
    """A block's part of the global step.

    users: (K,) by archetype. score, information: (K, M+1) and (K, M+1, M+1), of the marginal
    likelihood in the archetypes' means. evidence: (1 + tries,) log marginal likelihood. others:
    users on whom the evidence is not worked out. stuck: users whose mode was not reached.
    """

    users: Floats
    score: Floats
    information: Floats
    evidence: Floats
    others: int
    stuck: int


class UserBlocks(Protocol):
    """Users in blocks, wherever they lie. Each method returns a part a block, in block order."""

    def dependence(self, start: Fit) -> Sequence[Dependence]:
        """How far votes of one user, or on one prompt, repeat each other, at the fit `start`."""
        ...

    def sums(self, prior: Prior, tries: Tries, everybody: bool) -> Sequence[Sums]:
        """What the global step takes, under the prior and each of the factors to try."""
        ...

    def moments(self, prior: Prior) -> Sequence[Moments]:
        """How users depart from their archetypes' means, under the prior."""
        ...


@dataclass(frozen=True)
class InMemory:
    """UserBlocks of votes that lie in this process."""

    blocks: Sequence[UserVotes]
    ties: TieModel

    def dependence(self, start: Fit) -> list[Dependence]:
        """How far votes of one user, or on one prompt, repeat each other, at the fit `start`."""
        return [dependence.measure(block, start, self.ties) for block in self.blocks]

    def sums(self, prior: Prior, tries: Tries, everybody: bool) -> list[Sums]:
        """What the global step takes, under the prior and each of the factors to try."""
        count = len(self.blocks)
        return [
            block_sums(block, prior, self.ties, tries, count, everybody) for block in self.blocks
        ]

    def moments(self, prior: Prior) -> list[Moments]:
        """How users depart from their archetypes' means, under the prior."""
        return [
            moments.block_moments(block, prior, self.ties, i) for i, block in enumerate(self.blocks)
        ]


def block_sums(
    votes: UserVotes,
    prior: Prior,
    ties: TieModel,
    tries: Tries,
    blocks: int = 1,
    everybody: bool = False,
) -> Sums:
    """What the global step needs of one of so many blocks.

    tries: factors on the prior's spreads under which the evidence is worked out too. everybody: of
    all users, or of the first ones alone, on whom the evidence is worked out.
    """
    left = max(1, EVIDENCE_USERS // blocks)
    others = max(0, votes.users - left)
    if others and not everybody:
        votes = votes.by_user().of_users(0, left)
    parameters = prior.models + 1
    archetype_count = len(prior.mean)
    by_archetype = np.zeros(archetype_count)
    score = np.zeros((archetype_count, parameters))
    information = np.zeros((archetype_count, parameters, parameters))
    correction = np.zeros_like(score)
    sampled = np.zeros(archetype_count)
    evidence = np.zeros(1 + len(tries))
    stuck = 0
    draws = int(np.clip(DRAWN_VOTES // max(len(votes.user), 1), FEWEST_DRAWS, MOST_DRAWS))
    for _, at in posteriors.by_chunk(votes, prior, ties):
        own = at.votes.own
        archetype = at.votes.archetype
        by_archetype += np.bincount(archetype, minlength=archetype_count)
        shift = posteriors.mean_shift(at, ties)
        _add_score(score, at, at.own_mode + shift)
        kernels.add_by_archetype(
            own.start, own.square, own.parameter, archetype, at.learned, information
        )
        stuck += int((~at.converged).sum())
        if left:
            few = _first(at, min(left, at.votes.users), prior, ties)
            left -= few.votes.users
            values, mean = _evidence(few, ties, tries, draws)
            evidence += values
            sampled += np.bincount(few.votes.archetype, minlength=archetype_count)
            # The sampled means say by how much the others' approximate ones are off, on average.
            _add_score(correction, few, few.own_mode + mean)
            _add_score(correction, few, few.own_mode + shift[: len(mean)], sign=-1.0)
    # Where users hardly differ posteriors are normal, and sampling would only add noise.
    if prior.sd > NEARLY_ALIKE:
        score += (by_archetype / np.maximum(sampled, 1))[:, None] * correction
    return Sums(by_archetype, score, information, evidence, others, stuck)


def fit(
    users: UserBlocks,
    start: Fit,
    archetype_count: int,
    lambda_reg: float | None = None,
    factors: Floats | None = None,
) -> Prior:
    """The prior of System A, with offsets alike in every direction.

    start: the global Bradley-Terry fit, the R that archetypes are drawn toward. archetype_count: K.
    lambda_reg: 1/tau^2 if it is given rather than found. factors: (r, M) what offsets have in
    common besides, whose scale is found. Raises NotConvergedError.
    """
    correlation = in_order(users.dependence(start)).prompt_correlation
    prior = first_prior(start, archetype_count, lambda_reg, correlation)
    prior = replace(prior, factors=factors)
    prior = _maximise(users, start, prior, lambda_reg)
    if lambda_reg is not None:
        return prior
    differ = in_order(users.moments(prior)).users_differ(factors)
    return prior if differ else replace(prior, sd=TAU_FLOOR)


def with_decisiveness(users: UserBlocks, start: Fit, plain: Prior) -> Prior:
    """System A's prior whose users follow the global ranking more or less closely, too:

        rating_um = s_u R_m + delta_um,   s_u ~ N(1, s^2)

    as one factor, s R: some look closely and some vote nearly at random, which offsets that are
    alike in every direction can only take for tastes. s is found by the evidence. The plain prior
    where users are alike, or where this one does not converge.
    """
    away = start.strength - start.strength.mean()
    if plain.sd <= TAU_FLOOR or not np.any(away):
        return plain
    with_factor = replace(plain, factors=DECISIVENESS_START * away[None])
    try:
        return _maximise(users, start, with_factor, None)
    except NotConvergedError:
        return plain


def with_factors(
    users: UserBlocks, start: Fit, plain: Prior, most: int, lambda_reg: float | None = None
) -> Prior:
    """System A's low-rank prior from its plain one: with up to `most` factors.

    The spread left beside the factors is found anew. Users who are alike have none: what varies
    with a user's own tie rate looks like a direction too. Raises NotConvergedError.
    """
    if plain.sd <= TAU_FLOOR:
        return replace(plain, factors=np.empty((0, plain.models)))
    found = moments.factors(in_order(users.moments(plain)), most, TAU_FLOOR)
    with_them = replace(plain, factors=found)
    return _maximise(users, start, with_them, lambda_reg) if len(found) else with_them


def first_prior(
    start: Fit, archetype_count: int, lambda_reg: float | None = None, correlation: float = 0.0
) -> Prior:
    """Where `fit` begins: every archetype alike. Ties vary only where there are any."""
    mean = np.tile(np.append(start.strength, start.eta), (archetype_count, 1))
    sd = TAU_START if lambda_reg is None else lambda_reg**-0.5
    tie_sd = TIE_SD_START if start.ties > 0 else TIE_SD_FLOOR
    return Prior(mean, sd, tie_sd, prompt_correlation=correlation)


def scaled(prior: Prior, by: Factors) -> Prior:
    """The prior with its spreads times these factors, the first two within bounds."""
    return replace(
        prior,
        sd=float(np.clip(prior.sd * by[0], TAU_FLOOR, TAU_CEILING)),
        tie_sd=float(np.clip(prior.tie_sd * by[1], TIE_SD_FLOOR, TIE_SD_CEILING)),
        factors=None if prior.factors is None else by[2] * prior.factors,
    )


def _add_score(total: Floats, at: Posterior, mean: Floats, sign: float = 1.0) -> None:
    """Add the score of the archetypes' means at users' posterior means (P,), in place."""
    own = at.votes.own
    gradient = -at.own_prior.gradient(at.votes, mean)
    np.add.at(total, (at.votes.archetype[own.user], own.parameter), sign * gradient)


def _first(at: Posterior, users: int, prior: Prior, ties: TieModel) -> Posterior:
    """The posteriors of the first so many users."""
    if users == at.votes.users:
        return at
    return posteriors.posterior(at.votes.of_users(0, users), prior, ties)


def _evidence(at: Posterior, ties: TieModel, tries: Tries, draws: int) -> tuple[Floats, Floats]:
    """(1 + tries,) log marginal likelihoods, and (P,) posterior means minus modes at the prior."""
    normal = posteriors.standard_normal(at.votes, draws)
    value, mean = posteriors.evidence(at, ties, normal)
    found = [float(value.sum())]
    for by in tries:
        other = posteriors.posterior(
            at.votes, scaled(at.prior, by), ties, at.own_mode, tolerance=1e-3
        )
        found.append(float(posteriors.evidence(other, ties, normal)[0].sum()))
    return np.array(found), mean


def _maximise(users: UserBlocks, start: Fit, prior: Prior, lambda_reg: float | None) -> Prior:
    """Climb the objective from this prior until it converges. Raises NotConvergedError."""
    best = prior
    highest = -np.inf
    widths = [
        WIDEST[0] if lambda_reg is None else 1.0,
        WIDEST[1] if start.ties > 0 else 1.0,
        WIDEST[2] if len(prior.directions) else 1.0,
    ]
    for _ in range(PASSES):
        tries = _tries(widths)
        sums = in_order(users.sums(prior, tries, everybody=False))
        objective = sums.evidence[0] + _log_spread(prior)
        gain = objective - highest
        if gain >= -1e-9 * abs(objective):
            best = prior
            highest = objective
            evidence = sums.evidence + [_log_spread(scaled(prior, by)) for by in [ONCE, *tries]]
            by = _best_factors(widths, evidence)
            mean, covariance = archetypes.means(prior, start, sums.score, sums.information)
            new = replace(scaled(prior, by), mean=mean, mean_covariance=covariance)
            widths = [_narrowed(width, factor) for width, factor in zip(widths, by, strict=True)]
        else:
            new = _between(best, prior)
        if not (np.isfinite(highest) and np.isfinite(new.mean).all()):
            raise NotConvergedError(
                "System A did not converge: the votes' likelihood is not a number"
            )
        if _converged(best, new) or 0 <= gain < CONVERGED_OBJECTIVE:
            return _for_everybody(users, start, new, sums)
        prior = new
    raise NotConvergedError(
        f"System A did not converge in {PASSES} passes: the users' spread still moves, from "
        f"{ELO_PER_NAT * best.sd:.1f} to {ELO_PER_NAT * prior.sd:.1f} Elo in the last one"
    )


def _for_everybody(users: UserBlocks, start: Fit, prior: Prior, sums: Sums) -> Prior:
    """The prior, its archetypes' means moved by those users too on whom it was not climbed."""
    if sums.others:
        sums = in_order(users.sums(prior, [], everybody=True))
        mean, covariance = archetypes.means(prior, start, sums.score, sums.information)
        prior = replace(prior, mean=mean, mean_covariance=covariance)
    if sums.stuck:
        raise NotConvergedError(
            f"System A did not converge: the ratings of {sums.stuck:,} users did not"
        )
    return prior


def _tries(widths: Sequence[float]) -> list[Factors]:
    """Each spread that is searched times and through its width, the others as they are."""
    found = list[Factors]()
    for which, width in enumerate(widths):
        for factor in (1 / width, width) if width > 1 else ():
            on_tau, on_ties, on_length = (factor if i == which else 1.0 for i in range(3))
            found.append((on_tau, on_ties, on_length))
    return found


def _best_factors(widths: Sequence[float], evidence: Floats) -> Factors:
    """The factor on each spread with the highest evidence, at and between those tried.

    evidence: (1 + tries,). By a parabola in the factor's logarithm through the three.
    """
    found = []
    place = 1
    for width in widths:
        if width == 1:
            found.append(1.0)
            continue
        below = evidence[place] - evidence[0]
        here = 0.0
        above = evidence[place + 1] - evidence[0]
        place += 2
        curve = below + above - 2 * here
        top = (below - above) / (2 * curve) if curve < 0 else np.sign(above - below)
        found.append(float(width ** np.clip(top, -1.0, 1.0)))
    return found[0], found[1], found[2]


def _narrowed(width: float, factor: float) -> float:
    """The next pass's width: the square root where the best factor was well inside."""
    inside = abs(np.log(factor)) < np.log(width) / 2
    return max(min(width, NARROWEST), width**0.5) if inside else width


def _converged(before: Prior, after: Prior) -> bool:
    spreads = [abs(np.log(after.sd / before.sd)), abs(np.log(after.tie_sd / before.tie_sd))]
    if len(before.directions):
        lengths = np.linalg.norm(after.directions) / np.linalg.norm(before.directions)
        spreads.append(abs(np.log(lengths)))
    moved = np.abs(after.mean - before.mean).max()
    return bool(moved < CONVERGED_MEAN and max(spreads) < CONVERGED_SPREAD)


def _between(one: Prior, other: Prior) -> Prior:
    """Half way."""
    return replace(
        other,
        mean=(one.mean + other.mean) / 2,
        sd=float(np.sqrt(one.sd * other.sd)),
        tie_sd=float(np.sqrt(one.tie_sd * other.tie_sd)),
        factors=None if other.factors is None else (one.directions + other.directions) / 2,
    )


def _log_spread(prior: Prior) -> float:
    """Log density of the spreads."""
    return -(prior.sd**2 + prior.tie_sd**2) / (2 * SPREAD_SCALE**2)
