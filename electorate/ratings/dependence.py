"""Votes of one user on one prompt: how far they repeat each other, and what they weigh.

Between a user u, a prompt x and the models' strengths there is more than the user's own ratings:

    d_v = (beta_u + xi_ux) . e_v,   e_v = e_a - e_b,   xi_ux ~ N(0, s^2 I)

so that votes v, v' of one cluster c = (u, x) share s^2 (e_v . e_v')^2 of their variance in d. A
vote of information w_v = w counts as 1 / (1 + s^2 w lambda_v) votes by its design effect (Kish,
1965), with lambda_v = 1/2 sum over the cluster's other votes of (e_v . e_v')^2. Votes alone on
their prompt weigh 1.

s^2 comes from moments at the global fit, d_v being the scores there. Over groups g of votes

    T_g = sum over g of |sum_v d_v e_v|^2 - 2 sum_v d_v^2
    B_g = sum over g of ||sum_v w_v e_v e_v^T||_F^2 - 4 sum_v w_v^2

T_g / B_g estimates the variance that pairs of votes of one group share. In clusters that is the
prompt's and the user's own; between the clusters of one user, the user's own alone:

    s^2 = max(0, T_c / B_c - max(0, (T_u - T_c) / (B_u - B_c)))
"""

from dataclasses import dataclass, replace

import numpy as np

from electorate.base.scale import Floats, Ints
from electorate.ratings.bradley_terry import Fit
from electorate.ratings.summed import Summed
from electorate.ratings.ties import TieModel
from electorate.ratings.user_votes import UserVotes

FIXED_POINT_STEPS = 20
DENSE = 4  # cells a value up to which sums are kept for every cell, without sorting


@dataclass(frozen=True)
class Dependence(Summed):
    """The moments, summed over some users' votes.

    clusters, users: (3,) T, B and what a model of the users expects of T, of clusters and of users.
    information, spread, weight: of all votes: their information, the variance that this model
    expects of their differences (nats squared), and their weight, all by weight.
    """

    clusters: Floats
    users: Floats
    information: float
    spread: float
    weight: float

    @property
    def prompt_variance(self) -> float:
        """s^2, nats squared; 0 where no user voted twice on a prompt.

        Scores about the mean user covary by less than its information w says, by 1 + 2 pi w^2 times
        the variance of a difference: MacKay's (1992) 1 + pi / 8 for the logistic, whose w is 1/4,
        drawn out as a tie model draws it out. That is where a model of the users comes in.
        """
        if self.clusters[1] <= 0:
            return 0.0
        if self.spread == 0:
            return self._beyond(1.0)
        found = 0.0
        width = 2 * np.pi * (self.information / self.weight) ** 2
        for _ in range(FIXED_POINT_STEPS):
            attenuation = 1 / (1 + width * (self.spread / self.weight + 2 * found))
            found = self._beyond(attenuation) / attenuation
        return found

    @property
    def prompt_correlation(self) -> float:
        """s^2 times the mean information of a vote: what Prior.prompt_correlation holds."""
        return self.prompt_variance * self.information / self.weight if self.weight > 0 else 0.0

    def _beyond(self, attenuation: float) -> float:
        shared, of_information, expected = self.clusters
        apart, of_apart, expected_apart = self.users - self.clusters
        own = 0.0
        if of_apart > 1e-9 * of_information:
            own = max(0.0, (apart - attenuation * expected_apart) / of_apart)
        return float(max(0.0, (shared - attenuation * expected) / of_information - own))


def measure(votes: UserVotes, start: Fit, ties: TieModel) -> Dependence:
    """The moments of some users' votes at the global fit."""
    d = start.strength[votes.a] - start.strength[votes.b]
    of = ties.derivatives(d, np.array(start.eta), votes.outcome)
    cluster = clusters(votes.user, votes.prompt)
    return measured(votes.user, cluster, votes.a, votes.b, of.d, of.info_dd, votes.weights)


def measured(
    user: Ints,
    cluster: Ints | None,
    a: Ints,
    b: Ints,
    d: Floats,
    w: Floats,
    weight: Floats,
    x: Floats | None = None,
    tau: float = 0.0,
) -> Dependence:
    """The moments from scores d and information w (votes,), wherever they were taken.

    cluster: see `clusters`. x, tau: of a model of the users by which d_v varies by
    x_v . w_u + tau e_v . eps_u with standard normal w_u and eps_u; x: (votes, R).
    """
    x = np.empty((len(d), 0)) if x is None else x
    spread = float((weight * ((x**2).sum(axis=1) + 2 * tau**2)).sum())
    total = float((weight * w).sum()), spread, float(weight.sum())
    if cluster is None:
        return Dependence(np.zeros(3), np.zeros(3), *total)
    of_clusters, of_users = (
        _moments(group, a, b, weight * d, weight * w, x) for group in (cluster, user)
    )
    return Dependence(of_clusters, of_users, *total)


def weighted(votes: UserVotes, correlation: float) -> UserVotes:
    """The votes, each by its design effect, as votes that are independent."""
    if votes.prompt is None:
        return votes
    columns = (votes.user, votes.prompt, votes.a, votes.b)
    return replace(votes, weight=weights(*columns, votes.weight, correlation), prompt=None)


def weights(
    user: Ints,
    prompt: Ints | None,
    a: Ints,
    b: Ints,
    weight: Floats | None,
    correlation: float,
) -> Floats | None:
    """(votes,) the weights, each times its vote's share; as they are where votes are alone."""
    cluster = clusters(user, prompt) if correlation > 0 else None
    if cluster is None:
        return weight
    weight = np.ones(len(user)) if weight is None else weight
    return weight * shares(cluster, a, b, weight, correlation)


def shares(cluster: Ints, a: Ints, b: Ints, weight: Floats, correlation: float) -> Floats:
    """(votes,) what each vote counts as beside the others of its cluster, in (0, 1]."""
    together = np.bincount(cluster)[cluster] > 1
    share = np.ones(len(cluster))
    among = _overlap(cluster[together], a[together], b[together], weight[together])
    share[together] = 1 / (1 + correlation * among / 2)
    return share


def clusters(user: Ints, prompt: Ints | None) -> Ints | None:
    """(votes,) the cluster (user, prompt) of each vote; None where each is alone in its own.

    prompt: negative where unknown, and then on a prompt of its own; None: all unknown.
    """
    if prompt is None or not len(user):
        return None
    known = np.flatnonzero(prompt >= 0)
    keys = user[known] * (int(prompt.max()) + 1) + prompt[known]
    distinct, place = np.unique(keys, return_inverse=True)
    if len(distinct) == len(known):
        return None
    cluster: Ints = len(distinct) + np.arange(len(user))
    cluster[known] = place
    return cluster


def _overlap(cluster: Ints, a: Ints, b: Ints, weight: Floats) -> Floats:
    """(votes,) the sum over the other votes v' of the cluster of weight_v' (e_v . e_v')^2.

    That square is 1 where the votes share a model and 4 where they share both, so it follows from
    what the cluster's votes weigh on each model and on each pair.
    """
    models = int(max(a.max(initial=0), b.max(initial=0))) + 1
    low = np.minimum(a, b)
    high = np.maximum(a, b)
    twice = np.concatenate([weight, weight])
    of_model = _totals(np.concatenate([cluster * models + a, cluster * models + b]), twice)
    of_pair = _totals((cluster * models + low) * models + high, weight)
    of_models = of_model[: len(a)] + of_model[len(a) :]
    return np.maximum(of_models + 2 * of_pair - 4 * weight, 0.0)


def _totals(key: Ints, value: Floats) -> Floats:
    """The sum of the values with each row's key."""
    place = np.unique(key, return_inverse=True)[1]
    total = np.bincount(place, value).astype(float, copy=False)
    return total[place]


def _moments(group: Ints, a: Ints, b: Ints, d: Floats, w: Floats, x: Floats) -> Floats:
    """(3,) T, B and what x expects of T, of votes in groups."""
    groups = int(group.max()) + 1
    models = int(max(a.max(), b.max())) + 1
    rows = np.concatenate([group, group])
    place = _places(rows, np.concatenate([a, b]), (groups, models))
    score = _sum_of_squares(place, np.concatenate([d, -d]))
    degree = _sum_of_squares(place, np.concatenate([w, w]))
    pair = np.minimum(a, b) * models + np.maximum(a, b)
    met = _sum_of_squares(_places(group, pair, (groups, models**2)), w)
    expected = _explained(place, w, x) if x.shape[1] else 0.0
    # The diagonal of a Laplacian holds the degrees, each pair is off it twice.
    information = degree + 2 * met - 4 * (w**2).sum()
    return np.array([score - 2 * (d**2).sum(), information, expected])


def _explained(place: Ints, w: Floats, x: Floats) -> float:
    """The sum over pairs of different votes of a group of w w' (x . x') (e . e').

    place: (2 votes,) of each vote's group and models, first of all a, then of all b.
    """
    total = -2 * float((w**2 * (x**2).sum(axis=1)).sum())
    for along in (w[:, None] * x).T:
        total += _sum_of_squares(place, np.concatenate([along, -along]))
    return total


def _places(rows: Ints, columns: Ints, shape: tuple[int, int]) -> Ints:
    """A number for each (row, column), few enough of them to count by."""
    key = rows * shape[1] + columns
    if shape[0] * shape[1] <= DENSE * len(key):
        return key
    return np.unique(key, return_inverse=True)[1]


def _sum_of_squares(place: Ints, values: Floats) -> float:
    """Of the sums of the values with the same place."""
    return float((np.bincount(place, values) ** 2).sum())
