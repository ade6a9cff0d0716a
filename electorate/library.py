"""The functions of `import electorate`: tables of votes in, tables out; see docs/python.md."""

import warnings
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa

from electorate.config.metrics import METRICS
from electorate.config.run import RatingSettings
from electorate.data import vote_files
from electorate.data.votes import NamedVotes, effective
from electorate.evaluation import people, rating, user_ratings
from electorate.ratings import leaderboard
from electorate.ratings.ties import DEFAULT
from electorate.storage.tables import SetAside

if TYPE_CHECKING:
    import pandas as pd

TableT = TypeVar("TableT", "pd.DataFrame", pa.Table)


def rate(
    table: TableT,
    *,
    ties: str = DEFAULT,
    cluster: str | None = None,
    intervals: str = "sandwich",
    weigh: str = "votes",
) -> TableT:
    """Rate models by Bradley-Terry.

    Args:
        table: votes, a row each, with columns model_a, model_b and winner (model_a, model_b, tie
            or "tie (bothbad)"), and optionally user_id, prompt_id and weight. A row without
            model_b whose winner is up or down is a thumb on one answer. Invalid rows are skipped
            with a warning.
        ties: tie model: davidson, rao_kupper or half.
        cluster: what the intervals are clustered by: prompt, user, both or none; None: by what the
            table names at least ten of.
        intervals: sandwich or bootstrap.
        weigh: votes, or pairs, by which every pair of models counts alike.

    Returns:
        A table of the kind given, best model first, with columns model, rating (Elo points, mean
        1000), ci_low, ci_high (95%), rank_low, rank_high and votes.

    Raises:
        ElectorateError: a column is missing, no row is a vote, or the options do not fit the votes.

    Example:
        >>> import pandas as pd, electorate
        >>> votes = pd.DataFrame({"model_a": ["x"] * 30, "model_b": ["y"] * 30,
        ...                       "winner": ["model_a"] * 20 + ["model_b"] * 10})
        >>> electorate.rate(votes)["model"].tolist()
        ['x', 'y']
    """
    own = _votes(table, thumbs=True)
    rated = rating.fit(own, rating.Options(ties, cluster, intervals, weigh))
    for note in rated.notes:
        if not note.startswith("intervals are clustered"):
            warnings.warn(note, stacklevel=2)
    rows = leaderboard.rows(own.models, rated.fit, rating.CONFIDENCE, draws=rated.draws)
    rows.sort(key=lambda row: -row["rating"])
    return _like(table, pa.Table.from_pylist(rows))


def personal(table: TableT, *, ties: str = DEFAULT) -> TableT:
    """Rate models for every user by System A, Elo Offset.

    A user's ratings are the global ones plus its own offsets, which are drawn toward zero as far
    as the votes of all users say that users are alike.

    Args:
        table: votes as `rate` takes them, with user_id.
        ties: tie model: davidson, rao_kupper or half.

    Returns:
        A table of the kind given with a row for each user and model: user_id, model, rating (Elo
        points, mean 1000), ci_low, ci_high (95%), p_first (the probability that the model is the
        user's first) and votes (of the user).

    Raises:
        ElectorateError: a column is missing or no row is a vote.
        electorate.ratings.offsets.NotConvergedError: the fit did not converge.
    """
    own = _votes(table)
    return _like(table, user_ratings.table(own, ties))


def compare(table: TableT, *, ties: str = DEFAULT) -> TableT:
    """Compare systems by how well they predict votes that they have not seen.

    Cross-validation over prompts: 5 folds, repeated with 4 seeds. Intervals are bootstrapped over
    prompts, and gains are paired.

    Args:
        table: votes as `rate` takes them, with user_id and prompt_id.
        ties: tie model: davidson, rao_kupper or half.

    Returns:
        A table of the kind given with a row for each system and metric (log_loss, brier, accuracy,
        ece): value, ci_low, ci_high (95%); gain, gain_low, gain_high over global_bt, where positive
        is better; and converged, false where the fit failed in some fold and the global ranking
        was used there.

    Raises:
        ElectorateError: a column is missing, no row is a vote, or prompts are fewer than 5.
    """
    own = effective(_votes(table))
    prompt = people.prompts(own, "votes")
    predicted, not_converged = people.predict(own, prompt, RatingSettings(ties=ties))
    estimates, gains = people.estimates(own, prompt, predicted)
    rows = []
    for system, by_metric in estimates.items():
        for (prompts, metric), estimate in by_metric.items():
            row = {
                "system": system,
                "metric": metric,
                "value": estimate.value,
                "ci_low": estimate.ci_low,
                "ci_high": estimate.ci_high,
            }
            gain = gains.get(system, {}).get((prompts, metric))
            values = (None,) * 3 if gain is None else (gain.value, gain.ci_low, gain.ci_high)
            if gain is not None and METRICS[metric].lower_is_better:
                values = (-gain.value, -gain.ci_high, -gain.ci_low)
            row |= dict(zip(("gain", "gain_low", "gain_high"), values, strict=True))
            rows.append(row | {"converged": system not in not_converged})
    return _like(table, pa.Table.from_pylist(rows))


def _votes(table: TableT, thumbs: bool = False) -> NamedVotes:
    """The votes of a table; invalid rows are skipped with a warning."""
    arrow = table if isinstance(table, pa.Table) else _of_pandas(table)
    found, set_aside = vote_files.of_table(arrow, thumbs)
    _warn(set_aside)
    return found


def _of_pandas(table: "pd.DataFrame") -> pa.Table:
    wanted = (*vote_files.REQUIRED, *vote_files.USER, *vote_files.PROMPT, vote_files.WEIGHT)
    columns = [name for name in wanted if name in table.columns]
    return pa.Table.from_pandas(table[columns], preserve_index=False)


def _warn(set_aside: list[SetAside]) -> None:
    for line in vote_files.by_reason(set_aside):
        warnings.warn(f"skipped: {line}", stacklevel=4)


def _like(table: TableT, found: pa.Table) -> TableT:
    """A table of the kind that was given."""
    return found if isinstance(table, pa.Table) else found.to_pandas()
