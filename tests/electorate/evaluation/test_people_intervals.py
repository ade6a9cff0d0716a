"""Intervals of people's votes hold for other people on other prompts."""

import numpy as np
import pytest

from electorate.base import resampling
from electorate.evaluation.people import CONFIDENCE, RESAMPLES, Resamples

USERS = 25
PROMPTS = 20


@pytest.mark.parametrize(("user_sd", "prompt_sd"), [(1.0, 0.0), (0.0, 1.0), (0.7, 0.7), (0.2, 0.2)])
def test_they_cover_whether_users_or_prompts_differ(user_sd: float, prompt_sd: float) -> None:
    covered = 0
    draws = 100
    for seed in range(draws):
        random = np.random.default_rng(seed)
        user = random.integers(0, USERS, 600)
        prompt = random.integers(0, PROMPTS, 600)
        value = user_sd * random.normal(size=USERS)[user]
        value += prompt_sd * random.normal(size=PROMPTS)[prompt] + random.normal(size=600)
        drawn = Resamples.of(user, prompt)
        total, sums = drawn.sums(np.column_stack([np.ones(600), value])).T
        assert (total[0], sums[0]) == pytest.approx((600, value.sum()))
        low, high = resampling.interval((sums / total)[1:], CONFIDENCE)
        covered += low <= 0 <= high
    assert covered >= 0.86 * draws


def test_a_resample_counts_a_vote_by_its_user_times_its_prompt() -> None:
    user = np.array([4, 4, 9])
    prompt = np.array([1, 7, 7])
    drawn = Resamples.of(user, prompt)
    found = drawn.sums(np.eye(3))
    assert found.shape == (1 + RESAMPLES, 3)
    expected = drawn.users[:, [0, 0, 1]] * drawn.prompts[:, [0, 1, 1]]
    assert np.array_equal(found, expected)
    assert np.array_equal(found[0], np.ones(3))


def test_one_user_leaves_prompts_to_vary() -> None:
    drawn = Resamples.of(np.zeros(50, dtype=np.int64), np.arange(50) % 5)
    assert (drawn.users == 1).all()
    assert np.ptp(drawn.sums(np.ones((50, 1)))) == 0
    assert np.ptp(drawn.sums(np.arange(50.0)[:, None])) > 0
