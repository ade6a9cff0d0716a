"""A comparison as files, and as the table a run ends with."""

import json
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from electorate import config
from electorate.evaluation.agreement import PEOPLE
from electorate.evaluation.scoring import OVERALL, UNSEEN
from electorate.storage import files
from electorate.storage.run_folder import Manifest, RunFolder
from simulations.evaluate import EVERYONE, Comparison

# heading, prompts, metric, digits
COLUMNS = (
    ("kendall tau", OVERALL, "kendall_tau", 3),
    ("spearman rho", OVERALL, "spearman_rho", 3),
    ("rank acc", OVERALL, "ranking_accuracy", 3),
    ("top-1", OVERALL, "top1_accuracy", 3),
    ("top-3", OVERALL, "top3_accuracy", 3),
    ("regret Elo", OVERALL, "regret", 1),
    ("prompt tau", UNSEEN, "kendall_tau", 3),
    ("log loss", UNSEEN, "log_loss", 3),
)


def write(folder: RunFolder, comparison: Comparison, manifest: Manifest) -> None:
    """metrics.parquet, gains.parquet, the leaderboard, summary.json, and what the manifest says of the judge."""
    files.write_table(folder.metrics, comparison.metrics)
    files.write_table(folder.gains, comparison.gains)
    files.write_table(folder.leaderboard, comparison.leaderboard)
    files.write_text(folder.summary, json.dumps(_summary(folder), indent=2) + "\n")
    manifest["judge"] = {"simulated": asdict(comparison.agreement), "people": asdict(PEOPLE)}
    manifest["offset_sd_elo"] = {system: round(sd, 1) for system, sd in comparison.offset_sd.items()}


def last_rows(table: pa.Table, **where: Any) -> list[dict[str, Any]]:
    """Rows at the last checkpoint that equal `where` in every column it names."""
    chosen = pc.equal(table["votes_per_user"], pc.max(table["votes_per_user"]))
    for column, value in where.items():
        chosen = pc.and_(chosen, pc.equal(table[column], value))
    return table.filter(chosen).to_pylist()


def show(folder: RunFolder, console: Console) -> None:
    """Print the comparison table of a finished run, and where its report lies."""
    metrics, gains = files.read_table(folder.metrics), files.read_table(folder.gains)
    manifest = folder.read_manifest()
    rows = last_rows(metrics, segment=EVERYONE)
    values = {(r["system"], r["prompts"], r["metric"]): r for r in rows}
    gain = {r["system"]: r for r in last_rows(gains, segment=EVERYONE, baseline="global_bt", prompts=OVERALL, metric="kendall_tau")}
    title = f"{rows[0]['votes_per_user']} votes a persona, {rows[0]['n_users']:,} personas compared"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("system", no_wrap=True)
    for heading, *_ in COLUMNS:
        table.add_column(heading, justify="right", min_width=5)
    for system in configured(folder):
        table.add_row(system, *(_cell(values.get((system, prompts, metric)), digits) for _, prompts, metric, digits in COLUMNS))
    console.print(table)
    for system, row in gain.items():
        if system != "oracle":
            console.print(f"{system}: {_interval(row)} Kendall tau over global_bt", highlight=False, soft_wrap=True)
    if not any(r["system"] == "arena" for r in rows):
        console.print("arena is blank: some contestants have no official Chatbot Arena rating.", highlight=False)
    console.print(judge_line(manifest), highlight=False, soft_wrap=True)
    console.print(f"report: {folder.report}", highlight=False, soft_wrap=True)


def configured(folder: RunFolder) -> list[str]:
    """The systems the run's config names, arena too when it is blank."""
    return list(config.load(folder.config).evaluation.systems)


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
    for row in last_rows(files.read_table(folder.metrics), segment=EVERYONE):
        ranked_by_prompt = row["prompts"] == UNSEEN and row["metric"] not in ("log_loss", "brier", "ece")
        name = f"per_prompt_{row['metric']}" if ranked_by_prompt else row["metric"]
        summary.setdefault(row["system"], {})[name] = row["value"]
    return summary


def _cell(row: dict[str, Any] | None, digits: int) -> str:
    return "-" if row is None else f"{row['value']:.{digits}f}"


def _interval(row: dict[str, Any]) -> str:
    return f"{row['value']:+.3f} [{row['ci_low']:+.3f}, {row['ci_high']:+.3f}]"
