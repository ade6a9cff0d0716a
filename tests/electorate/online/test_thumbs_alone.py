"""An application that sends thumbs on single answers and no choices between two."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

from electorate.base.scale import Floats
from electorate.online import base as bases
from electorate.online.counter import PRIOR_USERS, Counter
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
    after = served.counter.snapshot().with_thumbs
    assert without is not None
    assert after is not None
    assert after.strength == pytest.approx(without.strength, abs=1e-9)


@pytest.mark.parametrize("other", ["m0", NOBODY])
def test_a_model_that_only_a_forgotten_user_named_is_gone(tmp_path: Path, other: str) -> None:
    """It was the last one, and counts had a place for it: every snapshot after failed."""
    base = bases.of_folder(tmp_path / "new")
    store = base.open_store()
    counter = Counter(base, store)
    kept = [Vote(f"k{i}", f"u{i}", "m0", "m1", i % 2) for i in range(20)]
    store.add([Batch("key", kept)])
    expected = counter.snapshot()
    store.add([Batch("key", [Vote(f"h{i}", "eve", "evil", other, 1) for i in range(6)])])
    counter.snapshot()
    store.erase("eve", "key")
    found = counter.snapshot()
    assert found.models == expected.models
    assert np.array_equal(found.counts, expected.counts)
    assert np.array_equal(Counter(base, store).snapshot().counts, expected.counts)
    store.close()


def test_a_name_that_comes_back_has_none_of_the_thumbs_of_the_one_before(tmp_path: Path) -> None:
    """Places of models that only an erased user named are given to others."""
    base = bases.of_folder(tmp_path / "new")
    store = base.open_store()
    counter = Counter(base, store)
    kept = [Vote(f"k{i}", f"u{i}", "m0", "m1", i % 2) for i in range(20)]
    store.add([Batch("key", kept)])
    hated = [Vote(f"h{i}", "eve", "evil", NOBODY, 1) for i in range(60)]
    store.add([Batch("key", hated)])
    assert counter.snapshot().with_thumbs is not None
    store.erase("eve", "key")
    counter.snapshot()
    store.add([Batch("key", [Vote("f", "u1", "fresh", "m0", 2)])])
    snapshot = counter.snapshot()
    assert "evil" not in snapshot.models
    assert snapshot.with_thumbs is None
    store.close()


def test_thumbs_add_to_votes_what_they_know_and_no_more(tmp_path: Path) -> None:
    """Users after the first PRIOR_USERS, and votes since the last time, count as they are."""
    served = Served(tmp_path / "new")
    random = np.random.default_rng(0)
    ahead = 1.0  # of m0 over m1, nats, by votes and by thumbs
    thumbs = [
        Vote(f"{i}", f"t{i % PRIOR_USERS}", f"m{i % 2}", NOBODY, outcome)
        for i in range(2 * PRIOR_USERS)
        for outcome in [int(random.random() > expit((0.5 - i % 2) * ahead))]
    ]
    served.add(*thumbs)
    served.counter.snapshot()
    votes = [
        Vote(f"v{i}", f"v{i}", "m0", "m1", int(random.random() > expit(ahead))) for i in range(4000)
    ]
    served.add(*votes)
    both = served.counter.snapshot().with_thumbs
    assert both is not None
    found = both.strength[0] - both.strength[1]
    sd = np.sqrt(np.array([1, -1]) @ both.covariance[:2, :2] @ np.array([1, -1]))
    assert found == pytest.approx(ahead, abs=4 * sd)
    assert 0.02 < sd < 0.06
    served.store.close()


def test_uneven_thresholds_are_not_taken_for_tastes(served: Served) -> None:
    """Users who like the same models, but of whom some thumb everything up."""
    utility = np.linspace(-0.8, 0.8, len(NAMES)) - 2 * np.random.default_rng(3).normal(
        size=(USERS, 1)
    )
    served.add(*thumbs(utility, 3))
    snapshot = served.counter.snapshot()
    assert snapshot.unlabelled is not None
    assert snapshot.unlabelled.sd < 0.3
    best = [served.order(snapshot, f"u{user}")[0] for user in range(USERS)]
    assert best.count(NAMES[-1]) > 0.9 * USERS


def test_few_thumbs_make_nothing_sure(served: Served) -> None:
    """Everyone's interval with a few thumbs is hardly narrower than without."""
    random = np.random.default_rng(4)
    taste = 2.0 * random.normal(size=60)
    votes = [
        Vote(f"{i}-{user}", f"u{user}", "m0", "m1", int(random.random() > expit(taste[user])))
        for user in range(60)
        for i in range(30)
    ]
    served.add(*votes)
    before = served.counter.snapshot().fits[0].covariance
    few = [Vote(f"t{i}", f"u{i}", f"m{i % 2}", NOBODY, i // 2 % 2) for i in range(10)]
    served.add(*few)
    served.counter.snapshot()
    served.counter.refresh()
    after = served.counter.snapshot().with_thumbs
    assert after is not None
    contrast = np.array([1.0, -1.0])
    sd = [np.sqrt(contrast @ one[:2, :2] @ contrast) for one in (before, after.covariance)]
    assert 0.8 * sd[0] < sd[1] < 1.1 * sd[0]


def test_a_users_votes_weigh_no_more_beside_thumbs_than_on_boards(served: Served) -> None:
    liked = [
        Vote(f"{i}-{name}", f"u{i}", name, NOBODY, outcome)
        for i in range(150)
        for name, outcome in (("m1", 0), ("m0", 1))
    ]
    flood = [Vote(f"f{i}", "loud", "m0", "m1", 0) for i in range(5000)]
    served.add(*liked, *flood)
    found = served.order(served.counter.snapshot(), None)
    assert found.index("m1") < found.index("m0")


@pytest.mark.parametrize("taste", [0.0, 0.6])
def test_users_who_thumb_as_much_up_as_down_are_told_apart_by_their_tastes(
    served: Served, taste: float
) -> None:
    """People's choices as thumbs, one up and one down: thresholds then vary less than chance has
    it, which said that users do not differ.
    """
    random = np.random.default_rng(0)
    utility = np.linspace(-0.8, 0.8, len(NAMES)) + taste * random.normal(size=(USERS, len(NAMES)))
    given = []
    for user in range(USERS):
        for i in range(EACH):
            one, other = random.permutation(len(NAMES))[:2]
            if random.random() > expit(utility[user, one] - utility[user, other]):
                up = other
            else:
                up = one
            for model in (one, other):
                outcome = int(model != up)
                given.append(Vote(f"{i}-{model}", f"u{user}", NAMES[model], NOBODY, outcome))
    served.add(*given)
    found = served.counter.snapshot().unlabelled
    assert found is not None
    assert found.sd > 0.3 if taste else found.sd < 0.1
