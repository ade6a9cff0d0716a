"""What thumbs alone tell of people: each decided vote of a file becomes a thumb on one of its two
responses, up for the winner's; then votes on other prompts are predicted by everyone's ranking and
by each voter's own. Beside it the same with voters exchanged at random, who differ in nothing.

    python -m benchmarks.thumbs VOTES
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from electorate.base.scale import ELO_PER_NAT, Floats, Ints
from electorate.data import vote_files
from electorate.data.votes import NamedVotes
from electorate.online import base as bases
from electorate.online.counter import Counter
from electorate.online.rankings import Rankings
from electorate.online.sent import NOBODY, Batch, Vote

EXCHANGED = 8


def losses(votes: NamedVotes, user: Ints, known: Ints, unseen: Ints, side: Ints) -> Floats:
    """(2, unseen) log loss by everyone's ranking and by each user's own.

    Args:
        user: (n,) of each vote.
        known, unseen: votes to learn from and to predict.
        side: (known,) 0 where the thumb is on A, 1 on B.
    """
    model = np.where(side, votes.b[known], votes.a[known])
    down = votes.outcome[known] != side
    thumbs = [
        Vote(str(i), f"u{who}", votes.models[m], NOBODY, int(is_down))
        for i, (who, m, is_down) in enumerate(zip(user[known], model, down, strict=True))
    ]
    with TemporaryDirectory() as scratch:
        base = bases.of_folder(Path(scratch) / "new")
        store = base.open_store(votes.models)
        store.add([Batch("benchmark", thumbs)])
        snapshot = Counter(base, store).snapshot()
        rankings = Rankings(base)
        names = [None, *(f"u{who}" for who in np.unique(user[unseen]))]
        place = {name: m for m, name in enumerate(votes.models)}
        rated = {name: np.zeros(len(place)) for name in names}
        for name, ratings in rated.items():
            for entry in rankings.of_user(snapshot, name).ranking:
                ratings[place[entry.model]] = entry.rating / ELO_PER_NAT
        store.close()
    a = votes.a[unseen]
    b = votes.b[unseen]
    won = np.where(votes.outcome[unseen] == 0, 1.0, -1.0)
    own = np.array([rated[f"u{who}"] for who in user[unseen]])
    rows = np.arange(len(unseen))
    ahead = np.array([rated[None][a] - rated[None][b], own[rows, a] - own[rows, b]])
    return np.logaddexp(0.0, -won * ahead)


def main(path: Path) -> None:
    votes, _ = vote_files.read(path)
    if votes.prompt is None:
        raise SystemExit(f"{path}: names no prompts")
    random = np.random.default_rng(1)
    prompts = np.unique(votes.prompt)
    held_out = np.isin(votes.prompt, random.permutation(prompts)[: len(prompts) // 4])
    decided = votes.outcome < 2
    known = np.flatnonzero(decided & ~held_out)
    unseen = np.flatnonzero(decided & held_out)
    side = random.integers(0, 2, len(known))
    everyone, own = losses(votes, votes.user, known, unseen, side).mean(axis=1)
    print(f"{path.stem}: {len(known):,} thumbs, {len(unseen):,} votes on other prompts")
    print(f"log loss by everyone's ranking {everyone:.3f}, by each voter's own {own:.3f}")
    gains = []
    for _ in range(EXCHANGED):
        user = votes.user.copy()
        user[decided] = random.permutation(user[decided])
        found = losses(votes, user, known, unseen, side).mean(axis=1)
        gains.append(found[0] - found[1])
    print(f"voters exchanged, {EXCHANGED} times: gain {min(gains):+.4f} to {max(gains):+.4f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
