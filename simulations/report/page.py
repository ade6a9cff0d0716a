"""A finished run as report.html: one self-contained file, drawn from the run's folder alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from jinja2 import Environment, FileSystemLoader

from electorate import arena, config_file
from electorate.evaluation.scoring import ORACLE, OVERALL, UNSEEN
from electorate.storage import files
from electorate.storage.places import Place
from electorate.storage.run_folder import RunFolder
from simulations import rewards
from simulations.evaluate import EVERYONE
from simulations.report import plots, summary
from simulations.report.official import beside
from simulations.report.results import at_last, last_rows, of_users

Row = dict[str, Any]
ENVIRONMENT = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True)
# Between prompts the values vary more than between systems, so what is drawn of unseen prompts is the paired gain.
CURVES = (
    ("Regret against global_bt, Elo, unseen prompts", "gain", UNSEEN, "regret"),
    ("Kendall tau, overall ranking", "value", OVERALL, "kendall_tau"),
    ("Log loss against global_bt, unseen prompts", "gain", UNSEEN, "log_loss"),
)
WHAT = {
    "arena": "official Chatbot Arena ratings, the same for all",
    "global_bt": "one Bradley-Terry ranking from everybody's votes",
    "segment_bt": "one Bradley-Terry ranking for each archetype",
    "elo_online": "global ratings, moved by plain Elo updates at each persona's votes",
    "elo_offset": "System A: global ratings plus each persona's own offsets",
    "elo_offset_low_rank": "System A, offsets along a few directions that the votes themselves show users to vary in",
    "elo_offset_no_labels": "System A without knowing archetypes",
    "elo_offset_wrong_labels": "System A with one label in five wrong",
    "length_only": "how long an answer is, the same weight on it for all",
    "pooled_rm": "one reward model that reads the answers, the same for all",
    "segment_rm": "a reward model for each archetype",
    "low_rank_rm": "System B: a reward model with each persona's own weights on what it reads",
    "pooled_hybrid": "one ranking and one reward model for all, together",
    "segment_hybrid": "a ranking and a reward model for each archetype, together",
    "ratings_only": "hybrid without the text: own offsets, learned as the others are",
    "hybrid": "Systems A and B together: own offsets and own weights on what is read",
    "prompt_head": "what hybrid says, told from the prompt alone before anybody has answered it",
    "personal_rm": "a reward model of each persona's own, fine-tuned from pooled_rm on its votes",
    "oracle_features": "knows what tastes are about, learns each persona's: the most that reading answers can give",
    "oracle": "the planted truth: the best there is",
}


def write(folder: RunFolder) -> None:
    """Draw plots/ and report.html from the tables of the run."""
    drawn = {name: plots.svg(figure) for name, figure in _figures(folder).items()}
    for name, text in drawn.items():
        files.write_text(folder.plots / f"{name}.svg", text.replace("currentColor", plots.INK))
    files.write_text(folder.report, ENVIRONMENT.get_template("page.html").render(_content(folder), plots=drawn))


def write_sweep(out: Place, key: str, title_of: Mapping[tuple[str, str], str], rows: Sequence[Row], wins: Sequence[Row]) -> None:
    """Draw plots/ and report.html of a sweep. rows: means over seeds with their intervals; title_of: (prompts, metric) to its title."""
    figures, values = {"winners": plots.winners(wins, key, title_of)}, list(dict.fromkeys(row["swept"] for row in rows))
    for (prompts, metric), title in title_of.items():
        own = [row for row in rows if (row["prompts"], row["metric"]) == (prompts, metric)]
        panels = [(f"{title}, {value}", [row for row in own if row["swept"] == value]) for value in values]
        figures[f"{prompts}_{metric}"] = plots.learning_curves(panels, min(4, len(values)))
    drawn = {name: plots.svg(figure) for name, figure in figures.items()}
    for name, text in drawn.items():
        files.write_text(out / "plots" / f"{name}.svg", text.replace("currentColor", plots.INK))
    curves = [(f"{prompts}_{metric}", title) for (prompts, metric), title in title_of.items()]
    content = {"key": key, "values": values, "seeds": wins[0]["seeds"] if wins else 1, "curves": curves, "plots": drawn}
    files.write_text(out / "report.html", ENVIRONMENT.get_template("sweep.html").render(content))


def _figures(folder: RunFolder) -> dict[str, Any]:
    metrics, gains = of_users(folder.metrics), of_users(folder.gains)
    rows = _rows(metrics, gains)
    segments = [s for s in dict.fromkeys(row["segment"] for row in rows["value"]) if s != EVERYONE]
    board = last_rows(files.read_table(folder.leaderboard))
    regret = [row for row in last_rows(metrics, prompts=UNSEEN, metric="regret") if row["system"] != ORACLE]
    tau = [row for row in last_rows(gains, baseline="global_bt", prompts=OVERALL, metric="kendall_tau") if row["system"] != ORACLE]
    newcomers = _rows(of_users(folder.metrics, "unseen"), of_users(folder.gains, "unseen"))
    figures = {
        "learning_curves": _curves(rows),
        "regret": plots.dots(regret, "regret on unseen prompts, Elo points lost by taking the first model", zero=False),
        "calibration": plots.calibration(files.read_table(folder.calibration).to_pylist()),
    }
    if len(segments) > 1:
        panels = [(segment, _of(rows["value"], segment, OVERALL, "kendall_tau")) for segment in segments]
        figures["curves_by_archetype"] = plots.learning_curves(panels)
        figures["leaderboards"] = plots.leaderboards(board, EVERYONE)
    if tau:
        figures["gains"] = plots.dots(tau, "gain in Kendall tau over global_bt, overall ranking", zero=True)
    if newcomers["value"]:
        figures["newcomers"] = _curves(newcomers)
    if trained := rewards.histories(folder):
        figures["training"] = plots.training(trained)
    orders = files.read_table(folder.orders).to_pylist()
    if orders:
        figures["orders"] = plots.orders(orders, EVERYONE)
    return figures


def _rows(metrics: pa.Table, gains: pa.Table) -> dict[str, list[Row]]:
    """What is drawn: values, and gains over global_bt."""
    over_global = gains.filter(pc.equal(gains["baseline"], "global_bt")).to_pylist()
    return {
        "value": [row for row in metrics.to_pylist() if row["system"] != ORACLE],
        "gain": [row for row in over_global if not row["system"].startswith(ORACLE)],
    }


def _curves(rows: Mapping[str, list[Row]]) -> Any:
    panels = [(title, _of(rows[kind], EVERYONE, *key)) for title, kind, *key in CURVES]
    return plots.learning_curves([(title, own) for title, own in panels if own])


def _of(rows: list[Row], segment: str, prompts: str, metric: str) -> list[Row]:
    return [row for row in rows if (row["segment"], row["prompts"], row["metric"]) == (segment, prompts, metric)]


def _content(folder: RunFolder) -> dict[str, Any]:
    config, manifest, values = config_file.load(folder.config), folder.read_manifest(), at_last(folder)
    gains, found = of_users(folder.gains), summary.read_findings(folder)
    columns, board = summary.columns(values), last_rows(files.read_table(folder.leaderboard))
    any_row = next(iter(values.values()))
    return {
        "config": config,
        "manifest": manifest,
        "columns": columns,
        "systems": [(s, WHAT[s], [values.get((s, p, m)) for _, p, m, _ in columns]) for s in config.evaluation.systems],
        "votes": any_row["votes_per_user"],
        "users": any_row["n_users"],
        "gain": {
            row["system"]: row for row in last_rows(gains, baseline="global_bt", segment=EVERYONE, prompts=OVERALL, metric="kendall_tau")
        },
        "saved": {row["system"]: row for row in last_rows(gains, baseline="global_bt", segment=EVERYONE, prompts=UNSEEN, metric="regret")},
        "global_tau": values.get(("global_bt", OVERALL, "kendall_tau")),
        "global_regret": values.get(("global_bt", UNSEEN, "regret")),
        "differing": _differing(files.read_table(folder.orders).to_pylist()),
        "findings": summary.findings_lines(found),
        "newcomer_lines": summary.newcomer_lines(folder),
        "reward_lines": summary.reward_lines(folder),
        "axes": manifest["stages"].get("reward", {}).get("axes", {}),
        "conduct_boards": found["leaderboards"] if found and config.population.careless + config.population.adversarial > 0 else [],
        "official": beside(folder),
        "legend": summary.legend(values),
        "judge_line": summary.judge_line(manifest),
        "unlinked": sorted({row["segment"] for row in board if not row["connected"]}),
        "arena_date": arena.DATE,
        "seconds": sum(stage["seconds"] for stage in manifest["stages"].values()),
        "examples": _examples(folder),
    }


def _differing(orders: list[Row]) -> list[Row]:
    """For each segment: the share of personas with another first model than everyone's, as rated and in truth, and which
    model most of those have first.
    """
    rows = []
    for segment in dict.fromkeys(row["segment"] for row in orders):
        own = [row for row in orders if row["segment"] == segment]
        (first,), others = [r for r in own if r["global_rank"] == 1], [r for r in own if r["global_rank"] != 1]
        favourite = max(others, key=lambda row: row["first_share"])
        rows.append(
            {
                "segment": segment,
                "rated": 1 - first["first_share"],
                "true": 1 - first["true_first_share"],
                "favourite": favourite["model"] if favourite["first_share"] > 0 else "",
                "share": favourite["first_share"],
            }
        )
    return rows


def _examples(folder: RunFolder) -> dict[str, Any]:
    """The first prompt with some contestants' answers to it, so that a reader sees what was voted on."""
    responses, prompts = files.read_table(folder.responses), files.read_table(folder.prompts)
    first = responses.filter(pc.equal(responses["prompt_id"], 0)).to_pylist()
    return {"prompt": prompts["prompt"][0].as_py(), "answers": [(r["contestant"], r["response"] or r["error"] or "") for r in first[:6]]}
