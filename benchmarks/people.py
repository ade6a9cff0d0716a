"""What one may conclude from files of people's votes: every system on votes held out, of users
whose other votes are known and of new users by how many of theirs are; and the null, in which users
swap their votes on each prompt, so that nothing personal is left to learn.

Printed as the tables of docs/people.md.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from electorate.base.scale import Ints
from electorate.config.run import RatingSettings
from electorate.config.systems import GATED
from electorate.data import vote_files
from electorate.data.votes import NamedVotes
from electorate.evaluation import people
from electorate.evaluation.intervals import Estimate
from electorate.evaluation.people import LOG_LOSS
from electorate.evaluation.two_systems import BASELINE, SYSTEM_A

SHOWN = (5, 10, 20, 50)
SETTINGS = RatingSettings(ties="davidson")
DRAWS = 20
MOST_FALSE = 3  # of DRAWS
RATE = 0.1
PAIRS = (LOG_LOSS[0], "pair_accuracy")
NULL = (BASELINE, SYSTEM_A, GATED)


def read(path: Path, ties: bool) -> tuple[NamedVotes, Ints]:
    """A file's votes, with or without ties, and their prompts counted from 0."""
    votes, _ = vote_files.read(path, measured=True)
    if not ties:
        votes = votes.take(np.flatnonzero(votes.outcome < 2))
    return votes, people.prompts(votes, str(path))


def shown(gain: Estimate) -> str:
    """With its interval."""
    return f"{gain.value:+.3f} [{gain.ci_low:+.3f}, {gain.ci_high:+.3f}]"


def table(path: Path, ties: bool) -> None:
    """Print a row a system."""
    votes, prompt = read(path, ties)
    predicted, _ = people.predict(votes, prompt, SETTINGS)
    own, gains = people.estimates(votes, prompt, predicted)
    curve = people.learning_curve(votes, prompt, SETTINGS)
    points = [one for one in curve.points if one.known in SHOWN]
    kind = "" if ties else ", without ties"
    print(f"\n### {path.stem}{kind}: {len(votes):,} votes of {len(votes.user_names)} people\n")
    heads = ["system", "log loss", "over global", "pair accuracy"]
    heads += [f"new user, {one.known} votes" for one in points]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for name, by_metric in own.items():
        gain = gains.get(name)
        pairs = by_metric.get(PAIRS)
        cells = [
            name,
            f"{by_metric[LOG_LOSS].value:.3f}",
            "" if gain is None else shown(gain[LOG_LOSS]),
            "" if pairs is None else f"{pairs.value:.3f}",
        ]
        cells += [shown(one.gains[name][LOG_LOSS]) if name in one.gains else "" for one in points]
        print(f"| {' | '.join(cells)} |", flush=True)


def shuffled(votes: NamedVotes, prompt: Ints, seed: int) -> NamedVotes:
    """The votes with their users swapped among those on the same prompt."""
    random = np.random.default_rng(seed)
    user = votes.user.copy()
    for one in np.unique(prompt):
        rows = np.flatnonzero(prompt == one)
        user[rows] = user[random.permutation(rows)]
    return replace(votes, user=user)


def null(path: Path, ties: bool, draws: int = DRAWS) -> None:
    """Print how often System A, and System A behind its gate, seem to gain where nothing personal
    is left.
    """
    votes, prompt = read(path, ties)
    found = dict[str, list[Estimate]]()
    gainers = 0
    losers = 0
    for seed in range(draws):
        swapped = shuffled(votes, prompt, seed)
        predicted, _ = people.predict(swapped, prompt, SETTINGS, NULL, seeds=1)
        _, gains = people.estimates(swapped, prompt, predicted)
        for name, gain in gains.items():
            found.setdefault(name, []).append(gain[LOG_LOSS])
        by_user = people.user_gains(swapped, prompt, predicted)
        gainers += int(by_user.gainers(RATE).sum())
        losers += int(by_user.losers(RATE).sum())
    kind = "" if ties else ", without ties"
    for name in (SYSTEM_A, GATED):
        own = found[name]
        clear = sum(one.ci_high < 0 for one in own)
        mean = np.mean([one.value for one in own])
        print(
            f"null, {path.stem}{kind}, {name}: mean {mean:+.4f} in log loss, seems to gain in "
            f"{clear} of {draws} (at most {MOST_FALSE})",
            flush=True,
        )
    print(
        f"null, {path.stem}{kind}: {gainers} users said to gain and {losers} to lose, of "
        f"{draws * len(votes.user_names):,}",
        flush=True,
    )


def main(paths: Sequence[Path]) -> None:
    """Print the tables, then the null."""
    for path in paths:
        for ties in (True, False):
            table(path, ties)
    print()
    for path in paths:
        for ties in (True, False):
            null(path, ties)


if __name__ == "__main__":
    main([Path(path) for path in sys.argv[1:]])
