"""A finished poll as report.html and in the terminal: the leaderboard, and beside it how far its
judges can be believed.
"""

import json
from typing import Any

import pyarrow.compute as pc
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from electorate.commands import beliefs, next_step
from electorate.config.judging import MOST_RANKED, Poll
from electorate.data import run_files
from electorate.ratings.ties import DEFAULT
from electorate.storage import files
from electorate.storage.run_folder import RunFolder
from simulations.report import plots, poll_plots
from simulations.report.page import ENVIRONMENT
from simulations.report.summary import answer_lines


def write(folder: RunFolder) -> None:
    """Draw report.html from the tables of the poll."""
    checks = beliefs.read(folder.path)
    figures = {
        "kappas": poll_plots.agreement(
            [row for row in checks if "kappa" in row["name"] or "tau" in row["name"]]
        )
    }
    tastes = folder.path / "tastes.parquet"
    if tastes.exists():
        figures["tastes"] = poll_plots.tastes(files.read_table(tastes).to_pylist())
    content = _content(folder) | {
        "checks": checks,
        "plots": {name: plots.svg(figure) for name, figure in figures.items()},
    }
    files.write_text(folder.report, ENVIRONMENT.get_template("poll.html").render(content))


def show(folder: RunFolder, console: Console) -> None:
    """The leaderboard, the validity report, and where the rest is."""
    content = _content(folder)
    title = (
        f"{content['votes']:,} votes of {content['personas']:,} personas, judged by "
        f"{content['judges']}, ties: {DEFAULT}"
    )
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("model", no_wrap=True)
    for heading in ("rating", "95% interval", "rank range", "votes"):
        table.add_column(heading, justify="right")
    for row in content["board"]:
        span = f"{row['rank_low']} to {row['rank_high']}"
        table.add_row(
            row["model"],
            f"{row['rating']:.1f}",
            f"{row['ci_low']:.1f} to {row['ci_high']:.1f}",
            span,
            f"{row['votes']:,}",
        )
    console.print(table)
    beliefs.show(folder.path, console)
    for line in content["lines"]:
        console.print(line, highlight=False, soft_wrap=True)
    votes = folder.path / "votes.parquet"
    for line in (f"votes: {votes}", f"report: {folder.report}"):
        console.print(line, highlight=False, soft_wrap=True)
    human = f"electorate human {votes} --out {folder.path}-people"
    steps = [f"{human}    (do personal rankings predict these votes?)"]
    population = folder.path / "population.yaml"
    if population.exists():
        run = f"electorate run configs/quickstart.yaml --set population=@{population}"
        planted = f"{run} --out {folder.path}-planted"
        steps.append(f"{planted}    (a population of any size with these tastes)")
    next_step.tell(console, *steps)


def _content(folder: RunFolder) -> dict[str, Any]:
    config = run_files.read_config_as(Poll, folder)
    manifest = folder.read_manifest()
    summary = json.loads(folder.summary.read_text(encoding="utf-8"))
    votes = files.read_table(folder.path / "votes.parquet")
    personas = files.read_table(folder.personas)
    prompts = files.read_table(folder.prompts)
    return {
        "config": config,
        "manifest": manifest,
        "summary": summary,
        "board": files.read_table(folder.leaderboard).to_pylist(),
        "votes": votes.num_rows,
        "battles": manifest["stages"]["votes"]["battles"],
        "personas": personas.num_rows,
        "segments": len(pc.unique(personas["archetype"])),
        "prompts": prompts.num_rows,
        "judges": " + ".join(f"{judge.name} ({judge.model})" for judge in config.judges),
        "lines": [*answer_lines(folder, config), *_lines(summary)],
        "example": votes.slice(0, 1).to_pylist()[0],
        "card": personas["card"][0].as_py(),
        "seconds": sum(stage["seconds"] for stage in manifest["stages"].values()),
    }


def _lines(summary: dict[str, Any]) -> list[str]:
    """What a reader has to know besides."""
    lines = []
    for judge in dict.fromkeys(judge for judge, _ in summary["self_judged"]):
        own = ", ".join(contestant for by, contestant in summary["self_judged"] if by == judge)
        lines.append(
            f"{judge} judges contestants that run on its own model, and may favour itself: {own}"
        )
    for name, what in (
        ("sent_again", "requests that failed and were sent again"),
        ("unread", "answers that could not be used, some put right by asking again"),
        ("lost", "questions left without an answer"),
    ):
        if summary[name]:
            kinds = ", ".join(
                f"{n:,} {kind}"
                for kind, n in sorted(summary[name].items(), key=lambda item: -item[1])
            )
            lines.append(f"{what}: {kinds}")
    if not summary["ranked"]:
        lines.append(
            f"nobody ranked all answers at once: endpoints tell no more than {MOST_RANKED} apart"
        )
    if summary["tastes"] is None:
        lines.append("no tastes were fitted: too few votes on training, validation or test prompts")
    else:
        lines.append(summary["tastes"])
        lines.append(
            "a run with tastes like these: run CONFIG --set population=@population.yaml, the file "
            "in this folder"
        )
    return lines
