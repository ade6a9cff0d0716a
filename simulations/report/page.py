"""A finished run as report.html: one self-contained file, drawn from the run's folder alone."""

from pathlib import Path
from typing import Any

import pyarrow.compute as pc
from jinja2 import Environment, FileSystemLoader

from electorate import arena
from electorate import config as config_module
from electorate.evaluation import scoring
from electorate.evaluation.scoring import OVERALL, UNSEEN
from electorate.storage import files
from electorate.storage.run_folder import RunFolder
from simulations import summary
from simulations.evaluate import EVERYONE
from simulations.report import plots

# Between prompts the values vary more than between systems, so on unseen prompts the paired gain is drawn.
VALUES = (("Kendall tau, overall ranking", OVERALL, "kendall_tau"),)
GAINS = (
    ("Kendall tau over global_bt, unseen prompts", UNSEEN, "kendall_tau"),
    ("log loss over global_bt, unseen prompts", UNSEEN, "log_loss"),
)
WHAT = {
    "arena": "official Chatbot Arena ratings, the same for all",
    "global_bt": "one Bradley-Terry ranking from everybody's votes",
    "segment_bt": "one Bradley-Terry ranking for each archetype",
    "elo_online": "global ratings plus plain Elo updates by each persona's votes",
    "elo_offset": "System A: global ratings plus each persona's own offsets",
    "elo_offset_no_labels": "System A without knowing archetypes",
    "elo_offset_wrong_labels": "System A with one label in five wrong",
    "oracle_features": "knows what tastes are about, learns each persona's: the most that reading answers can give",
    "oracle": "the planted truth: the best there is",
}


def write(folder: RunFolder) -> None:
    """Draw plots/ and report.html from the tables of the run."""
    metrics, gains = files.read_table(folder.metrics), files.read_table(folder.gains)
    board = summary.last_rows(files.read_table(folder.leaderboard))
    values = metrics.filter(pc.equal(metrics["segment"], EVERYONE)).to_pylist()
    over_global = gains.filter(pc.and_(pc.equal(gains["segment"], EVERYONE), pc.equal(gains["baseline"], "global_bt"))).to_pylist()
    personal = [row for row in over_global if row["system"] != scoring.ORACLE]
    panels = [(*panel, values) for panel in VALUES] + [(*panel, personal) for panel in GAINS]
    tau_gains = summary.last_rows(gains, baseline="global_bt", prompts=OVERALL, metric="kendall_tau")
    drawn = {
        "learning_curves": plots.svg(plots.learning_curves(panels)),
        "leaderboards": plots.svg(plots.leaderboards(board, EVERYONE)),
        "gains": plots.svg(plots.gains(tau_gains)),
    }
    for name, text in drawn.items():
        files.write_text(folder.plots / f"{name}.svg", text.replace("currentColor", plots.INK))
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    page = environment.get_template("page.html").render(_content(folder, board, tau_gains), plots=drawn)
    files.write_text(folder.report, page)


def _content(folder: RunFolder, board: list[dict[str, Any]], tau_gains: list[dict[str, Any]]) -> dict[str, Any]:
    config = config_module.load(folder.config)
    rows = summary.last_rows(files.read_table(folder.metrics), segment=EVERYONE)
    values = {(r["system"], r["prompts"], r["metric"]): r for r in rows}
    manifest = folder.read_manifest()
    return {
        "config": config,
        "manifest": manifest,
        "columns": summary.COLUMNS,
        "systems": [(s, WHAT[s], [values.get((s, p, m)) for _, p, m, _ in summary.COLUMNS]) for s in config.evaluation.systems],
        "votes": rows[0]["votes_per_user"],
        "users": rows[0]["n_users"],
        "gain": {row["system"]: row for row in tau_gains if row["segment"] == EVERYONE},
        "global_tau": values[("global_bt", OVERALL, "kendall_tau")]["value"] if ("global_bt", OVERALL, "kendall_tau") in values else None,
        "judge_line": summary.judge_line(manifest),
        "unlinked": sorted({row["segment"] for row in board if not row["connected"]}),
        "arena_date": arena.DATE,
        "seconds": sum(stage["seconds"] for stage in manifest["stages"].values()),
        "examples": _examples(folder),
    }


def _examples(folder: RunFolder) -> dict[str, Any]:
    """The first prompt with every contestant's answer to it, so that a reader sees what was voted on."""
    responses = files.read_table(folder.responses)
    prompts = files.read_table(folder.prompts)
    first = responses.filter(pc.equal(responses["prompt_id"], 0)).to_pylist()
    return {"prompt": prompts["prompt"][0].as_py(), "answers": [(r["contestant"], r["response"] or r["error"]) for r in first]}
