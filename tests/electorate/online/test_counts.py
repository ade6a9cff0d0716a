"""Online votes are counted whole or not at all, under caps, whatever the order they come in."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from electorate.online import base as bases
from electorate.online import counter as counter_module
from electorate.online.counter import Counter
from electorate.online.counts import Caps
from electorate.online.rankings import Rankings
from electorate.online.sent import Batch, Vote
from electorate.online.voters import found
from electorate.ratings import bradley_terry, fixed_point

MODELS = "abcd"
USERS = 5
KEYS = ("app", "partner")


def made(folder: Path, caps: Caps) -> Counter:
    base = bases.Base(folder / "online", None)
    return Counter(base, base.open_store(declared=MODELS), caps)


def weights(batches: Sequence[Batch], gone: set[str], caps: Caps) -> np.ndarray:
    """(M, M, 3) by the rule as it is stated, vote by vote."""
    votes = [
        (batch.key, vote) for batch in batches for vote in batch.votes if vote.user not in gone
    ]
    by_user = {
        user: sum(vote.user == user for _, vote in votes) for user in {v.user for _, v in votes}
    }
    by_key = {key: np.zeros((4, 4, 3)) for key in KEYS}
    for key, vote in votes:
        weight = (
            fixed_point.fixed(np.array([min(1.0, caps.user / by_user[vote.user])]))[0]
            / fixed_point.UNIT
        )
        by_key[key][
            MODELS.index(vote.model_a), MODELS.index(vote.model_b), min(vote.outcome, 2)
        ] += weight
    total = np.zeros((4, 4, 3))
    for counts in by_key.values():
        total += counts * min(1.0, caps.key / max(1.0, counts.sum()))
    return total


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(KEYS),
            st.lists(
                st.tuples(st.integers(0, USERS - 1), st.permutations(MODELS), st.integers(0, 3)),
                min_size=1,
                max_size=12,
            ),
        ),
        st.tuples(st.just("erase"), st.integers(0, USERS - 1)),
        st.tuples(st.just("count"), st.none()),
        st.tuples(st.just("fail"), st.none()),
        st.tuples(st.just("restart"), st.none()),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(STEPS, st.integers(1, 6), st.integers(1, 30), st.integers(0, 20))
def test_whatever_happens_counts_are_those_of_the_rule(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[str, object]],
    user_cap: int,
    key_cap: int,
    fold_at: int,
) -> None:
    """Votes, snapshots, snapshots that fail half-way, erasures and restarts in any order."""
    folder = tmp_path_factory.mktemp("counts")
    caps = Caps(user_cap, key_cap)
    counter = made(folder, caps)
    batches: list[Batch] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counter_module, "FOLD_AT", fold_at)
        for what, detail in steps:
            if what == "erase":
                counter.store.erase(f"u{detail}", "k")
                batches = [
                    Batch(b.key, [v for v in b.votes if v.user != f"u{detail}"]) for b in batches
                ]
            elif what == "count":
                counter.snapshot()
            elif what == "fail":
                with pytest.MonkeyPatch.context() as failing:

                    def fails(*_: object) -> None:
                        raise RuntimeError("a test says so")

                    failing.setattr(bradley_terry, "fit", fails)
                    with pytest.raises(RuntimeError):
                        counter.snapshot()
            elif what == "restart":
                counter.store.close()
                counter = made(folder, caps)
            else:
                votes = [
                    Vote(f"{len(batches)}-{i}", f"u{user}", order[0], order[1], outcome)
                    for i, (user, order, outcome) in enumerate(detail)  # type: ignore[arg-type]
                ]
                batches.append(Batch(what, votes))
                counter.store.add([batches[-1]])
        snapshot = counter.snapshot()
    assert np.allclose(
        snapshot.counts.sum(axis=0), weights(batches, set(), caps), rtol=1e-12, atol=1e-12
    )
    assert snapshot.online == sum(len(batch.votes) for batch in batches)
    assert (
        len(snapshot.recent.user) + sum(len(counter.store.round(n)) for n in snapshot.rounds)
        == snapshot.online
    )
    counter.store.close()


def test_one_user_and_one_key_decide_nothing_by_the_number_of_their_votes(tmp_path: Path) -> None:
    """100 users like `a` best; then one sends 20,000 votes for `d`, and a key as many by users
    it makes up.
    """
    counter = made(tmp_path, Caps(user=100, key=1000))
    store = counter.store
    rankings = Rankings(counter.base)
    for user in range(100):
        store.add(
            [
                Batch(
                    "app",
                    [Vote(f"{o}-{i}", f"u{user}", "a", o, 0) for o in "bcd" for i in range(2)],
                )
            ]
        )
    before = rankings.leaderboard(counter.snapshot(), None, None)
    assert before[0]["model"] == "a"
    for turn in range(20):
        store.add([Batch("app", [Vote(f"{turn}-{i}", "loud", "d", "a", 0) for i in range(1000)])])
    after = rankings.leaderboard(counter.snapshot(), None, None)
    assert after[0]["model"] == "a"
    loud = rankings.of_user(counter.snapshot(), "loud")
    assert (loud.votes, loud.weight) == (20_000, 100 / 20_000)
    # Its own ranking rests on all it sent.
    assert loud.ranking[0].model == "d"
    for turn in range(20):
        store.add(
            [Batch("sybil", [Vote(f"{turn}-{i}", f"s{turn}-{i}", "d", "c", 0) for i in range(500)])]
        )
    snapshot = counter.snapshot()
    voters = found(counter, store, 3)
    assert voters.users[0].name == "loud"
    assert voters.users[0].flags[:2] == ("over the cap of a user", "votes for one model")
    assert "60 votes within 60 seconds" in voters.users[0].flags
    (sybil,) = [key for key in voters.keys if key.name == "sybil"]
    assert (sybil.votes, sybil.weight, sybil.flags) == (10_000, 0.1, ("over the cap of a key",))
    assert (
        voters.rule
        == "the votes of a user weigh at most 100 together, those of a key at most 1,000"
    )
    assert snapshot.counts.sum() == pytest.approx(600 + 100 + 1000, rel=1e-5)  # units of 2^-20


def test_flags_are_of_what_is_odd(tmp_path: Path) -> None:
    counter = made(tmp_path, Caps())
    random = np.random.default_rng(0)
    honest = []
    for i in range(60):
        a, b = random.choice(4, 2, replace=False)
        honest.append(
            Vote(
                f"{i}",
                "honest",
                MODELS[a],
                MODELS[b],
                int(random.integers(3)),
                int(random.integers(2)),
            )
        )
    left = []
    for i in range(40):
        a, b = random.choice(4, 2, replace=False)
        first = int(random.integers(2))
        left.append(Vote(f"{i}", "left", MODELS[a], MODELS[b], first, first))
    counter.store.add([Batch("k", honest[:50]), Batch("k", left)])
    counter.snapshot()
    flags = {voter.name: voter.flags for voter in found(counter, counter.store, 10).users}
    assert flags == {"honest": (), "left": ("votes for one place on the screen",)}
