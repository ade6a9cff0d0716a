"""System B on the votes of real people, held out as electorate/evaluation/held_out.py holds them out."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from electorate.config import Reward, RewardSystem
from electorate.evaluation.held_out import predictive
from electorate.ratings.ties import MODELS
from electorate.rewards import encoder, texts, weights
from electorate.rewards.battles import Battles
from electorate.rewards.corpus import Corpus
from electorate.rewards.forms import FORMS, own_say
from electorate.rewards.network import Network
from electorate.rewards.texts import Answer
from electorate.rewards.training import Plan, Training, standardise
from electorate.rewards.weights import PersonalRead, Read
from electorate.scale import Floats, Ints
from electorate.votes import Votes

# People's files name no archetypes, so there are no segments.
PREDICTED: tuple[RewardSystem, ...] = tuple(name for name, form in FORMS.items() if not form.segments)
STEPS = 400  # at least, however few prompts there are


@dataclass(frozen=True)
class Texted:
    """Votes on texts, tokenised once. battles: all of them in the file's order; answers as a Corpus has them."""

    answers: list[Answer]
    prompt: Ints
    model: Ints
    battles: Battles
    models: int


def texted(votes: Votes, settings: Reward, source: str) -> Texted:
    """Each answer to each prompt once, whoever voted on it. votes: with texts, users and prompts."""
    read, (user, group) = votes.texts, (votes.users, votes.prompt)
    if read is None or group is None:
        raise ValueError("votes without texts or prompts")
    _, tokenizer = encoder.load(source, 0, False, 0, 0)
    columns = [np.column_stack([group, read.prompt, models, response]) for models, response in ((votes.a, read.a), (votes.b, read.b))]
    distinct, place = np.unique(np.concatenate(columns), axis=0, return_inverse=True)
    asked, said = ([of[i] for i in codes] for of, codes in ((read.prompts, distinct[:, 1]), (read.responses, distinct[:, 3])))
    answers = texts.tokenise(tokenizer, asked, said, settings.max_tokens)
    place_a, place_b = np.split(place.ravel(), 2)
    label, side = np.zeros(int(user.max()) + 1, dtype=np.int64), np.ones(len(votes))
    battles = Battles(label, user, group, votes.a, votes.b, place_a, place_b, side, votes.outcome_of_3)
    return Texted(answers, distinct[:, 0], distinct[:, 2], battles, len(votes.models))


def predict(of: Texted, fold: Ints, settings: Reward, source: str, ties: str, tick: Callable[[], None]) -> dict[RewardSystem, Floats]:
    """Form to (n, 3) probabilities of A, B and tie of each vote, by a model trained on the votes of the other folds."""
    said = {form: np.empty((len(fold), 3)) for form in PREDICTED}
    for held_out in np.unique(fold):
        test = np.flatnonzero(fold == held_out)
        known = _by_user(of.battles.take(np.flatnonzero(fold != held_out)))
        for form, read in _trained(of, known, settings, source, ties).items():
            said[form][test] = _predicted(read, known, of.battles.take(test), ties)
        tick()
    return said


def _trained(of: Texted, known: Battles, settings: Reward, source: str, ties: str) -> dict[RewardSystem, Read]:
    """What each form says of all answers after its epoch with the best held-out log loss, or what a simpler one does."""
    reader, _ = encoder.load(source, settings.layers, settings.score_head, settings.lora_rank, 0)
    corpus = Corpus(of.answers, of.prompt, of.model, known, *known.split(0))
    network = Network(reader, PREDICTED, 1, of.models, settings.rank, ties)
    standardise(network, corpus, 0)
    size = min(settings.prompts_per_step, 8)
    epochs = max(settings.epochs, -(-STEPS // max(1, len(corpus.learned) // size)))
    plan = Plan(epochs, size, settings.learning_rate, settings.counter_rate, settings.lambda_reg)
    training = Training(network, network, corpus, MODELS[ties], 0, plan)
    best, kept = dict[RewardSystem, Floats](), dict[RewardSystem, Read]()
    for _ in range(epochs):
        training.epoch()
        better = [form for form, said in training.said.items() if form not in best or said.sum() > best[form].sum()]
        if better:
            reads = training.reads()
            kept |= {form: reads[form] for form in better}
            best |= {form: training.said[form] for form in better}
    return {form: kept[giver] for form, giver in own_say(best, training.held_out.prompt).items()}


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


def _by_user(battles: Battles) -> Battles:
    """The same votes ordered by user."""
    return battles.take(np.argsort(battles.user, kind="stable"))
