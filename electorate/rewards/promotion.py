"""Which training's rankings are in force: a new one is promoted only if it predicts held-out
votes better than the one before.
"""

from collections.abc import Mapping

import numpy as np

from electorate.config.reward import Reward
from electorate.population.voters import Voters
from electorate.ratings.ties import MODELS, TieModel
from electorate.rewards import corpus, ratings_beside, store, weights
from electorate.rewards.answer_votes import AnswerVotes
from electorate.rewards.forms import FORMS
from electorate.rewards.weights import PersonalRead, Read
from electorate.storage.run_folder import RunFolder

Versions = dict[
    int, int
]  # the round whose votes are in, to the round after which what is in force was trained


def promoted(
    run: RunFolder, voters: Voters, settings: Reward, round_: int, before: Versions
) -> Versions:
    """The versions with the training after `round_` promoted, or the one before it kept, by log
    loss on the held-out votes of rounds 0..round_, every form's alike.
    """
    if not before:
        return {round_: round_}
    votes = corpus.votes_of_run(run, voters, settings, round_)
    _, held_out = votes.split(voters.seed, voters.training_prompts)
    forms = [form for form in FORMS if form in voters.config.evaluation.systems]
    in_force = before[max(before)]
    ties = MODELS[voters.config.ratings.ties]
    new, old = (
        loss(
            {form: store.read(store.of_round(run, version), form) for form in forms},
            votes,
            np.isin(votes.prompt, held_out),
            ties,
        )
        for version in (round_, in_force)
    )
    return before | {round_: round_ if new < old else in_force}


def falling_back(
    run: RunFolder, voters: Voters, settings: Reward, round_: int, version: int
) -> list[str]:
    """Forms that give System A's rankings after a round, as they predict held-out votes no better.

    version: the training in force.
    """
    wanted = voters.config.evaluation.systems
    forms = [form for form in ratings_beside.ADDING if form in wanted]
    if not forms:
        return []
    votes = corpus.votes_of_run(run, voters, settings, round_)
    _, held_out = votes.split(voters.seed, voters.training_prompts)
    ratings = voters.config.ratings
    return ratings_beside.falling_back(
        {form: store.read(store.of_round(run, version), form) for form in forms},
        votes,
        held_out,
        voters.models,
        ratings.prior_sd,
        MODELS[ratings.ties],
    )


def loss(
    reads: Mapping[str, Read], votes: AnswerVotes, held_out: np.ndarray, ties: TieModel
) -> float:
    """Mean log loss over forms and held-out votes; users are known by their other votes. held_out:
    (votes,) which are.
    """
    known = votes.take(np.flatnonzero(~held_out))
    unseen = votes.take(np.flatnonzero(held_out))
    total = 0.0
    for read in reads.values():
        own = weights.solve(read, known, ties).mode if isinstance(read, PersonalRead) else None
        total -= float(weights.log_likelihood(read, unseen, own, ties).mean())
    return total / len(reads)
