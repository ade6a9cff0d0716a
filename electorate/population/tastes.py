"""oracle_features: the best any method can do that reads answers, as it is told what tastes are
about.

It knows the models' strengths, the measures z of every answer and the population the users are
drawn from, and learns each user's own tastes from its votes: the mode and Laplace posterior of

    beta_u = (s_u, w_u, position bias, tie parameter)

under the judge's own model (Rao-Kupper on d (s (theta + q) + w.z)) and its planted prior, but that
log s_u is taken as s_u normal, and lapses and tastes for models as such are left out.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from electorate.base.scale import Floats, Ints
from electorate.population.logged_votes import LoggedVotes
from electorate.population.personas import Electorate
from electorate.ratings import newton
from electorate.ratings.ties import Derivatives, RaoKupper

ITERATIONS = 30
SD_FLOOR = 1e-3


@dataclass(frozen=True)
class TasteRatings:
    """Posterior of n users: mode (n, D+3) and covariance (n, D+3, D+3), in the order of beta_u."""

    archetype: Ints
    mode: Floats
    covariance: Floats


def rate(electorate: Electorate, votes: LoggedVotes, archetype: Ints) -> TasteRatings:
    """Every user's posterior by Newton's method from its archetype's mean, all users at once.

    Args:
        archetype: (n,) of each user.
    """
    mean, precision = _prior(electorate, archetype)
    by_user = _Padded.of(votes.user, len(archetype))
    design = by_user(_design(electorate, votes))
    outcome = by_user(votes.outcome)
    weight = by_user(votes.weights)
    wider = by_user(np.log(electorate.tie_scale[votes.prompt]))
    ties = RaoKupper()

    def derivatives(at: Floats) -> tuple[Floats, Floats]:
        difference = np.einsum("nvp,np->nv", design, at[:, :-1])
        of = Derivatives(
            *(weight * x for x in ties.derivatives(difference, at[:, -1:] + wider, outcome))
        )
        score = np.concatenate(
            [np.einsum("nvp,nv->np", design, of.d), of.eta.sum(axis=1, keepdims=True)], axis=1
        )
        score -= precision * (at - mean)
        weighted = design * of.info_dd[..., None]
        information = np.zeros((*at.shape, at.shape[1]))
        information[:, :-1, :-1] = design.transpose(0, 2, 1) @ weighted
        across = np.einsum("nvp,nv->np", design, of.info_de)
        information[:, :-1, -1] = across
        information[:, -1, :-1] = across
        information[:, -1, -1] = of.info_ee.sum(axis=1)
        information += np.diag(precision)
        return score, information

    mode, information = newton.bounded(derivatives, mean, 2.0, 1e-6, ITERATIONS)
    covariance: Floats = np.linalg.inv(information).astype(float, copy=False)
    return TasteRatings(archetype, mode, covariance)


@dataclass(frozen=True)
class _Padded:
    """Puts columns of votes into tables by user, so that all users are worked on at once.

    user: (votes,) ascending. place: (votes,) how many of the user's votes stand before.
    """

    users: int
    user: Ints
    place: Ints

    @classmethod
    def of(cls, user: Ints, users: int) -> "_Padded":
        first = np.searchsorted(user, np.arange(users))
        return cls(users, user, np.arange(len(user)) - first[user])

    def __call__(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """(users, most votes of one, ...) of values (votes, ...); 0 where there is no vote."""
        most = int(self.place.max(initial=-1)) + 1
        found = np.zeros((self.users, most, *values.shape[1:]), values.dtype)
        found[self.user, self.place] = values
        return found


def _prior(electorate: Electorate, archetype: Ints) -> tuple[Floats, Floats]:
    """(n, D+3) prior means and (D+3,) precisions: the population as it was planted."""
    judge = electorate.config.judge
    n = len(archetype)
    taste = electorate.common_taste + electorate.archetype_taste[archetype]
    threshold = np.log(max(judge.tie_threshold, SD_FLOOR))
    mean = np.column_stack(
        [np.ones(n), taste, np.full(n, judge.position_bias), np.full(n, threshold)]
    )
    sd = np.array(
        [
            electorate.decisiveness_sd,
            *electorate.personal_sd,
            judge.position_bias_sd,
            judge.tie_threshold_spread,
        ]
    )
    return mean, np.maximum(sd, SD_FLOOR) ** -2.0


def _design(electorate: Electorate, votes: LoggedVotes) -> Floats:
    """(votes, D+2) what each vote's logit is linear in."""
    worth = electorate.strength + electorate.quality
    strength = worth[votes.prompt, votes.a] - worth[votes.prompt, votes.b]
    contrast = electorate.z[votes.prompt, votes.a] - electorate.z[votes.prompt, votes.b]
    decisiveness = electorate.config.judge.decisiveness
    return np.column_stack([decisiveness * strength, decisiveness * contrast, votes.side])
