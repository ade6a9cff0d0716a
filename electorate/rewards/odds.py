"""What a form of System B says of votes that it was not fitted to."""

import numpy as np

from electorate.base.scale import Floats
from electorate.evaluation.vote_odds import predictive
from electorate.ratings.ties import TieModel
from electorate.rewards import weights
from electorate.rewards.answer_votes import AnswerVotes
from electorate.rewards.weights import PersonalRead, Read


def predicted(read: Read, known: AnswerVotes, test: AnswerVotes, ties: TieModel) -> Floats:
    """(n, 3) odds of these battles; of a personal form averaged over its users' posteriors."""
    d, eta = weights.difference(read, test)
    if not isinstance(read, PersonalRead):
        return ties.probabilities(d, eta)
    own = weights.solve(read, known, ties)
    x = weights.design(read, test)
    reads = np.zeros((len(test), own.mode.shape[1]))
    reads[:, : x.shape[1]] = x
    if read.tau > 0:
        at = np.arange(len(test))
        reads[at, x.shape[1] + test.a] += read.tau
        reads[at, x.shape[1] + test.b] -= read.tau
    mode = own.mode[test.user]
    covariance = own.covariance[test.user]
    along = np.einsum("np,npq->nq", reads, covariance)
    variance = np.einsum("nq,nq->n", along, reads)
    across = read.eta_sd * along[:, -1]
    d = d + (reads * mode).sum(axis=1)
    eta = eta + read.eta_sd * mode[:, -1]
    return predictive(d, eta, variance, across, read.eta_sd**2 * covariance[:, -1, -1], ties)
