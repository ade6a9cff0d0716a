"""System A on the votes that System B learned from, so that a form which adds nothing to it gives
System A's own rankings.
"""

from collections.abc import Sequence

import numpy as np

from electorate.base.scale import Floats, Ints
from electorate.evaluation.vote_odds import posterior_odds
from electorate.population.voters import BLOCK
from electorate.ratings import bradley_terry, offsets
from electorate.ratings.offsets import InMemory, NotConvergedError
from electorate.ratings.ties import TieModel
from electorate.ratings.user_votes import UserVotes
from electorate.rewards.answer_votes import AnswerVotes
from electorate.rewards.forms import ahead
from electorate.rewards.odds import predicted
from electorate.rewards.weights import Read

SYSTEM_A = "elo_offset"
# The one-standard-error rule (Breiman et al., 1984): there is no other form to choose from.
ERRORS = 1.0
# The rows of the table that add reading to System A's ratings.
ADDING = ("hybrid",)


def falling_back(
    reads: dict[str, Read],
    votes: AnswerVotes,
    held_out: Ints,
    models: int,
    prior_sd: float,
    ties: TieModel,
) -> list[str]:
    """Forms of ADDING that predict held-out votes no better than System A does.

    A form has to be ahead by ERRORS standard errors of the difference, clustered by prompt.

    Args:
        reads: form to what it reads, of forms of ADDING.
        votes: those that System B learned from.
        held_out: (prompts,) that it was not fitted to.
        models: how many there are.
        prior_sd: of the Bradley-Terry prior, Elo points.
    """
    unseen = np.isin(votes.prompt, held_out)
    known = votes.take(np.flatnonzero(~unseen))
    test = votes.take(np.flatnonzero(unseen))
    rows = np.arange(len(test)), test.outcome
    try:
        odds = system_a(known, test, models, prior_sd, ties)
    except NotConvergedError:
        return []
    by_ratings = np.log(odds[rows])
    found = []
    for form, read in reads.items():
        by_form = np.log(predicted(read, known, test, ties)[rows])
        if not ahead(by_form - by_ratings, test.prompt, ERRORS):
            found.append(form)
    return found


def system_a(
    known: AnswerVotes, test: AnswerVotes, models: int, prior_sd: float, ties: TieModel
) -> Floats:
    """(n, 3) odds of the test votes by System A fitted to the known ones.

    Raises:
        NotConvergedError: the fit did not converge.
    """
    start = bradley_terry.fit(_counts(known, models), ties, prior_sd)
    users = InMemory(_blocks(known), ties)
    prior = offsets.fit(users, start, int(known.archetype.max()) + 1)
    return posterior_odds(users.blocks, prior, ties, test.user, test.a, test.b)


def _counts(votes: AnswerVotes, models: int) -> Floats:
    """(M, M, 3) votes by pair and outcome."""
    return votes.by_battle(models)


def _blocks(votes: AnswerVotes) -> Sequence[UserVotes]:
    """The votes by blocks of users."""
    firsts = range(0, votes.users, BLOCK)
    return [votes.of_users(first, min(first + BLOCK, votes.users)) for first in firsts]
