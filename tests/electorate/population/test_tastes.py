import numpy as np
import pytest
from scipy.optimize import minimize

from electorate.base.pairs import pair_indices
from electorate.base.scale import Floats
from electorate.evaluation import metrics
from electorate.evaluation.metrics import Standing
from electorate.evaluation.predictions import Tastes
from electorate.population import judges, personas, tastes
from electorate.population.judges import Ballots
from electorate.population.logged_votes import LoggedVotes
from electorate.population.personas import Electorate, Personas
from electorate.population.tastes import TasteRatings
from tests.conftest import made_config
from tests.electorate.population.test_personas import made_electorate, population


def electorate(**changes: object) -> Electorate:
    return made_electorate(made_config(population=population(size=400), **changes))


def rated(of: Electorate, votes: int) -> tuple[Personas, TasteRatings]:
    """Everyone after so many votes each."""
    people = personas.draw(of, 0)
    cast = judges.vote(of, people, 0, 0, votes)
    return people, tastes.rate(of, logged(cast), people.archetype)


def logged(cast: Ballots) -> LoggedVotes:
    """Votes as the log has them, user by user."""
    users, each = cast.outcome.shape
    user = np.repeat(np.arange(users), each)
    return LoggedVotes(
        user=user,
        a=cast.pairs.a.ravel(),
        b=cast.pairs.b.ravel(),
        outcome=cast.outcome.ravel(),
        prompt=cast.prompt.ravel(),
        first_shown=cast.pairs.first_shown.ravel(),
        round_=np.zeros_like(user),
    )


def test_the_mode_is_the_one_scipy_finds() -> None:
    of = electorate(judge={"lapse_rate": 0.0})
    people = personas.draw(of, 0).take(np.arange(3))
    cast = judges.vote(of, people, 0, 0, 30)
    found = tastes.rate(of, logged(cast), people.archetype)
    mean, precision = tastes._prior(of, people.archetype)

    def minus(beta: Floats, u: int) -> float:
        scale = beta[0]
        taste = beta[1:-2]
        bias = beta[-2]
        eta = beta[-1]
        total = 0.0
        for v in range(30):
            a = cast.pairs.a[u, v]
            b = cast.pairs.b[u, v]
            prompt = cast.prompt[u, v]
            d = 2.0 * (
                scale * (of.strength[a] - of.strength[b])
                + taste @ (of.z[prompt, a] - of.z[prompt, b])
            )
            shift = bias if cast.pairs.first_shown[u, v] == 0 else -bias
            odds = judges.vote_probabilities(
                np.array(d), np.exp(np.array(eta)), np.array(shift), 0.0
            )
            total -= float(np.log(odds[cast.outcome[u, v]]))
        return total + float(precision @ (beta - mean[u]) ** 2) / 2

    for u in range(3):
        best = minimize(minus, mean[u], args=(u,), method="BFGS")
        assert found.mode[u] == pytest.approx(best.x, abs=5e-3)


def test_tastes_are_learned_vote_by_vote_and_intervals_cover_them() -> None:
    of = electorate()
    errors = []
    for votes in (5, 40, 200):
        people, found = rated(of, votes)
        away = found.mode[:, 1:-2] - people.taste
        errors.append(float(np.sqrt((away**2).mean())))
        sd = np.sqrt(np.diagonal(found.covariance, axis1=1, axis2=2)[:, 1:-2])
        # 4,800 intervals; what is left out of the likelihood (lapses, s log-normal) costs a little.
        assert np.mean(np.abs(away) < 1.96 * sd) == pytest.approx(0.95, abs=0.02)
    assert errors[0] > errors[1] > errors[2]
    assert errors[0] < of.personal_sd[0]
    assert errors[2] < 0.7 * of.personal_sd[0]


def test_its_rankings_and_odds_come_to_the_truth() -> None:
    of = electorate()
    people, found = rated(of, 200)
    said = Tastes(of, found)
    truth = judges.mean_utilities(of, people)
    own = metrics.kendall_tau(Standing(said.overall), Standing(truth)).mean()
    assert own > metrics.kendall_tau(Standing(of.strength[None]), Standing(truth)).mean() + 0.05
    prompt = int(of.training_prompts[0])
    utility = judges.utilities(of, people, np.array([prompt]))[:, 0]
    a, b = pair_indices(len(of.strength))
    true = judges.expected_probabilities(of, people, utility[:, a] - utility[:, b], 0)
    on = said.on(prompt)
    assert on.odds.sum(axis=-1) == pytest.approx(1)
    flat = np.broadcast_to(true.mean(axis=(0, 1)), true.shape)
    entropy = -(true * np.log(true)).sum(-1).mean()
    losses = [-(true * np.log(odds)).sum(-1).mean() - entropy for odds in (on.odds, flat)]
    assert losses[0] < 0.2 * losses[1]


def test_the_probit_form_of_the_averaged_odds_is_close_to_sampling() -> None:
    of = electorate(judge={"lapse_rate": 0.0, "position_bias_sd": 0.0})
    _, found = rated(of, 10)
    said = Tastes(of, found)
    prompt = int(of.training_prompts[0])
    user = 7
    draws = np.random.default_rng(0).multivariate_normal(
        found.mode[user, :-2], found.covariance[user, :-2, :-2], 20_000
    )
    design = 2.0 * np.column_stack([of.strength, of.z[prompt]])
    a, b = pair_indices(len(design))
    d = draws @ (design[a] - design[b]).T
    sampled = judges.vote_probabilities(d, np.exp(found.mode[user, -1:]), np.zeros(1), 0.0).mean(
        axis=0
    )
    assert said.on(prompt).odds[user] == pytest.approx(sampled, abs=0.02)


def test_users_vote_as_often_as_they_like() -> None:
    """The votes of a user who votes more, or not at all, change nobody else's ratings."""
    of = electorate()
    people = personas.draw(of, 0).take(np.arange(4))
    votes = logged(judges.vote(of, people, 0, 0, 30))
    place = np.arange(len(votes)) % 30
    some = votes.take(np.flatnonzero(np.isin(votes.user, [0, 2]) & (place < 10 + 10 * votes.user)))
    found = tastes.rate(of, some, people.archetype)
    first = votes.take(np.flatnonzero((votes.user == 0) & (place < 10)))
    alone = tastes.rate(of, first, people.archetype[:1])
    assert found.mode[0] == pytest.approx(alone.mode[0], abs=1e-6)
    prior, _ = tastes._prior(of, people.archetype)
    assert found.mode[[1, 3]] == pytest.approx(prior[[1, 3]], abs=1e-9)
