"""The report of a finished run, whoever voted: as a page, and in the terminal."""

from rich.console import Console

from electorate.commands import human_tables
from electorate.data import run_files
from electorate.data.old_polls import is_one as is_old_poll
from electorate.storage.run_folder import RunFolder
from simulations.report import old_polls, page, people_page, summary


def write(folder: RunFolder) -> None:
    """Draw report.html, and plots/, from the folder's tables."""
    if is_old_poll(folder):
        return  # its report stays as it was written
    if run_files.voters_kind(folder) == "people":
        people_page.write(folder)
    else:
        page.write(folder)


def show(folder: RunFolder, console: Console) -> None:
    """Print what was found, the answer first, and what to try next."""
    if is_old_poll(folder):
        old_polls.show(folder, console)
    elif run_files.voters_kind(folder) == "people":
        human_tables.show(folder, console)
    else:
        summary.show(folder, console)
