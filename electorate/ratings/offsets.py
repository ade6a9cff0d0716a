"""System A, Elo Offset: a rating for every user, drawn toward its archetype's and the global one.

    rating_um = R_m + delta_um,   delta_u ~ N(mu_k(u), tau^2 I),   mu_k ~ N(0, tau_k^2 I)

Here is the global step: what the population is like, m_k = (R + mu_k, eta_k), tau and the ties' spread
tau_eta, from the users' posteriors (ratings/posteriors.py). The archetypes' means follow by Newton on
the marginal likelihood, and tau, tau_eta and tau_k by empirical Bayes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import TypeVar

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.sparse import csr_matrix

from electorate.draws import Stream, generator
from electorate.ratings.bradley_terry import Fit
from electorate.ratings.posteriors import Prior, UserVotes, evidence, first_users, mean_shift, posterior
from electorate.ratings.ties import TieModel
from electorate.scale import Floats, Ints, to_nats

TAU_START, TAU_FLOOR, TAU_CEILING = to_nats(80.0), to_nats(0.5), to_nats(1000.0)
NEARLY_ALIKE = to_nats(20.0)
TIE_SD_START, TIE_SD_FLOOR, TIE_SD_CEILING = 0.3, 0.02, 3.0
# Priors tried in one pass, as factors on the current one's (tau, tau_eta, length of the factors).
GRID = ((1.0, 1.0, 1.0), (0.5, 1.0, 1.0), (0.8, 1.0, 1.0), (1.25, 1.0, 1.0), (2.0, 1.0, 1.0), (1.0, 0.6, 1.0), (1.0, 1.6, 1.0))
LENGTHS = ((1.0, 1.0, 0.8), (1.0, 1.0, 1.25))
SIGNS, SURE = 12, 1.1  # random draws of noise, and how far above all of them a direction must stand
EVIDENCE_USERS = 8192  # of all blocks together, on whom the spread is found: it costs most


@dataclass(frozen=True)
class Sums:
    """A block's part of the global step, of users' posterior means about the prior's and of their covariances.

    users: (K,); away: (K, M+1) and covariance: (K, M+1, M+1), summed by archetype; evidence: (len(tried(prior)),).
    """

    users: Floats
    away: Floats
    covariance: Floats
    evidence: Floats

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))


Part = TypeVar("Part", Sums, "Moments")
MapBlocks = Callable[[Prior], Sequence[Sums]]


def block_sums(votes: UserVotes, prior: Prior, ties: TieModel, blocks: int = 1) -> Sums:
    """What the global step needs of one of so many blocks. Sums of blocks add up in block order, so that floats round the
    same way whoever computed the parts.
    """
    ordered, at = votes.by_user(), posterior(votes, prior, ties)
    shift, member = mean_shift(votes, at, ties), np.eye(len(prior.mean))[votes.label]
    few, found, sampled = first_users(ordered, EVIDENCE_USERS // blocks), [], np.empty(0)
    for by in tried(prior):
        other = scaled(prior, *by)
        value, mean = evidence(few, posterior(few, other, ties, at.mode[: few.users], tolerance=1e-3), other, ties)
        found.append(float(value.sum()))
        sampled = sampled if len(found) > 1 else mean
    # The first users' sampled means say by how much the others' approximate ones are off, on average; where users hardly
    # differ posteriors are normal, and sampling would only add noise.
    off = member[: few.users].T @ (sampled - shift[: few.users]) * (prior.sd > NEARLY_ALIKE)
    share = member.sum(axis=0) / np.maximum(member[: few.users].sum(axis=0), 1)
    away = member.T @ (at.mode + shift - prior.mean[votes.label]) + share[:, None] * off
    covariance = np.tensordot(member, at.covariance, axes=(0, 0)).astype(float, copy=False)
    return Sums(member.sum(axis=0), away, covariance, np.array(found))


def first_prior(start: Fit, kinds: int, lambda_reg: float | None = None) -> Prior:
    """Where `fit` begins: every archetype alike. start: the global Bradley-Terry fit. lambda_reg: 1/tau^2, if it is given."""
    centre = np.append(start.strength, start.eta)
    return Prior(np.tile(centre, (kinds, 1)), TAU_START if lambda_reg is None else lambda_reg**-0.5, TIE_SD_START)


def fit(map_blocks: MapBlocks, start: Fit, prior: Prior, lambda_reg: float | None = None, iterations: int = 12) -> Prior:
    """The prior of System A from the votes behind map_blocks, which returns block_sums in block order.

    start: the global Bradley-Terry fit, the R that archetypes are drawn toward. prior: where to begin; its factors
    are kept. lambda_reg: 1/tau^2 if it is given rather than found.
    """
    centre = np.append(start.strength, start.eta)
    for _ in range(iterations):
        sums = in_order(map_blocks(prior))
        moved, sure = _archetype_means(prior, centre, sums)
        by = [_best_factor(tried(prior), sums.evidence, which) for which in range(3)]
        new = replace(scaled(prior, *by), mean=moved, mean_covariance=sure)
        if lambda_reg is not None:
            new = replace(new, sd=prior.sd)
        settled = np.abs(moved - prior.mean).max() < to_nats(0.1)
        settled &= abs(np.log(new.sd / prior.sd)) < 0.05 and abs(np.log(new.tie_sd / prior.tie_sd)) < 0.05 and abs(np.log(by[2])) < 0.05
        prior = new
        if settled:
            break
    return prior


def fit_blocks(blocks: Sequence[UserVotes], whole: Fit, ties: TieModel, lambda_reg: float | None, most: int = 0) -> Prior:
    """The prior, all archetypes alike, from all users' votes in memory, block by block; with up to `most` factors."""

    def sums(prior: Prior) -> list[Sums]:
        return [block_sums(block, prior, ties, len(blocks)) for block in blocks]

    prior = fit(sums, whole, first_prior(whole, 1, lambda_reg), lambda_reg)
    if lambda_reg is not None:
        return prior
    moments = in_order([block_moments(block, prior, ties, i) for i, block in enumerate(blocks)])
    prior = unless_alike(prior, moments)
    return with_factors(sums, moments, whole, prior, most) if most else prior


@dataclass(frozen=True)
class Moments:
    """How users' votes depart together from their archetypes' prior means, summed over users.

    cross: (1 + SIGNS, M, M), the products of the scores of every two votes of one user on different prompts (those on one prompt
    have the prompt in common too); as they are, and with random signs, which leave only noise. information: (M, M), of all
    votes. votes, pairs: how many votes, and ordered pairs of votes that cross counts.
    """

    cross: Floats
    information: Floats
    votes: float
    pairs: float

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))


def block_moments(votes: UserVotes, prior: Prior, ties: TieModel, block: int) -> Moments:
    """A block's part of the moments that `factors` needs."""
    users, models = votes.users, prior.mean.shape[1] - 1
    label, weight = votes.label[votes.user], np.ones(len(votes.user)) if votes.weight is None else votes.weight
    of = ties.derivatives(prior.mean[label, votes.a] - prior.mean[label, votes.b], prior.mean[label, -1], votes.outcome)
    n = len(votes.user)
    group = (
        np.arange(n)
        if votes.prompt is None
        else np.unique(votes.user * (votes.prompt.max(initial=0) + 1) + votes.prompt, return_inverse=True)[1]
    )
    groups, crossed, random = int(group.max(initial=-1)) + 1, [], generator(0, Stream.SIGNS, block)
    models_of = np.concatenate([votes.a, votes.b])
    for flipped in range(1 + SIGNS):
        signed = weight * of.d * (2.0 * random.integers(0, 2, n) - 1 if flipped else 1.0)
        values = np.concatenate([signed, -signed])
        of_user, of_group = (
            csr_matrix((values, (np.concatenate([rows, rows]), models_of)), shape=(count, models))
            for rows, count in ((votes.user, users), (group, groups))
        )
        crossed.append((of_user.T @ of_user - of_group.T @ of_group).toarray())
    each, together = np.bincount(votes.user, weight, users), np.bincount(group, weight, groups)
    information = _laplacian(votes, weight * of.info_dd, models)
    return Moments(np.array(crossed), information, float(each.sum()), float((each**2).sum() - (together**2).sum()))


def _by_place(place: Ints, value: Floats, size: int) -> Floats:
    return np.bincount(place, value, size).astype(float, copy=False)


def _laplacian(votes: UserVotes, value: Floats, models: int) -> Floats:
    """(M, M): the sum over votes of value (e_a - e_b)(e_a - e_b)^T."""
    pairs = _by_place(votes.a * models + votes.b, value, models**2).reshape(models, models)
    pairs += pairs.T
    laplacian: Floats = np.diag(pairs.sum(axis=1)) - pairs
    return laplacian


def factors(moments: Moments, most: int) -> Floats:
    """(r, M): the directions in which users' offsets vary together, r at most `most`, each as long as its sd in nats.

    Scores of two votes of one user have the mean product J S J, with S the offsets' covariance and J the information of a
    vote. Directions count whose variance, above what all share, exceeds the largest that noise alone shows anywhere when
    signs are drawn at random (parallel analysis: Horn, 1965; Hong, Sheng and Dobriban, 2020); without what noise added.
    """
    inverse = np.linalg.pinv(moments.information / max(1.0, moments.votes), rcond=1e-6)
    values, vectors = np.linalg.eigh(inverse @ (moments.cross / max(1.0, moments.pairs)) @ inverse)
    # One eigenvalue, near zero, belongs to the common level, which votes say nothing of.
    level = int(np.abs(vectors[0].sum(axis=0)).argmax())
    others = np.delete(np.arange(values.shape[1]), level)
    above, noise = values[0] - float(np.median(values[0, others])), float(values[1:].max())
    chosen = [i for i in others[::-1][:most] if above[i] > SURE * noise + TAU_FLOOR**2]
    # The spiked model's shrinkage: noise lengthens a direction's variance v to v + noise^2 / (4 v).
    variance = (above[chosen] + np.sqrt(np.maximum(above[chosen] ** 2 - noise**2, 0.0))) / 2
    found: Floats = np.sqrt(variance)[:, None] * vectors[0][:, chosen].T
    return found


def unless_alike(prior: Prior, moments: Moments) -> Prior:
    """The prior, but without any spread of users if their votes on different prompts have no more in common than noise.

    Users who differ in nothing but which prompts they happened to be asked would be given a spread by the evidence,
    which takes a user's votes for independent.
    """
    square = moments.information @ moments.information
    common = np.tensordot(moments.cross, square, axes=2)
    return prior if common[0] > SURE * common[1:].max() else replace(prior, sd=TAU_FLOOR)


def with_factors(map_blocks: MapBlocks, moments: Moments, start: Fit, plain: Prior, most: int, lambda_reg: float | None = None) -> Prior:
    """System A's low-rank prior from its plain one and the moments at that; the spread left beside the factors is found anew.

    Users who are alike have none: what varies with a user's own tie rate looks like a direction too.
    """
    found = factors(moments, most if plain.sd > TAU_FLOOR else 0)
    return fit(map_blocks, start, replace(plain, factors=found), lambda_reg) if len(found) else replace(plain, factors=found)


def tried(prior: Prior) -> tuple[tuple[float, float, float], ...]:
    """What one pass tries: only factors that are there have a length."""
    return GRID if prior.factors is None or not len(prior.factors) else GRID + LENGTHS


def scaled(prior: Prior, tau_factor: float, tie_factor: float, length_factor: float = 1.0) -> Prior:
    """The prior with its standard deviations times these factors, the first two within their bounds."""
    return replace(
        prior,
        sd=float(np.clip(prior.sd * tau_factor, TAU_FLOOR, TAU_CEILING)),
        tie_sd=float(np.clip(prior.tie_sd * tie_factor, TIE_SD_FLOOR, TIE_SD_CEILING)),
        factors=None if prior.factors is None else length_factor * prior.factors,
    )


def in_order(parts: Sequence[Part]) -> Part:
    """Sum in block order."""
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _archetype_means(prior: Prior, centre: Floats, sums: Sums) -> tuple[Floats, Floats]:
    """One Newton step on the marginal likelihood of every archetype's mean, shrunk toward the global one by the tau_k the data ask for.

    Without the shrinkage the step would end at target_k with precision information_k; tau_k maximises
    the evidence of target_k - centre ~ N(0, tau_k^2 I + information_k^-1) over the archetypes. Returns the means and
    their posterior covariances.
    """
    mean, precision, jitter = prior.mean, prior.precision, 1e-9 * np.eye(len(centre))
    score = sums.away @ precision
    information = sums.users[:, None, None] * precision - precision @ sums.covariance @ precision
    target = mean + np.linalg.solve(information + jitter, score[..., None])[..., 0]
    eigenvalues, vectors = np.linalg.eigh(information + jitter)
    # In each archetype's eigenbasis the evidence is a product of one-dimensional normals.
    away = np.einsum("kij,ki->kj", vectors, target - centre)
    noise = 1 / np.maximum(eigenvalues, 1e-9)

    def minus_evidence(log_sd: float) -> float:
        variance = np.exp(2 * log_sd) + noise
        return float((np.log(variance) + away**2 / variance).sum())

    found = minimize_scalar(minus_evidence, bounds=(np.log(to_nats(0.05)), np.log(TAU_CEILING)), method="bounded")
    variance = np.exp(2 * found.x)
    shrunk = away * variance / (variance + noise)
    means: Floats = centre + np.einsum("kij,kj->ki", vectors, shrunk)
    # Votes say nothing of the level, so what noise says of it is taken out.
    means[:, :-1] -= means[:, :-1].mean(axis=1, keepdims=True)
    level = np.eye(len(centre))
    level[:-1, :-1] -= 1 / (len(centre) - 1)
    left = variance * noise / (variance + noise)
    covariance: Floats = np.einsum("kij,kj,klj->kil", vectors, left, vectors)
    return means, level @ covariance @ level


def _best_factor(grid: Sequence[tuple[float, float, float]], evidence: Floats, which: int) -> float:
    """The factor on one part of the prior with the highest evidence, by a parabola in its logarithm through the best three."""
    others = [i for i in range(3) if i != which]
    along = sorted((f[which], e) for f, e in zip(grid, evidence, strict=True) if all(f[i] == 1.0 for i in others))
    if len(along) < 3:
        return 1.0
    factors, values = np.log([f for f, _ in along]), np.array([e for _, e in along])
    best = int(values.argmax())
    if best in (0, len(values) - 1):
        return float(np.exp(factors[best]))
    near = slice(best - 1, best + 2)
    curve, slope, _ = np.polyfit(factors[near] - factors[best], values[near], 2)
    step = -slope / (2 * curve) if curve < 0 else 0.0
    return float(np.exp(np.clip(factors[best] + step, factors[best - 1], factors[best + 1])))
