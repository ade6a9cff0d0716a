"""What a gateway's thumbs tell of users' own rankings, beside what is true of them.

Users whose tastes it does not know ask, are answered by the contestant it chooses, and choose
between two answers or give a thumb, one as often as the other. A tenth of requests goes by
everyone's ranking (--holdout 0.1), a twentieth explores.

    python -m benchmarks.holdout
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from scipy.special import expit

from benchmarks.exploration import FEEDBACK, NAMES, USERS, World
from electorate.base.scale import Floats
from electorate.evaluation import off_policy
from electorate.evaluation.off_policy import RoutedThumbs
from electorate.online import base as bases
from electorate.online import routing
from electorate.online.counter import Counter
from electorate.online.rankings import Rankings
from electorate.online.routing import Shares
from electorate.online.sent import NOBODY, Batch, Routed, Vote

REQUESTS = 40  # of each user
TOLD_AFTER = (10, 20, 40)
SHARES = Shares(explore=0.05, holdout=0.1)
SEEDS = 3


def live(seed: int, folder: Path) -> list[tuple[float, off_policy.Gain]]:
    """After each of TOLD_AFTER requests a user: how much likelier a thumb up was by users' own
    rankings than by everyone's, over all requests so far; and what the thumbs say of it.
    """
    world = World.of(seed)
    threshold = world.random.normal(size=(USERS, 1))
    up = expit(world.utility - threshold)
    base = bases.of_folder(folder)
    store = base.open_store(NAMES)
    counter = Counter(base, store)
    rankings = Rankings(base)
    gains = list[Floats]()
    found = []
    for request in range(REQUESTS):
        votes = list[Vote]()
        snapshot = counter.snapshot()
        everyone = rankings.of_user(snapshot, None).ranking if snapshot.fits else ()
        gains.append(np.zeros(USERS))
        for user in range(USERS):
            own = rankings.of_user(snapshot, str(user)).ranking if snapshot.fits else ()
            names = list(world.random.permutation(NAMES))
            choice = routing.choose(own, everyone, names, {}, 0.0, SHARES, world.random)
            of_user = up[user]
            by_user, by_all = (NAMES.index(name) for name in (choice.by_user, choice.by_all))
            gains[-1][user] = of_user[by_user] - of_user[by_all]
            name = f"{request}-{user}"
            if world.random.random() < FEEDBACK:
                pair = choice.order[:2]
                outcome = 0 if world.prefers_first(user, *map(NAMES.index, pair)) else 1
                votes.append(Vote(name, str(user), *pair, outcome))
            else:
                first = choice.order[0]
                is_up = world.random.random() < of_user[NAMES.index(first)]
                routed = Routed(name, choice.probability, choice.by_user, choice.by_all)
                vote = Vote(name, str(user), first, NOBODY, 0 if is_up else 1, routed=routed)
                votes.append(vote)
        store.add([Batch("benchmark", votes)])
        if request + 1 in TOLD_AFTER:
            rows = [row for user in range(USERS) for row in store.ledger.thumbs_of_user(str(user))]
            found.append((float(np.mean(gains)), off_policy.gain(RoutedThumbs.of(rows))))
    store.close()
    return found


def main() -> None:
    print(f"{USERS} users, {len(NAMES)} models, thumbs on {1 - FEEDBACK:.0%} of answers")
    print(f"{'seed':>4} {'requests a user':>15} {'true gain':>9}  told by thumbs")
    for seed in range(SEEDS):
        with TemporaryDirectory() as scratch:
            rows = live(seed, Path(scratch) / "new")
        for requests, (true, gain) in zip(TOLD_AFTER, rows, strict=True):
            told = f"{gain.value:+.1%} [{gain.low:+.1%}, {gain.high:+.1%}]"
            print(f"{seed:>4} {requests:>15} {true:>+9.1%}  {told}")


if __name__ == "__main__":
    main()
