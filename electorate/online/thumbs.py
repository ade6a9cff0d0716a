"""Thumbs on single answers in a user's own ranking.

A thumb says that an answer is better or worse than what the user asks of one: a battle against a
threshold of the user's own. The threshold is one more model of the user's posterior, about the
models' mean with a wide spread, since some thumb everything up and others hardly anything; so it is
thumbs on several models that tell their order, and who thumbs one model down again and again is
taken for hard to please as well. A thumb is no tie and no prompt's, and boards do not count it;
what everyone's thumbs say is in spread.py.
"""

from dataclasses import replace

import numpy as np

from electorate.online.sent import NO_MODEL
from electorate.population.logged_votes import LoggedVotes
from electorate.ratings import prior as priors
from electorate.ratings.prior import Prior

SPREAD = 1.0  # nats between users' thresholds: 174 Elo


def beside(prior: Prior, votes: LoggedVotes) -> tuple[Prior, LoggedVotes]:
    """The prior with a threshold as its last model, and the votes with thumbs against it; both as
    they are where there are no thumbs.
    """
    is_thumb = votes.b == NO_MODEL
    if not is_thumb.any():
        return prior, votes
    place = prior.models
    grown = priors.with_models(prior, np.zeros(1))
    spread = np.zeros((1, place + 1))
    spread[0, place] = SPREAD
    grown = replace(grown, factors=np.vstack([grown.directions, spread]))
    return grown, replace(votes, b=np.where(is_thumb, place, votes.b))
