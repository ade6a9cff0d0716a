"""A comparison as files, and as the table a run ends with."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from electorate import config_file
from electorate.census import SAME_ORDER
from electorate.evaluation.agreement import PEOPLE
from electorate.evaluation.scoring import OVERALL, UNSEEN
from electorate.rewards import store
from electorate.storage import files
from electorate.storage.run_folder import Manifest, RunFolder
from simulations.evaluate import EVERYONE, Comparison
from simulations.report.official import beside
from simulations.report.results import Values, at_last, last_rows, of_users

# heading, prompts, metric, digits. Regret leads: top-1 saturates, and a rank may be wrong at no cost.
COLUMNS = (
    ("regret", UNSEEN, "regret", 1),
    ("of 6", UNSEEN, "regret_of_6", 1),
    ("kendall tau", OVERALL, "kendall_tau", 3),
    ("spearman", OVERALL, "spearman_rho", 3),
    ("rank acc", OVERALL, "ranking_accuracy", 3),
    ("top-1", OVERALL, "top1_accuracy", 3),
    ("top-3", OVERALL, "top3_accuracy", 3),
    ("prompt tau", UNSEEN, "kendall_tau", 3),
    ("log loss", UNSEEN, "log_loss", 3),
)
REGRET = "regret: Elo points lost on an unseen prompt by taking the system's first model"
OF_SIX = "; of 6: from six models at random"
BEATEN = {
    "hybrid": ("elo_offset", "segment_bt", "pooled_hybrid", "segment_hybrid", "ratings_only"),
    "low_rank_rm": ("pooled_rm", "segment_rm"),
    "prompt_head": ("elo_offset", "segment_bt"),
}
LOWER_IS_BETTER = {"regret", "regret_of_6", "log_loss"}


def write(folder: RunFolder, comparison: Comparison, manifest: Manifest) -> None:
    """metrics.parquet, gains.parquet, the leaderboard, summary.json, and what the manifest says of the judge."""
    files.write_table(folder.metrics, comparison.metrics)
    files.write_table(folder.gains, comparison.gains)
    files.write_table(folder.leaderboard, comparison.leaderboard)
    files.write_table(folder.calibration, comparison.calibration)
    files.write_table(folder.orders, comparison.orders)
    files.write_text(folder.summary, json.dumps(_summary(folder), indent=2) + "\n")
    manifest["judge"] = {"simulated": asdict(comparison.agreement), "people": asdict(PEOPLE)}
    files.write_text(folder.findings, json.dumps(comparison.findings, indent=2) + "\n")
    manifest["spread"] = comparison.spread


def show(folder: RunFolder, console: Console) -> None:
    """Print the comparison table of a finished run, and where its report lies."""
    gains, config = of_users(folder.gains), config_file.load(folder.config)
    values, manifest = at_last(folder), folder.read_manifest()
    any_row = next(iter(values.values()))
    who = f"{any_row['n_users']:,} personas compared" if config.evaluation.persona is None else f"one {config.evaluation.persona}"
    title = f"{any_row['votes_per_user']} votes a persona, {who}"
    if config.evaluation.persona is not None:
        console.print(_two_systems(values, title))
    console.print(_all_systems(values, config.evaluation.systems, title))
    console.print(legend(values), highlight=False, soft_wrap=True)
    for row in last_rows(gains, segment=EVERYONE, baseline="global_bt", prompts=OVERALL, metric="kendall_tau"):
        if not row["system"].startswith("oracle"):
            console.print(f"{row['system']}: {_interval(row)} Kendall tau over global_bt", highlight=False, soft_wrap=True)
    for line in [*newcomer_lines(folder), *reward_lines(folder), *findings_lines(read_findings(folder))]:
        console.print(line, highlight=False, soft_wrap=True)
    official = beside(folder)
    if official.rho is not None:
        told = f"Spearman's rho of everyone's leaderboard with the official Chatbot Arena's: {official.rho:.3f} ({official.rated} models)"
        console.print(told, highlight=False, soft_wrap=True)
    if "arena" in config.evaluation.systems and not any(system == "arena" for system, _, _ in values):
        console.print("arena is blank: some contestants have no official Chatbot Arena rating.", highlight=False)
    console.print(judge_line(manifest), highlight=False, soft_wrap=True)
    console.print(f"report: {folder.report}", highlight=False, soft_wrap=True)


def newcomer_lines(folder: RunFolder) -> list[str]:
    """What rankings gain for users whose votes nothing was fitted to, beside what they gain for those who took part."""
    lines, gains = list[str](), {users: of_users(folder.gains, users) for users in ("unseen", "seen")}
    for system in ("elo_offset", "hybrid", "prompt_head"):
        rows = {
            (users, prompts, metric): row
            for users, table in gains.items()
            for prompts, metric in ((OVERALL, "kendall_tau"), (UNSEEN, "regret"))
            for row in last_rows(table, system=system, baseline="global_bt", segment=EVERYONE, prompts=prompts, metric=metric)
        }
        if ("unseen", UNSEEN, "regret") in rows:
            tau, regret = ([rows[users, *of] for users in ("unseen", "seen")] for of in ((OVERALL, "kendall_tau"), (UNSEEN, "regret")))
            who = f"{tau[0]['n_users']} newcomers, to whose votes nothing was fitted"
            lines.append(
                f"{system} over global_bt for {who}: {_interval(tau[0])} Kendall tau ({tau[1]['value']:+.3f} for those who voted), "
                f"{_interval(regret[0], 1)} Elo of regret ({regret[1]['value']:+.1f})"
            )
    return lines


def reward_lines(folder: RunFolder) -> list[str]:
    """What System B gains over the systems it has to beat, on unseen prompts; nothing where it was not trained."""
    values, gains = at_last(folder), of_users(folder.gains)

    def over(system: str, baseline: str, metric: str) -> str | None:
        rows = last_rows(gains, system=system, baseline=baseline, segment=EVERYONE, prompts=UNSEEN, metric=metric)
        return None if not rows else f"{_interval(rows[0])} {'Kendall tau' if metric == 'kendall_tau' else metric.replace('_', ' ')}"

    lines = []
    for system, beaten in BEATEN.items():
        for baseline in beaten:
            found = [text for metric in ("kendall_tau", "regret", "log_loss") if (text := over(system, baseline, metric))]
            if found:
                lines.append(f"{system} over {baseline}, unseen prompts: {', '.join(found)}")
    for form, simpler in folder.read_manifest()["stages"].get("reward", {}).get("gives", {}).items():
        lines.append(f"{form} gives the rankings of {simpler}: it predicts votes on held-out prompts no better")
    lines += _version_lines(folder)
    reached = [values.get((system, UNSEEN, "kendall_tau")) for system in ("elo_offset", "hybrid", "oracle_features")]
    if all(reached) and any(system == "hybrid" for system, _, _ in values):
        low, own, high = (row["value"] for row in reached if row)
        lines.append(f"hybrid closes {(own - low) / (high - low):.0%} of the distance in Kendall tau from elo_offset to oracle_features")
    return lines


def _version_lines(folder: RunFolder) -> list[str]:
    """Where a later training was not promoted."""
    checkpoints, versions = config_file.load(folder.config).votes.checkpoints, store.read_versions(folder)
    return [
        f"System B's rankings at {checkpoints[round_]} votes are those trained at {checkpoints[version]}: what was trained later "
        "predicts held-out votes no better"
        for round_, version in versions.items()
        if round_ != version
    ]


def columns(values: Values) -> list[tuple[str, str, str, int]]:
    """The columns of the table that this run has values for: with six models or fewer there are no subsets of six."""
    return [column for column in COLUMNS if any(key[1:] == (column[1], column[2]) for key in values)]


def legend(values: Values) -> str:
    """What the table's first columns are."""
    return REGRET + (OF_SIX if any(metric == "regret_of_6" for _, _, metric in values) else "")


def _all_systems(values: Values, systems: Sequence[str], title: str) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("system", no_wrap=True)
    shown = columns(values)
    for heading, *_ in shown:
        table.add_column(heading, justify="right", min_width=5)
    for system in systems:
        table.add_row(system, *(_cell(values.get((system, prompts, metric)), digits) for _, prompts, metric, digits in shown))
    return table


def _two_systems(values: Values, title: str) -> Table:
    """A single persona's global baseline beside System A: every metric, the improvement, and who wins."""
    there = {system for system, _, _ in values}
    baseline = "arena" if "arena" in there else "global_bt"
    table = Table(title=f"{title}, {baseline} and System A", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("metric", no_wrap=True)
    for heading in (baseline, "elo_offset", "improvement", "winner"):
        table.add_column(heading, justify="right")
    for heading, prompts, metric, digits in columns(values):
        pair = [values.get((system, prompts, metric)) for system in (baseline, "elo_offset")]
        if pair[0] is None or pair[1] is None:
            continue
        gained = (pair[1]["value"] - pair[0]["value"]) * (-1 if metric in LOWER_IS_BETTER else 1)
        level = abs(gained) < 0.5 * 10.0**-digits
        winner = "tie" if level else "elo_offset" if gained > 0 else baseline
        table.add_row(heading, *(_cell(row, digits) for row in pair), f"{0.0 if level else gained:+.{digits}f}", winner)
    return table


def read_findings(folder: RunFolder) -> dict[str, Any]:
    """What was found about everybody; empty where System A's low-rank form was not rated."""
    found: dict[str, Any] = json.loads(folder.findings.read_text(encoding="utf-8")) if folder.findings.exists() else {}
    return found


def findings_lines(found: dict[str, Any]) -> list[str]:
    """The findings as sentences."""
    if not found:
        return []
    what = {"order": f"in order (Kendall tau below {SAME_ORDER})", "first": "in their first model"}
    lines = []
    for name, differ in found["differ"].items():
        power = "" if differ["power"] is None else f", {differ['power']:.0%} of those who do"
        lines.append(
            f"{differ['said_to_differ']:,} of {differ['users']:,} personas are said to differ from the global ranking {what[name]}: "
            f"false discoveries {differ['realised_fdr']:.1%} by the planted truth ({differ['nominal_fdr']:.0%} allowed){power}"
        )
    conduct, noise = found["conduct"], found["noise"]
    line = f"{conduct['suspects']:,} of {conduct['users']:,} personas vote as if they did not look, or against their own taste"
    planted = [kind for kind in ("careless", "adversarial") if conduct[kind]]
    lines.append(line + "".join(f"; {conduct[kind]:,} {kind} ones were planted, AUC {conduct[f'{kind}_auc']:.3f}" for kind in planted))
    if planted:
        away = {name: max(abs(row[name] - row["sincere"]) for row in found["leaderboards"]) for name in ("all", "without_suspects")}
        lines.append(
            f"the leaderboard of the sincere alone is missed by up to {away['all']:.1f} Elo with all votes, "
            f"and by {away['without_suspects']:.1f} without the suspects'"
        )
    lines.append(
        f"rankings from two halves of a persona's votes have Kendall tau {noise['half_tau']:.3f}; what all of them say of its own "
        f"offsets can correlate with the truth by at most {noise['correlation_ceiling']:.2f}"
    )
    return lines


def judge_line(manifest: Manifest) -> str:
    """How the simulated votes compare with people's, in one line."""
    ours, people = manifest["judge"]["simulated"], manifest["judge"]["people"]
    return (
        f"votes agree with the voter's own taste {ours['truth_accuracy']:.3f}; ties {ours['tie_rate']:.3f} (people {people['tie_rate']}); "
        f"two voters agree {ours['agreement_without_ties']:.3f} without ties (people {people['agreement_without_ties']}), "
        f"{ours['agreement']:.3f} three-way (people {people['agreement']})"
    )


def _summary(folder: RunFolder) -> dict[str, dict[str, float]]:
    """System to metric to value, everyone, last checkpoint; metrics by prompt are named per_prompt_*."""
    summary: dict[str, dict[str, float]] = {}
    for row in last_rows(of_users(folder.metrics), segment=EVERYONE):
        ranked_by_prompt = row["prompts"] == UNSEEN and row["metric"] not in ("log_loss", "brier", "ece", "regret_of_6")
        name = f"per_prompt_{row['metric']}" if ranked_by_prompt else row["metric"]
        summary.setdefault(row["system"], {})[name] = row["value"]
    return summary


def _cell(row: dict[str, Any] | None, digits: int) -> str:
    return "-" if row is None else f"{row['value']:.{digits}f}"


def _interval(row: dict[str, Any], digits: int = 3) -> str:
    return f"{row['value']:+.{digits}f} [{row['ci_low']:+.{digits}f}, {row['ci_high']:+.{digits}f}]"
