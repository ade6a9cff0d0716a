"""What a study of people's votes prints: the verdict, the comparison, and the learning curve of a
new user.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from electorate.base.scale import Ints
from electorate.commands import beliefs, next_step
from electorate.commands.people_verdict import signed, two_systems
from electorate.config.metrics import of_peoples_votes
from electorate.config.systems import SYSTEMS
from electorate.evaluation.intervals import Estimate, Key
from electorate.evaluation.people import (
    FOLDS,
    LOG_LOSS,
    Compared,
    NotConverged,
)
from electorate.evaluation.results import NOT_CONVERGED
from electorate.evaluation.two_systems import BASELINE, BOTH, SYSTEM_A
from electorate.evaluation.who_gains import MATTERS, Gains
from electorate.storage import files
from electorate.storage.run_folder import RunFolder

# Rows that know how a user votes, and not what it likes.
CONTROLS = {
    "personal_ties": "own tie rates alone",
    "personal_decisiveness": "own decisiveness alone",
    "personal_position": "own position bias alone",
}
GROUPS = pa.schema(
    [
        ("group", pa.string()),
        ("votes", pa.int64()),
        ("users", pa.int64()),
        ("metric", pa.string()),
        *((name, pa.float64()) for name in ("value", "ci_low", "ci_high")),
    ]
)
Row = dict[str, Any]


def show(folder: RunFolder, console: Console) -> None:
    """Print what a finished study of people's votes found, the answer first, and what to try
    next.
    """
    manifest = folder.read_manifest()
    whole, curve = compared(folder)
    console.print(f"{manifest['verdict']}", highlight=False, soft_wrap=True)
    cast = f"{manifest['rows']:,} votes of {manifest['users']:,} people"
    seeds = manifest["fold_seeds"]
    folds = f"{FOLDS} folds that share no prompt, {seeds} fold seed{'s' * (seeds > 1)}"
    if both := two_systems(whole):
        console.print(_two_systems(both))
    _comparison(whole, f"{cast}, {folds}, ties: {manifest['ties']}", console)
    _not_converged(whole.not_converged, FOLDS * seeds, console)
    for line in controls_lines(whole):
        console.print(line, highlight=False, soft_wrap=True)
    if curve:
        _curve(curve, console)
    if manifest.get("ahead"):
        console.print(manifest["ahead"], highlight=False, soft_wrap=True)
    beliefs.beside(Path(manifest["votes"]).parent, console)
    gains = [manifest["who_gains"]] if "who_gains" in manifest else []
    found = [*groups_lines(folder), *gains, *manifest.get("first_place", ())]
    for line in (*found, *findings_lines(folder), *_places(folder)):
        console.print(line, highlight=False, soft_wrap=True)
    steps = [f"electorate serve {folder.path}    (these rankings over HTTP by name, and a page)"]
    if BOTH not in whole.estimates:
        text = f"human {manifest['votes']} --reward configs/people.yaml --out {folder.path}-text"
        steps.append(f"electorate {text}    (does reading the answers help?)")
    next_step.tell(console, *steps)


def compared(folder: RunFolder) -> tuple[Compared, list[Compared]]:
    """The comparison and the learning curve, from a finished study's tables."""
    why: NotConverged = folder.read_manifest()["not_converged"]
    metrics = by_system(files.read_table(folder.metrics).to_pylist())
    gains = by_system(files.read_table(folder.gains).to_pylist())

    def at(users: str, known: int | None) -> Compared:
        own, gain = (
            [r for r in rows if r["users"] == users and known in (None, r["votes_per_user"])]
            for rows in (metrics, gains)
        )
        over = {
            baseline: _estimates([row for row in gain if row["baseline"] == baseline])
            for baseline in dict.fromkeys([BASELINE, *(row["baseline"] for row in gain)])
        }
        failed = {row["system"]: [NOT_CONVERGED] for row in own if row["version"]}
        return Compared(
            known, _estimates(own), over.pop(BASELINE), why if known is None else failed, over
        )

    points = sorted({row["votes_per_user"] for row in metrics if row["users"] == "unseen"})
    return at("seen", None), [at("unseen", known) for known in points]


def by_system(rows: Sequence[Row]) -> list[Row]:
    """The rows of a table in the order in which systems are declared, whatever their order."""
    place = {name: i for i, name in enumerate(SYSTEMS)}
    return sorted(rows, key=lambda row: (place.get(row["system"], len(place)), row["system"]))


def _estimates(rows: Sequence[Row]) -> dict[str, dict[Key, Estimate]]:
    found = dict[str, dict[Key, Estimate]]()
    for row in rows:
        estimate = Estimate(row["value"], row["ci_low"], row["ci_high"], row["n_users"])
        found.setdefault(row["system"], {})[row["prompts"], row["metric"]] = estimate
    return found


def gains_line(gains: Gains, rate: float) -> str:
    """Who gains from System A, in words.

    rate: the false discovery rate of those who are said to.
    """
    users = len(gains.mean)
    low = gains.overall - 1.96 * gains.overall_sd
    high = gains.overall + 1.96 * gains.overall_sd
    return (
        f"{int(gains.gainers(rate).sum()):,} of {users:,} people are said to gain {MATTERS} nats a "
        f"vote or more from System A by their own held-out votes, "
        f"{int(gains.losers(rate).sum()):,} to lose as much (at most {rate:.0%} of either by "
        f"mistake); on average {gains.overall:+.3f} [{low:+.3f}, {high:+.3f}] nats a "
        f"vote, and people's gains are {gains.spread:.3f} apart (sd)"
    )


def groups_table(found: Mapping[str, tuple[int, int, dict[Key, Estimate]]]) -> pa.Table:
    """A row a value and metric: System A's gain over the global ranking, the most votes first."""
    rows = [
        {
            "group": group,
            "votes": votes,
            "users": users,
            "metric": metric,
            "value": gain.value,
            "ci_low": gain.ci_low,
            "ci_high": gain.ci_high,
        }
        for group, (votes, users, gains) in found.items()
        for (_, metric), gain in gains.items()
    ]
    return pa.Table.from_pylist(rows, schema=GROUPS)


def groups_lines(folder: RunFolder) -> list[str]:
    """The gains in log loss by the values of a column, in words; nothing where none was named."""
    if not folder.by_group.exists():
        return []
    rows = [
        row for row in files.read_table(folder.by_group).to_pylist() if row["metric"] == "log_loss"
    ]
    return [
        f"{row['group']}: {row['value']:+.4f} [{row['ci_low']:+.4f}, {row['ci_high']:+.4f}] over "
        f"the global ranking in log loss ({row['votes']:,} votes of {row['users']:,} people)"
        for row in rows
        if row["metric"] == "log_loss"
    ]


def gains_table(gains: Gains, names: Sequence[str], votes: Ints, rate: float) -> pa.Table:
    """A row a user: gain and sd (nats a vote), p_gain, the chance that it is MATTERS or more, and
    what is said of it.

    names: (users,). votes: (users,) how many each has.
    """
    judgement = np.select(
        [gains.gainers(rate), gains.losers(rate)], ["gains", "loses"], "not known"
    )
    columns = {
        "user_id": list(names),
        "votes": votes,
        "gain": gains.mean,
        "sd": gains.sd,
        "p_gain": 1 - gains.no_gain.mean(axis=1),
        "said": judgement.tolist(),
    }
    return pa.table(columns)


def findings_lines(folder: RunFolder) -> list[str]:
    """Who differs from the global ranking, and who votes without looking; nothing where System A
    did not converge.
    """
    if not folder.findings.exists():
        return []
    found = json.loads(folder.findings.read_text(encoding="utf-8"))
    conduct = found["conduct"]
    users = f"{conduct['users']:,} people"
    first = found["differ"]["first"]
    return [
        f"{first['said_to_differ']:,} of {users} are said to differ from the global ranking in "
        f"their first model (false discovery rate {first['expected_fdr']:.0%} expected, at most "
        f"{first['nominal_fdr']:.0%} asked for)",
        f"{conduct['suspects']:,} of {users} look as if they voted without looking, or against "
        "their own taste",
    ]


def _places(folder: RunFolder) -> list[str]:
    """Where the results are."""
    own = [f"everybody's own ratings: {folder.people}"] if folder.people.exists() else []
    report = [f"report: {folder.report}"] if folder.report.exists() else []
    return [*own, *report, f"folder: {folder.path}"]


def controls_lines(whole: Compared) -> list[str]:
    """How much of System A's gain could be had without moving anybody's ranking; nothing of
    studies that were compared before there were such rows.
    """
    there = {name: what for name, what in CONTROLS.items() if name in whole.gains}
    if not there:
        return []
    parts = [f"{what} {signed(whole.gains[name][LOG_LOSS])}" for name, what in there.items()]
    return [
        "controls that change nobody's ranking, log loss over the global ranking: "
        f"{', '.join(parts)}; System A {signed(whole.gains[SYSTEM_A][LOG_LOSS])}"
    ]


def _two_systems(found: Sequence[tuple[str, ...]]) -> Table:
    """Systems A and B beside the global ranking."""
    title = "Systems A and B on held-out votes"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for i, heading in enumerate(found[0]):
        table.add_column(heading, justify="right" if i else "left", no_wrap=True)
    for row in found[1:]:
        table.add_row(*row)
    return table


def _comparison(whole: Compared, title: str, console: Console) -> None:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("system", no_wrap=True)
    loss, *others = of_peoples_votes()
    for heading in (loss.label, f"over {BASELINE}", *(spec.label for spec in others)):
        table.add_column(heading, justify="right")
    for name, by_key in whole.estimates.items():
        gain = whole.gains.get(name, {}).get(LOG_LOSS)
        values = {metric: f"{e.value:.4f}" for (_, metric), e in by_key.items()}
        table.add_row(
            f"{name} *" if name in whole.not_converged else name,
            values[loss.name],
            "" if gain is None else signed(gain),
            *(values.get(spec.name, "") for spec in others),
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
        cells = (signed(one.gains[s][LOG_LOSS]) + " *" * (s in one.not_converged) for s in systems)
        table.add_row(str(one.known), base, *cells)
    console.print(table)
    if any(one.not_converged for one in curve):
        line = "* in some of its fits it has the global ranking's odds, as they did not converge"
        console.print(line, highlight=False)


def _not_converged(failed: NotConverged, fits: int, console: Console) -> None:
    for name, why in failed.items():
        line = f"* {name} has the global ranking's odds in {len(why)} of {fits} folds: {why[0]}"
        console.print(line, highlight=False, soft_wrap=True)
