"""The `electorate` command: all commands in a checkout, else those that need no cluster."""

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from electorate.base import checkout
from electorate.base.errors import ElectorateError
from electorate.base.visible import visible
from electorate.commands import arguments, next_step

INTERRUPTED = 130
WRONG = 2
BROKEN = 1
DONE = "what is done is kept"
BUG = "internal error, which is a bug; please report it with the lines above"
Command = Callable[[argparse.Namespace, Console], None]


class Screen(Console):
    """A console that shows texts of others, and lets none of them command the terminal."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Text as it is shown, without what would command the terminal."""
        return super().render_str(visible(text), **options)


def main(given: Sequence[str] | None = None) -> int:
    """Run a command and return the exit code; see `run`."""
    root = checkout.root()
    if root is None:
        return run(arguments.parser, COMMANDS, given)
    # Ray's workers import the checkout's packages by PYTHONPATH, the driver by sys.path.
    sys.path.insert(0, str(root))
    paths = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    # By name, as this package imports nothing of what runs on Ray.
    code: int = importlib.import_module("simulations.cli").main(given)
    return code


def dashed(argument: str) -> str:
    """An option with dashes for underscores, which other tools have in theirs."""
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument.partition("=")
    return f"{name.replace('_', '-')}{equals}{value}"


def run(
    parser: Callable[[], argparse.ArgumentParser],
    commands: Mapping[str, Command],
    given: Sequence[str] | None,
    advice: Callable[[argparse.Namespace, str], str] = lambda _, __: "",
) -> int:
    """Run a command and return the exit code: 0; 2 for what the user can mend; 130 for Ctrl-C; 1
    for a bug, whose traceback is printed.

    Args:
        parser: makes the parser; an ElectorateError it raises is one line too.
        advice: how a command goes on, from its arguments and what of its work is kept.
    """
    # A job's log has no width of its own; a table cut to 80 columns would lose its numbers. A line
    # is never broken (a path in two halves is no path); names of models and files are no markup.
    width = None if sys.stdout.isatty() else 120
    console = Screen(width=width, soft_wrap=True, markup=False)
    chosen = argparse.Namespace(command="")
    try:
        typed = sys.argv[1:] if given is None else given
        chosen = parser().parse_args([dashed(one) for one in typed])
        commands[chosen.command](chosen, console)
    except ElectorateError as error:
        advised = advice(chosen, error.kept) if error.kept else ""
        print(f"electorate: {visible(str(error))}{advised}", file=sys.stderr)
        return WRONG
    except KeyboardInterrupt:
        print(f"electorate: interrupted{advice(chosen, DONE)}", file=sys.stderr)
        return INTERRUPTED
    except Exception:
        traceback.print_exc()
        print(f"electorate: {BUG}{advice(chosen, DONE)}", file=sys.stderr)
        return BROKEN
    return 0


def rate(chosen: argparse.Namespace, console: Console) -> None:
    """`rate`: a leaderboard from a file of votes."""
    from electorate.commands.rate import Asked, rate
    from electorate.evaluation.rating import Options

    options = Options(
        chosen.ties,
        chosen.cluster,
        chosen.intervals,
        chosen.weigh,
        chosen.style,
        chosen.simultaneous,
    )
    winner = tuple(name.strip() for name in chosen.winner.split(","))
    asked = Asked(chosen.anchor, chosen.out, chosen.judged, chosen.by, chosen.matrix, winner)
    rate(chosen.votes, options, asked, console)


def human(chosen: argparse.Namespace, console: Console) -> None:
    """`human`: what personal rankings gain for the people of a file of votes."""
    from electorate.commands import human_tables
    from electorate.commands.human import human

    folder = human(chosen.votes, chosen.out, chosen.ties, chosen.reward, console, chosen.by)
    human_tables.show(folder, console)


def calibrate(chosen: argparse.Namespace, console: Console) -> None:
    """`calibrate`: a population that votes as the people of a file do."""
    from electorate.commands.calibrate import calibrate

    calibrate(chosen.votes, chosen.out, chosen.by, console)


def import_(chosen: argparse.Namespace, console: Console) -> None:
    """`import`: votes and responses from a public data set's layout."""
    from electorate.importers import registry

    for line in registry.convert(chosen.format, chosen.path, chosen.out):
        console.print(line, highlight=False, soft_wrap=True)
    votes = chosen.out / "votes.parquet"
    if votes.exists():
        next_step.tell(
            console,
            f"electorate rate {votes}",
            f"electorate human {votes} --out runs/{chosen.out.name}",
        )


def doctor(chosen: argparse.Namespace, console: Console) -> None:
    """`doctor`: what a machine has, and what a config would lack on it."""
    from electorate.commands.doctor import doctor

    doctor(chosen.config, console)


COMMANDS: dict[str, Command] = {
    "doctor": doctor,
    "rate": rate,
    "human": human,
    "calibrate": calibrate,
    "import": import_,
}
