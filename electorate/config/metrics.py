"""The metrics of the comparison: what each is, which way is better, and how it is computed.

What `compute` takes hangs on what the metric is `of`:

- "ranking": two `electorate.evaluation.metrics.Standing`, the system's and the true one.
- "subsets": the same, and subsets of the models (S, 6).
- "votes": none, as such a metric is of people's votes alone.
- "odds": a `electorate.evaluation.predictions.Prediction` and the true odds (n, pairs, 3).

Each returns an array (n,), one value a user. Metrics of a ranking are computed on the ranking over
all prompts and on each unseen prompt, the others on unseen prompts alone.

Of people's votes there is no truth but how they were cast: `of_votes` is a function like those of
electorate/evaluation/vote_metrics.py.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from electorate.base.registry import Registry

OVERALL = "overall"
UNSEEN = "unseen"


@dataclass(frozen=True)
class MetricSpec:
    """A metric.

    Attributes:
        name: in tables and the API.
        label: in sentences.
        of: what it is computed from; see above. "users": from all users at once, by intervals.py.
        compute: see above; None for "users" and "votes".
        of_votes: how it is computed from people's votes; None: it is not.
        lower_is_better: whether it is a loss.
        digits: printed after the point.
        columns: where the table that a run ends with shows it: (prompts, heading).
        compared: whether the report prints a system's gain in it over what it has to beat, and a
            sweep says who wins in it.
        curves: what the report draws over votes a user: (prompts, "value", or "gain" over
            global_bt). The page draws the values of a metric with any.
        unit: of its values.
    """

    name: str
    label: str
    of: Literal["ranking", "subsets", "odds", "users", "votes"]
    compute: str | Callable[..., Any] | None
    of_votes: str | Callable[..., Any] | None = None
    lower_is_better: bool = False
    digits: int = 3
    columns: tuple[tuple[str, str], ...] = ()
    compared: bool = False
    curves: tuple[tuple[str, Literal["value", "gain"]], ...] = ()
    unit: str = ""

    def title(self, prompts: str, gain: bool = False) -> str:
        """What a plot or table of it on these prompts is called."""
        name = self.label[0].upper() + self.label[1:]
        over = " against global_bt" if gain else ""
        unit = f", {self.unit}" if self.unit else ""
        return f"{name}{over}{unit}, {_OF_PROMPTS[prompts]}"


_OF_PROMPTS = {OVERALL: "overall ranking", UNSEEN: "unseen prompts"}
_RANKING = "electorate.evaluation.metrics:"
_ODDS = "electorate.evaluation.predictions:"
_VOTES = "electorate.evaluation.vote_metrics:"
# Regret leads: top-1 saturates, and a rank may be wrong at no cost.
METRICS: Registry[MetricSpec] = Registry(
    "metric",
    MetricSpec(
        "regret",
        "regret",
        "ranking",
        _RANKING + "regret",
        lower_is_better=True,
        digits=1,
        columns=((UNSEEN, "regret"),),
        compared=True,
        curves=((UNSEEN, "gain"),),
        unit="Elo",
    ),
    MetricSpec(
        "regret_of_6",
        "regret of 6",
        "subsets",
        _RANKING + "subset_regret",
        lower_is_better=True,
        digits=1,
        columns=((UNSEEN, "of 6"),),
    ),
    MetricSpec(
        "kendall_tau",
        "Kendall tau",
        "ranking",
        _RANKING + "kendall_tau",
        columns=((OVERALL, "kendall tau"), (UNSEEN, "prompt tau")),
        compared=True,
        curves=((OVERALL, "value"),),
    ),
    MetricSpec(
        "spearman_rho",
        "Spearman rho",
        "ranking",
        _RANKING + "spearman_rho",
        columns=((OVERALL, "spearman"),),
    ),
    MetricSpec(
        "ranking_accuracy",
        "ranking accuracy",
        "ranking",
        _RANKING + "ranking_accuracy",
        columns=((OVERALL, "rank acc"),),
    ),
    MetricSpec(
        "top1_accuracy",
        "top-1 accuracy",
        "ranking",
        _RANKING + "top1_accuracy",
        columns=((OVERALL, "top-1"),),
    ),
    MetricSpec(
        "top3_accuracy",
        "top-3 accuracy",
        "ranking",
        _RANKING + "top3_accuracy",
        columns=((OVERALL, "top-3"),),
    ),
    MetricSpec(
        "log_loss",
        "log loss",
        "odds",
        _ODDS + "log_loss",
        _VOTES + "log_loss",
        lower_is_better=True,
        columns=((UNSEEN, "log loss"),),
        compared=True,
        curves=((UNSEEN, "gain"),),
    ),
    MetricSpec(
        "brier", "Brier score", "odds", _ODDS + "brier", _VOTES + "brier", lower_is_better=True
    ),
    MetricSpec("accuracy", "accuracy", "votes", None, _VOTES + "accuracy"),
    MetricSpec(
        "pair_accuracy",
        "pair accuracy",
        "votes",
        None,
        _VOTES + "pair_accuracy",
        curves=((UNSEEN, "gain"),),
    ),
    MetricSpec("ece", "calibration error", "users", None, lower_is_better=True),
)


def of_peoples_votes() -> list[MetricSpec]:
    """Those that people's votes are compared by."""
    return [spec for spec in METRICS.values() if spec.of_votes or spec.name == "ece"]


def curves() -> list[tuple[str, str, str, str]]:
    """What is drawn over votes a user: title, "value" or "gain", prompts and metric of each."""
    return [
        (spec.title(prompts, gain=kind == "gain"), kind, prompts, spec.name)
        for spec in METRICS.values()
        for prompts, kind in spec.curves
    ]


def gain(metric: str, value: float, baseline: float) -> float:
    """How much better `value` is than `baseline`; positive is better."""
    difference = value - baseline
    return -difference if METRICS[metric].lower_is_better else difference
