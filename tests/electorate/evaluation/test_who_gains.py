import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from electorate.base.scale import Floats, Ints
from electorate.evaluation import who_gains

VOTES = 40


def drawn(
    seed: int, mean: float, spread: float, users: int = 300, effect: float = 0.0
) -> tuple[Floats, Floats, Ints, Ints]:
    """Users' true gains, and the gains, users and prompts of their votes, of sd 0.5 each; effect:
    of what votes on one prompt have in common.
    """
    random = np.random.default_rng(seed)
    true = mean + spread * random.normal(size=users)
    user = np.repeat(np.arange(users), VOTES)
    prompt = random.integers(0, 10, len(user))
    shared = effect * random.normal(size=(users, 10))
    gain = true[user] + shared[user, prompt] + 0.5 * random.normal(size=len(user))
    return true, gain, user, prompt


def found(gain: Floats, user: Ints, prompt: Ints, users: int = 300) -> who_gains.Gains:
    measured = who_gains.measure(gain, user, prompt, np.ones(len(gain)), users)
    return who_gains.posterior(measured)


@pytest.mark.parametrize("effect", [0.0, 0.4])
def test_intervals_of_users_gains_cover_at_their_rate(effect: float) -> None:
    inside = []
    means = []
    for seed in range(30):
        true, gain, user, prompt = drawn(seed, 0.02, 0.1, effect=effect)
        own = found(gain, user, prompt)
        inside.append(np.abs(true - own.mean) <= 1.96 * own.sd)
        means.append(abs(0.02 - own.overall) <= 1.96 * own.overall_sd)
    assert np.mean(inside) == pytest.approx(0.95, abs=0.02)
    assert np.mean(means) > 0.85


def test_few_who_are_said_to_gain_or_lose_do_not() -> None:
    wrong = []
    power = []
    for seed in range(20):
        true, gain, user, prompt = drawn(seed, 0.05, 0.15)
        own = found(gain, user, prompt)
        said = own.gainers(0.1)
        wrong.append((true[said] <= 0).mean())
        power.append(said[true > 0].mean())
        lost = own.losers(0.1)
        if lost.any():
            assert (true[lost] > 0).mean() < 0.35
    assert np.mean(wrong) <= 0.1
    assert np.mean(power) > 0.5


def test_where_nobody_gains_nobody_is_said_to() -> None:
    said = 0
    for seed in range(20):
        _, gain, user, prompt = drawn(seed, 0.0, 0.0)
        own = found(gain, user, prompt)
        said += int(own.gainers(0.1).any())
        assert own.spread < 0.06
    assert said <= 3


def test_gains_too_small_to_matter_are_none_however_sure() -> None:
    """As with LLMFAO's people whose votes are swapped: System A's odds are a little off the global
    ones, in the same direction for all of a user's votes, and 51 of 64 were said to gain or lose.
    """
    random = np.random.default_rng(0)
    user = np.repeat(np.arange(64), 80)
    side = np.where(np.arange(64) % 2 == 0, 1e-3, -1e-3)
    gain = side[user] + 1e-4 * random.normal(size=len(user))
    own = found(gain, user, random.integers(0, 13, len(user)), users=64)
    assert np.abs(own.mean / own.sd).min() > 2
    assert not own.gainers(0.1).any()
    assert not own.losers(0.1).any()


def test_the_gate_is_no_worse_than_the_global_ranking_where_a_system_loses() -> None:
    """A personal system that harms half of the users."""
    random = np.random.default_rng(0)
    users = 60
    user = np.repeat(np.arange(users), 60)
    prompt = random.integers(0, 20, len(user))
    outcome = random.integers(0, 3, len(user))
    base = np.full((1, len(user), 3), 1 / 3)
    helps = user % 2 == 0
    right = np.where(helps, 0.45, 0.2)
    own = np.repeat(((1 - right) / 2)[:, None], 3, axis=1)
    # It is right as often as it says for those whom it helps.
    own[np.arange(len(user)), outcome] = right
    weight = np.ones(len(user))
    fold = prompt % 5
    gated = who_gains.gated(own[None], base, outcome, user, prompt, weight, [fold])
    assert np.array_equal(gated[0, ~helps], base[0, ~helps])
    assert np.array_equal(gated[0, helps], own[helps])


def test_votes_of_the_fold_itself_do_not_open_the_gate() -> None:
    """A user whose votes gain in one fold alone gets the global ranking there."""
    user = np.zeros(50, dtype=np.int64)
    prompt = np.arange(50) % 10
    fold = prompt % 5
    outcome = np.zeros(50, dtype=np.int64)
    base = np.full((1, 50, 3), 1 / 3)
    own = np.tile([0.2, 0.4, 0.4], (50, 1))
    own[fold == 3] = [0.4, 0.3, 0.3]
    gated = who_gains.gated(own[None], base, outcome, user, prompt, np.ones(50), [fold])
    assert np.array_equal(gated[0, fold == 3], base[0, fold == 3])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 60), st.sampled_from([0, 1, 1e4])
)
def test_any_votes_have_finite_gains_and_order_means_nothing(
    seed: int, users: int, votes: int, scale: float
) -> None:
    random = np.random.default_rng(seed)
    user = random.integers(0, users, votes)
    prompt = random.integers(0, 5, votes)
    gain = scale * random.normal(size=votes)
    weight = np.exp(random.normal(size=votes))
    own = who_gains.posterior(who_gains.measure(gain, user, prompt, weight, users))
    assert np.isfinite(own.mean).all()
    assert np.isfinite(own.no_gain).all()
    assert ((own.no_gain >= 0) & (own.no_gain <= 1)).all()
    order = random.permutation(votes)
    again = who_gains.posterior(
        who_gains.measure(gain[order], user[order], prompt[order], weight[order], users)
    )
    assert again.mean == pytest.approx(own.mean, rel=1e-6, abs=1e-6 * max(scale, 1))
