"""By how much voters and responses vary: variance components of votes, by the method of moments.

Of votes i and j with scores g (slopes of the log-likelihood in the logit, at the global fit) and
information h, whose logits share random effects with designs x_k and variances v_k,

    E[g_i g_j] is about h_i h_j sum_k v_k x_k,i . x_k,j

so that v follows from sums over pairs of votes (Henderson's method, as in Searle, Casella and
McCulloch, 1992, chapter 5). What users share with themselves is told by pairs of one user's votes
on different prompts; what a response is worth to all by pairs of different users' votes on one
prompt. The approximation is one of small effects: electorate/calibration/fit.py corrects it by
simulation. Pairs of a user with n votes count 1 / n each, as few users with many votes would decide
alone where every pair counts alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from electorate.base.scale import Floats, Ints, to_nats
from electorate.calibration.design import Design
from electorate.ratings import bradley_terry, contextual, personal_coefficient
from electorate.ratings.personal_coefficient import Line
from electorate.ratings.ties import RaoKupper

PRIOR_SD_ELO = 1000.0
TIES = RaoKupper()
ROWS = 1000  # of pairs at once
# What varies, in the order of all arrays here.
OF_USERS = ("model_taste", "decisiveness", "tastes", "position")
COMPONENTS = (*OF_USERS, "answer_quality", "tie_threshold", "ties_of_prompts")


@dataclass(frozen=True)
class Global:
    """What all voters share.

    Attributes:
        strength: (M,) nats.
        common: (D,) nats a standard deviation of each measure, and sd, its standard errors.
        position: nats for the answer shown first; 0 where it is never known which was.
        eta: logarithm of the tie threshold.
        score, information: (n,) of the votes in the logit.
        tie_score, tie_information: (n,) in eta.
        difference: (n,) rating of A less B's, nats.
    """

    strength: Floats
    common: Floats
    sd: Floats
    position: float
    eta: float
    score: Floats
    information: Floats
    tie_score: Floats
    tie_information: Floats
    difference: Floats


def shared(design: Design) -> Global:
    """One ranking for all, with what all like in style and in the place of an answer."""
    models = len(design.models)
    start = bradley_terry.fit(design.by_battle(models), TIES, PRIOR_SD_ELO)
    contrast = design.contrast
    n = len(design)
    measures = np.column_stack([contrast, design.side])
    columns = (design.a, design.b, design.outcome, np.ones(n), measures)
    fitted, style = contextual.fit(start, *columns, TIES, PRIOR_SD_ELO, [np.arange(n)])
    unit = np.sqrt((measures**2).mean(axis=0))
    per_unit = np.divide(1.0, unit, out=np.zeros_like(unit), where=unit > 0)
    effect = to_nats(1.0) * style.effect * per_unit
    common = effect[:-1]
    position = float(effect[-1])
    difference = fitted.strength[design.a] - fitted.strength[design.b]
    at = difference + measures @ effect
    of = TIES.derivatives(at, np.array(fitted.eta), design.outcome)
    return Global(
        fitted.strength,
        common,
        to_nats(1.0) * style.sd[:-1] * per_unit[:-1],
        position,
        fitted.eta,
        of.d,
        np.maximum(of.info_dd, 0.0),
        of.eta,
        np.maximum(of.info_ee, 0.0),
        difference,
    )


@dataclass(frozen=True)
class Kernels:
    """What pairs of votes share, worked out once for a design.

    Attributes:
        axes: places of the taste axes that users may differ on.
        of_users: (K, K) sums over pairs of one user's votes, K = len(OF_USERS).
        quality, ties, ties_of_prompts: the same of the other components.
    """

    axes: Ints
    of_users: Floats
    quality: float
    ties: float
    ties_of_prompts: float


def kernels(design: Design, at: Global, axes: Ints) -> Kernels:
    """Of the battles, at a global fit of people's votes on them."""
    of_users = np.zeros((len(OF_USERS), len(OF_USERS)))
    ties = 0.0
    for rows in _groups(design.user):
        for first in range(0, len(rows), ROWS):
            some = rows[first : first + ROWS]
            apart = design.prompt[some][:, None] != design.prompt[rows]
            weight = apart * np.outer(at.information[some], at.information[rows]) / len(rows)
            pairs = np.stack(_shared_by(design, at, axes, some, rows))
            of_users += np.einsum("kij,lij,ij->kl", pairs, pairs, weight, optimize=True)
            tied = at.tie_information[some] @ apart @ at.tie_information[rows]
            ties += float(tied) / len(rows)
    quality = 0.0
    of_prompts = 0.0
    for rows in _groups(design.prompt):
        for first in range(0, len(rows), ROWS):
            some = rows[first : first + ROWS]
            apart = design.user[some][:, None] != design.user[rows]
            weight = apart * np.outer(at.information[some], at.information[rows])
            alike = _same_models(design, some, rows)
            quality += float((alike**2 * weight).sum())
            same = apart & (np.abs(alike) == 2)
            of_prompts += float(at.tie_information[some] @ same @ at.tie_information[rows])
    if not (design.outcome == 2).any():
        # Where nobody ties, what voters call a tie is not told.
        return Kernels(axes, of_users, quality, 0.0, 0.0)
    return Kernels(axes, of_users, quality, ties, of_prompts)


def components(design: Design, at: Global, of: Kernels) -> Floats:
    """(len(COMPONENTS),) variances, in nats squared but for decisiveness, whose unit is 1; negative
    where chance has it, 0 where the battles say nothing.
    """
    user_prompt = _codes(design.user, design.prompt)
    contrast = design.contrast[:, of.axes]
    one = np.zeros(len(design), dtype=np.int64)
    by_votes = np.bincount(design.user)[design.user] ** -0.5
    score = by_votes * at.score
    effects = (
        _by_model(design, score),
        [(one, at.difference * score)],
        [(one + k, contrast[:, k] * score) for k in range(contrast.shape[1])],
        [(one, design.side * score)],
    )
    sums = [_squares(design.user, e) - _squares(user_prompt, e) for e in effects]
    of_users = _solved(of.of_users, np.array(sums))
    by_model = _by_model(design, at.score)
    quality = _squares(design.prompt, by_model) - _squares(user_prompt, by_model)
    tie = [(one, at.tie_score)]
    own_tie = [(one, by_votes * at.tie_score)]
    ties = _squares(design.user, own_tie) - _squares(user_prompt, own_tie)
    battle = _codes(design.prompt, design.pair(len(design.models)))
    of_prompts = _squares(battle, tie) - _squares(_codes(design.user, battle), tie)
    rest = (
        _ratio(quality, of.quality),
        _ratio(ties, of.ties),
        _ratio(of_prompts, of.ties_of_prompts),
    )
    return np.array([*of_users, *rest])


def closeness_spread(design: Design, at: Global) -> float:
    """By how much users differ in how closely they follow everybody's ratings: the variance of
    their coefficients (electorate/ratings/personal_coefficient.py) over the squared mean.
    """
    line = Line(at.position * design.side, at.difference + design.contrast @ at.common)
    columns = (line, design.outcome, np.ones(len(design)), at.eta, TIES)
    log_likelihoods = personal_coefficient.log_likelihoods(design.user, design.users, *columns)
    found = personal_coefficient.fit(log_likelihoods)
    # Votes tell a coefficient to within half a step of the grid at best.
    if found.mean <= 0 or found.sd <= personal_coefficient.LEAST_SD:
        return 0.0
    return (found.sd / found.mean) ** 2


def telling_axes(design: Design, at: Global) -> Ints:
    """Places of the axes on which users differ more than chance has it, by 1.64 standard errors
    over users; all of them where none does.
    """
    z = design.contrast
    found = []
    for axis in range(z.shape[1]):
        value = z[:, axis]
        of_user = np.zeros(design.users)
        scale = np.zeros(design.users)
        for rows in _groups(design.user):
            apart = design.prompt[rows][:, None] != design.prompt[rows]
            one = value[rows] * at.score[rows]
            of_user[design.user[rows[0]]] = one @ apart @ one / len(rows)
            squared = value[rows] ** 2 * at.information[rows]
            scale[design.user[rows[0]]] = squared @ apart @ squared / len(rows)
        if scale.sum() > 0 and of_user.sum() > 1.64 * np.sqrt((of_user**2).sum()):
            found.append(axis)
    return np.array(found or range(z.shape[1]), dtype=np.int64)


def _groups(codes: Ints) -> list[Ints]:
    """The rows of each code that has at least two."""
    order = np.argsort(codes, kind="stable")
    edges = np.flatnonzero(np.diff(codes[order])) + 1
    return [rows for rows in np.split(order, edges) if len(rows) > 1]


def _codes(one: Ints, other: Ints) -> Ints:
    """(n,) the same number for rows that are alike in both, counted from 0."""
    both = one * (int(other.max()) + 1) + other
    found: Ints = np.unique(both, return_inverse=True)[1].astype(np.int64)
    return found


def _same_models(design: Design, some: Ints, rows: Ints) -> Floats:
    """(some, rows) what the models of two battles share: x_i . x_j with +1 for A and -1 for B."""
    a = design.a
    b = design.b
    found: Floats = (
        (a[some][:, None] == a[rows]).astype(float)
        + (b[some][:, None] == b[rows])
        - (a[some][:, None] == b[rows])
        - (b[some][:, None] == a[rows])
    )
    return found


def _shared_by(
    design: Design, at: Global, axes: Ints, some: Ints, rows: Ints
) -> tuple[Floats, Floats, Floats, Floats]:
    """x_i . x_j of each of OF_USERS, (some, rows) each."""
    z = design.contrast[:, axes]
    side = design.side
    closely = at.difference[some][:, None] * at.difference[rows]
    placed = side[some][:, None] * side[rows]
    return _same_models(design, some, rows), closely, z[some] @ z[rows].T, placed


Effects = Sequence[tuple[Ints, Floats]]  # which effect of a component, and x g of it, (n,) each


def _by_model(design: Design, score: Floats) -> Effects:
    return [(design.a, score), (design.b, -score)]


def _squares(group: Ints, effects: Effects) -> float:
    """Sum over groups and effects of the squared sums of x g."""
    width = 1 + max(int(which.max()) for which, _ in effects)
    cells = np.concatenate([group * width + which for which, _ in effects])
    _, of = np.unique(cells, return_inverse=True)
    sums = np.bincount(of, np.concatenate([value for _, value in effects]))
    return float((sums**2).sum())


def _solved(kernel: Floats, sums: Floats) -> Floats:
    """Variances with these sums; 0 for components of which the kernel says nothing."""
    determined = np.flatnonzero(np.diag(kernel) > 0)
    found = np.zeros(len(sums))
    if len(determined):
        found[determined] = np.linalg.lstsq(
            kernel[np.ix_(determined, determined)], sums[determined], rcond=1e-9
        )[0]
    return found


def _ratio(sums: float, kernel: float) -> float:
    return sums / kernel if kernel > 0 else 0.0
