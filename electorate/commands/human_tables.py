"""What `human` prints: the verdict, the comparison, and the learning curve of a new user."""

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from electorate.config.metrics import UNSEEN
from electorate.data.votes import Votes
from electorate.evaluation import people
from electorate.evaluation.intervals import Estimate
from electorate.evaluation.people import BASELINE, FOLDS, SEEDS, Compared, NotConverged

SYSTEM_A = "elo_offset"
LOG_LOSS = (UNSEEN, "log_loss")
PAIR_ACCURACY = (UNSEEN, "pair_accuracy")


def show(
    votes: Votes,
    whole: Compared,
    curve: list[Compared],
    ties: str,
    console: Console,
) -> None:
    """Print it all, the verdict first."""
    console.print(verdict(whole, curve), highlight=False, soft_wrap=True)
    cast = f"{len(votes):,} votes of {len(np.unique(votes.users)):,} people"
    title = f"{cast}, {FOLDS} folds that share no prompt, {SEEDS} fold seeds, ties: {ties}"
    _comparison(whole, title, console)
    _not_converged(whole.not_converged, FOLDS * SEEDS, console)
    if curve:
        _curve(curve, console)
        failed = {
            name: why for one in curve for name, why in one.not_converged.items() if one.known == 0
        }
        _not_converged(failed, len(people.newcomer_folds(votes)), console)


def verdict(whole: Compared, curve: list[Compared]) -> str:
    """Whether System A predicts better than the global ranking, by how much, from when on."""
    gain = whole.gains[SYSTEM_A][LOG_LOSS]
    by = f"log loss {_signed(gain)}"
    if gain.ci_low > 0:
        return f"No: System A predicts these people worse than the global ranking: {by}"
    if gain.ci_high >= 0:
        return (
            f"Not known yet: the interval of System A's gain over the global ranking holds 0: {by}"
        )
    better = f"System A predicts these people better than the global ranking: {by}"
    pairs = whole.gains[SYSTEM_A].get(PAIR_ACCURACY)
    if pairs is not None and pairs.ci_low <= 0:
        return (
            f"In part: {better}, but its rankings are not seen to pick more winners "
            f"({_points(pairs)} of 100 pairs): the gain is in the odds, such as each person's own "
            "tie rate, not in the order of the models"
        )
    picked = "" if pairs is None else f", {_points(pairs)} more winners picked of 100 pairs"
    return f"Yes: {better}{picked}{_since(curve)}"


def _since(curve: list[Compared]) -> str:
    """From how many votes of their own on a new user gains, for good."""
    known = [one.known or 0 for one in curve]
    if not known:
        return ""
    without = [k for k, one in zip(known, curve, strict=True) if not _gains(one)]
    since = [k for k in known if not without or k > without[-1]]
    if not since:
        return f". A new user gains nothing yet by {known[-1]} votes of their own"
    return f". A new user gains from {since[0]} votes of their own on"


def _gains(one: Compared) -> bool:
    return one.gains[SYSTEM_A][LOG_LOSS].ci_high < 0


def _points(gain: Estimate) -> str:
    return f"{100 * gain.value:+.1f} [{100 * gain.ci_low:+.1f}, {100 * gain.ci_high:+.1f}]"


def _signed(gain: Estimate) -> str:
    return f"{gain.value:+.4f} [{gain.ci_low:+.4f}, {gain.ci_high:+.4f}]"


def _comparison(whole: Compared, title: str, console: Console) -> None:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("system", no_wrap=True)
    for heading in ("log loss", f"over {BASELINE}", "pair acc", "accuracy", "brier", "ece"):
        table.add_column(heading, justify="right")
    for name, by_key in whole.estimates.items():
        gain = whole.gains.get(name, {}).get(LOG_LOSS)
        values = {metric: f"{e.value:.4f}" for (_, metric), e in by_key.items()}
        table.add_row(
            f"{name} *" if name in whole.not_converged else name,
            values["log_loss"],
            "" if gain is None else _signed(gain),
            *(values.get(metric, "") for metric in ("pair_accuracy", "accuracy", "brier", "ece")),
        )
    console.print(table)


def _curve(curve: list[Compared], console: Console) -> None:
    title = "a new user, to whose votes nothing was fitted, by how many of their votes are known"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("votes known", justify="right")
    table.add_column(f"{BASELINE} log loss", justify="right")
    systems = [name for name in curve[0].estimates if name != BASELINE]
    for name in systems:
        table.add_column(f"{name} over it", justify="right")
    for one in curve:
        base = f"{one.estimates[BASELINE][LOG_LOSS].value:.4f}"
        table.add_row(str(one.known), base, *(_signed(one.gains[s][LOG_LOSS]) for s in systems))
    console.print(table)


def _not_converged(failed: NotConverged, fits: int, console: Console) -> None:
    for name, why in failed.items():
        line = f"* {name} has the global ranking's odds in {len(why)} of {fits} folds: {why[0]}"
        console.print(line, highlight=False, soft_wrap=True)
