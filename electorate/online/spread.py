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
from electorate.online.thumbs import SPREAD
from electorate.population.logged_votes import LoggedVotes
from electorate.ratings import bradley_terry, clustering, offsets, thresholds
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
        both: Bradley-Terry by votes and thumbs; None where there are no thumbs.
        alone: by the same votes without the thumbs.
    """

    votes: int = 0
    models: int = 0
    prior: Prior | None = None
    centre: Floats = field(default_factory=lambda: np.empty(0))
    shares: Floats = field(default_factory=lambda: np.ones(1))
    sums: Sequence[ScoreSums] = ()
    both: Fit | None = None
    alone: Fit | None = None

    def with_thumbs(self, fit: Fit) -> Fit | None:
        """Everyone's fit to all votes, with what these users' thumbs add to it; None where there
        are no thumbs, or models have come since.

        What thumbs add is the information that they add to these users' own votes; that of
        independent data sums up, and each estimate counts by its own.
        """
        both = self.both
        alone = self.alone
        if both is None or alone is None or len(both.strength) != len(fit.strength):
            return None
        signed = ((1.0, fit), (1.0, both), (-1.0, alone))
        known = [(sign, one, _on_strengths(one)) for sign, one in signed]
        total = sum(sign * information for sign, _, information in known)
        wanted = sum(sign * information @ one.strength for sign, one, information in known)
        strength = np.linalg.solve(total, wanted)
        middles = [_middle(one, information) for _, one, information in known]
        of_thumbs = _not_negative(middles[1] - middles[2])
        inverse = np.linalg.inv(total)
        covariance = fit.covariance.copy()
        covariance[:-1, :-1] = inverse @ (middles[0] + of_thumbs) @ inverse
        return replace(fit, strength=strength - strength.mean(), covariance=covariance)


def _on_strengths(fit: Fit) -> Floats:
    """(M, M) the information on strengths, whatever the tie parameter is."""
    whole = fit.information
    across = whole[:-1, -1:]
    found: Floats = whole[:-1, :-1] - across @ across.T / whole[-1, -1]
    return found


def _middle(fit: Fit, information: Floats) -> Floats:
    """(M, M) B of the fit's sandwich, on strengths."""
    found: Floats = information @ fit.covariance[:-1, :-1] @ information
    return found


def _not_negative(matrix: Floats) -> Floats:
    """The nearest matrix that is a covariance: sums over clusters that votes and thumbs share are
    no sums of the two.
    """
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    found: Floats = (vectors * np.maximum(values, 0.0)) @ vectors.T
    return found


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
    start = everyone
    factors: Floats | None = None
    found = replace(before, both=None, alone=None)
    if is_thumb.any():
        capped = _capped(own, is_thumb, len(segment), caps)
        found = _with_both(found, capped, is_thumb, len(segment), models, ties, prior_sd)
        # How users differ is learned as for one more model, a user's threshold, which varies by
        # itself.
        own, capped = (replace(one, b=np.where(is_thumb, models, one.b)) for one in (own, capped))
        start = bradley_terry.fit(capped.by_battle(models + 1), ties, prior_sd)
        factors = np.append(np.zeros(models), SPREAD)[None]
    votes = own.user_votes(segment, forgetting=1.0)
    try:
        users = offsets.InMemory([votes], ties)
        prior = offsets.fit(users, start, groups, factors=factors)
    except NotConvergedError as error:
        LOG.warning("users keep the ranking they had: %s", error)
        return found
    prior = priors.with_first_models(prior, models)
    centre = np.append(start.strength[:models], start.eta)
    shares = np.bincount(segment, minlength=groups) / len(segment)
    return replace(found, prior=prior, centre=centre, shares=shares)


def _capped(own: LoggedVotes, is_thumb: np.ndarray, users: int, caps: Caps) -> LoggedVotes:
    """The votes of a user weigh together what a cap allows, and so do its thumbs."""
    weight = own.weights.copy()
    for rows in (np.flatnonzero(is_thumb), np.flatnonzero(~is_thumb)):
        user = own.user[rows]
        weight[rows] *= caps.of_user(np.bincount(user, minlength=users))[user]
    return replace(own, weight=weight)


def _with_both(
    before: Spread,
    own: LoggedVotes,
    is_thumb: np.ndarray,
    users: int,
    models: int,
    ties: TieModel,
    prior_sd: float,
) -> Spread:
    """With the ratings by votes and thumbs (thresholds.py), and by the votes alone."""
    votes = own.take(np.flatnonzero(~is_thumb))
    given = own.take(np.flatnonzero(is_thumb))
    thumbs = Thumbs(users, given.user, given.a, 1 - given.outcome, given.weights)
    voted = len(np.unique(votes.user))
    groups = [votes.user] if voted >= clustering.FEWEST else []
    both, _ = thresholds.fit(votes, thumbs, groups, ties, models, prior_sd)
    none = thumbs.take(np.zeros(len(thumbs), dtype=bool))
    alone, _ = thresholds.fit(votes, none, groups, ties, models, prior_sd)
    return replace(before, both=both, alone=alone)
