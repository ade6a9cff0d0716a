"""System B on the votes of real people, held out as electorate/evaluation/held_out.py holds them out."""

import copy
from collections.abc import Callable

import numpy as np

from electorate.config import Reward
from electorate.evaluation.held_out import predictive
from electorate.ratings.ties import MODELS
from electorate.rewards import few, weights
from electorate.rewards.battles import Battles
from electorate.rewards.corpus import Texted
from electorate.rewards.encoder import Encoder
from electorate.rewards.forms import FORMS
from electorate.rewards.weights import PersonalRead, Read
from electorate.scale import Floats, Ints

# People's files name no archetypes, so there are no segments.
PREDICTED = {name: form for name, form in FORMS.items() if not form.segments}


def predict(of: Texted, fold: Ints, settings: Reward, reader: Encoder, ties: str, tick: Callable[[], None]) -> dict[str, Floats]:
    """Form to (n, 3) probabilities of A, B and tie of each vote, by a model trained on the votes of the other folds.

    reader: an untrained encoder; it stays so.
    """
    said = {form: np.empty((len(fold), 3)) for form in PREDICTED}
    for held_out in np.unique(fold):
        test, corpus = np.flatnonzero(fold == held_out), of.corpus(np.flatnonzero(fold != held_out))
        learned = few.learn(copy.deepcopy(reader), corpus, of.models, PREDICTED, settings, ties, lambda: None)
        for form, read in learned.reads.items():
            said[form][test] = _predicted(read, corpus.battles, of.battles.take(test), ties)
        tick()
    return said


def _predicted(read: Read, known: Battles, test: Battles, ties: str) -> Floats:
    """(n, 3) odds of these battles; of a personal form averaged over its users' posteriors."""
    d, eta = weights.difference(read, test)
    if not isinstance(read, PersonalRead):
        return MODELS[ties].probabilities(d, eta)
    own, x = weights.solve(read, known, MODELS[ties]), weights.design(read, test)
    reads = np.zeros((len(test), own.mode.shape[1]))
    reads[:, : x.shape[1]] = x
    if read.tau > 0:
        at = np.arange(len(test))
        reads[at, x.shape[1] + test.a] += read.tau
        reads[at, x.shape[1] + test.b] -= read.tau
    mode, covariance = own.mode[test.user], own.covariance[test.user]
    along = np.einsum("np,npq->nq", reads, covariance)
    variance, across = np.einsum("nq,nq->n", along, reads), read.eta_sd * along[:, -1]
    d, eta = d + (reads * mode).sum(axis=1), eta + read.eta_sd * mode[:, -1]
    return predictive(d, eta, variance, across, read.eta_sd**2 * covariance[:, -1, -1], MODELS[ties])
