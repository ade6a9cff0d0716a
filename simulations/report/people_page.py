"""A study of people's votes as report.html: the verdict, the learning curve of a new user, who has
another first model than the global ranking, and the tables.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from electorate.commands import beliefs, human_tables, people_verdict
from electorate.config.metrics import curves, of_peoples_votes
from electorate.config.systems import SYSTEMS
from electorate.data import run_files
from electorate.evaluation import findings
from electorate.evaluation.two_systems import BASELINE, BOTH
from electorate.storage import files
from electorate.storage.run_folder import RunFolder
from simulations.report import plots, routing
from simulations.report.page import ENVIRONMENT

Row = dict[str, Any]
MOST_PEOPLE = 30
FALSE_DISCOVERIES = 0.1


def write(folder: RunFolder) -> None:
    """Draw report.html from the folder's tables."""
    compared = files.read_table(folder.gains)
    gains = compared.filter(pc.equal(compared["baseline"], BASELINE)).to_pylist()
    gains = human_tables.by_system(gains)
    whole = human_tables.compared(folder)[0]
    curve = [row for row in gains if row["users"] == "unseen"]
    panels = [
        (title, [row for row in curve if (row["prompts"], row["metric"]) == (prompts, metric)])
        for title, kind, prompts, metric in curves()
        if kind == "gain"
    ]
    panels = [(title, rows) for title, rows in panels if rows]
    figure = plots.svg(plots.learning_curves(panels, len(panels))) if panels else None
    manifest = folder.read_manifest()
    content = {
        "manifest": manifest,
        "checks": beliefs.read(Path(manifest["votes"]).parent),
        "curve": figure,
        "routing": routing.section(folder),
        "plots": {name: plots.svg(of) for name, of in routing.figures(folder).items()},
        "systems": _systems(folder, gains),
        "metrics": [spec.label for spec in of_peoples_votes()],
        "baseline": BASELINE,
        "board": files.read_table(folder.leaderboard)
        .sort_by([("rating", "descending")])
        .to_pylist(),
        "people": _people(folder),
        "gainers": _gainers(folder),
        "groups": human_tables.groups_lines(folder),
        "most": MOST_PEOPLE,
        "findings": human_tables.findings_lines(folder),
        "controls": human_tables.controls_lines(whole),
        "calibration": _calibration(folder),
        "folder": folder.path,
        "two": people_verdict.two_systems(whole),
        "by_text": BOTH in whole.estimates,
    }
    files.write_text(folder.report, ENVIRONMENT.get_template("people.html").render(content))


def _calibration(folder: RunFolder) -> str | None:
    """What `human` wrote before it was a run has no table of it."""
    if not folder.calibration.exists():
        return None
    return plots.svg(plots.calibration(files.read_table(folder.calibration).to_pylist()))


def _systems(folder: RunFolder, gains: list[Row]) -> list[Row]:
    """A row a system: its metrics on people's votes on other prompts, and its gain in log loss."""
    rows = human_tables.by_system(files.read_table(folder.metrics).to_pylist())
    metrics = [row for row in rows if row["users"] == "seen"]
    gain = {
        row["system"]: row
        for row in gains
        if row["users"] == "seen" and row["metric"] == "log_loss"
    }
    found = []
    for name in dict.fromkeys(row["system"] for row in metrics):
        own = {row["metric"]: row["value"] for row in metrics if row["system"] == name}
        marked = any(row["version"] for row in metrics if row["system"] == name)
        values = [own.get(spec.name) for spec in of_peoples_votes()]
        row = {"name": name, "values": values, "gain": gain.get(name), "marked": marked}
        found.append(row | {"label": SYSTEMS[name].label if name in SYSTEMS else ""})
    return found


def _people(folder: RunFolder) -> Row | None:
    """Who is said to have another first model than the global ranking, most votes first."""
    if not folder.people.exists():
        return None
    board = files.read_table(folder.leaderboard).sort_by([("rating", "descending")])
    best = board["model"][0].as_py()
    ratings = files.read_table(folder.people)
    same = ratings.filter(pc.equal(ratings["model"], best))
    rate = _false_discovery_rate(folder)
    differing = (
        same["differs"].to_numpy(zero_copy_only=False)
        if "differs" in same.column_names
        # What `human` wrote before it was a run.
        else findings.discoveries(same["p_first"].to_numpy()[:, None], rate)
    )
    who = set(np.array(same["user_id"].to_pylist(), dtype=object)[differing].tolist())
    differ = [row for row in _firsts(ratings) if row["user_id"] in who]
    return {"users": len(same), "first": best, "differ": differ, "rate": rate}


def _gainers(folder: RunFolder) -> list[Row]:
    """Who is said to gain or lose by System A, the largest gain first; nothing of studies that were
    compared before there was such a table.
    """
    if not folder.who_gains.exists():
        return []
    rows = files.read_table(folder.who_gains).sort_by([("gain", "descending")]).to_pylist()
    return [row for row in rows if row["said"] != "not known"]


def _false_discovery_rate(folder: RunFolder) -> float:
    """That is allowed; what `human` wrote before it was a run names none."""
    if not folder.config.exists():
        return FALSE_DISCOVERIES
    return run_files.read_config(folder).evaluation.false_discovery_rate


def _firsts(ratings: pa.Table) -> list[Row]:
    """Each person's row of the model that is likeliest its first, most votes first."""
    user = np.array(ratings["user_id"].to_pylist(), dtype=object)
    p_first = ratings["p_first"].to_numpy()
    order = np.lexsort((-p_first, user))
    is_first = np.ones(len(order), dtype=bool)
    is_first[1:] = user[order][1:] != user[order][:-1]
    rows: list[Row] = ratings.take(order[is_first]).to_pylist()
    return sorted(rows, key=lambda row: (-row["votes"], -row["p_first"]))
