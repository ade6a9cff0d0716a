"""Thumbs: votes on one answer alone, each against the threshold of the user who cast it.

    P(up) = 1 / (1 + exp(-(R_m - t_u))),    t_u ~ N(mean, spread^2)

A thumb up says that the answer beats what the user asks for, not that it beats another model's.
Strengths R are those of battles (bradley_terry.py): without ties a battle has the same logistic
curve. Thresholds are integrated out by adaptive Gauss-Hermite quadrature (Naylor and Smith, 1982),
as their modes alone would draw strengths toward each other where users gave few thumbs. The
information comes from Louis' identity (1982): what the thumbs would say if thresholds were known,
less the variance of that score.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_matrix, hstack, vstack
from scipy.sparse.csgraph import connected_components
from scipy.special import expit, log_expit, logsumexp

from electorate.base.columns import Columns
from electorate.base.scale import Floats, Ints, to_nats
from electorate.base.votes import Votes
from electorate.ratings import bradley_terry, clustering, newton
from electorate.ratings.bradley_terry import ITERATIONS, Fit, Posterior, sandwich, with_prior
from electorate.ratings.ties import TieModel

NODES = 21
LONGEST = 2.0  # nats, of a step toward a threshold's mode
MODE_STEPS = 50
MEAN_SD = 10.0  # nats; holds the mean where every thumb is up
LOG_SPREAD_SD = 1.5  # about a spread of 1 nat; 95% of it from 9 to 3,300 Elo
FLAT = 1e-9  # of the largest curvature
POPULATION = 2  # parameters: mean, and the logarithm of the spread


@dataclass(frozen=True)
class Thumbs(Columns):
    """n thumbs.

    Attributes:
        users: how many users there are.
        user, model: (n,) whose each is, and on an answer of which model.
        up: (n,) 1 or 0.
        weight: (n,) of each.
    """

    WHOLE = frozenset({"users"})

    users: int
    user: Ints
    model: Ints
    up: Ints
    weight: Floats

    def by_model(self, models: int) -> Floats:
        """(M, 2): weights of thumbs down and up on each model."""
        return (
            np.bincount(2 * self.model + self.up, self.weight, 2 * models)
            .astype(float, copy=False)
            .reshape(models, 2)
        )


@dataclass(frozen=True)
class Thresholds:
    """What users ask of an answer, on the scale of strengths, whose mean is 0.

    Attributes:
        mean, spread: of the population, nats.
        user, user_sd: (users,) each user's threshold and how uncertain it is, nats, if the
            population's mean and spread were known: with few users too narrow. Those of a user
            without thumbs are the population's.
    """

    mean: float
    spread: float
    user: Floats
    user_sd: Floats


@dataclass(frozen=True)
class _At:
    """The thumbs' marginal likelihood at some parameters, P = M + POPULATION of them.

    scores: (users, P) of each user's. threshold, threshold_sd: (users,) posterior.
    """

    value: float
    information: Floats
    scores: csr_matrix
    threshold: Floats
    threshold_sd: Floats


class _Marginal:
    """The log likelihood of thumbs, thresholds integrated out."""

    def __init__(self, thumbs: Thumbs, models: int) -> None:
        self._models = models
        self._users = thumbs.users
        key = thumbs.user * models + thumbs.model
        pairs, place = np.unique(key, return_inverse=True)
        self._user, self._model = np.divmod(pairs, models)
        self._total = np.bincount(place, thumbs.weight)
        self._up = np.bincount(place, thumbs.weight * thumbs.up)
        self._node, self._node_weight = np.polynomial.hermite.hermgauss(NODES)

    def __call__(self, parameters: Floats) -> _At:
        """At strengths (M,), the thresholds' mean, and the logarithm of their spread."""
        mean, log_spread = parameters[-POPULATION:]
        spread = np.exp(log_spread)
        strength = parameters[self._model]
        mode, curvature = self._modes(strength, mean, spread)
        sd = np.sqrt(2 / curvature)[:, None]
        threshold = mode[:, None] + sd * self._node  # (users, nodes)
        z = (threshold - mean) / spread
        d = strength[:, None] - threshold[self._user]  # (pairs, nodes)
        down = (self._total - self._up)[:, None]
        seen = self._by_user(self._up[:, None] * log_expit(d) + down * log_expit(-d))
        density = seen - z**2 / 2 - log_spread - np.log(2 * np.pi) / 2
        weighed = density + self._node**2 + np.log(self._node_weight) + np.log(sd)
        value = logsumexp(weighed, axis=1)
        share = np.exp(weighed - value[:, None])
        p = expit(d)
        total = self._total[:, None]
        score = self._up[:, None] - total * p
        of_mean = z / spread
        of_spread = z**2 - 1
        known = self._known_information(share, total * p * (1 - p), z, spread)
        mean_scores, missing = self._missing(share, score, of_mean, of_spread)
        threshold_mean = (share * threshold).sum(axis=1)
        variance = (share * (threshold - threshold_mean[:, None]) ** 2).sum(axis=1)
        return _At(
            float(value.sum()),
            _positive(known - missing),
            mean_scores,
            threshold_mean,
            np.sqrt(variance),
        )

    def _by_user(self, of_pair: Floats) -> Floats:
        """(users, nodes): summed over each user's pairs."""
        member = csr_matrix(
            (np.ones(len(self._user)), (self._user, np.arange(len(self._user)))),
            (self._users, len(self._user)),
        )
        return np.asarray(member @ of_pair)

    def _modes(self, strength: Floats, mean: float, spread: float) -> tuple[Floats, Floats]:
        """(users,) likeliest thresholds, and the curvatures there."""

        def derivatives(at: Floats) -> tuple[Floats, Floats]:
            threshold = at[:, 0]
            p = expit(strength - threshold[self._user])
            score, information = (
                np.bincount(self._user, x, self._users).astype(float, copy=False)
                for x in (self._total * p - self._up, self._total * p * (1 - p))
            )
            score -= (threshold - mean) / spread**2
            return score[:, None], (information + spread**-2)[:, None, None]

        start = np.full((self._users, 1), float(mean))
        at, _ = newton.bounded(derivatives, start, LONGEST, 1e-10, MODE_STEPS)
        return at[:, 0], derivatives(at)[1][:, 0, 0]

    def _known_information(
        self, share: Floats, of_pair: Floats, z: Floats, spread: float
    ) -> Floats:
        """(P, P): expected information, were thresholds known."""
        models = self._models
        own = (share[self._user] * of_pair).sum(axis=1)
        matrix = np.zeros((models + POPULATION, models + POPULATION))
        matrix[np.diag_indices(models)] = np.bincount(self._model, own, models)
        across = 2 * (share * z).sum() / spread
        matrix[-2:, -2:] = [[self._users / spread**2, across], [across, 2 * (share * z**2).sum()]]
        return matrix

    def _missing(
        self, share: Floats, score: Floats, of_mean: Floats, of_spread: Floats
    ) -> tuple[csr_matrix, Floats]:
        """(users, P) scores, and (P, P) what is not known of them as thresholds are not."""
        shape = (self._users, self._models)
        strengths = (share[self._user] * score).sum(axis=1)
        population = np.column_stack([(share * x).sum(axis=1) for x in (of_mean, of_spread)])
        means = hstack([csr_matrix((strengths, (self._user, self._model)), shape), population])
        root = np.sqrt(share)
        missing = np.zeros((self._models + POPULATION,) * 2)
        for k in range(NODES):
            away = root[self._user, k] * (score[:, k] - strengths)
            others = np.column_stack([of_mean[:, k], of_spread[:, k]]) - population
            block = csr_matrix((away, (self._user, self._model)), shape)
            rows = hstack([block, root[:, k, None] * others]).tocsr()
            missing += (rows.T @ rows).toarray()
        return means.tocsr(), missing


def _positive(information: Floats) -> Floats:
    """The information where it is positive; else, far from the maximum, the same curvatures
    upward, so that steps climb (Dauphin et al., 2014).
    """
    values, vectors = np.linalg.eigh(information)
    scale = np.abs(values).max(initial=0.0)
    # A common level of strengths and thresholds changes nothing: its curvature is 0.
    if values.min(initial=0.0) > -FLAT * scale:
        return information
    upward: Floats = (vectors * np.maximum(np.abs(values), FLAT * scale)) @ vectors.T
    return upward


class _Joint:
    """The log posterior of (strengths, eta, mean, log spread) from battles and thumbs."""

    def __init__(
        self, battles: Posterior, thumbs: _Marginal, models: int, prior_sd_elo: float | None
    ) -> None:
        self._battles = battles
        self._models = models
        self._pull = 0.0 if prior_sd_elo is None else to_nats(prior_sd_elo) ** -2.0
        self.thumbs = thumbs
        # Where the thumbs' parameters are among all: they know no tie parameter.
        self.own = np.r_[0:models, models + 1, models + 2]
        self.start = np.append(battles.centre, [0.0, 0.0])
        self.precision = np.append(battles.precision, [MEAN_SD**-2.0, LOG_SPREAD_SD**-2.0])
        # The mean counts from the strengths' own, so that the prior knows no common level either.
        self._from_strengths = np.zeros(len(self.start))
        self._from_strengths[:models] = -1 / models
        self._from_strengths[-POPULATION] = 1.0

    def __call__(self, parameters: Floats) -> tuple[float, Floats, Floats]:
        """Its value, its gradient (M+3,) and minus its second derivatives (M+3, M+3)."""
        value, of_votes, known = self._battles(parameters[:-POPULATION])
        at = self.thumbs(parameters[self.own])
        from_strengths = self._from_strengths
        mean = float(from_strengths @ parameters)
        log_spread = float(parameters[-1])
        score = np.append(of_votes, [0.0, -log_spread / LOG_SPREAD_SD**2])
        score -= from_strengths * mean / MEAN_SD**2
        score[self.own] += np.asarray(at.scores.sum(axis=0)).ravel()
        information: Floats = np.zeros((len(parameters), len(parameters)))
        information += np.outer(from_strengths, from_strengths) / MEAN_SD**2
        information[:-POPULATION, :-POPULATION] += known
        information[np.ix_(self.own, self.own)] += at.information
        information[-1, -1] += LOG_SPREAD_SD**-2.0
        # The strengths' prior is to hold their differences, not their level; that the thresholds'
        # mean shares, and no vote speaks of it. Any curvature there will do, as the slope is 0.
        strengths = slice(0, self._models)
        common = float(parameters[strengths].mean())
        score[strengths] += self._pull * common
        information[strengths, strengths] -= self._pull / self._models
        level = self.own[:-1]
        score[level] -= score[level].mean()  # 0 but for the quadrature's error
        information[np.ix_(level, level)] += at.information.diagonal().mean() / len(self.own)
        prior = (mean / MEAN_SD) ** 2 + (log_spread / LOG_SPREAD_SD) ** 2
        prior -= self._pull * self._models * common**2
        return value + at.value - prior / 2, score, information


def estimable(weight: Floats | Ints, thumbs: Thumbs) -> bool:
    """Whether finite ratings maximise the likelihood of battles (M, M, 3) and thumbs.

    As bradley_terry.estimable, with all thresholds together as one more that a model may beat.
    """
    models = len(weight)
    beat = np.zeros((models + 1, models + 1))
    beat[:models, :models] = weight[..., 0] + weight[..., 1].T + weight[..., 2] + weight[..., 2].T
    beat[models, :models], beat[:models, models] = thumbs.by_model(models).T
    return bool(connected_components(beat, directed=True, connection="strong")[0] == 1)


def fit(
    votes: Votes,
    thumbs: Thumbs,
    groups: Sequence[Ints],
    ties: TieModel,
    models: int,
    prior_sd_elo: float | None,
) -> tuple[Fit, Thresholds]:
    """Ratings from votes on two responses and thumbs together, and the thresholds found.

    Args:
        votes: there may be none.
        groups: (n,) each, what intervals are clustered by: `votes.user`, of the same users as the
            thumbs', or others; none: each vote is a cluster.
        prior_sd_elo: of the prior on each strength; None is maximum likelihood, for votes that are
            `estimable`.

    Returns:
        a fit whose covariance is clustered as the battles are, with all thumbs of a user one
        cluster. With fewer users than clustering.FEWEST the thumbs' part is their information.
    """
    weight = votes.by_battle(models)
    joint = _Joint(
        bradley_terry.posterior_of(weight, ties, prior_sd_elo),
        _Marginal(thumbs, models),
        models,
        prior_sd_elo,
    )
    parameters, information = newton.searched(joint, joint.start, 1e-7, ITERATIONS)
    at = joint.thumbs(parameters[joint.own])
    links = np.pad(weight.sum(axis=2), (0, 1))
    # Whoever got thumbs is linked to whoever else did, through users' thresholds.
    links[:models, models] = thumbs.by_model(models).sum(axis=1)
    connected = bradley_terry.linked(links)
    by_votes = _middle(votes, thumbs, groups, ties, parameters, at, joint)
    covariance = sandwich(information, with_prior(by_votes, joint.precision, connected), models)
    kept = slice(0, models + 1)
    found = bradley_terry.at_parameters(
        parameters[kept],
        weight,
        np.linalg.inv(np.linalg.inv(information)[kept, kept]),
        covariance[kept, kept],
        joint.precision[kept],
        connected,
    )
    level = parameters[:models].mean()
    found = replace(found, votes=found.votes + thumbs.by_model(models).sum(axis=1))
    mean, log_spread = parameters[-POPULATION:]
    return found, Thresholds(
        float(mean - level), float(np.exp(log_spread)), at.threshold - level, at.threshold_sd
    )


def _middle(
    votes: Votes,
    thumbs: Thumbs,
    groups: Sequence[Ints],
    ties: TieModel,
    parameters: Floats,
    at: _At,
    joint: _Joint,
) -> Floats:
    """(M+3, M+3): the sum over clusters of the square of their scores."""
    count = len(parameters)
    place = csr_matrix(
        (np.ones(len(joint.own)), (np.arange(len(joint.own)), joint.own)), (len(joint.own), count)
    )
    of_thumbs = (at.scores @ place).tocsr()
    strength = parameters[: count - 1 - POPULATION]
    of_votes = clustering.scores_at(
        strength,
        parameters[count - 1 - POPULATION],
        ties,
        votes.a,
        votes.b,
        votes.outcome_of_3,
        votes.weights,
    )
    of_votes.resize((len(votes), count))
    gave = np.flatnonzero(np.bincount(thumbs.user, minlength=thumbs.users))
    groups = groups or [np.arange(len(votes))]
    if len(gave) < clustering.FEWEST:
        own = np.zeros((count, count))
        own[np.ix_(joint.own, joint.own)] = at.information
        return own + (clustering.middle(of_votes, groups) if len(votes) else 0.0)
    apart = [
        gave if group is votes.user else group.max(initial=-1) + 1 + np.arange(len(gave))
        for group in groups
    ]
    together = vstack([of_votes, of_thumbs[gave]]).tocsr()
    return clustering.middle(
        together, [np.concatenate(pair) for pair in zip(groups, apart, strict=True)]
    )
