"""An application that sends thumbs on single answers and no choices between two."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

from electorate.base.scale import Floats
from electorate.online import base as bases
from electorate.online.counter import Counter
from electorate.online.rankings import Rankings
from electorate.online.sent import NOBODY, Batch, Vote
from electorate.online.snapshot import Snapshot

NAMES = tuple(f"m{i}" for i in range(5))
USERS = 120
EACH = 30


class Served:
    def __init__(self, folder: Path) -> None:
        base = bases.of_folder(folder)
        self.store = base.open_store(NAMES)
        self.counter = Counter(base, self.store)
        self.rankings = Rankings(base)

    def add(self, *votes: Vote) -> None:
        self.store.add([Batch("key", votes)])

    def order(self, snapshot: Snapshot, user: str | None) -> list[str]:
        return [entry.model for entry in self.rankings.of_user(snapshot, user).ranking]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    found = Served(tmp_path / "new")
    yield found
    found.store.close()


def utilities(seed: int) -> Floats:
    """(USERS, models) an order that all share and tastes of their own, less a user's threshold."""
    random = np.random.default_rng(seed)
    own = 1.5 * random.normal(size=(USERS, len(NAMES)))
    return np.linspace(-0.8, 0.8, len(NAMES)) + own - random.normal(size=(USERS, 1))


def thumbs(utility: Floats, seed: int) -> list[Vote]:
    random = np.random.default_rng(seed)
    found = []
    for user in range(USERS):
        for i in range(EACH):
            model = int(random.integers(len(NAMES)))
            up = random.random() < expit(utility[user, model])
            found.append(Vote(str(i), f"u{user}", NAMES[model], NOBODY, 0 if up else 1))
    return found


def test_rankings_are_learned_from_them(served: Served) -> None:
    utility = utilities(0)
    served.add(*thumbs(utility, 0))
    snapshot = served.counter.snapshot()
    # Everyone's, which is a newcomer's too, follows what all share.
    assert served.order(snapshot, "somebody new") == list(reversed(NAMES))
    everyones = served.order(snapshot, None)
    assert everyones == list(reversed(NAMES))
    # Users' own gain over it.
    places = {name: i for i, name in enumerate(NAMES)}
    worth = np.array(
        [
            [
                utility[user, places[served.order(snapshot, whose)[0]]]
                for whose in (f"u{user}", None)
            ]
            for user in range(USERS)
        ]
    )
    best = utility.max(axis=1)
    lost = (best[:, None] - worth).mean(axis=0)
    assert lost[0] < 0.5 * lost[1]


def test_choices_and_thumbs_are_learned_from_together(served: Served) -> None:
    """Thumbs move what choices said, and choices what thumbs said."""
    served.add(*(Vote(f"c{i}", f"u{i}", "m0", "m1", 0) for i in range(12)))
    before = served.order(served.counter.snapshot(), None)
    assert before.index("m0") < before.index("m1")
    assert served.counter.snapshot().with_thumbs is None
    up = [Vote(f"t{i}", f"u{i % 20}", "m4", NOBODY, 0) for i in range(60)]
    down = [Vote(f"d{i}", f"u{i % 20}", "m3", NOBODY, 1) for i in range(60)]
    served.add(*up, *down)
    after = served.order(served.counter.snapshot(), None)
    assert after[0] == "m4"
    assert after[-1] == "m3"
    assert after.index("m0") < after.index("m1")


def test_nobody_moves_everyones_ranking_by_thumbs_without_end(served: Served) -> None:
    """One user's thumbs weigh together as its votes may."""
    rest = [
        Vote(f"{i}", f"u{i}", name, NOBODY, outcome)
        for i in range(80)
        for name, outcome in (("m0", 0), ("m1", 1))
    ]
    rest = [Vote(f"{vote.model_a}-{vote.id}", *list(vars(vote).values())[1:]) for vote in rest]
    flood = [Vote(f"f{i}", "loud", "m1", NOBODY, 0) for i in range(3000)]
    flood += [Vote(f"g{i}", "loud", "m0", NOBODY, 1) for i in range(3000)]
    served.add(*rest)
    served.add(*flood)
    found = served.order(served.counter.snapshot(), None)
    assert found.index("m0") < found.index("m1")


def test_a_user_who_is_forgotten_leaves_nothing_behind(served: Served) -> None:
    utility = utilities(1)
    given = thumbs(utility, 1)
    served.add(*(vote for vote in given if vote.user != "u0"))
    without = served.counter.snapshot().with_thumbs
    served.add(*(vote for vote in given if vote.user == "u0"))
    served.counter.snapshot()
    served.store.erase("u0", "key")
    served.counter.begin_again()
    after = served.counter.snapshot().with_thumbs
    assert without is not None
    assert after is not None
    assert after.strength == pytest.approx(without.strength, abs=1e-9)
