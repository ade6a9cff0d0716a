"""Controls: systems that know one thing of how a user votes, or use a simpler method than System A,
on the splits of a file of votes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from electorate.base.pairs import scores
from electorate.base.scale import Floats, Ints
from electorate.data.features import STYLE
from electorate.data.votes import NamedVotes, votes_a_unit
from electorate.evaluation.held_out import Newcomers, Split
from electorate.evaluation.predictions import Strengths
from electorate.ratings import neighbours, personal_coefficient
from electorate.ratings.bradley_terry import Fit
from electorate.ratings.personal_coefficient import Line
from electorate.ratings.ties import TieModel

LENGTH = list(STYLE).index("length")
LineOf = Callable[[NamedVotes, Fit], Line]  # what a personal coefficient moves


@dataclass(frozen=True)
class Coefficients:
    """A predictor by one coefficient a user. share: (users, len(GRID)) probabilities of each."""

    share: Floats
    line_of: LineOf
    global_fit: Fit
    ties: TieModel

    def odds(self, votes: NamedVotes) -> Floats:
        """(n, 3) probabilities of A, B and tie of each vote."""
        line = self.line_of(votes, self.global_fit)
        return personal_coefficient.odds(
            self.share, votes.user, line, self.global_fit.eta, self.ties
        )


def personal_decisiveness(split: Split, _: str) -> Coefficients:
    """Global ratings, which each user follows more or less closely: a control that changes nobody's
    ranking.
    """
    return _coefficients(split, along_the_ratings, first=1.0)


def personal_position(split: Split, _: str) -> Coefficients | None:
    """Global ratings, and each user's own bias for the answer shown first: a control that changes
    nobody's ranking. None where it is not known which was.
    """
    return _coefficients(split, _along_the_place, first=0.0) if split.train.side.any() else None


def personal_length(split: Split, _: str) -> Coefficients | None:
    """Global ratings, and each user's own taste for longer answers: a control that knows nothing
    else of what a user likes. None where answers were not measured.
    """
    style = split.train.style
    if style is None or not style[:, LENGTH].any():
        return None
    return _coefficients(split, _along_the_length, first=0.0)


def nearest_neighbours(split: Split, _: str) -> Strengths:
    """Global ratings, moved toward the votes of the users most alike: a control that fits nothing.
    See electorate/ratings/neighbours.py.
    """
    train = split.train
    weight = train.weight * votes_a_unit(train.weight)
    columns = (train.user, train.a, train.b, train.outcome_of_3, weight)
    own = neighbours.rate(split.global_fit, len(split.archetype), *columns, split.ties)
    return _with_own(own, split)


def personal_score(split: Split, _: str) -> Strengths:
    """The score of ComparIA's personal boards, (points + 2 m) / (battles + 2) of a user and model
    with m everybody's, as logits: a control that forgets whom a model met.
    """
    users = len(split.archetype)
    points, battles = _points(split.train, split.train.user, users)
    score = (points + 2 * _scores(split)) / (battles + 2)
    return _with_own(np.log(score / (1 - score)), split)


def likelihoods(split: Split, line_of: LineOf) -> Floats:
    """(users, len(GRID)) log-likelihood of what is known of each user at each coefficient."""
    train = split.train
    weight = train.weight * votes_a_unit(train.weight)
    line = line_of(train, split.global_fit)
    users = len(split.archetype)
    columns = (line, train.outcome_of_3, weight, split.global_fit.eta, split.ties)
    return personal_coefficient.log_likelihoods(train.user, users, *columns)


def coefficient_prior(split: Split, own: Floats, first: float) -> personal_coefficient.Prior:
    """Of the users who voted.

    Args:
        own: (users, len(GRID)) as `likelihoods` returns them.
        first: a sensible mean.
    """
    voted = np.bincount(split.train.user, minlength=len(split.archetype)) > 0
    return personal_coefficient.fit(own[voted], first)


def along_the_ratings(votes: NamedVotes, fit: Fit) -> Line:
    """The coefficient is how closely a user follows the global ratings."""
    return Line(np.zeros(len(votes)), _global_difference(votes, fit))


def _along_the_place(votes: NamedVotes, fit: Fit) -> Line:
    return Line(_global_difference(votes, fit), votes.side)


def _along_the_length(votes: NamedVotes, fit: Fit) -> Line:
    if votes.style is None:
        raise ValueError("votes whose answers were not measured")
    return Line(_global_difference(votes, fit), votes.style[:, LENGTH])


def _global_difference(votes: NamedVotes, fit: Fit) -> Floats:
    difference: Floats = fit.strength[votes.a] - fit.strength[votes.b]
    return difference


def _coefficients(split: Split, line_of: LineOf, first: float) -> Coefficients:
    """first: a sensible mean of the coefficients."""
    own = likelihoods(split, line_of)
    if isinstance(split, Newcomers):
        prior = coefficient_prior(split.others, likelihoods(split.others, line_of), first)
    else:
        prior = coefficient_prior(split, own, first)
    share = personal_coefficient.posterior(own, prior)
    return Coefficients(share, line_of, split.global_fit, split.ties)


def _with_own(strength: Floats, split: Split) -> Strengths:
    """Users' own strengths (users, M) with everybody's tie parameter."""
    return Strengths(strength, np.full(len(strength), split.global_fit.eta), split.ties)


def _scores(split: Split) -> Floats:
    """(M,) the share of its battles that each model won, a tie being half a win."""
    train = split.others.train if isinstance(split, Newcomers) else split.train
    points, battles = _points(train, np.zeros(len(train), dtype=np.int64), 1)
    return (points[0] + 1) / (battles[0] + 2)


def _points(votes: NamedVotes, user: Ints, users: int) -> tuple[Floats, Floats]:
    """(users, M) won by each model in each user's battles, a tie being half, and battles."""
    models = len(votes.models)
    weight = votes.weight * votes_a_unit(votes.weight)
    won = scores(votes.outcome_of_3)
    size = users * models
    place_a = user * models + votes.a
    place_b = user * models + votes.b
    points = np.bincount(place_a, weight * won, size)
    points += np.bincount(place_b, weight * (1 - won), size)
    battles = np.bincount(place_a, weight, size) + np.bincount(place_b, weight, size)
    shape = (users, models)
    return points.astype(float).reshape(shape), battles.astype(float).reshape(shape)
