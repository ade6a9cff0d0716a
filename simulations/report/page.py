"""A finished run as report.html: one self-contained file, drawn from the run's folder alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jinja2 import Environment, FileSystemLoader

from electorate.commands import beliefs
from electorate.config.metrics import OVERALL, UNSEEN, curves
from electorate.config.run import Config
from electorate.config.systems import ORACLE, SYSTEMS
from electorate.data import arena, run_files
from electorate.evaluation.results import EVERYONE
from electorate.storage import files
from electorate.storage.places import Place
from electorate.storage.run_folder import Manifest, RunFolder
from simulations import rewards
from simulations.report import judge_plots, plots, routing, summary, verdict
from simulations.report.official import beside
from simulations.report.results import Values, at_last, last_rows, of_users

Row = dict[str, Any]
ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
)


def write(folder: RunFolder) -> None:
    """Draw plots/ and report.html from the tables of the run."""
    drawn = {name: plots.svg(figure) for name, figure in _figures(folder).items()}
    for name, text in drawn.items():
        files.write_text(folder.plots / f"{name}.svg", text.replace("currentColor", plots.INK))
    files.write_text(
        folder.report, ENVIRONMENT.get_template("page.html").render(_content(folder), plots=drawn)
    )


def write_sweep(
    out: Place,
    key: str,
    title_of: Mapping[tuple[str, str], str],
    rows: Sequence[Row],
    wins: Sequence[Row],
    notes: Sequence[str],
) -> None:
    """Draw plots/ and report.html of a sweep.

    rows: means over seeds with their intervals; title_of: (prompts, metric) to its title; notes:
    what a reader has to know.
    """
    figures = {"winners": plots.winners(wins, key, title_of)}
    values = list(dict.fromkeys(row["swept"] for row in rows))
    for (prompts, metric), title in title_of.items():
        own = [row for row in rows if (row["prompts"], row["metric"]) == (prompts, metric)]
        panels = [
            (f"{title}, {value}", [row for row in own if row["swept"] == value]) for value in values
        ]
        figures[f"{prompts}_{metric}"] = plots.learning_curves(panels, min(4, len(values)))
    drawn = {name: plots.svg(figure) for name, figure in figures.items()}
    for name, text in drawn.items():
        files.write_text(out / "plots" / f"{name}.svg", text.replace("currentColor", plots.INK))
    curves = [(f"{prompts}_{metric}", title) for (prompts, metric), title in title_of.items()]
    content = {
        "key": key,
        "values": values,
        "seeds": wins[0]["seeds"] if wins else 1,
        "curves": curves,
        "plots": drawn,
        "notes": notes,
    }
    files.write_text(out / "report.html", ENVIRONMENT.get_template("sweep.html").render(content))


def _figures(folder: RunFolder) -> dict[str, Any]:
    metrics = of_users(folder.metrics)
    gains = of_users(folder.gains)
    rows = _rows(metrics, gains)
    regret = _last(metrics, prompts=UNSEEN, metric="regret")
    tau = _last(gains, baseline="global_bt", prompts=OVERALL, metric="kendall_tau")
    newcomers = _rows(of_users(folder.metrics, "unseen"), of_users(folder.gains, "unseen"))
    figures = {
        "learning_curves": _curves(rows),
        "regret": plots.dots(
            regret,
            "regret on unseen prompts, Elo points lost by taking the first model",
            zero=False,
        ),
        "calibration": plots.calibration(files.read_table(folder.calibration).to_pylist()),
    }
    figures |= _figures_by_segment(folder, rows["value"])
    if tau:
        figures["gains"] = plots.dots(
            tau, "gain in Kendall tau over global_bt, overall ranking", zero=True
        )
    if newcomers["value"]:
        figures["newcomers"] = _curves(newcomers)
    if trained := rewards.histories(folder):
        figures["training"] = plots.training(trained)
    orders = files.read_table(folder.orders).to_pylist()
    if orders:
        figures["orders"] = plots.orders(orders, EVERYONE)
    return figures | routing.figures(folder) | _figures_of_judges(folder)


def _figures_of_judges(folder: RunFolder) -> dict[str, Any]:
    """How far judges agree, and what the tastes of those they judge for are; of model voters."""
    figures = {}
    agree = [r for r in beliefs.read(folder.path) if "kappa" in r["name"] or "tau" in r["name"]]
    if agree:
        figures["agreement"] = judge_plots.agreement(agree)
    if folder.tastes.exists():
        figures["tastes"] = judge_plots.tastes(files.read_table(folder.tastes).to_pylist())
    return figures


def _figures_by_segment(folder: RunFolder, values: list[Row]) -> dict[str, Any]:
    """What is drawn where there are several segments."""
    segments = [s for s in dict.fromkeys(row["segment"] for row in values) if s != EVERYONE]
    if len(segments) < 2:
        return {}
    panels = [(segment, _of(values, segment, OVERALL, "kendall_tau")) for segment in segments]
    board = last_rows(files.read_table(folder.leaderboard))
    return {
        "curves_by_archetype": plots.learning_curves(panels),
        "leaderboards": plots.leaderboards(board, EVERYONE),
    }


def _last(table: pa.Table, **where: str) -> list[Row]:
    """The rows of the last checkpoint, of all systems that could be."""
    return [row for row in last_rows(table, **where) if row["system"] != ORACLE]


def _rows(metrics: pa.Table, gains: pa.Table) -> dict[str, list[Row]]:
    """What is drawn: values, and gains over global_bt."""
    over_global = gains.filter(pc.equal(gains["baseline"], "global_bt")).to_pylist()
    return {
        "value": [row for row in metrics.to_pylist() if row["system"] != ORACLE],
        "gain": [row for row in over_global if not row["system"].startswith(ORACLE)],
    }


def _curves(rows: Mapping[str, list[Row]]) -> Any:
    return plots.learning_curves(_panels(rows))


def _panels(rows: Mapping[str, list[Row]]) -> list[tuple[str, list[Row]]]:
    # Between prompts the values vary more than between systems, so what is drawn of unseen prompts
    # is mostly the paired gain.
    panels = [(title, _of(rows[kind], EVERYONE, *key)) for title, kind, *key in curves()]
    return [(title, own) for title, own in panels if own]


def _of(rows: list[Row], segment: str, prompts: str, metric: str) -> list[Row]:
    return [
        row
        for row in rows
        if (row["segment"], row["prompts"], row["metric"]) == (segment, prompts, metric)
    ]


def _content(folder: RunFolder) -> dict[str, Any]:
    config = run_files.read_config(folder)
    manifest = folder.read_manifest()
    values = at_last(folder)
    found = summary.read_findings(folder)
    any_row = next(iter(values.values()))
    population = config.population
    careless = 0.0 if population is None else population.careless + population.adversarial
    return {
        "config": config,
        "manifest": manifest,
        "votes": any_row["votes_per_user"],
        "users": any_row["n_users"],
        "segments": len(_segments(folder)),
        "judges": _judges(config),
        "verdict": verdict.lines(folder),
        "two": verdict.two_systems(folder, summary.columns(values)),
        "arena": any(system == "arena" for system, _, _ in values),
        "differing": _differing(files.read_table(folder.orders).to_pylist()),
        "conduct_boards": found["leaderboards"] if found and careless > 0 else [],
        "axes": manifest["stages"].get("reward", {}).get("axes", {}),
        "official": beside(folder),
        "unlinked": _unlinked(folder),
        "arena_date": arena.DATE,
        "seconds": sum(stage["seconds"] for stage in manifest["stages"].values()),
        "examples": _examples(folder),
        "example_vote": _example_vote(folder),
        "checks": beliefs.read(folder.path),
        "routing": routing.section(folder),
        **_drawn_curves(folder),
        **_table(config, values),
        **_lines(folder, config, manifest, found),
    }


def _judges(config: Config) -> str:
    """Of model voters."""
    judges = () if config.judging is None else config.judging.judges
    return " + ".join(f"{judge.name} ({judge.model})" for judge in judges)


def _segments(folder: RunFolder) -> set[str]:
    """The archetypes that are compared."""
    return {*of_users(folder.metrics)["segment"].to_pylist()} - {EVERYONE}


def _drawn_curves(folder: RunFolder) -> dict[str, Any]:
    """The learning curves, each an SVG of its own so that a narrow page stacks them."""
    rows = _rows(of_users(folder.metrics), of_users(folder.gains))
    panels = _panels(rows)
    there = {row["system"] for _, own in panels for row in own}
    return {
        "curves": [plots.svg(plots.learning_curves([panel], 1, legend=False)) for panel in panels],
        "legend_of_curves": [(s, SYSTEMS[s].colour) for s in SYSTEMS if s in there],
    }


def _table(config: Config, values: Values) -> dict[str, Any]:
    """The systems' table."""
    columns = summary.columns(values)
    marks = summary.marks(values)
    there = {system for system, _, _ in values}
    systems = [
        (s, marks.get(s, ""), SYSTEMS[s].label, [values.get((s, p, m)) for _, p, m, _ in columns])
        for s in config.evaluation.systems
        if s in there
    ]
    return {"columns": columns, "systems": systems, "legend": summary.legend(values)}


def _lines(
    folder: RunFolder, config: Config, manifest: Manifest, found: dict[str, Any]
) -> dict[str, Any]:
    """What is said in sentences, as in the terminal."""
    return {
        "findings": summary.findings_lines(found),
        "not_converged_lines": summary.not_converged_lines(manifest),
        "answer_lines": summary.answer_lines(folder, config),
        "newcomer_lines": summary.newcomer_lines(folder),
        "reward_lines": summary.reward_lines(folder),
        "judge_line": summary.judge_line(manifest),
        "likeness_lines": summary.likeness_lines(config),
        "judging_lines": (
            []
            if config.judging is None
            else summary.judging_lines(manifest, config.judging, config)
        ),
    }


def _unlinked(folder: RunFolder) -> list[str]:
    """The segments whose battles do not link all models."""
    board = last_rows(files.read_table(folder.leaderboard))
    return sorted({row["segment"] for row in board if not row["connected"]})


def _differing(orders: list[Row]) -> list[Row]:
    """For each segment: the share of personas with another first model than everyone's, as rated
    and in truth, and which model most of those have first.
    """
    rows = []
    for segment in dict.fromkeys(row["segment"] for row in orders):
        own = [row for row in orders if row["segment"] == segment]
        (first,) = [r for r in own if r["global_rank"] == 1]
        others = [r for r in own if r["global_rank"] != 1]
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


def _example_vote(folder: RunFolder) -> Row | None:
    """The first vote of model voters, with the card it was cast for; None where others vote, or
    none is left.
    """
    if not folder.votes_file.exists():
        return None
    with files.local(folder.votes_file) as path, pq.ParquetFile(path) as file:
        first = next(file.iter_batches(batch_size=1), None)
    if first is None:
        return None
    (vote,) = first.to_pylist()
    personas = files.read_table(folder.personas, ["user_id", "card"])
    cards = personas.filter(pc.equal(personas["user_id"], vote["user_id"]))["card"]
    return {**vote, "card": cards[0].as_py()}


def _examples(folder: RunFolder) -> dict[str, Any]:
    """The first prompt with some contestants' answers to it, so that a reader sees what was
    voted on.
    """
    config = run_files.read_config(folder)
    prompts = run_files.read_prompts(folder)
    table = run_files.read_responses(folder, len(prompts), config.contestant_names)
    first = table.slice(0, len(config.contestants)).to_pylist()
    return {
        "prompt": prompts.text[0],
        "answers": [(r["contestant"], r["response"] or r["error"] or "") for r in first[:6]],
    }
