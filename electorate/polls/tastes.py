"""Planted tastes fitted to the votes of model voters, so that a small judged sample calibrates a
population of any size.

    logit = theta_a - theta_b + w_u . (z_a - z_b),   w_u = w_k(u) + d_u,   d_u ~ N(0, sigma^2 I),
    ties by Davidson (1970)

theta, the segments' tastes w_k and the tie parameter are found from everybody's votes, then each
persona's own d_u with these held; sigma is the one that tells votes on validation prompts best, and
zero may be. Whether a persona's own taste says more than its segment's is decided on test prompts,
which nothing was fitted to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from electorate.base import resampling
from electorate.base.draws import Stream, generator
from electorate.base.scale import Floats, Ints
from electorate.base.votes import Votes
from electorate.data.features import AXES
from electorate.ratings import newton
from electorate.ratings.ties import Davidson

SIGMAS = (0.0, 0.1, 0.2, 0.4, 0.8, 1.6)
STRENGTH_SD = 1.0
COMMON_SD = 1.0
SEGMENT_SD = 0.5
ITERATIONS = 40
RESAMPLES = 1000
CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class TasteVotes(Votes):
    """A judge's votes for personas, and what it saw.

    Attributes:
        outcome: (n,) the likeliest of A, B and tie.
        segment: (n,) of the persona.
        z: (n, D) measures of A's answer less B's.
        p: (n, 3) the judge's probabilities of A, B and tie.
        split: (n,) train, validation or test.
    """

    segment: Ints
    z: Floats
    p: Floats
    split: np.ndarray[Any, np.dtype[np.str_]]

    def on(self, *splits: str) -> "TasteVotes":
        """The votes on prompts of these splits."""
        return self.take(np.flatnonzero(np.isin(self.split, splits)))


@dataclass(frozen=True)
class Shared:
    """strength (M,) and taste (K, D) by segment, in logits; eta: the tie parameter."""

    strength: Floats
    taste: Floats
    eta: float


@dataclass(frozen=True)
class Fitted:
    """own: (U, D) each persona's departure from its segment; sigma: its sd. segment_loss, own_loss:
    on test votes, nats; gain: own's loss less segment's, with its interval over personas;
    strength_loss: with no tastes at all.
    """

    shared: Shared
    own: Floats
    sigma: float
    strength_loss: float
    segment_loss: float
    own_loss: float
    gain: tuple[float, float, float]
    test_votes: int

    @property
    def own_wins(self) -> bool:
        """Whether personas' own tastes tell held-out votes better than their segments' do."""
        return self.gain[2] < 0

    def verdict(self) -> str:
        """The result in a line."""
        value, low, high = self.gain
        which = "beats" if self.own_wins else "does not beat"
        return (
            f"a persona's fitted taste {which} its segment's mean on {self.test_votes:,} held-out "
            f"votes: log loss {self.own_loss:.4f} and "
            f"{self.segment_loss:.4f} ({value:+.4f} [{low:+.4f}, {high:+.4f}]); without any taste "
            f"{self.strength_loss:.4f}"
        )


def fit(votes: TasteVotes, models: int, segments: int, personas: int) -> Fitted:
    """Shared parameters and sigma from training and validation votes, judged on test votes."""
    train, validation, test = (votes.on(split) for split in ("train", "validation", "test"))
    first = shared(train, models, segments)
    losses = (
        [_loss(validation, first, _own(train, first, personas, sigma)).mean() for sigma in SIGMAS]
        if len(validation.a)
        else [0.0]
    )
    sigma = SIGMAS[int(np.argmin(losses))]
    known = votes.on("train", "validation")
    parameters = shared(known, models, segments)
    own = _own(known, parameters, personas, sigma)
    none = np.zeros((personas, len(AXES)))
    of_own = _loss(test, parameters, own)
    of_segment = _loss(test, parameters, none)
    bare = shared(known, models, segments, tastes=False)
    return Fitted(
        shared=parameters,
        own=own,
        sigma=sigma,
        strength_loss=float(_loss(test, bare, none).mean()),
        segment_loss=float(of_segment.mean()),
        own_loss=float(of_own.mean()),
        gain=_interval(of_own - of_segment, test.user),
        test_votes=len(test.a),
    )


def shared(votes: TasteVotes, models: int, segments: int, tastes: bool = True) -> Shared:
    """Strengths, a common taste, each segment's departure from it, and the tie parameter: the
    mode by Newton's method.
    """
    n = len(votes.a)
    axes = len(AXES)
    rows = np.arange(len(votes.a))
    design = np.zeros((n, models + axes * (1 + segments)))
    design[rows, votes.a] += 1.0
    design[rows, votes.b] -= 1.0
    if tastes:
        design[:, models : models + axes] = votes.z
        for k in range(segments):
            own = votes.segment == k
            design[own, models + axes * (1 + k) : models + axes * (2 + k)] = votes.z[own]
    sds = np.repeat([STRENGTH_SD, COMMON_SD, SEGMENT_SD], [models, axes, axes * segments])
    mode, eta = _modes(
        design[None], votes.p[None], np.ones((1, n)), np.append(sds, 2.0) ** -2.0, None
    )
    strength = mode[0, :models]
    taste = mode[0, models:].reshape(1 + segments, axes)
    return Shared(strength - strength.mean(), taste[0] + taste[1:], float(eta[0]))


def _own(votes: TasteVotes, of: Shared, personas: int, sigma: float) -> Floats:
    """(personas, D) the mode of each persona's departure, all at once."""
    if sigma == 0.0:
        return np.zeros((personas, len(AXES)))
    place = _places(votes.user)
    most = int(place.max(initial=-1)) + 1
    z, p, there, offset = (
        np.zeros((personas, most, *shape)) for shape in ((len(AXES),), (3,), (), ())
    )
    at = votes.user, place
    z[at] = votes.z
    p[at] = votes.p
    there[at] = 1.0
    offset[at] = _difference(votes, of)
    mode, _ = _modes(z, p, there, np.full(len(AXES), sigma**-2.0), (offset, of.eta))
    return mode


def _modes(
    design: Floats, p: Floats, weight: Floats, precision: Floats, held: tuple[Floats, float] | None
) -> tuple[Floats, Floats]:
    """(groups, P) modes and (groups,) tie parameters. design (groups, n, P); p (groups, n, 3);
    held: an offset (groups, n) and a tie parameter that stay as they are; None: the tie
    parameter is found too, the last of `precision` its prior's.
    """
    groups, _, size = design.shape
    offset, start = (0.0, Davidson.start) if held is None else held

    def derivatives(at: Floats) -> tuple[Floats, Floats]:
        mode = at[:, :size]
        eta = at[:, size:] if held is None else np.full((groups, 1), start)
        difference = offset + np.einsum("gnp,gp->gn", design, mode)
        shares = Davidson().probabilities(difference, eta)
        half = (shares[..., 0] - shares[..., 1]) / 2
        score_d = weight * ((p[..., 0] - p[..., 1]) / 2 - half)
        info_dd = weight * ((shares[..., 0] + shares[..., 1]) / 4 - half**2)
        score = np.einsum("gnp,gn->gp", design, score_d) - precision[:size] * mode
        information = np.einsum("gnp,gn,gnq->gpq", design, info_dd, design, optimize=True)
        information = information + np.diag(precision[:size])
        if held is not None:
            return score, information
        tie = shares[..., 2]
        of_tie = (weight * (p[..., 2] - tie)).sum(axis=1)[:, None] - precision[-1] * (eta - start)
        across = -np.einsum("gnp,gn->gp", design, weight * half * tie)
        wider = np.empty((groups, size + 1, size + 1))
        wider[:, :size, :size] = information
        wider[:, :size, size] = across
        wider[:, size, :size] = across
        wider[:, size, size] = (weight * tie * (1 - tie)).sum(axis=1) + precision[-1]
        return np.concatenate([score, of_tie], axis=1), wider

    first = np.zeros((groups, size + (held is None)))
    if held is None:
        first[:, size] = start
    found, _ = newton.bounded(derivatives, first, 2.0, 1e-8, ITERATIONS)
    return found[:, :size], found[:, size] if held is None else np.full(groups, start)


def _places(group: Ints) -> Ints:
    """(n,) how many of its group came before each."""
    order = np.argsort(group, kind="stable")
    _, first, count = np.unique(group[order], return_index=True, return_counts=True)
    places = np.empty(len(group), dtype=np.int64)
    places[order] = np.arange(len(group)) - np.repeat(first, count)
    return places


def _difference(votes: TasteVotes, of: Shared) -> Floats:
    taste: Floats = np.einsum("nd,nd->n", votes.z, of.taste[votes.segment])
    return of.strength[votes.a] - of.strength[votes.b] + taste


def _loss(votes: TasteVotes, of: Shared, own: Floats) -> Floats:
    """(n,) log loss of each vote's outcome, nats."""
    difference = _difference(votes, of) + np.einsum("nd,nd->n", votes.z, own[votes.user])
    loss: Floats = -Davidson().log_likelihood(difference, np.array(of.eta), votes.outcome)
    return loss


def _interval(values: Floats, cluster: Ints) -> tuple[float, float, float]:
    if not len(values):
        return float("nan"), float("nan"), float("nan")
    _, of = np.unique(cluster, return_inverse=True)
    sums = np.bincount(of, values)
    counts = np.bincount(of)
    drawn = resampling.times(generator(0, Stream.POLL_CHECKS, 1), len(sums), RESAMPLES)
    return float(values.mean()), *resampling.interval((drawn @ sums) / (drawn @ counts), CONFIDENCE)


def population(
    fitted: Fitted, segments: Sequence[str], shares: Floats, z: Floats
) -> Mapping[str, Any]:
    """The `population` section of a run whose planted tastes are like the fitted ones, but for
    its size. Personal tastes count only where they told held-out votes better.

    shares: (K,) of the segments; z: (P, M, D) measures of answers.
    """
    sigma = fitted.sigma if fitted.own_wins else 0.0
    every = np.arange(len(AXES))
    return section(fitted.shared.strength, fitted.shared.taste, sigma, every, segments, shares, z)


def section(
    strength: Floats,
    taste: Floats,
    sigma: float,
    axes: Ints,
    segments: Sequence[str],
    shares: Floats,
    z: Floats,
) -> dict[str, Any]:
    """The `population` section of a run with these planted tastes, but for its size.

    heterogeneity is the ratio of spreads in logits that a run's is: personal taste utility over
    strength.

    Args:
        strength: (M,) in logits.
        taste: (K, D) mean tastes of the segments, in logits a standard deviation.
        sigma: sd of a persona's departure from its segment, on each of the axes.
        axes: places of those that personas differ on.
        shares: (K,) of the segments.
        z: (P, M, D) measures of answers.
    """
    common = shares @ taste
    differ = np.isin(np.arange(len(AXES)), axes)
    apart = (taste - common) * differ
    between = float(
        np.einsum("k,pmk->", shares, np.einsum("pmd,kd->pmk", z, apart) ** 2) / z[..., 0].size
    )
    within = sigma**2 * float((z[..., axes] ** 2).sum(axis=-1).mean())
    spread = float(strength.std())
    rho = between / (between + within) if between + within > 0 else 0.5
    # A run scales tastes so that personal ones have unit variance; segments' are given in that
    # unit.
    unit = (
        sigma / np.sqrt(1 - rho) * np.sqrt(rho)
        if 0.0 < rho < 1.0
        else float(np.sqrt((apart**2).mean())) or 1.0
    )
    heterogeneity = float(np.sqrt(between + within) / spread) if spread > 0 else 0.0
    return {
        "heterogeneity": round(min(10.0, heterogeneity), 4),
        "archetype_share": round(rho, 4),
        "common_taste": _by_axis(common),
        "archetypes": {
            segment: {"share": round(float(share), 6), "taste": _by_axis(own / max(unit, 1e-9))}
            for segment, share, own in zip(segments, shares, apart, strict=True)
        },
    }


def _by_axis(values: Floats) -> dict[str, float]:
    return {axis: round(float(value), 4) for axis, value in zip(AXES, values, strict=True)}
