"""Both orders of a battle as one vote without position bias."""

import numpy as np
import pytest

from electorate.base.scale import Floats
from electorate.polls import verdicts
from electorate.polls.reading import Reading, Unread, normalised


def both_orders(truth: Floats, bias: float) -> list[Reading | Unread]:
    """Readings of a judge with these true log odds (n, 3) and so many nats for the place shown
    first.
    """
    readings = list[Reading | Unread]()
    for odds in truth:
        readings.append(Reading(normalised(odds + np.array([bias / 2, -bias / 2, 0.0]))))
        readings.append(Reading(normalised(odds[[1, 0, 2]] + np.array([bias / 2, -bias / 2, 0.0]))))
    return readings


def test_a_constant_bias_is_found_and_taken_out() -> None:
    truth = normalised(np.random.default_rng(0).normal(size=(50, 3)))
    judged = verdicts.judged(both_orders(truth, bias=3.0))
    assert judged.bias == pytest.approx(np.full(50, 3.0))
    # The tie's weight beside the two places is what the normalisation of each order leaves of it.
    assert judged.odds[:, 0] - judged.odds[:, 1] == pytest.approx(truth[:, 0] - truth[:, 1])
    assert np.exp(judged.odds).sum(axis=1) == pytest.approx(np.ones(50))


def test_a_judge_that_only_sees_places_has_no_preference() -> None:
    judged = verdicts.judged(both_orders(np.zeros((4, 3)), bias=5.0))
    assert list(verdicts.choice(judged.forward)) == [0] * 4
    assert list(verdicts.choice(judged.backward)) == [1] * 4
    assert np.all(judged.odds[:, 0] == pytest.approx(judged.odds[:, 1]))


def test_half_a_battle_is_no_vote_and_never_a_tie() -> None:
    readings = both_orders(np.array([[0.0, -1.0, -2.0]] * 3), 0.0)
    readings[3] = Unread("prose")
    judged = verdicts.judged(readings)
    assert list(judged.whole) == [0, 2]
    odds, bad = verdicts.panel([judged])
    assert list(verdicts.outcome(odds, bad)) == [0, -1, 0]


def test_a_panel_is_the_mean_in_log_odds_of_who_could_be_read() -> None:
    one, other = (normalised(np.array([[x, 0.0, -1.0], [0.5, 0.0, 0.0]])) for x in (2.0, -1.0))
    readings = [both_orders(odds, 0.0) for odds in (one, other)]
    readings[1][2] = Unread("empty")
    odds, _ = verdicts.panel([verdicts.judged(r) for r in readings])
    assert odds[0, 0] - odds[0, 1] == pytest.approx(0.5)
    assert odds[1] == pytest.approx(one[1])
    nobody = verdicts.judged([Unread("empty")] * 2)
    assert np.isnan(verdicts.panel([nobody, nobody])[0]).all()


def test_a_tie_that_both_fail_is_both_bad() -> None:
    level = np.log([[0.1, 0.1, 0.8]] * 2)
    assert list(verdicts.outcome(level, np.array([0.9, 0.2]))) == [3, 2]


def test_equal_odds_of_both_are_a_tie_and_no_win_for_a() -> None:
    assert list(verdicts.choice(np.log([[0.4, 0.4, 0.2], [0.4, 0.3, 0.3], [0.2, 0.5, 0.3]]))) == [
        2,
        0,
        1,
    ]


def test_round_robin_and_listwise_scores() -> None:
    sure = np.log(
        np.array([[[0.98, 0.01, 0.01], [0.98, 0.01, 0.01], [0.01, 0.98, 0.01]]])
    )  # 0>1, 0>2, 2>1
    assert list(np.argsort(-verdicts.expected_wins(sure, 3)[0])) == [0, 2, 1]
    assert verdicts.expected_wins(sure, 3).sum() == pytest.approx(3.0)
    # A judge that likes the first place and answer 2: turning the places leaves answer 2 alone.
    shown = [np.roll(np.arange(3), turn) for turn in range(3)]
    readings = [
        Reading(normalised(np.array([2.0, 0.0, 0.0]) + np.where(order == 2, 1.0, 0.0)))
        for order in shown
    ]
    scores = verdicts.listwise(readings, shown, 3)[0]
    assert scores.argmax() == 2
    assert np.isnan(verdicts.listwise([*readings[:2], Unread("prose")], shown, 3)).all()
