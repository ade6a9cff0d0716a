"""System B on the votes of real people, held out as electorate/evaluation/held_out.py holds them
out.
"""

import copy
from collections.abc import Callable

import numpy as np

from electorate.base.scale import Floats, Ints
from electorate.config.run import Reward
from electorate.evaluation.held_out import predictive
from electorate.ratings.ties import MODELS, TieModel
from electorate.rewards import few, weights
from electorate.rewards.battles import Battles
from electorate.rewards.corpus import Texted
from electorate.rewards.encoder import Encoder
from electorate.rewards.forms import FORMS
from electorate.rewards.weights import PersonalRead, Read

# People's files name no archetypes, so there are no segments.
PREDICTED = {name: form for name, form in FORMS.items() if not form.segments}


def predict(
    of: Texted, fold: Ints, settings: Reward, reader: Encoder, ties: str, tick: Callable[[], None]
) -> dict[str, Floats]:
    """Form to (n, 3) probabilities of A, B and tie of each vote, by a model trained on the votes
    of the other folds.

    reader: an untrained encoder; it stays so.
    """
    said = {form: np.empty((len(fold), 3)) for form in PREDICTED}
    for held_out in np.unique(fold):
        test = np.flatnonzero(fold == held_out)
        corpus = of.corpus(np.flatnonzero(fold != held_out))
        learned = few.learn(
            copy.deepcopy(reader), corpus, of.models, PREDICTED, settings, ties, lambda: None
        )
        for form, read in learned.reads.items():
            said[form][test] = predicted(read, corpus.battles, of.battles.take(test), MODELS[ties])
        tick()
    return said


def predicted(read: Read, known: Battles, test: Battles, ties: TieModel) -> Floats:
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
