"""What the first users' votes and thumbs say of everyone, where no run has: how users differ, and,
where there are thumbs, how everyone rates models by both.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from electorate.base.scale import Floats, Ints
from electorate.online.counts import Caps
from electorate.online.sent import NO_MODEL
from electorate.population.logged_votes import LoggedVotes
from electorate.ratings import bradley_terry, offsets, thresholds
from electorate.ratings import prior as priors
from electorate.ratings.bradley_terry import Fit
from electorate.ratings.clustering import ScoreSums
from electorate.ratings.offsets import NotConvergedError
from electorate.ratings.prior import Prior
from electorate.ratings.thresholds import Thumbs
from electorate.ratings.ties import TieModel

LOG = logging.getLogger("electorate.online")


@dataclass(frozen=True)
class Spread:
    """What the first users' votes said when they were last asked.

    Attributes:
        votes, models: how many there were.
        prior: System A's, by segment and last of users without one; None where there is none yet.
        centre: (M + 1,) the strengths and tie parameter of everyone that it was fitted from.
        shares: (K + 1,) of those users by segment.
        sums: of each fit's scores.
        everyone: Bradley-Terry by votes and thumbs; None where there are no thumbs.
        by_votes: (M,) strengths by these votes alone, in nats.
    """

    votes: int = 0
    models: int = 0
    prior: Prior | None = None
    centre: Floats = field(default_factory=lambda: np.empty(0))
    shares: Floats = field(default_factory=lambda: np.ones(1))
    sums: Sequence[ScoreSums] = ()
    everyone: Fit | None = None
    by_votes: Floats = field(default_factory=lambda: np.empty(0))

    def with_thumbs(self, fit: Fit) -> Fit | None:
        """Everyone's fit to all votes, moved by what these users' thumbs add to their votes; None
        where there are no thumbs, or models have come since.
        """
        both = self.everyone
        if both is None or len(both.strength) != len(fit.strength):
            return None
        strength = fit.strength + both.strength - self.by_votes
        surer = min(fit, both, key=lambda one: float(np.trace(one.covariance[:-1, :-1])))
        return replace(fit, strength=strength, covariance=surer.covariance)


def learned(
    before: Spread,
    own: LoggedVotes,
    segment: Ints,
    everyone: Fit,
    groups: int,
    ties: TieModel,
    prior_sd: float,
    caps: Caps,
) -> Spread:
    """What these users' votes and thumbs say. Where that does not converge users differ as before,
    and the log says why.

    Args:
        before: what was known.
        own: of users 0, 1, ...; thumbs are votes whose second model is NO_MODEL.
        segment: (n,) of each user.
        everyone: the fit to everyone's votes.
        groups: how many segments there are, with the one of users without.
        ties, prior_sd: of every rating.
        caps: on what a user's votes weigh together, and its thumbs.
    """
    models = len(everyone.strength)
    is_thumb = own.b == NO_MODEL
    centre = np.append(everyone.strength, everyone.eta)
    found = before
    if is_thumb.any():
        found = _with_everyone(found, own, is_thumb, len(segment), models, ties, prior_sd, caps)
        # How users differ is learned as for one more model, a user's threshold.
        own = replace(own, b=np.where(is_thumb, models, own.b))
        start = bradley_terry.fit(own.by_battle(models + 1), ties, prior_sd)
        centre = np.append(start.strength[:models], start.eta)
    else:
        found = replace(before, everyone=None)
        start = everyone
    votes = own.user_votes(segment, forgetting=1.0)
    try:
        prior = offsets.fit(offsets.InMemory([votes], ties), start, groups)
    except NotConvergedError as error:
        LOG.warning("users keep the ranking they had: %s", error)
        return found
    prior = priors.with_first_models(prior, models)
    shares = np.bincount(segment, minlength=groups) / len(segment)
    return replace(found, prior=prior, centre=centre, shares=shares)


def _with_everyone(
    before: Spread,
    own: LoggedVotes,
    is_thumb: np.ndarray,
    users: int,
    models: int,
    ties: TieModel,
    prior_sd: float,
    caps: Caps,
) -> Spread:
    """With the ratings by votes and thumbs (thresholds.py)."""
    votes = own.take(np.flatnonzero(~is_thumb))
    given = own.take(np.flatnonzero(is_thumb))
    each = np.bincount(given.user, minlength=users)
    weight = given.weights * caps.of_user(each)[given.user]
    thumbs = Thumbs(users, given.user, given.a, 1 - given.outcome, weight)
    sd = None if thresholds.estimable(votes.by_battle(models), thumbs) else prior_sd
    both, _ = thresholds.fit(votes, thumbs, [votes.user], ties, models, sd)
    alone = bradley_terry.fit(votes.by_battle(models), ties, prior_sd)
    return replace(before, everyone=both, by_votes=alone.strength)
