"""The report of a finished run or poll, whoever voted: as a page, and in the terminal."""

from rich.console import Console

from electorate.commands import human_tables
from electorate.data import run_files
from electorate.storage.run_folder import RunFolder
from simulations.report import page, people_page, poll_page, summary


def write(folder: RunFolder) -> None:
    """Draw report.html, and plots/, from the folder's tables."""
    if folder.read_manifest().get("kind") == "poll":
        poll_page.write(folder)
    elif run_files.voters_kind(folder) == "people":
        people_page.write(folder)
    else:
        page.write(folder)


def show(folder: RunFolder, console: Console) -> None:
    """Print what was found, the answer first, and what to try next."""
    if folder.read_manifest().get("kind") == "poll":
        poll_page.show(folder, console)
    elif run_files.voters_kind(folder) == "people":
        human_tables.show(folder, console)
    else:
        summary.show(folder, console)
