"""Ground truth by the judges themselves: each persona's ranking of the answers to a prompt, at
once and by every pair.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from electorate.base.scale import Floats, Ints
from electorate.evaluation.metrics import Standing, kendall_tau
from electorate.polls import verdicts
from electorate.polls.reading import Reading, Unread
from electorate.polls.validity import Check, mean
from electorate.polls.verdicts import Judged

Readings = Sequence[Reading | Unread]


def scores(
    at_once: Readings, shown: Sequence[Ints], pairs: Judged, contestants: int
) -> tuple[Floats, Floats]:
    """(groups, M) scores by each way, of groups of one persona and prompt; NaN where a question of
    the group was not read.
    """
    odds = pairs.odds.reshape(-1, contestants * (contestants - 1) // 2, 3)
    return verdicts.listwise(at_once, shown, contestants), verdicts.expected_wins(odds, contestants)


def agreement(
    judge: str, listwise: Floats, round_robin: Floats, strength: Floats, persona: Ints
) -> list[Check]:
    """Kendall's tau between the two ways, and of each with the leaderboard of the votes.

    persona: (groups,).
    """
    whole = np.flatnonzero(~np.isnan(listwise.sum(axis=1) + round_robin.sum(axis=1)))
    if not len(whole):
        return []
    one = Standing(listwise[whole])
    other = Standing(round_robin[whole])
    board = Standing(np.broadcast_to(strength, listwise[whole].shape))
    return [
        mean(
            "ranked at once and by pairs, Kendall tau",
            judge,
            kendall_tau(one, other),
            persona[whole],
            0.0,
            "chance",
        ),
        mean(
            "ranked at once and the leaderboard, Kendall tau",
            judge,
            kendall_tau(one, board),
            persona[whole],
            0.0,
            "chance",
        ),
        mean(
            "ranked by pairs and the leaderboard, Kendall tau",
            judge,
            kendall_tau(other, board),
            persona[whole],
            0.0,
            "chance",
        ),
    ]


def table(
    judge: str,
    user_id: Ints,
    prompts: Ints,
    contestants: Sequence[str],
    listwise: Floats,
    round_robin: Floats,
) -> pa.Table:
    """The rows of rankings.parquet: personas x prompts groups, M rows each. user_id and
    prompts: those of each group.
    """
    groups, models = listwise.shape
    columns = {
        "judge": [judge] * (groups * models),
        "user_id": np.repeat(user_id, models),
        "prompt_id": np.repeat(prompts, models),
        "model": list(contestants) * groups,
    }
    for name, values in (("listwise", listwise), ("round_robin", round_robin)):
        ranks = np.where(
            np.isnan(values), np.nan, (values[:, None, :] > values[:, :, None]).sum(axis=2) + 1.0
        )
        columns |= {f"{name}_score": values.ravel(), f"{name}_rank": ranks.ravel()}
    return pa.table({name: pa.array(column, from_pandas=True) for name, column in columns.items()})
