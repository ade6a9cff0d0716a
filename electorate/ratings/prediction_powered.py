"""Ratings by people's votes and many more of a model's, corrected where both judged a battle.

    L(theta) = mean over people's votes of l + lambda (mean over the model's votes on other battles
               of l - mean over its votes on the battles people judged of l)

with l the log-likelihood of a vote (prediction-powered inference: Angelopoulos et al., 2023; lambda
by Angelopoulos, Duchi and Zrnic, 2023). The model's mistakes cancel, whatever they are, where the
battles that people judged are a random sample of all; lambda is what makes the ratings surest, and
near 0 where the model's votes have nothing to do with people's.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_matrix

from electorate.base.scale import Floats, Ints
from electorate.ratings.bradley_terry import Fit
from electorate.ratings.clustering import scores_at
from electorate.ratings.ties import TieModel
from electorate.ratings.user_votes import UserVotes

STEPS = 200
MOST_MODELS = 2**16
CONVERGED = 1e-9  # nats


@dataclass(frozen=True)
class Powered:
    """Attributes:
    fit: with covariances clustered by prompt.
    weight: lambda.
    worth: how many times as many votes of people would give as narrow intervals.
    paired: people's votes on battles that the model judged too.
    others: the model's votes on battles that people did not judge.
    """

    fit: Fit
    weight: float
    worth: float
    paired: int
    others: int


def battles(votes: UserVotes) -> Ints:
    """(votes,) the same number for votes on the same two responses to a prompt."""
    low = np.minimum(votes.a, votes.b)
    high = np.maximum(votes.a, votes.b)
    found: Ints = (_prompts(votes) * MOST_MODELS + low) * MOST_MODELS + high
    return found


def rate(people: UserVotes, model: UserVotes, fit: Fit, ties: TieModel) -> Powered:
    """Ratings by people's votes and a model's.

    Args:
        people, model: the votes of each, on known prompts; whose they are makes no difference.
        fit: of people's votes alone, by maximum likelihood.
        ties: its tie model.
    """
    models = len(fit.strength)
    judged = np.isin(battles(model), battles(people))
    others = model.take(np.flatnonzero(~judged))
    paired = _beside(people, model)
    if not len(others.a) or not len(paired.a):
        return Powered(fit, 0.0, 1.0, len(paired.a), len(others.a))
    parts = (_mean(people, 1.0), _mean(others, 1.0), _mean(paired, -1.0))
    prompts = 1 + max(int(_prompts(part).max()) for part in parts)

    def sums(parameters: Floats, part: UserVotes) -> Floats:
        """(prompts, M+1) of the scores."""
        columns = (part.a, part.b, part.outcome, part.weights)
        of_votes = scores_at(parameters[:-1], parameters[-1], ties, *columns)
        rows = (np.ones(len(part.a)), (_prompts(part), np.arange(len(part.a))))
        found: Floats = (csr_matrix(rows, (prompts, len(part.a))) @ of_votes).toarray()
        return found

    start = np.append(fit.strength, fit.eta)
    inverse = np.linalg.pinv(fit.information / people.weights.sum(), rcond=1e-10)
    own = sums(start, parts[0])
    change = sums(start, parts[1]) + sums(start, parts[2])
    together = np.einsum("pi,ij,pj->", own @ inverse, np.eye(models + 1), change @ inverse)
    alone = ((change @ inverse) ** 2).sum()
    weight = float(np.clip(-together / alone, 0.0, 1.0)) if alone > 0 else 0.0
    found = start
    for _ in range(STEPS):
        total = sums(found, parts[0]) + weight * (sums(found, parts[1]) + sums(found, parts[2]))
        step = inverse @ total.sum(axis=0)
        if fit.ties == 0:
            step[-1] = 0.0
        found = found + step
        if np.abs(step).max() < CONVERGED:
            break
    before = _covariance(own, inverse)
    after = _covariance(total, inverse)
    level = np.append(found[:-1] - found[:-1].mean(), found[-1])
    powered = replace(fit, strength=level[:-1], eta=float(level[-1]), covariance=after)
    worth = float(np.trace(before[:-1, :-1]) / np.trace(after[:-1, :-1]))
    return Powered(powered, weight, worth, len(paired.a), len(others.a))


def _prompts(votes: UserVotes) -> Ints:
    if votes.prompt is None:
        raise ValueError("votes on unknown prompts have no battles in common")
    return votes.prompt


def _beside(people: UserVotes, model: UserVotes) -> UserVotes:
    """The model's votes on the battles of people's votes, each as often and by as much as people
    voted on it.
    """
    wanted = battles(people)
    known, of_model = np.unique(battles(model), return_inverse=True)
    place = np.searchsorted(known, wanted)
    there = np.isin(wanted, known)
    by_people = np.bincount(place[there], people.weights[there], len(known))
    by_model = np.bincount(of_model, model.weights, len(known))
    weight = model.weights * (by_people / by_model)[of_model]
    return replace(model, weight=weight).take(np.flatnonzero(weight > 0))


def _mean(votes: UserVotes, sign: float) -> UserVotes:
    """The votes by weights that sum to `sign`."""
    return replace(votes, weight=sign * votes.weights / votes.weights.sum())


def _covariance(by_prompt: Floats, inverse: Floats) -> Floats:
    """(M+1, M+1) clustered by prompt; the common level of the strengths is in it no more."""
    prompts = int(np.count_nonzero(np.abs(by_prompt).max(axis=1)))
    away = by_prompt - by_prompt.sum(axis=0) / max(prompts, 1)
    away = away[np.abs(by_prompt).max(axis=1) > 0]
    found: Floats = inverse @ (away.T @ away) @ inverse * prompts / max(prompts - 1, 1)
    return found
