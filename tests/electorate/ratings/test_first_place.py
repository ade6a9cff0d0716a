import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from electorate.base.scale import Floats, Ints
from electorate.data.votes import NamedVotes
from electorate.evaluation import rating
from electorate.ratings import bradley_terry, first_place
from electorate.ratings.bradley_terry import Fit
from electorate.ratings.ties import MODELS, TieModel

Columns = tuple[Ints, Ints, Ints, Floats]


def cast(seed: int, lead: float, votes: int = 400, models: int = 4) -> Columns:
    random = np.random.default_rng(seed)
    strength = np.append(np.linspace(-1, 0, models - 1), lead)
    a = random.integers(0, models, votes)
    b = (a + random.integers(1, models, votes)) % models
    odds = MODELS["davidson"].probabilities(strength[a] - strength[b], np.full(votes, -0.7))
    outcome = (random.random(votes)[:, None] > odds.cumsum(axis=1)[:, :2]).sum(axis=1)
    return a, b, outcome, np.ones(votes)


def fit(columns: Columns, ties: TieModel, rows: Ints | None = None) -> Fit:
    a, b, outcome, weight = columns if rows is None else tuple(one[rows] for one in columns)
    models = int(max(columns[0].max(), columns[1].max())) + 1
    counts = np.zeros((models, models, 3))
    np.add.at(counts, (a, b, outcome), weight)
    return bradley_terry.fit(counts, ties, None if bradley_terry.estimable(counts) else 1000.0)


@pytest.mark.parametrize("name", sorted(MODELS))
@pytest.mark.parametrize("seed", range(4))
def test_without_the_votes_found_another_model_is_first(name: str, seed: int) -> None:
    ties = MODELS[name]
    columns = cast(seed, lead=0.4)
    whole = fit(columns, ties)
    found = first_place.flip(whole, ties, *columns)
    assert found is not None
    assert whole.strength.argmax() == found.first
    kept = np.setdiff1d(np.arange(400), found.votes)
    assert fit(columns, ties, kept).strength.argmax() == found.rival != found.first
    # The first-order approximation is near, and one vote fewer is not enough.
    assert len(found.votes) == pytest.approx(found.approximate, abs=3, rel=0.3)
    fewer = np.setdiff1d(np.arange(400), found.votes[:-1])
    assert fit(columns, ties, fewer).strength.argmax() == found.first


def test_no_smaller_set_is_easily_found() -> None:
    """Random sets of the same size, and the votes that the first model won, do not do it."""
    ties = MODELS["davidson"]
    columns = cast(1, lead=0.5)
    whole = fit(columns, ties)
    found = first_place.flip(whole, ties, *columns)
    assert found is not None
    random = np.random.default_rng(0)
    for _ in range(100):
        gone = random.choice(400, len(found.votes), replace=False)
        kept = np.setdiff1d(np.arange(400), gone)
        assert fit(columns, ties, kept).strength.argmax() == found.first


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(sorted(MODELS)),
    st.sampled_from([(0,), (1,), (2,), (0, 1), (0, 1, 2)]),
    st.booleans(),
    st.booleans(),
)
def test_any_votes_are_rated_and_their_first_place_is_told(
    seed: int, ties: str, outcomes: tuple[int, ...], weighted: bool, lopsided: bool
) -> None:
    """All ties, no ties, all won, disconnected, of any weight: no crash, and no NaN is printed."""
    random = np.random.default_rng(seed)
    models = int(random.integers(2, 7))
    votes = int(random.integers(1, 60))
    a = random.integers(0, models, votes)
    b = (a + random.integers(1, models, votes)) % models
    outcome = np.array(outcomes)[random.integers(0, len(outcomes), votes)]
    if lopsided:
        outcome = np.where(outcome == 2, 2, (a > b).astype(np.int64))
    seen, place = np.unique([a, b], return_inverse=True)
    a, b = place.reshape(2, votes)
    weight = np.exp(2 * random.normal(size=votes)) if weighted else np.ones(votes)
    names = tuple(f"m{m}" for m in seen)
    of = NamedVotes(models=names, a=a, b=b, outcome=outcome, weight=weight, user=np.zeros_like(a))
    rated = rating.fit(of, rating.Options(ties))
    assert np.isfinite(rated.fit.strength).all()
    for line in rating.first_place(of, rated, ties):
        assert "nan" not in line
        assert "inf" not in line


@pytest.mark.parametrize("seed", range(3))
def test_counts_say_what_votes_say_and_some_models_may_be_meant_alone(seed: int) -> None:
    ties = MODELS["davidson"]
    columns = cast(seed, lead=0.4, models=5)
    whole = fit(columns, ties)
    counts = np.zeros((5, 5, 3))
    np.add.at(counts, columns[:3], 1.0)
    everyone = np.arange(5)
    found = first_place.flip(whole, ties, *columns)
    assert found is not None
    of_counts = first_place.flip_counts(whole, ties, counts, everyone)
    assert of_counts == (found.rival, len(found.votes))
    best, second = first_place.best_of(whole.strength, everyone)[:2]
    rest = np.setdiff1d(everyone, [best])
    without_best = first_place.flip_counts(whole, ties, counts, rest)
    assert without_best is not None
    assert without_best[0] not in (best, second)
    needed = first_place.votes_needed(whole, 400, rest)
    assert needed is None or needed != first_place.votes_needed(whole, 400)


@pytest.mark.parametrize("weight", [0.3, 0.6, 0.9])
def test_votes_of_little_weight_are_not_rounded_away(weight: float) -> None:
    """Of many models each battle was voted on once or not at all, and a cap makes it weigh less."""
    ties = MODELS["davidson"]
    columns = cast(0, lead=0.4, votes=900, models=30)
    whole = fit(columns, ties)
    counts = np.zeros((30, 30, 3))
    np.add.at(counts, columns[:3], weight)
    lighter = bradley_terry.fit(counts, ties, 1000.0)
    alike = first_place._Alike.of_counts(counts)
    assert alike.votes @ alike.weight == pytest.approx(900 * weight)
    found = first_place.flip_counts(lighter, ties, counts, np.arange(30))
    assert found is not None
    expected = first_place.flip(whole, ties, *columns)
    assert expected is not None
    # Of cells in which votes met, at most so many fewer; never a handful for hundreds.
    assert 0.3 * len(expected.votes) <= found[1] <= 1.5 * len(expected.votes)


@pytest.mark.parametrize(("votes", "models"), [(50, 6), (5000, 4)])
@pytest.mark.parametrize("weighted", [False, True])
def test_votes_that_are_alike_are_one_row_counted_or_sorted(
    votes: int, models: int, weighted: bool
) -> None:
    random = np.random.default_rng(0)
    a = random.integers(0, models, votes)
    b = (a + random.integers(1, models, votes)) % models
    outcome = random.integers(0, 3, votes)
    weight = random.choice([0.5, 1.0, 2.0], votes) if weighted else np.ones(votes)
    alike = first_place._Alike.of(models, a, b, outcome, weight)
    for name, column in (("a", a), ("b", b), ("outcome", outcome), ("weight", weight)):
        np.testing.assert_array_equal(getattr(alike, name)[alike.row], column)
    np.testing.assert_array_equal(np.bincount(alike.row), alike.votes)
    order = random.permutation(len(alike.votes))
    whole = alike.rows(order, votes)
    place = np.argsort(order)
    np.testing.assert_array_equal(whole, np.argsort(place[alike.row], kind="stable"))
    for count in (1, votes // 3, votes - 1):
        np.testing.assert_array_equal(alike.rows(order, count), whole[:count])


def test_a_first_place_beyond_doubt_hangs_on_no_half_of_the_votes() -> None:
    ties = MODELS["davidson"]
    columns = cast(0, lead=6.0, votes=300)
    assert first_place.flip(fit(columns, ties), ties, *columns) is None


def test_heavy_votes_are_fewer() -> None:
    ties = MODELS["davidson"]
    a, b, outcome, weight = cast(2, lead=0.4)
    heavy = weight.copy()
    winning = ((a == 3) & (outcome == 0)) | ((b == 3) & (outcome == 1))
    heavy[np.flatnonzero(winning)[:5]] = 20.0
    columns = (a, b, outcome, heavy)
    found = first_place.flip(fit(columns, ties), ties, *columns)
    light = first_place.flip(fit((a, b, outcome, weight), ties), ties, a, b, outcome, weight)
    assert found is not None
    assert light is not None
    kept = np.setdiff1d(np.arange(400), found.votes)
    assert fit(columns, ties, kept).strength.argmax() != found.first
    assert set(np.flatnonzero(winning)[:5]) & set(found.votes.tolist())


def test_votes_needed_give_the_power_they_promise() -> None:
    """As many votes as said show the lead in about 80% of draws."""
    ties = MODELS["davidson"]
    many = fit(cast(0, lead=0.4, votes=100_000), ties)
    needed = first_place.votes_needed(many, 100_000)
    assert needed is not None
    shown = []
    for seed in range(200):
        own = fit(cast(seed, lead=0.4, votes=round(needed)), ties)
        second, first = np.argsort(many.strength)[-2:]
        of = own.covariance
        error = np.sqrt(of[first, first] + of[second, second] - 2 * of[first, second])
        shown.append((own.strength[first] - own.strength[second]) / error > 1.96)
    assert np.mean(shown) == pytest.approx(0.8, abs=0.08)
