"""Policies valued from thumbs on what another policy chose."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from electorate.base.scale import Floats
from electorate.evaluation import off_policy
from electorate.evaluation.off_policy import BY_ALL, BY_USER, RoutedThumbs

MODELS = 5


def logged(
    seed: int, users: int = 150, each: int = 20, taste: float = 1.0, holdout: float = 0.15
) -> tuple[RoutedThumbs, Floats]:
    """What a gateway logs of users with tastes and thresholds of their own, whose rankings it knows
    but in part; and (users, MODELS) how likely each answer is to get a thumb up.
    """
    random = np.random.default_rng(seed)
    common = 0.5 * random.normal(size=MODELS)
    utility = common + taste * random.normal(size=(users, MODELS))
    known = utility + 0.5 * random.normal(size=(users, MODELS))
    chance = np.exp(known) / np.exp(known).sum(axis=1, keepdims=True)
    user = np.repeat(np.arange(users), each)
    n = len(user)
    own = known.argmax(axis=1)[user]
    of_all = np.full(n, common.argmax())
    tried = (random.random(n)[:, None] > chance[user].cumsum(axis=1)[:, :-1]).sum(axis=1)
    place = random.random(n)
    explore = 0.05
    model = np.where(place < explore, tried, np.where(place < explore + holdout, of_all, own))
    probability = explore * chance[user, model] + holdout * (model == of_all)
    probability += (1 - explore - holdout) * (model == own)
    up = 1 / (1 + np.exp(random.normal(size=(users, 1)) - utility))
    thumbs = RoutedThumbs(
        user=user,
        model=model,
        probability=probability,
        by_user=own,
        by_all=of_all,
        up=(random.random(n) < up[user, model]).astype(np.int64),
        models=tuple(f"m{i}" for i in range(MODELS)),
    )
    return thumbs, up


@pytest.mark.parametrize("taste", [0.0, 1.0])
def test_intervals_hold_what_each_policy_is_worth(taste: float) -> None:
    held = {BY_USER: 0, BY_ALL: 0, "gain": 0}
    above = 0
    for seed in range(60):
        thumbs, up = logged(seed, taste=taste)
        first = np.unique(thumbs.user, return_index=True)[1]
        true = {
            BY_USER: up[np.arange(len(up)), thumbs.by_user[first]].mean(),
            BY_ALL: up[np.arange(len(up)), thumbs.by_all[first]].mean(),
        }
        found = off_policy.values(thumbs)
        for name in (BY_USER, BY_ALL):
            held[name] += found[name].low <= true[name] <= found[name].high
        gain = off_policy.gain(thumbs)
        held["gain"] += gain.low <= true[BY_USER] - true[BY_ALL] <= gain.high
        above += gain.low > 0
    # Of 60 intervals of 95% fewer than 51 hold with a chance of 0.1%.
    assert min(held.values()) >= 51, held
    assert above <= 6 if taste == 0 else above >= 50


def test_what_was_shown_more_often_is_not_taken_for_better() -> None:
    """The plain mean of everyone's best is that of the users who were given it."""
    error = []
    plain = []
    for seed in range(40):
        thumbs, up = logged(seed)
        best = int(thumbs.by_all[0])
        true = up[:, best].mean()
        shown = thumbs.model == best
        error.append(off_policy.values(thumbs)[BY_ALL].value - true)
        plain.append(thumbs.up[shown].mean() - true)
    assert abs(np.mean(error)) < 0.01
    assert np.mean(plain) > 0.05


def test_what_some_users_were_never_shown_has_no_value() -> None:
    """Half of the users like b, are shown it and never a; the others the other way round."""
    random = np.random.default_rng(0)
    user = np.repeat(np.arange(200), 20)
    likes_b = (user % 2).astype(np.int64)
    thumbs = RoutedThumbs(
        user=user,
        model=likes_b,
        probability=np.ones(len(user)),
        by_user=likes_b,
        by_all=np.zeros(len(user), dtype=np.int64),
        up=(random.random(len(user)) < 0.8).astype(np.int64),
        models=("a", "b"),
    )
    found = off_policy.values(thumbs)
    assert found[BY_USER].value == pytest.approx(0.8, abs=0.03)
    for name in ("a", "b", BY_ALL):
        assert not found[name].reached
        assert np.isnan(found[name].value)
    assert np.isnan(off_policy.gain(thumbs).value)


def test_more_thumbs_than_needed_tell() -> None:
    thumbs, _ = logged(8, users=60, each=5, taste=0.7)
    few = off_policy.gain(thumbs)
    assert few.low < 0 < few.value
    assert few.needed is not None
    assert few.needed > len(thumbs)
    many = off_policy.gain(logged(8, users=2000, each=5, taste=0.7)[0])
    assert many.low > 0
    assert many.needed is not None
    assert many.needed < 10_000


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.booleans(), st.booleans())
def test_any_thumbs_have_values_or_none(seed: int, n: int, alike: bool, one_user: bool) -> None:
    random = np.random.default_rng(seed)
    thumbs = RoutedThumbs(
        user=np.zeros(n, dtype=np.int64) if one_user else random.integers(0, 9, n),
        model=random.integers(0, 3, n),
        probability=np.exp(-3 * random.random(n)),
        by_user=random.integers(0, 3, n),
        by_all=random.integers(0, 3, n),
        up=np.ones(n, dtype=np.int64) if alike else random.integers(0, 2, n),
        models=("a", "b", "c"),
    )
    for value in off_policy.values(thumbs).values():
        assert np.isnan(value.value) or 0 <= value.low <= value.value <= value.high <= 1
        known = value.reached and value.effective >= off_policy.FEWEST
        assert np.isnan(value.value) == (not known)
    gain = off_policy.gain(thumbs)
    assert np.isnan(gain.value) or -1 <= gain.low <= gain.high <= 1
