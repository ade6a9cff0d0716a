import numpy as np
import pytest

from electorate.data.winners import BOTH_BAD, TIE
from electorate.population import judges, personas
from electorate.population.voters import ADVERSARIAL, BLOCK, CARELESS
from tests.conftest import made_config
from tests.electorate.population.test_personas import made_electorate, population


def test_votes_come_out_as_often_as_their_probabilities_say() -> None:
    electorate = made_electorate(made_config(population=population(size=BLOCK)))
    ballots = judges.vote(electorate, personas.draw(electorate, 0), 0, 0, 50)
    counted = np.bincount(ballots.outcome.ravel(), minlength=3) / ballots.outcome.size
    assert counted == pytest.approx(ballots.probabilities.mean(axis=(0, 1)), abs=0.005)


def test_probabilities_are_those_of_the_utilities() -> None:
    electorate = made_electorate(made_config(judge={"lapse_rate": 0.0, "position_bias_sd": 0.0}))
    people = personas.draw(electorate, 0)
    ballots = judges.vote(electorate, people, 0, 0, 20)
    utility = judges.utilities(electorate, people, np.arange(electorate.z.shape[0]))
    user = np.arange(len(people))[:, None]
    difference = (
        utility[user, ballots.prompt, ballots.pairs.a]
        - utility[user, ballots.prompt, ballots.pairs.b]
    )
    odds = ballots.probabilities
    # Rao-Kupper: the odds of A over not-A are exp(difference - threshold).
    logit = np.log(odds[..., 0] / (1 - odds[..., 0]))
    assert logit == pytest.approx(difference - people.tie_threshold[:, None], abs=1e-6)
    assert odds.sum(axis=-1) == pytest.approx(1.0)


def test_a_round_and_a_block_vote_alone() -> None:
    """The same votes whatever else is judged, and never twice the same."""
    electorate = made_electorate(made_config(population=population(size=2 * BLOCK)))
    first = [judges.vote(electorate, personas.draw(electorate, b), b, 0, 5) for b in (0, 1)]
    again = judges.vote(electorate, personas.draw(electorate, 1), 1, 0, 5)
    assert np.array_equal(first[1].outcome, again.outcome)
    assert not np.array_equal(first[0].pairs.a, first[1].pairs.a)


def test_battles_are_even_over_pairs_orders_and_training_prompts() -> None:
    electorate = made_electorate(made_config(population=population(size=BLOCK, prompt_focus=0.0)))
    ballots = judges.vote(electorate, personas.draw(electorate, 0), 0, 0, 50)
    assert not np.any(ballots.pairs.a == ballots.pairs.b)
    pairs = np.bincount((6 * ballots.pairs.a + ballots.pairs.b).ravel(), minlength=36).reshape(6, 6)
    assert pairs[~np.eye(6, dtype=bool)] == pytest.approx(ballots.outcome.size / 30, rel=0.06)
    assert ballots.pairs.first_shown.mean() == pytest.approx(0.5, abs=0.01)
    assert set(np.unique(ballots.prompt)) == set(electorate.training_prompts)


def test_position_bias_favours_the_answer_shown_first() -> None:
    odds = judges.vote_probabilities(np.zeros(1), np.array([0.5]), np.array([1.0]), 0.0)[0]
    assert odds[0] > odds[1]


def test_odds_of_either_order_are_the_mean_of_both_however_far_apart_the_answers() -> None:
    random = np.random.default_rng(0)
    difference = np.concatenate([random.normal(0, 3, (5, 20)), [[-1e4, 1e4, 0.0, 250.0] * 5]])
    lapse = np.array([0.0, 0.1, 0.5, 1.0, 0.02, 0.0])
    for columns in (1, 20):
        threshold = random.uniform(0, 3, (6, columns))
        shift = random.normal(0, 1, (6, 1))
        orders = [
            judges.vote_probabilities(difference, threshold, sign * shift, lapse[:, None])
            for sign in (1, -1)
        ]
        found = judges.either_first(difference, threshold, shift, lapse)
        assert found == pytest.approx(np.mean(orders, axis=0), abs=1e-14)


def test_a_voter_who_always_lapses_votes_at_random() -> None:
    odds = judges.vote_probabilities(np.array([8.0]), np.array([0.5]), np.array([0.0]), 1.0)
    assert odds == pytest.approx(1 / 3)


def test_the_careless_vote_evenly_and_the_adversarial_against_their_taste() -> None:
    changes = {
        "population": population(size=BLOCK, careless=0.3, adversarial=0.3),
        "judge": {"lapse_rate": 0.0, "position_bias_sd": 0.0},
    }
    electorate = made_electorate(made_config(**changes))
    people = personas.draw(electorate, 0)
    ballots = judges.vote(electorate, people, 0, 0, 20)
    utility = judges.utilities(electorate, people, np.arange(electorate.z.shape[0]))
    user = np.arange(BLOCK)[:, None]
    difference = (
        utility[user, ballots.prompt, ballots.pairs.a]
        - utility[user, ballots.prompt, ballots.pairs.b]
    )
    odds = ballots.probabilities
    assert odds[people.conduct == CARELESS] == pytest.approx(1 / 3)
    for conduct, sign in ((0, 1), (ADVERSARIAL, -1)):
        own = (people.conduct == conduct)[:, None] & (np.abs(difference) > 1e-9)
        assert np.all(sign * (odds[..., 0] - odds[..., 1])[own] * difference[own] > 0)
    # What is expected of a system is to foresee their votes, not their taste.
    truth = judges.expected_probabilities(electorate, people, difference, 0)
    assert truth == pytest.approx(odds)


def test_both_bad_is_a_tie_of_two_poor_answers() -> None:
    votes = {}
    for below in (None, -1.0):
        electorate = made_electorate(
            made_config(population=population(size=500), judge={"both_bad_below": below})
        )
        people = personas.draw(electorate, 0)
        ballots = votes[below] = judges.vote(electorate, people, 0, 0, 40)
        utility = judges.utilities(electorate, people, np.arange(electorate.z.shape[0]))
    user = np.arange(500)[:, None]
    best = np.maximum(
        utility[user, ballots.prompt, ballots.pairs.a],
        utility[user, ballots.prompt, ballots.pairs.b],
    )
    assert not np.any(votes[None].outcome == BOTH_BAD)
    assert np.array_equal(
        votes[-1.0].outcome == BOTH_BAD, (votes[None].outcome == TIE) & (best < -1.0)
    )
    assert np.any(ballots.outcome == BOTH_BAD)
