"""Regret of a gateway over time: users whose tastes it does not know ask, are answered by the
contestant it chooses, and now and then say which of two answers was better. How much utility it
loses a request beside each user's best contestant, for shares of requests that explore.

    python -m benchmarks.exploration [--plot regret.png]
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from electorate.base.scale import ELO_PER_NAT, Floats
from electorate.online import base as bases
from electorate.online import routing
from electorate.online.counter import Counter
from electorate.online.rankings import Rankings
from electorate.online.sent import Batch, Vote

SHARES = (0.0, 0.05, 0.2, 1.0)
USERS = 100
MODELS = 6
REQUESTS = 60  # of each user
FEEDBACK = 0.5  # of requests, in which the user sees a second answer too and chooses
SEEDS = 3
NAMES = [f"m{i}" for i in range(MODELS)]


@dataclass(frozen=True)
class World:
    """utility: (USERS, MODELS) nats, an order of everybody's and each user's own tastes."""

    utility: Floats
    random: np.random.Generator

    @classmethod
    def of(cls, seed: int) -> "World":
        random = np.random.default_rng(seed)
        common = 0.5 * random.normal(size=MODELS)
        own = 0.8 * random.normal(size=(USERS, MODELS))
        return cls(common + own, random)

    def prefers_first(self, user: int, first: int, second: int) -> bool:
        """Which of two answers a user chooses; by chance where they are nearly alike."""
        ahead = self.utility[user, first] - self.utility[user, second]
        return bool(self.random.random() < 1 / (1 + np.exp(-ahead)))


def regret(seed: int, explore: float, folder: Path) -> Floats:
    """(REQUESTS,) mean Elo points that users lose at each of their requests."""
    world = World.of(seed)
    base = bases.of_folder(folder)
    store = base.open_store(NAMES)
    counter = Counter(base, store)
    rankings = Rankings(base)
    lost = np.zeros((REQUESTS, USERS))
    for request in range(REQUESTS):
        snapshot = counter.snapshot()
        votes = []
        for user in range(USERS):
            entries = rankings.of_user(snapshot, str(user)).ranking if snapshot.fits else ()
            names = list(world.random.permutation(NAMES))
            choice = routing.choose(
                entries, (), names, {}, 0.0, routing.Shares(explore), world.random
            )
            first, second = (NAMES.index(name) for name in choice.order[:2])
            lost[request, user] = world.utility[user].max() - world.utility[user, first]
            if world.random.random() < FEEDBACK:
                outcome = 0 if world.prefers_first(user, first, second) else 1
                pair = choice.order[:2]
                votes.append(Vote(f"{request}-{user}", str(user), *pair, outcome))
        store.add([Batch("benchmark", votes)])
    store.close()
    found: Floats = ELO_PER_NAT * lost.mean(axis=1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plot", type=Path)
    chosen, _ = parser.parse_known_args()
    found = {}
    for share in SHARES:
        runs = []
        for seed in range(SEEDS):
            with TemporaryDirectory() as scratch:
                runs.append(regret(seed, share, Path(scratch) / "new"))
        found[share] = np.array(runs)
    tenth = REQUESTS // 6
    print(f"regret a request, Elo points: {USERS} users, {MODELS} models, {SEEDS} seeds")
    print(f"{'explores':>9} {'first ' + str(tenth):>9} {'last ' + str(tenth):>9} {'all':>7}")
    for share, runs in found.items():
        parts = (runs[:, :tenth], runs[:, -tenth:], runs)
        first, last, whole = (float(part.mean()) for part in parts)
        print(f"{share:>9.0%} {first:>9.1f} {last:>9.1f} {whole:>7.1f}")
    if chosen.plot is not None:
        draw(found, chosen.plot)


def draw(found: dict[float, Floats], place: Path) -> None:
    """Regret over requests, means of five."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(7, 3.6), layout="constrained")
    for share, runs in found.items():
        mean = runs.mean(axis=0).reshape(-1, 5).mean(axis=1)
        axis.plot(5 * np.arange(len(mean)) + 3, mean, label=f"{share:.0%} explore", linewidth=1.6)
    axis.set_xlabel("a user's requests")
    axis.set_ylabel("regret a request, Elo points")
    axis.set_ylim(bottom=0)
    axis.legend(frameon=False)
    figure.savefig(place, dpi=120)


if __name__ == "__main__":
    main()
