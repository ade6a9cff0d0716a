"""Intervals for votes that are not independent: those of one user, and those on one prompt.

The sandwich H^-1 B H^-1 with B from clusters of votes. By one grouping B sums s_g s_g^T over groups
g, s_g being the sum of the group's scores, times G / (G - 1) for G groups (Liang and Zeger, 1986);
by two, users and prompts,

    B = B_user + B_prompt - B_user-and-prompt        (Cameron, Gelbach and Miller, 2011)

with negative eigenvalues, which that may have, set to zero. With fewer than FEWEST groups such
intervals come out too narrow, so votes are not clustered by them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_matrix

from electorate.base.scale import Floats, Ints
from electorate.ratings.bradley_terry import Fit
from electorate.ratings.summed import Summed
from electorate.ratings.ties import TieModel
from electorate.ratings.user_votes import UserVotes

FEWEST = 10  # groups


def covariance(
    fit: Fit,
    ties: TieModel,
    a: Ints,
    b: Ints,
    outcome: Ints,
    weight: Floats,
    groups: Sequence[Ints],
) -> Floats:
    """(M+1, M+1) of a fit to these votes (votes,), clustered by one or two groupings (votes,)."""
    return fit.covariance_by(middle(scores(fit, ties, a, b, outcome, weight), groups))


def scores(fit: Fit, ties: TieModel, a: Ints, b: Ints, outcome: Ints, weight: Floats) -> csr_matrix:
    """(votes, M+1) of the log-likelihood, each vote by its weight."""
    return scores_at(fit.strength, fit.eta, ties, a, b, outcome, weight)


def scores_at(
    strength: Floats, eta: float, ties: TieModel, a: Ints, b: Ints, outcome: Ints, weight: Floats
) -> csr_matrix:
    """The same at strengths (M,) and a tie parameter."""
    of = ties.derivatives(strength[a] - strength[b], np.array(eta), outcome)
    n = len(a)
    models = len(strength)
    columns = np.column_stack([a, b, np.full(n, models)])
    values = weight[:, None] * np.column_stack([of.d, -of.d, of.eta])
    return csr_matrix((values.ravel(), columns.ravel(), 3 * np.arange(n + 1)), (n, models + 1))


def middle(of_votes: csr_matrix, groups: Sequence[Ints]) -> Floats:
    """(p, p) B from the votes' scores (votes, p) and one or two groupings (votes,)."""
    parts = [_scaled(*_sum_of_squares(of_votes, group)) for group in groups]
    if len(groups) == 1:
        return parts[0]
    both = _scaled(*_sum_of_squares(of_votes, together(*groups)))
    return positive(parts[0] + parts[1] - both)


def together(one: Ints, other: Ints) -> Ints:
    """(votes,) the groups that two groupings make together."""
    keys = one * (int(other.max(initial=0)) + 1) + other
    found: Ints = np.unique(keys, return_inverse=True)[1]
    return found


def positive(matrix: Floats) -> Floats:
    """The symmetric matrix with its negative eigenvalues set to zero."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    found: Floats = (vectors * np.maximum(values, 0.0)) @ vectors.T
    return found


@dataclass(frozen=True)
class ScoreSums(Summed):
    """What a block's votes add to B at a fit, for boards of populations that lie in blocks.

    of_users, of_both: (M+1, M+1) sums of s_g s_g^T over users, and over users and prompts.
    by_prompt: (P, M+1) sums of scores. users, both: how many groups. votes: their weight.
    """

    of_users: Floats
    of_both: Floats
    by_prompt: Floats
    users: int
    both: int
    votes: float

    def clustered(self, fit: Fit, votes: float) -> Fit:
        """The fit to so many votes, with the intervals that these of its votes say it has.

        These votes may be some users' alone: what users add to B grows with their number, what
        prompts share with its square.
        """
        prompts = int(np.count_nonzero(np.abs(self.by_prompt).max(axis=1, initial=0.0)))
        by_user = self.users >= FEWEST
        by_prompt = prompts >= FEWEST
        if not (by_user or by_prompt):
            return fit
        times = votes / self.votes
        found = np.zeros_like(self.of_users)
        if by_user:
            found += times * _scaled(self.of_users, self.users)
        if by_prompt:
            found += times**2 * _scaled(self.by_prompt.T @ self.by_prompt, prompts)
        if by_user and by_prompt:
            found -= times**2 * _scaled(self.of_both, self.both)
        return replace(fit, covariance=fit.covariance_by(positive(found)))


def score_sums(votes: UserVotes, fit: Fit, ties: TieModel, prompts: int) -> ScoreSums:
    """A block's part, at a fit, of votes on P = `prompts` prompts; negative ones are unknown."""
    of_votes = scores(fit, ties, votes.a, votes.b, votes.outcome, votes.weights)
    prompt = np.full(len(votes.user), -1) if votes.prompt is None else votes.prompt
    known = np.flatnonzero(prompt >= 0)
    of_users, users = _sum_of_squares(of_votes, votes.user)
    of_both, both = _sum_of_squares(of_votes[known], together(votes.user[known], prompt[known]))
    by_prompt = _grouped(of_votes[known], prompt[known], prompts).toarray()
    return ScoreSums(of_users, of_both, by_prompt, users, both, float(votes.weights.sum()))


def _sum_of_squares(of_votes: csr_matrix, group: Ints) -> tuple[Floats, int]:
    """(p, p) sum over groups of s_g s_g^T, and how many groups there are."""
    groups = int(group.max(initial=-1)) + 1
    summed = _grouped(of_votes, group, groups)
    there = int(np.count_nonzero(np.bincount(group, minlength=groups)))
    return (summed.T @ summed).toarray(), there


def _grouped(of_votes: csr_matrix, group: Ints, groups: int) -> csr_matrix:
    n = len(group)
    member = csr_matrix((np.ones(n), (group, np.arange(n))), shape=(groups, n))
    return (member @ of_votes).tocsr()


def _scaled(matrix: Floats, groups: int) -> Floats:
    return matrix * groups / max(1, groups - 1)
