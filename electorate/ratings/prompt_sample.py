"""How far archetypes' means are known, where the prompts voted on are a sample of those asked.

System A takes votes on different prompts as independent given the user. But what a prompt does to
its responses is the same for all who vote on it, and thousands of users of an archetype share its
error. So the information on an archetype's mean is Godambe's (1960), with scores summed by prompt,

    J_k = I_k (I_k + u_k B_k)^-1 I_k

where I_k is the information of independent votes, B_k what scores of one prompt have in common
beyond it (Liang and Zeger, 1986), and u_k the share of the archetype's prompts that nobody voted
on, by which the variance of a sample from a finite population is smaller (Cochran, 1977).

    mean_k = R + mu + nu_k,   mu ~ N(0, MEAN_SCALE^2 I),   nu_k ~ N(0, s^2 C)

with C the covariance of users' own offsets, as archetypes differ in what users differ in, and s the
value of the highest evidence.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize_scalar

from electorate.base.scale import Floats
from electorate.ratings import moments, posteriors
from electorate.ratings.archetypes import APART_CEILING, APART_FLOOR, MEAN_SCALE, SPREAD_SCALE
from electorate.ratings.bradley_terry import Fit
from electorate.ratings.clustering import positive
from electorate.ratings.moments import Moments
from electorate.ratings.offsets import Sums
from electorate.ratings.prior import Prior
from electorate.ratings.summed import Summed
from electorate.ratings.ties import TieModel
from electorate.ratings.user_votes import UserVotes

# Of the longest direction, what is kept in all; a covariance nearer to singular loses its digits.
SHORTEST = 0.01


@dataclass(frozen=True)
class PromptScores(Summed):
    """by_prompt: (K, P, M) sums over an archetype's votes on a prompt of the scores of strengths,
    at users' modes.
    """

    by_prompt: Floats


def block_scores(votes: UserVotes, prior: Prior, ties: TieModel, prompts: int) -> PromptScores:
    """A block's part, of votes on P = `prompts` prompts; those on unknown prompts (negative ids)
    add nothing.
    """
    found = np.zeros((len(prior.mean), prompts, prior.models))
    if votes.prompt is None:
        return PromptScores(found)
    by_user = votes.by_user()
    begin = 0
    for _, at in posteriors.by_chunk(by_user, prior, ties):
        some = at.votes
        end = begin + len(some.user)
        prompt = by_user.prompt[begin:end] if by_user.prompt is not None else some.user
        begin = end
        mode = at.mode
        d = mode[some.user, some.a] - mode[some.user, some.b]
        score = some.weights * ties.derivatives(d, mode[some.user, -1], some.outcome).d
        known = prompt >= 0
        place = some.archetype[some.user][known], prompt[known]
        np.add.at(found, (*place, some.a[known]), score[known])
        np.add.at(found, (*place, some.b[known]), -score[known])
    return PromptScores(found)


def generalised(
    prior: Prior, start: Fit, sums: Sums, scores: PromptScores, unseen: Floats
) -> Prior:
    """The prior with archetypes' means and their covariance as a sample of prompts says them.

    Args:
        prior: System A's, at which sums and scores were taken.
        start: the global fit R.
        sums: of its global step, of the same users as scores.
        scores: by prompt.
        unseen: (K,) u_k; 1 where prompts are without end.
    """
    centre = start.strength
    information = np.array(
        [
            _information(within[:-1, :-1], by_prompt, share)
            for within, by_prompt, share in zip(
                sums.information, scores.by_prompt, unseen, strict=True
            )
        ]
    )
    within = sums.information[:, :-1, :-1]
    step = np.array([np.linalg.pinv(one, rcond=1e-10) for one in within]) @ sums.score[:, :-1, None]
    estimate = prior.mean[:, :-1] - centre + step[..., 0]
    natural = np.einsum("kij,kj->ki", information, estimate)
    shape = prior.covariance[:-1, :-1]
    shape = shape * prior.models / np.trace(shape)

    def minus_evidence(log_sd: float) -> float:
        return -_means(information, natural, np.exp(2 * log_sd) * shape)[2] + np.exp(2 * log_sd) / (
            2 * SPREAD_SCALE**2
        )

    bounds = (np.log(APART_FLOOR), np.log(APART_CEILING))
    log_sd = minimize_scalar(minus_evidence, bounds=bounds, method="bounded").x
    away, covariance, _ = _means(information, natural, np.exp(2 * log_sd) * shape)
    level = np.eye(prior.models) - 1 / prior.models
    mean = prior.mean.copy()
    mean[:, :-1] = (centre + away) @ level
    size = prior.models + 1
    of_means = np.zeros((len(mean), size, size))
    of_means[:, :-1, :-1] = level @ covariance @ level
    if prior.mean_covariance is not None:
        of_means[:, -1, -1] = prior.mean_covariance[:, -1, -1]
    return replace(prior, mean=mean, mean_covariance=of_means)


def doubtful(
    prior: Prior,
    start: Fit,
    sums: Sums,
    scores: PromptScores,
    of: Moments,
    unseen: Floats,
) -> tuple[Prior, Prior]:
    """The priors by all of which a user must differ to be said to: see generalised, unexplained."""
    sampled = generalised(prior, start, sums, scores, unseen)
    return sampled, unexplained(sampled, of)


def unexplained(prior: Prior, of: Moments) -> Prior:
    """The prior whose users vary along every direction in which their votes' moments have them
    vary, whether or not that is more than noise.

    Factors are the directions that are surely there; what they leave out is as large in some others
    and taken to be even in all. Where something hangs on one direction alone, as on the difference
    of the best two models, that may be too little.
    """
    values, vectors = np.linalg.eigh(moments.spread(of))
    sd = max(prior.sd, SHORTEST * float(np.sqrt(max(values[-1], 0.0))))
    there = values > sd**2
    factors: Floats = np.sqrt(values[there] - sd**2)[:, None] * vectors[:, there].T
    return replace(prior, sd=sd, factors=factors)


def _information(within: Floats, by_prompt: Floats, unseen: float) -> Floats:
    """(M, M) J of one archetype. within: (M, M) I; by_prompt: (P, M)."""
    prompts = int(np.count_nonzero(np.abs(by_prompt).max(axis=1, initial=0.0)))
    if prompts < 2:
        return within
    together = by_prompt.T @ by_prompt * prompts / (prompts - 1)
    middle = within + unseen * positive(together - within)
    found = within @ np.linalg.pinv(middle, rcond=1e-9) @ within
    symmetric: Floats = (found + found.T) / 2
    return symmetric


def _means(information: Floats, natural: Floats, apart: Floats) -> tuple[Floats, Floats, float]:
    """The archetypes' means about R, their covariances, and the log evidence.

    information: (K, M, M) J; pull: (K, M), J times the estimates; apart: (M, M) of nu_k.
    """
    models = len(apart)
    tight = np.linalg.inv(apart)
    own = np.linalg.inv(information + tight)
    held = information @ own @ tight
    of_common = np.eye(models) / MEAN_SCALE**2 + held.sum(axis=0)
    common = np.linalg.inv((of_common + of_common.T) / 2)
    drawn = np.einsum("ij,kjl,kl->i", tight, own, natural)
    mu = common @ drawn
    away = np.einsum("kij,kj->ki", own, natural + tight @ mu)
    shared = own @ tight
    covariance = own + shared @ common @ np.swapaxes(shared, 1, 2)
    volume = np.linalg.slogdet(np.eye(models) + information @ apart)[1].sum()
    volume -= np.linalg.slogdet(common)[1]
    fit = np.einsum("ki,kij,kj->", natural, own, natural) + drawn @ mu
    return away, covariance, float(fit - volume) / 2
