"""What simulated voters must have in common with the people they stand for: shares of votes and
correlations, all between -1 and 1.
"""

import numpy as np

from electorate.base.scale import Floats, Ints
from electorate.calibration.design import Design
from electorate.calibration.moments import Global

FEWEST = 30  # battles that two votes were cast on
FEWEST_OF_USER = 10
NAMES = (
    "two voters agree on a battle",
    "two voters agree where both decide",
    "a voter agrees with itself on the same battle",
    "ties",
    "spread of voters' shares of ties",
    "a voter's halves agree on models",
    "the first shown wins",
    "spread of models' win rates",
)


def measure(design: Design, at: Global) -> Floats:
    """(len(NAMES),) of the votes; NaN where they do not tell.

    Args:
        at: the votes' global fit.
    """
    battle, outcome = _battles(design)
    by_voter = battle * design.users + design.user
    # Another's vote: one of each voter a battle.
    _, one_each = np.unique(by_voter, return_index=True)
    return np.array(
        [
            _two_agree(battle[one_each], outcome[one_each]),
            decisive_agreement(design),
            _two_agree(by_voter, outcome),
            float((design.outcome == 2).mean()),
            _tie_spread(design),
            _halves(design, at.score),
            _first_wins(design),
            _win_spread(design),
        ]
    )


def decisive_agreement(design: Design) -> float:
    """The chance that two voters who prefer a response on one battle prefer the same one."""
    battle, outcome = _battles(design)
    _, one_each = np.unique(battle * design.users + design.user, return_index=True)
    decided = one_each[outcome[one_each] < 2]
    return _two_agree(battle[decided], outcome[decided])


def distance(people: Floats, simulated: Floats) -> float:
    """By how much the statistics differ on average, of those that both know.

    Args:
        people: (len(NAMES),).
        simulated: (simulations, len(NAMES)).
    """
    known = ~np.isnan(people) & ~np.isnan(simulated).all(axis=0)
    mean = np.nanmean(simulated[:, known], axis=0)
    return float(np.abs(people[known] - mean).mean())


def _battles(design: Design) -> tuple[Ints, Ints]:
    """(n,) which battle, whichever side the models stood on, and its outcome by the lower model."""
    models = len(design.models)
    low = np.minimum(design.a, design.b)
    high = np.maximum(design.a, design.b)
    turned = (design.a != low) & (design.outcome < 2)
    outcome = np.where(turned, 1 - design.outcome, design.outcome)
    return (design.prompt * models + low) * models + high, outcome


def _two_agree(battle: Ints, outcome: Ints) -> float:
    """The chance that two outcomes of one battle are equal."""
    _, of = np.unique(battle, return_inverse=True)
    counts = np.zeros((int(of.max(initial=-1)) + 1, 3))
    np.add.at(counts, (of, outcome), 1)
    total = counts.sum(axis=1)
    pairs = (total * (total - 1)).sum()
    if np.count_nonzero(total > 1) < FEWEST:
        return float("nan")
    return float((counts * (counts - 1)).sum() / pairs)


def _tie_spread(design: Design) -> float:
    """The sd of users' shares of ties, of users with enough votes."""
    cast = np.bincount(design.user, minlength=design.users)
    tied = np.bincount(design.user, design.outcome == 2, design.users)
    enough = cast >= FEWEST_OF_USER
    return float((tied[enough] / cast[enough]).std()) if enough.sum() > 1 else float("nan")


def _halves(design: Design, score: Floats) -> float:
    """The correlation, over users and models, of what a user's votes on half of the prompts and on
    the other half say more of a model than the global ranking does.
    """
    models = len(design.models)
    size = design.users * models
    halves = []
    seen = []
    for half in (0, 1):
        rows = np.flatnonzero(design.prompt % 2 == half)
        cells = np.concatenate([design.user[rows] * models + m[rows] for m in (design.a, design.b)])
        halves.append(np.bincount(cells, np.concatenate([score[rows], -score[rows]]), size))
        seen.append(np.bincount(cells, minlength=size) > 0)
    both = seen[0] & seen[1]
    if both.sum() < FEWEST or halves[0][both].std() == 0 or halves[1][both].std() == 0:
        return float("nan")
    return float(np.corrcoef(halves[0][both], halves[1][both])[0, 1])


def _first_wins(design: Design) -> float:
    rows = np.flatnonzero((design.first_shown >= 0) & (design.outcome < 2))
    if len(rows) < FEWEST:
        return float("nan")
    return float((design.outcome[rows] == design.first_shown[rows]).mean())


def _win_spread(design: Design) -> float:
    """The sd of models' shares of points, a tie being half."""
    points = np.choose(design.outcome, (1.0, 0.0, 0.5))
    models = len(design.models)
    won = np.bincount(design.a, points, models) + np.bincount(design.b, 1 - points, models)
    battles = np.bincount(design.a, minlength=models) + np.bincount(design.b, minlength=models)
    rate = won[battles > 0] / battles[battles > 0]
    return float(rate.std())
