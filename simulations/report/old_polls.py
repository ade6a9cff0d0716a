"""A poll as it was before a poll was a run, in the terminal."""

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from electorate.commands import beliefs, next_step
from electorate.storage import files
from electorate.storage.run_folder import RunFolder


def show(folder: RunFolder, console: Console) -> None:
    """Print the leaderboard, how far the judges can be believed, and where the rest is."""
    table = Table(title="leaderboard", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("model", no_wrap=True)
    for heading in ("rating", "95% interval", "rank range", "votes"):
        table.add_column(heading, justify="right")
    for row in files.read_table(folder.leaderboard).to_pylist():
        interval = f"{row['ci_low']:.1f} to {row['ci_high']:.1f}"
        ranks = f"{row['rank_low']} to {row['rank_high']}"
        table.add_row(row["model"], f"{row['rating']:.1f}", interval, ranks, f"{row['votes']:,}")
    console.print(table)
    beliefs.show(folder.path, console)
    for line in (f"votes: {folder.votes_file}", f"report: {folder.report}"):
        console.print(line, highlight=False, soft_wrap=True)
    next_step.tell(
        console,
        f"electorate human {folder.votes_file} --out {folder.path}-people"
        "    (do personal rankings predict these votes?)",
        f"electorate poll {folder.config} --out {folder.path}-run"
        "    (as a run: Systems A and B, and an endpoint)",
    )
