"""System B on the votes of real people, held out as electorate/evaluation/held_out.py holds them
out.
"""

import copy
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from electorate.base.scale import Floats, Ints
from electorate.config.reward import Reward
from electorate.ratings.ties import MODELS
from electorate.rewards import few
from electorate.rewards.answer_votes import AnswerVotes
from electorate.rewards.corpus import Texted
from electorate.rewards.encoder import Encoder
from electorate.rewards.forms import FORMS
from electorate.rewards.odds import predicted
from electorate.rewards.ratings_beside import ADDING

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# People's files name no archetypes, so there are no segments.
PREDICTED = {name: form for name, form in FORMS.items() if not form.segments}


@dataclass(frozen=True)
class Folds:
    """What every fold's training has in common. reader: an untrained encoder; it stays so."""

    of: Texted
    fold: Ints
    settings: Reward
    reader: Encoder
    ties: str

    def predict(self, held_out: int) -> dict[str, Floats]:
        """Form to probabilities of A, B and tie of the votes of this fold, by a model trained on
        the others.
        """
        test = self.of.battles.take(np.flatnonzero(self.fold == held_out))
        corpus = self.of.corpus(np.flatnonzero(self.fold != held_out))
        reader = copy.deepcopy(self.reader)
        learned = few.learn(
            reader, corpus, self.of.models, PREDICTED, self.settings, self.ties, lambda: None
        )
        return {
            form: predicted(read, corpus.battles, test, MODELS[self.ties])
            for form, read in learned.reads.items()
        }


def falling_back(
    of_form: Mapping[str, Floats], system_a: Floats, of: AnswerVotes, fold: Ints
) -> None:
    """Have forms of ADDING that predict votes no better than System A does give its odds.

    What a fold gets is chosen by the votes of the other folds, by the better log-likelihood.

    Args:
        of_form: form to (n, 3) probabilities of the votes, in which odds are replaced.
        system_a: (n, 3), learned from the same folds.
        of: the votes.
    """
    at_outcome = np.arange(len(of)), of.outcome
    for form in ADDING:
        gain = np.log(of_form[form][at_outcome]) - np.log(system_a[at_outcome])
        for held_out in np.unique(fold):
            here = fold == held_out
            if gain[~here].sum() <= 0:
                of_form[form][here] = system_a[here]


def predict(
    folds: Folds,
    processes: int,
    done: Mapping[int, dict[str, Floats]],
    keep: Callable[[int, dict[str, Floats]], None],
) -> dict[str, Floats]:
    """Form to (n, 3) probabilities of A, B and tie of each vote.

    Args:
        processes: how many folds are trained at a time; 1: in this process.
        done: folds that were predicted before, each as `Folds.predict` returned it.
        keep: called with each other fold and what was predicted.
    """
    of_form = {form: np.empty((len(folds.fold), 3)) for form in PREDICTED}
    wanted = [fold for fold in np.unique(folds.fold).tolist() if fold not in done]
    found = dict(done)
    for fold, by_form in _by_fold(folds, wanted, processes):
        keep(fold, by_form)
        found[fold] = by_form
    for fold, by_form in found.items():
        for form, odds in by_form.items():
            of_form[form][folds.fold == fold] = odds
    return of_form


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Processes that are started in the block compute with one thread: a training on few votes is
    many short steps, which more of them slow down.
    """
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ |= dict.fromkeys(THREADS, "1")
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _end_with_the_study() -> None:
    """Have this process end when the one that started it does, even by SIGKILL: it would wait for
    work for ever.
    """
    study = multiprocessing.parent_process()
    if study is None:
        return

    def watch() -> None:
        study.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _by_fold(
    folds: Folds, wanted: Sequence[int], processes: int
) -> Iterator[tuple[int, dict[str, Floats]]]:
    if processes == 1:
        for held_out in wanted:
            yield held_out, folds.predict(held_out)
        return
    context = multiprocessing.get_context("spawn")
    with (
        one_thread_each(),
        ProcessPoolExecutor(processes, context, initializer=_end_with_the_study) as pool,
    ):
        begun = {pool.submit(folds.predict, held_out): held_out for held_out in wanted}
        try:
            for done in as_completed(begun):
                yield begun[done], done.result()
        finally:
            pool.shutdown(cancel_futures=True)
